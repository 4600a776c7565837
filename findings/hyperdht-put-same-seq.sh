#!/usr/bin/env bash
# hyperdht's mutablePut succeeds, and the old value stays.
#
# Expected: a value that is called mutable can be replaced. A second mutablePut
#   replaces the first, or it rejects.
# Seen: hyperdht 6.34.0 numbers each value with seq, which is 0 unless it is
#   set. The nodes refuse another value with the same seq, and an older one, and
#   mutablePut ignores their answers: it resolves as if all had stored it.
# Matters: a peer that publishes its new address the obvious way stays at its
#   old one. A peer that restarts and counts from 0 again is not heard either.
#   Read the value first, and put it with the next seq.
#
# Output on 2026-11-28, node v20.20.2:
#   put "first": resolves with seq 0, then stored: first (seq 0)
#   put "second": resolves with seq 0, then stored: first (seq 0)
#   put "third", seq 2: resolves with seq 2, then stored: third (seq 2)
#   put "fourth", seq 1: resolves with seq 1, then stored: third (seq 2)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.cjs <<'JS'
const DHT = require('hyperdht')
const createTestnet = require('hyperdht/testnet')

async function main () {
  const testnet = await createTestnet(5, { host: '127.0.0.1' })
  const [writer, reader] = [testnet.createNode(), testnet.createNode()]
  await Promise.all([writer, reader].map(node => node.fullyBootstrapped()))
  const key = DHT.keyPair()
  for (const [value, options] of [['first'], ['second'], ['third', { seq: 2 }], ['fourth', { seq: 1 }]]) {
    let outcome
    try {
      outcome = `resolves with seq ${(await writer.mutablePut(key, Buffer.from(value), options)).seq}`
    } catch (error) {
      outcome = 'rejects'
    }
    const stored = await reader.mutableGet(key.publicKey, { latest: true })
    const name = options ? `"${value}", seq ${options.seq}` : `"${value}"`
    console.log(`put ${name}: ${outcome}, then stored: ${stored.value} (seq ${stored.seq})`)
  }
}

main().then(() => process.exit())
JS
cat >expected <<'OUT'
put "first": resolves with seq 0, then stored: first (seq 0)
put "second": resolves with seq 0, then stored: first (seq 0)
put "third", seq 2: resolves with seq 2, then stored: third (seq 2)
put "fourth", seq 1: resolves with seq 1, then stored: third (seq 2)
OUT

npm install --silent --no-audit --no-fund --ignore-scripts hyperdht@6.34.0
timeout 60 node main.cjs >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: a put fares otherwise than was found"; exit 1; }
cat seen
echo "as found"
