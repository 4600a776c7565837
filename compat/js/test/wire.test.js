import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import {
  FrameSplitter, FramingError, MAX_FRAME, MalformedError,
  decodeAnswer, decodeFrame, decodeNotice, decodeReceipt, encodeAck, encodeAnswer, encodeBody, encodeBye, encodeHello,
  encodeMessage, encodeNack, encodeNeighbours, encodeNotice, encodePing, encodePong, encodeReceipt, encodeReport, fromHex, relayFrame, toHex, withHop, withLength,
  withoutLastHop
} from '../wire.js'
import { siphash128 } from '../siphash.js'
import { idOf, signBody, verifyMessage } from '../identity.js'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'

const vectors = name => JSON.parse(readFileSync(new URL(`../../../protocol/testdata/frames/${name}.json`, import.meta.url)))

const KINDS = ['user', 'findPeers', 'foundPeers', 'handshake-offer', 'handshake-answer', 'signal', 'receipt', 'notice', 'other', 'ping', 'report']
const hex = bytes => bytes === undefined ? undefined : toHex(bytes)
const hexes = list => list?.length > 0 ? list.map(toHex) : undefined
const clean = object => JSON.parse(JSON.stringify(object))

/** Returns a decoded frame in the form that it has in the vectors. */
const describe = frame => {
  const { type } = frame
  switch (type) {
    case 'hello': {
      const { features, role, link, maxFrame, agent } = frame.hello
      return clean({ type, hello: { features: features.length > 0 ? features : undefined, role, link: link.toString(16).padStart(16, '0'), maxFrame, agent } })
    }
    case 'nack':
      return clean({ type, nack: { seq: String(frame.nack.seq), reason: frame.nack.reason, frame: hex(frame.nack.frame) } })
    case 'neighbours': {
      const { reset, named, gone, lost } = frame.neighbours
      return { type, neighbours: clean({ reset: reset || undefined, named: hexes(named), gone: hexes(gone), lost: hexes(lost) }) }
    }
    case 'bye': return { type, bye: frame.bye }
    case 'unknown': return { type }
    case 'message': {
      const { to, from, kind, form, flags, e2e, expiry, key, extra, record, token, payload, unknown, head } = frame.body
      return clean({
        type,
        hop: frame.hop.toString(16).padStart(8, '0'),
        nonce: frame.nonce,
        body: {
          to: hex(to), from: hex(from), kind: KINDS[kind] ?? `kind(${kind})`, form, flags: flags || undefined, e2e: hex(e2e),
          expiry: expiry ? String(expiry) : undefined, key: hex(key), extra: hex(extra), record: hex(record), token: hex(token),
          payload: payload?.length > 0 ? hex(payload) : undefined, unknown: unknown.length > 0 || undefined, head
        },
        route: hexes(frame.route), sig: hex(frame.sig), targets: hexes(frame.targets), path: hexes(frame.path)
      })
    }
    default: return { type, num: String(frame.num) }
  }
}

const encode = frame => {
  switch (frame.type) {
    case 'hello': return encodeHello(frame.hello)
    case 'ack': return encodeAck(frame.num)
    case 'nack': return encodeNack(frame.nack)
    case 'neighbours': return encodeNeighbours(frame.neighbours)
    case 'ping': return encodePing(frame.num)
    case 'pong': return encodePong(frame.num)
    case 'bye': return encodeBye(frame.bye)
    case 'message': return encodeMessage({ ...frame, bodyBytes: encodeBody(frame.body) })
  }
}

for (const file of ['control', 'message']) {
  for (const { name, hex: text, frame: want, ours, canonical } of vectors(file)) {
    test(`${file}: ${name}`, () => {
      const bytes = fromHex(text)
      const frame = decodeFrame(bytes)
      const { pathLast, ...rest } = describe(frame)
      assert.deepEqual(rest, clean(want))
      if (ours) {
        assert.equal(toHex(encode(frame)), text)
      }
      if (frame.type !== 'message' || frame.path.length === 20) return
      const relayed = relayFrame(frame, 0x01020304, new Uint8Array(20).fill(9))
      const next = decodeFrame(relayed)
      assert.equal(next.hop, 0x01020304)
      assert.equal(toHex(next.bodyBytes), toHex(frame.bodyBytes))
      assert.deepEqual(next.path, [...frame.path, new Uint8Array(20).fill(9)])
      assert.ok(next.pathLast)
      if (canonical) {
        assert.equal(toHex(encodeMessage(frame)), canonical)
        assert.equal(toHex(relayed).slice(10), canonical.slice(10) + '7a14' + '09'.repeat(20))
      } else if (frame.hopAt >= 0) {
        const patched = fromHex(text)
        new DataView(patched.buffer).setUint32(frame.hopAt, 0x01020304, true)
        assert.equal(toHex(relayed), toHex(patched) + '7a14' + '09'.repeat(20))
      }
    })
  }
}

