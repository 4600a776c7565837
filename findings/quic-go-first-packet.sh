#!/usr/bin/env bash
# The first packet of quic-go does not fit a path with an MTU of 1,280.
#
# Expected: a dialler begins with the 1,200 bytes that RFC 9000, 14.1 asks for at
#   least. IPv6 guarantees an MTU of 1,280 bytes, and a QUIC packet is not to be
#   fragmented. Path MTU discovery raises the size later.
# Seen: in quic-go 0.64.1 Config.InitialPacketSize is 1,280 unless it is set, and
#   means the payload of UDP. With the headers of UDP and IP the packet has 1,308
#   bytes over IPv4 and 1,328 over IPv6.
# Matters: over a path with the least MTU of IPv6, such as some tunnels, no handshake
#   ends: the dial runs into its timeout, and no error names the size. A program that
#   has the Config sets InitialPacketSize to 1,200. One that gets QUIC from another
#   library may not reach the Config.
#
# Output on 2026-11-29, go1.26.8:
#   InitialPacketSize not set: UDP payload 1280, IPv6 packet 1328, fits an MTU of 1280: false
#   InitialPacketSize 1200: UDP payload 1200, IPv6 packet 1248, fits an MTU of 1280: true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

cat >main.go <<'END'
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/quic-go/quic-go"
)

func main() {
	for _, size := range []uint16{0, 1200} {
		sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		go quic.DialAddr(ctx, sink.LocalAddr().String(), &tls.Config{NextProtos: []string{"finding"}}, &quic.Config{InitialPacketSize: size})
		sink.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _, err := sink.ReadFrom(make([]byte, 1<<16))
		cancel()
		sink.Close()
		if err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		set := fmt.Sprint(size)
		if size == 0 {
			set = "not set"
		}
		const headers = 40 + 8 // of IPv6 and UDP
		fmt.Printf("InitialPacketSize %s: UDP payload %d, IPv6 packet %d, fits an MTU of 1280: %v\n", set, n, n+headers, n+headers <= 1280)
	}
}
END
cat >expected <<'OUT'
InitialPacketSize not set: UDP payload 1280, IPv6 packet 1328, fits an MTU of 1280: false
InitialPacketSize 1200: UDP payload 1200, IPv6 packet 1248, fits an MTU of 1280: true
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/quic-go/quic-go@v0.64.1
go build -o run .
timeout 60 ./run >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the first packet has another size"; exit 1; }
cat seen
echo "as found"
