#!/usr/bin/env bash
# go-libp2p takes eight connections from one IP address, even with no limits.
#
# Expected: a resource manager made with InfiniteLimits limits nothing. Its
#   README names it as the way to turn all limits off.
# Seen: go-libp2p 0.51.0 refuses the ninth connection from one IPv4 address
#   all the same, since this limit sits outside of the limits' type. Loopback
#   is exempt, so no test on one machine shows it.
# Matters: a school, an office or a carrier with one address for many people
#   gets eight of them through to a relay. A test with hundreds of local peers
#   passes. The cure is rcmgr.WithLimitPerSubnet or WithNetworkPrefixLimit.
#
# Output on 2026-11-28, go1.26.8:
#   default limits, 127.0.0.1: 100 of 100
#   default limits, 192.0.2.1: 8 of 100, connections per ip limit exceeded for /ip4/192.0.2.1/tcp/1
#   InfiniteLimits, 127.0.0.1: 100 of 100
#   InfiniteLimits, 192.0.2.1: 8 of 100, connections per ip limit exceeded for /ip4/192.0.2.1/tcp/1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

# The resource manager is asked directly: no packet leaves the process.
cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"
)

const asked = 100

func main() {
	// 64 GiB, so that the default limits that grow with memory stay out of the way.
	defaults := rcmgr.DefaultLimits.Scale(64<<30, 1<<16)
	try("default limits", defaults, "127.0.0.1")
	try("default limits", defaults, "192.0.2.1")
	try("InfiniteLimits", rcmgr.InfiniteLimits, "127.0.0.1")
	try("InfiniteLimits", rcmgr.InfiniteLimits, "192.0.2.1")
}

func try(name string, limits rcmgr.ConcreteLimitConfig, ip string) {
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits))
	check(err)
	defer m.Close()
	addr := ma.StringCast("/ip4/" + ip + "/tcp/1")
	for i := range asked {
		scope, err := m.OpenConnection(network.DirInbound, true, addr)
		if err != nil {
			fmt.Printf("%s, %s: %d of %d, %v\n", name, ip, i, asked, err)
			return
		}
		check(scope.SetPeer(peer.ID(fmt.Sprint("peer", i))))
	}
	fmt.Printf("%s, %s: %d of %d\n", name, ip, asked, asked)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >expected <<'OUT'
default limits, 127.0.0.1: 100 of 100
default limits, 192.0.2.1: 8 of 100, connections per ip limit exceeded for /ip4/192.0.2.1/tcp/1
InfiniteLimits, 127.0.0.1: 100 of 100
InfiniteLimits, 192.0.2.1: 8 of 100, connections per ip limit exceeded for /ip4/192.0.2.1/tcp/1
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/libp2p/go-libp2p@v0.51.0
go build -o run .
timeout 60 ./run >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the number of connections differs from what was found"; exit 1; }
cat seen
echo "as found"