for (const { name, hex: text, error } of vectors('malformed')) {
  test(`malformed: ${name}`, () => {
    assert.throws(() => decodeFrame(fromHex(text)), err => err instanceof MalformedError, error)
  })
}

test('every beginning of a message is refused or another frame', () => {
  const { hex: text } = vectors('message').find(({ name }) => name === 'every field, one receiver')
  const bytes = fromHex(text)
  for (let n = 0; n < bytes.length - 22; n++) assert.throws(() => decodeFrame(bytes.subarray(0, n)), MalformedError)
})

test('Answer', () => {
  assert.equal(toHex(encodeAnswer({ ws: 'wss://c.example' })), '0a0f7773733a2f2f632e6578616d706c65')
  assert.deepEqual(decodeAnswer(encodeAnswer({ ws: 'ws://x', wrtc: true })), { ws: 'ws://x', wrtc: true })
  assert.deepEqual(decodeAnswer(encodeAnswer()), { ws: undefined, wrtc: false })
})

const E2E = Uint8Array.from({ length: 16 }, (_, i) => i)
const HASH = new Uint8Array(32).fill(0xcd)
const NONCE = new TextEncoder().encode('42')
const E2E_FIELD = '0a10' + toHex(E2E)
const HASH_FIELD = '1220' + toHex(HASH)
const NONCE_FIELD = '1a023432'
const RECEIPT = E2E_FIELD + HASH_FIELD + NONCE_FIELD

test('Receipt', () => {
  const full = { e2e: E2E, hash: HASH, nonce: NONCE, hops: 3, handed: true }
  const cases = [
    [RECEIPT + '20032801', full],
    [RECEIPT + '2003', { ...full, handed: false }],
    [RECEIPT, { ...full, hops: 0, handed: false }],
    [RECEIPT + '2014', { ...full, hops: 20, handed: false }],
    [RECEIPT + '20032801' + '3214' + '22'.repeat(20), { ...full, path: [new Uint8Array(20).fill(0x22)] }]
  ]
  for (const [text, receipt] of cases) {
    assert.deepEqual(decodeReceipt(fromHex(text)), receipt, text)
    assert.equal(toHex(encodeReceipt(receipt)), text)
  }
  // Fields come in any order, and later ones are skipped.
  assert.deepEqual(decodeReceipt(fromHex('2801' + NONCE_FIELD + '3a0161' + HASH_FIELD + '2003' + E2E_FIELD)), full)
})

test('Notice', () => {
  const text = E2E_FIELD + '12023432'
  assert.deepEqual(decodeNotice(fromHex(text)), { e2e: E2E, nonce: NONCE })
  assert.equal(toHex(encodeNotice({ e2e: E2E, nonce: NONCE })), text)
  assert.deepEqual(decodeNotice(fromHex(text + '1801')), { e2e: E2E, nonce: NONCE, silent: true })
  assert.deepEqual(decodeNotice(fromHex('12023432' + '220161' + E2E_FIELD)), { e2e: E2E, nonce: NONCE })
})

test('malformed receipts and notices', () => {
  const receipts = {
    'nothing': '',
    'no end-to-end id': HASH_FIELD + NONCE_FIELD,
    'no hash': E2E_FIELD + NONCE_FIELD,
    'no nonce': E2E_FIELD + HASH_FIELD,
    'a short end-to-end id': '0a0f' + toHex(E2E.subarray(1)) + HASH_FIELD + NONCE_FIELD,
    'a long hash': E2E_FIELD + '1221' + toHex(HASH) + 'cd' + NONCE_FIELD,
    'an empty nonce': E2E_FIELD + HASH_FIELD + '1a00',
    'a nonce of 33 bytes': E2E_FIELD + HASH_FIELD + '1a21' + '31'.repeat(33),
    '21 hops': RECEIPT + '2015',
    'handed 0': RECEIPT + '2800',
    'handed 2': RECEIPT + '2802',
    'the hash twice': RECEIPT + HASH_FIELD,
    'another wire type': RECEIPT + '2500000000',
    'a number that is not in its shortest form': RECEIPT + '208300',
    'cut off': RECEIPT.slice(0, -2)
  }
  for (const [name, text] of Object.entries(receipts)) assert.throws(() => decodeReceipt(fromHex(text)), MalformedError, name)
  for (const text of ['', E2E_FIELD, '12023432', E2E_FIELD + '1200', E2E_FIELD + '1221' + '31'.repeat(33), E2E_FIELD + '12023432'.repeat(2), E2E_FIELD + '12023432' + '1800']) {
    assert.throws(() => decodeNotice(fromHex(text)), MalformedError, text)
  }
})

