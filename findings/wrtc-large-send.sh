#!/usr/bin/env bash
# wrtc closes a data channel without an error when one message is too large.
#
# Expected: send() throws a TypeError for a message above the maxMessageSize of
#   the SCTP transport, and the channel stays open, as the W3C text asks and as
#   the code of a page relies on.
# Seen: @roamhq/wrtc 0.10.0 throws nothing and fires no error event. It closes
#   the channel on both sides, although sctp.maxMessageSize shows the limit.
#   With simple-peer on top the whole connection ends, again without an error.
# Matters: a Node peer that forwards one large message loses its link, and the
#   log shows an ordinary close. Check the length before each send.
#
# Output on 2026-11-28, node v20.20.2:
#   maxMessageSize: 262144
#   262144 bytes: send throws nothing, then open, received 262144, errors 0
#   262145 bytes: send throws nothing, then closed, received nothing, errors 0
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.cjs <<'JS'
const { RTCPeerConnection } = require('@roamhq/wrtc')

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function main () {
  const [a, b] = [0, 1].map(() => new RTCPeerConnection({ iceServers: [] }))
  a.onicecandidate = ({ candidate }) => candidate && b.addIceCandidate(candidate).catch(() => {})
  b.onicecandidate = ({ candidate }) => candidate && a.addIceCandidate(candidate).catch(() => {})
  const channel = a.createDataChannel('x')
  const opened = new Promise(resolve => { channel.onopen = resolve })
  const remote = new Promise(resolve => { b.ondatachannel = event => resolve(event.channel) })
  await a.setLocalDescription(await a.createOffer())
  await b.setRemoteDescription(a.localDescription)
  await b.setLocalDescription(await b.createAnswer())
  await a.setRemoteDescription(b.localDescription)
  await opened
  let received = 'nothing'
  let errors = 0
  channel.onerror = () => errors++
  ;(await remote).onerror = () => errors++
  ;(await remote).onmessage = event => { received = event.data.byteLength }

  const limit = a.sctp.maxMessageSize
  console.log(`maxMessageSize: ${limit}`)
  for (const size of [limit, limit + 1]) {
    received = 'nothing'
    let outcome = 'throws nothing'
    try {
      channel.send(new Uint8Array(size))
    } catch (error) {
      outcome = `throws ${error.name}`
    }
    await sleep(1500)
    console.log(`${size} bytes: send ${outcome}, then ${channel.readyState}, received ${received}, errors ${errors}`)
  }
}

main().then(() => process.exit())
JS
cat >expected <<'OUT'
maxMessageSize: 262144
262144 bytes: send throws nothing, then open, received 262144, errors 0
262145 bytes: send throws nothing, then closed, received nothing, errors 0
OUT

npm install --silent --no-audit --no-fund --ignore-scripts @roamhq/wrtc@0.10.0
timeout 60 node main.cjs >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: a large send fares otherwise than was found"; exit 1; }
cat seen
echo "as found"
