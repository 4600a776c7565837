#!/usr/bin/env bash
# simple-peer turns text into bytes, drops empty messages, and joins others.
#
# Expected: a data channel keeps each message whole, and text stays text. The
#   README of simple-peer promises strings as well as buffers to the reader.
# Seen: simple-peer 9.11.1 is a byte stream by default, so text arrives as a
#   Buffer, an empty message does not arrive, and messages that wait for a
#   reader come out of an async iterator as one chunk. With objectMode: true
#   each message arrives as it was sent, the empty one as well.
# Matters: a relay that frames by message works until a reader is slow. A peer
#   of another implementation that sends empty keep-alive messages, or tells
#   text from bytes, is misread.
#
# Output on 2026-11-28, node v20.20.2:
#   byte stream, on data: Buffer(4) Buffer(3)
#   byte stream, async iterator: Buffer(7)
#   object mode, on data: String(4) String(0) Buffer(3)
#   object mode, async iterator: String(4) String(0) Buffer(3)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.cjs <<'JS'
const Peer = require('simple-peer')
const wrtc = require('@roamhq/wrtc')

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const show = message => `${message.constructor.name}(${message.length})`

async function pair (options) {
  const config = { iceServers: [] }
  const peers = [true, false].map(initiator => new Peer({ initiator, wrtc, config, ...options }))
  peers.forEach((peer, i) => peer.on('signal', signal => peers[1 - i].signal(signal)))
  await Promise.all(peers.map(peer => new Promise(resolve => peer.once('connect', resolve))))
  return peers
}

(async () => {
  for (const [name, options] of [['byte stream', {}], ['object mode', { objectMode: true }]]) {
    for (const how of ['on data', 'async iterator']) {
      const [from, to] = await pair(options)
      const got = []
      if (how === 'on data') to.on('data', message => got.push(show(message)))
      from.send('text')
      from.send('')
      from.send(Buffer.from('raw'))
      await sleep(1000)
      if (how === 'async iterator') {
        (async () => { for await (const message of to) got.push(show(message)) })().catch(() => {})
        await sleep(500)
      }
      console.log(`${name}, ${how}: ${got.join(' ')}`)
    }
  }
  process.exit()
})()
JS
cat >expected <<'OUT'
byte stream, on data: Buffer(4) Buffer(3)
byte stream, async iterator: Buffer(7)
object mode, on data: String(4) String(0) Buffer(3)
object mode, async iterator: String(4) String(0) Buffer(3)
OUT

npm install --silent --no-audit --no-fund --ignore-scripts simple-peer@9.11.1 @roamhq/wrtc@0.10.0
timeout 60 node main.cjs >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the messages arrive otherwise than was found"; exit 1; }
cat seen
echo "as found"