test('a message goes back as it came, but for the budgets', () => {
  const { hex: text } = vectors('message').find(({ name }) => name === 'every field, one receiver')
  const frame = decodeFrame(fromHex(text))
  const relayed = relayFrame(frame, 0x26020307, new Uint8Array(20).fill(9))
  assert.equal(toHex(withoutLastHop(relayed, 0x25020207)), toHex(withHop(encodeMessage(frame), 0x25020207)))
})

test('splitting a stream', () => {
  const frames = [new Uint8Array(1).fill(1), new Uint8Array(0), new Uint8Array(127), new Uint8Array(128).fill(3), new Uint8Array(MAX_FRAME).fill(7)]
  const stream = frames.map(withLength).map(bytes => [...bytes]).flat()
  for (const step of [1, 3, 1000, stream.length]) {
    const splitter = new FrameSplitter()
    splitter.max = MAX_FRAME
    const out = []
    for (let at = 0; at < stream.length; at += step) out.push(...splitter.push(Uint8Array.from(stream.slice(at, at + step))))
    assert.deepEqual(out, frames)
  }
  for (const head of ['808001', '8000', '818000', '80808001', '818010', '818020']) {
    const splitter = new FrameSplitter()
    splitter.max = MAX_FRAME
    const bytes = fromHex(head)
    if (head === '808001' ) assert.deepEqual([...splitter.push(bytes)], [])
    else assert.throws(() => [...splitter.push(bytes)], FramingError, head)
  }
  assert.throws(() => [...new FrameSplitter().push(fromHex('8120'))], FramingError)
})

test('siphash128 of the reference', () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i)
  assert.equal(siphash128(key, new Uint8Array(0)), 'a3817f04ba25a8e66df67214c7550293')
  assert.equal(siphash128(key, Uint8Array.of(0)), 'da87c1d86b99af44347659119b22fc45')
})

// From SPEC.md, Examples.
const A = '2ea99e04b7226ebb09856fdd2c3df7aad5dbc53d'
const FIND = '450003022 74a0131526c0a1475f5c871a3d51c00ce144d800304f53a7cba4c1712142ea99e04b7226ebb09856fdd2c3df7aad5dbc53d180120024224080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c7a142ea99e04b7226ebb09856fdd2c3df7aad5dbc53d62406a14fce11afaea19a91fb0ffa4e930ea85765178d6eebf3844408358909542242aa5d3adc22043b78ba7ddfc113533f918a10b644acafcc59b5d457296ec2b027a142ea99e04b7226ebb09856fdd2c3df7aad5dbc53d'.replace(' ', '')

test('the id and the signature of the example', async () => {
  const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1))
  assert.equal(toHex(await idOf(key.publicKey.toMultihash().bytes)), A)
  const message = decodeFrame(fromHex(FIND))
  assert.equal(await verifyMessage(message), true)
  assert.equal(toHex(await signBody(key, message.bodyBytes)), toHex(message.sig))
  const forged = { ...message, bodyBytes: message.bodyBytes.slice() }
  forged.bodyBytes[forged.bodyBytes.length - 1] ^= 1
  assert.equal(await verifyMessage(forged), false)
  assert.equal(await verifyMessage({ ...message, body: { ...message.body, from: new Uint8Array(20).fill(1) } }), false)
  assert.equal(await verifyMessage({ ...message, sig: undefined }), false)
})

test('a hello of the example', () => {
  assert.equal(toHex(withLength(encodeHello({ role: 1, link: 0x0123456789abcdefn, agent: 'example/1' }))),
    '180a16100119efcdab89674523012a096578616d706c652f31')
})

test('a report, and a receipt with a path, are those of the vectors', () => {
  const payload = wanted => decodeFrame(fromHex(vectors('message').find(({ name }) => name === wanted).hex)).body.payload
  const e2e = Uint8Array.from({ length: 16 }, (_, i) => i)
  const report = encodeReport({ e2e, nonce: new TextEncoder().encode('7'), hops: 3, link: 2, agent: 'peer-relay/1' })
  assert.equal(toHex(report), toHex(payload('report')))
  const receipt = decodeReceipt(payload('receipt of a traced ping'))
  assert.deepEqual(receipt.path.map(toHex), ['22'.repeat(20), '33'.repeat(20)])
  assert.equal(toHex(encodeReceipt(receipt)), toHex(payload('receipt of a traced ping')))
})
