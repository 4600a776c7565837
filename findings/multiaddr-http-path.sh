#!/usr/bin/env bash
# An http-path loses its first letter between the Go and the JS multiaddr.
#
# Expected: one multiaddr has one binary form, so that an address that Go
#   encodes reads the same in JavaScript. Peers exchange the binary form.
# Seen: @multiformats/multiaddr 13.0.3 stores "/relay" for http-path/relay and
#   drops the first byte when it reads, while go-multiaddr 0.16.1 stores
#   "relay". The text of each side looks right on that side. JavaScript reads
#   Go's "relay" as "elay", and Go reads JavaScript's as "%2Frelay".
# Matters: a peer behind a path of a web server is dialed at a wrong path, with
#   no error in any decoder. Signed records and addresses that are compared as
#   bytes differ as well.
#
# Output on 2026-11-28, go1.26.8, node v20.20.2:
#   Go writes relay, JavaScript reads /ip4/192.0.2.1/tcp/443/tls/http/http-path/elay
#   JavaScript writes relay, Go reads /ip4/192.0.2.1/tcp/443/tls/http/http-path/%2Frelay
#   the same bytes for tls/http without the path: true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

# Both programs take "encode TEXT" and "decode HEX".
cat >main.go <<'GO'
package main

import (
	"encoding/hex"
	"fmt"
	"os"

	ma "github.com/multiformats/go-multiaddr"
)

func main() {
	if os.Args[1] == "encode" {
		addr, err := ma.NewMultiaddr(os.Args[2])
		check(err)
		fmt.Println(hex.EncodeToString(addr.Bytes()))
		return
	}
	data, err := hex.DecodeString(os.Args[2])
	check(err)
	addr, err := ma.NewMultiaddrBytes(data)
	check(err)
	fmt.Println(addr)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >main.mjs <<'JS'
import { multiaddr } from '@multiformats/multiaddr'

const [action, value] = process.argv.slice(2)
console.log(action === 'encode'
  ? Buffer.from(multiaddr(value).bytes).toString('hex')
  : multiaddr(Buffer.from(value, 'hex')).toString())
JS
cat >expected <<'OUT'
Go writes relay, JavaScript reads /ip4/192.0.2.1/tcp/443/tls/http/http-path/elay
JavaScript writes relay, Go reads /ip4/192.0.2.1/tcp/443/tls/http/http-path/%2Frelay
the same bytes for tls/http without the path: true
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/multiformats/go-multiaddr@v0.16.1
go build -o run .
npm install --silent --no-audit --no-fund --ignore-scripts @multiformats/multiaddr@13.0.3
base=/ip4/192.0.2.1/tcp/443/tls/http
path=$base/http-path/relay
{
	echo "Go writes relay, JavaScript reads $(node main.mjs decode "$(./run encode $path)")"
	echo "JavaScript writes relay, Go reads $(./run decode "$(node main.mjs encode $path)")"
	same=false
	[ "$(./run encode $base)" = "$(node main.mjs encode $base)" ] && same=true
	echo "the same bytes for tls/http without the path: $same"
} >seen
diff -u expected seen || { echo "changed: the addresses read otherwise than was found"; exit 1; }
cat seen
echo "as found"
