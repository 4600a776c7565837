#!/usr/bin/env bash
# A default anacrolix/dht node takes no announcement and no immutable value.
#
# Expected: a BitTorrent DHT node with its default configuration serves BEP 5
#   and BEP 44, as its store for BEP 44 values is on by default.
# Seen: anacrolix/dht 2.23.0 sends no token in answer to get_peers unless
#   PeerStore is set, so that no peer can announce itself there. It answers
#   a put of an immutable value with the error "expected seq argument", although
#   BEP 44 has seq for mutable values only. A mutable value is taken.
# Matters: a Go node that is meant to help a small network to bootstrap leaves
#   JavaScript peers with "No nodes to query" and "All queries failed", which
#   name no cause. Set PeerStore, and use mutable values.
#
# Output on 2026-11-28, go1.26.8, node v20.20.2:
#   announce: No nodes to query
#   put immutable: All queries failed
#   put mutable: stored by 1
#   put immutable, asked directly: 203 expected seq argument
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net"
	"os"

	"github.com/anacrolix/dht/v2"
)

func main() {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(err)
	config := dht.NewDefaultServerConfig()
	config.Conn = conn
	config.StartingNodes = func() ([]dht.Addr, error) { return nil, nil }
	_, err = dht.NewServer(config)
	check(err)
	fmt.Println(conn.LocalAddr().(*net.UDPAddr).Port)
	io.Copy(io.Discard, os.Stdin) // Run until the parent closes the pipe.
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >main.mjs <<'JS'
import { spawn } from 'node:child_process'
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Client } from 'bittorrent-dht'
import RPC from 'k-rpc-socket'

const server = spawn('./run', { stdio: ['pipe', 'pipe', 'inherit'] })
const port = Number(await new Promise(resolve => createInterface(server.stdout).once('line', resolve)))

const client = new Client({ bootstrap: false, host: '127.0.0.1' })
await new Promise(resolve => client.listen(0, '127.0.0.1', resolve))
const added = new Promise(resolve => client.once('node', resolve))
client.addNode({ host: '127.0.0.1', port })
await added

const report = (name, call) => new Promise(resolve => call((error, ...rest) => {
  console.log(`${name}: ${error ? error.message : 'stored by ' + rest.at(-1)}`)
  resolve()
}))
const { publicKey, privateKey } = generateKeyPairSync('ed25519')
await report('announce', done => client.announce(randomBytes(20), 4000, done))
await report('put immutable', done => client.put({ v: Buffer.from('value') }, done))
await report('put mutable', done => client.put({
  v: Buffer.from('value'),
  k: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32),
  seq: 1,
  sign: data => sign(null, data, privateKey)
}, done))

const rpc = new RPC()
const ask = (q, a) => new Promise(resolve => rpc.query({ host: '127.0.0.1', port }, { q, a },
  (error, answer) => resolve({ error, answer })))
const id = randomBytes(20)
const v = Buffer.from('value')
const { answer } = await ask('get', { id, target: createHash('sha1').update('5:value').digest() })
const { error } = await ask('put', { id, v, token: answer.r.token })
console.log(`put immutable, asked directly: ${error ? error.message : 'stored'}`)
server.stdin.end()
process.exit()
JS
cat >expected <<'OUT'
announce: No nodes to query
put immutable: All queries failed
put mutable: stored by 1
put immutable, asked directly: 203 expected seq argument
OUT

npm install --silent --no-audit --no-fund --ignore-scripts bittorrent-dht@11.0.12 k-rpc-socket@1.11.1
go mod init finding 2>/dev/null
go mod edit -require=github.com/anacrolix/dht/v2@v2.23.0
go build -o run .
timeout 60 node main.mjs >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the node answers otherwise than was found"; exit 1; }
cat seen
echo "as found"
