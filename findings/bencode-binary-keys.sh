#!/usr/bin/env bash
# npm's bencode turns binary dictionary keys into hex, and does not turn back.
#
# Expected: a decode and an encode of valid bencode yield the same bytes, since
#   each value has one encoding and the hash of a dictionary depends on it.
# Seen: bencode 4.0.1 (under webtorrent and bittorrent-tracker) returns a key
#   that is not UTF-8 as its hex text, and a key that is UTF-8 as it is. The
#   encoder writes the hex text, twice as long. One dictionary can hold keys of
#   both kinds, so a reader cannot tell which is which.
# Matters: a tracker's scrape answer and the piece layers of a version 2
#   torrent have hashes as keys. A relay that decodes and encodes such a message
#   changes it, and a hash or signature over it no longer fits.
#
# Output on 2026-11-28, node v20.20.2:
#   key of 20 binary bytes: decoded c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00, written as 40 bytes
#   key of 20 ASCII bytes: decoded abcdefghijklmnopqrst, written as 20 bytes
#   binary value: decoded Uint8Array, written as 20 bytes
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.mjs <<'JS'
import bencode from 'bencode'

const binary = Buffer.from('c0ffee00'.repeat(5), 'hex')
const ascii = Buffer.from('abcdefghijklmnopqrst')
const dict = (key, value) => Buffer.concat([Buffer.from('d20:'), key, Buffer.from('20:'), value, Buffer.from('e')])
const keyLength = data => parseInt(Buffer.from(data).subarray(1).toString('latin1'))

for (const [name, key] of [['binary', binary], ['ASCII', ascii]]) {
  const decoded = bencode.decode(dict(key, ascii))
  console.log(`key of 20 ${name} bytes: decoded ${Object.keys(decoded)[0]}, written as ${keyLength(bencode.encode(decoded))} bytes`)
}
const decoded = bencode.decode(dict(ascii, binary))
const value = decoded[ascii.toString()]
const same = Buffer.from(bencode.encode(decoded)).equals(dict(ascii, binary))
console.log(`binary value: decoded ${value.constructor.name}, written as ${same ? 20 : 'other'} bytes`)
JS
cat >expected <<'OUT'
key of 20 binary bytes: decoded c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00, written as 40 bytes
key of 20 ASCII bytes: decoded abcdefghijklmnopqrst, written as 20 bytes
binary value: decoded Uint8Array, written as 20 bytes
OUT

npm install --silent --no-audit --no-fund --ignore-scripts bencode@4.0.1
timeout 60 node main.mjs >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the keys are read or written otherwise than was found"; exit 1; }
cat seen
echo "as found"
