#!/usr/bin/env bash
# A WebSocket tracker wants raw hash bytes in JSON, and Go's JSON spoils them.
#
# Expected: a JSON protocol carries a 20-byte hash as hex or base64, and a
#   server refuses a hash that was damaged.
# Seen: bittorrent-tracker 11.2.3 refuses hex. It wants a string of 20
#   characters, one for each byte (U+0000 to U+00FF). A Go program that marshals
#   string(hash[:]) gets 20 characters as well, but encoding/json writes U+FFFD
#   for each byte that is not UTF-8. The tracker keeps the low byte, FD, and
#   answers with success, for another swarm.
# Matters: the WebRTC signalling of this tracker is a common way to meet peers.
#   Two Go peers even meet, as both spoil the hash alike, and peers of other
#   swarms join them. A JavaScript peer never sees them.
#
# Output on 2026-11-28, go1.26.8, node v20.20.2:
#   hex: refused, invalid info_hash
#   one character a byte: swarm c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00
#   json.Marshal(string(hash)): swarm fdfdfd00fdfdfd00fdfdfd00fdfdfd00fdfdfd00
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off

cat >main.go <<'GO'
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

func main() {
	hash := bytes.Repeat([]byte{0xc0, 0xff, 0xee, 0x00}, 5)
	text, err := json.Marshal(string(hash))
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}
GO
cat >main.mjs <<'JS'
import Server from 'bittorrent-tracker/server'
import WebSocket from 'ws'

const hash = Buffer.from('c0ffee00'.repeat(5), 'hex')
const server = new Server({ http: false, udp: false, ws: true, stats: false })
server.on('warning', () => {})
server.listen(0, '127.0.0.1')
await new Promise(resolve => server.once('listening', resolve))

for (const [name, infoHash] of [
  ['hex', JSON.stringify(hash.toString('hex'))],
  ['one character a byte', JSON.stringify(hash.toString('latin1'))],
  ['json.Marshal(string(hash))', process.argv[2]]
]) {
  let swarm
  server.once('start', (addr, params) => { swarm = params.info_hash })
  const socket = new WebSocket(`ws://127.0.0.1:${server.ws.address().port}`)
  await new Promise(resolve => socket.once('open', resolve))
  socket.send(`{"action":"announce","event":"started","info_hash":${infoHash},"peer_id":"-XX0001-abcdefghijkl","numwant":0,"left":1,"offers":[]}`)
  const answer = JSON.parse(await new Promise(resolve => socket.once('message', resolve)))
  console.log(`${name}: ${answer['failure reason'] ? 'refused, ' + answer['failure reason'] : 'swarm ' + swarm}`)
  socket.terminate()
  server.removeAllListeners('start')
}
process.exit()
JS
cat >expected <<'OUT'
hex: refused, invalid info_hash
one character a byte: swarm c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00
json.Marshal(string(hash)): swarm fdfdfd00fdfdfd00fdfdfd00fdfdfd00fdfdfd00
OUT

npm install --silent --no-audit --no-fund --ignore-scripts bittorrent-tracker@11.2.3 ws@8.23.0
timeout 60 node main.mjs "$(go run main.go)" >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the tracker answers otherwise than was found"; exit 1; }
cat seen
echo "as found"
