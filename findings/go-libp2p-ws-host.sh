#!/usr/bin/env bash
# go-libp2p drops the DNS name when it dials a WebSocket address without TLS.
#
# Expected: a dial of /dns/relay.example/tcp/80/ws sends "Host: relay.example",
#   as every WebSocket client does for ws://relay.example/.
# Seen: go-libp2p 0.51.0 resolves the name first and sends the IP address in
#   the Host header. The name survives only in a TLS address, as its SNI.
# Matters: a proxy that chooses its backend by name refuses the dial, and the
#   refusal does not show the cause. Browsers and npm clients get through on
#   the same address.
#
# Output on 2026-11-28, go1.26.8:
#   /dns/localhost/tcp/PORT/ws: Host 127.0.0.1:PORT
#   /dns4/localhost/tcp/PORT/ws: Host 127.0.0.1:PORT
#   an HTTP client, http://localhost:PORT/: Host localhost:PORT
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	ma "github.com/multiformats/go-multiaddr"
)

func main() {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(err)
	hosts := make(chan string, 9)
	go http.Serve(l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host }))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	h, err := libp2p.New(libp2p.NoListenAddrs)
	check(err)
	report := func(how string) {
		select {
		case host := <-hosts:
			fmt.Println(strings.ReplaceAll(how+": Host "+host, port, "PORT"))
		case <-ctx.Done():
			fmt.Println(how, "sent no request")
		}
	}
	for _, proto := range []string{"dns", "dns4"} {
		addr := ma.StringCast("/" + proto + "/localhost/tcp/" + port + "/ws")
		id, err := test.RandPeerID()
		check(err)
		if h.Connect(ctx, peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{addr}}) == nil {
			fmt.Println("connected to a plain HTTP server")
		}
		report(addr.String())
	}
	url := "http://localhost:" + port + "/"
	_, err = http.Get(url)
	check(err)
	report("an HTTP client, " + url)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >expected <<'OUT'
/dns/localhost/tcp/PORT/ws: Host 127.0.0.1:PORT
/dns4/localhost/tcp/PORT/ws: Host 127.0.0.1:PORT
an HTTP client, http://localhost:PORT/: Host localhost:PORT
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/libp2p/go-libp2p@v0.51.0
go build -o run .
timeout 60 ./run >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the Host header differs from what was found"; exit 1; }
cat seen
echo "as found"
