#!/usr/bin/env bash
# ironwood keeps one packet of a first burst: the last.
#
# Expected: ironwood is a net.PacketConn over a routed network. The first
#   packets to a new destination wait for its path in a small queue, as they do
#   under ARP, or the path search drops them all.
# Seen: ironwood v0.0.0-20260613025018 keeps exactly one packet while it
#   searches, and each further WriteTo replaces it. Of twenty packets the last
#   one arrives, and each WriteTo returned success. Of twenty more, all arrive.
# Matters: a protocol that opens with several datagrams (a split first flight,
#   a greeting and then data) loses its head and receives its tail. A peer must
#   take data before a greeting, or wait for an answer to one first packet.
#
# Output on 2026-11-28, go1.26.8:
#   first burst of 20: written 20, received [19]
#   second burst of 20: written 20, received [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19]
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

# Three nodes in a line over loopback TCP: a - b - c.
cat >main.go <<'GO'
package main

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"time"

	"github.com/Arceliar/ironwood/network"
	"github.com/Arceliar/ironwood/types"
)

const burst = 20

func main() {
	a, b, c := node(), node(), node()
	join(a, b)
	join(b, c)
	time.Sleep(5 * time.Second) // The spanning tree and its filters settle.
	for _, n := range []*network.PacketConn{a, b} {
		go func() {
			for buf := make([]byte, 1<<16); ; {
				if _, _, err := n.ReadFrom(buf); err != nil {
					return
				}
			}
		}()
	}
	for _, name := range []string{"first", "second"} {
		written := 0
		for i := range burst {
			if n, err := a.WriteTo([]byte{byte(i)}, types.Addr(public(c))); n == 1 && err == nil {
				written++
			}
		}
		fmt.Printf("%s burst of %d: written %d, received %v\n", name, burst, written, read(c))
	}
}

// read returns what n receives until it has been idle for two seconds.
func read(n *network.PacketConn) []byte {
	buf := make([]byte, 1<<16)
	var got []byte
	for len(got) < burst {
		check(n.SetReadDeadline(time.Now().Add(2 * time.Second)))
		size, _, err := n.ReadFrom(buf)
		if err != nil {
			break
		}
		got = append(got, buf[:size]...)
	}
	return got
}

func node() *network.PacketConn {
	_, key, err := ed25519.GenerateKey(nil)
	check(err)
	n, err := network.NewPacketConn(key)
	check(err)
	return n
}

func public(n *network.PacketConn) ed25519.PublicKey {
	return n.PrivateKey().Public().(ed25519.PublicKey)
}

func join(a, b *network.PacketConn) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	check(err)
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	check(err)
	accepted, err := l.Accept()
	check(err)
	go a.HandleConn(public(b), dialed, 0)
	go b.HandleConn(public(a), accepted, 0)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >expected <<'OUT'
first burst of 20: written 20, received [19]
second burst of 20: written 20, received [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19]
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/Arceliar/ironwood@v0.0.0-20260613025018-d50055b11f5e
go build -o run .
timeout 60 ./run >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the packets received differ from what was found"; exit 1; }
cat seen
echo "as found"
