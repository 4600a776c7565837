import assert from 'node:assert/strict'
import test from 'node:test'
import { Arrivals, Ledger } from '../custody.js'
import { FULL_HOP, randomNonce } from '../router.js'
import { idOf, peerIdBytes, verifyMessage } from '../identity.js'
import {
  Bye, Flag, Form, Kind, Nack, decodeFrame, decodeReceipt, encodeAck, encodeBody, encodeMessage, encodeNack, encodeText, fromHex, toHex
} from '../wire.js'
import { both, rawStream, sleep, startNode, startPeer, until, WS } from './helpers.js'

/** Opens a stream that names custody and acknowledges only what it is told to. Its role is a relay's. */
const startRaw = async (t, addr, role = 0) => {
  const node = await startNode(t)
  const id = await idOf(peerIdBytes(node.peerId))
  const raw = await rawStream(node, addr, { hello: { role, link: 5n, features: ['custody'] } })
  await until(() => raw.frames.length > 1, 'the link')
  const messages = () => raw.frames.filter(({ type }) => type === 'message')
  return {
    ...raw,
    id,
    messages,
    byNonce: nonce => messages().find(message => message.nonce === nonce),
    seqOf: nonce => 1 + messages().findIndex(message => message.nonce === nonce),
    acked: () => Number(raw.frames.findLast(({ type }) => type === 'ack')?.num ?? 0),
    nacks: () => raw.frames.filter(({ type }) => type === 'nack').map(({ nack }) => nack),
    ack: () => raw.write(encodeAck(messages().length)),
    say: (to, { nonce = randomNonce(), text = '1', hop = FULL_HOP - (1 << 24) } = {}) => {
      const bodyBytes = encodeBody({ to, from: id, form: Form.JSON, payload: encodeText(text) })
      raw.write(encodeMessage({ hop, nonce, bodyBytes, path: [id] }))
      return nonce
    }
  }
}

const FAR = fromHex('d7'.repeat(20))

both('what is processed is acknowledged: one message soon, many at once', async (t, { addr, id }) => {
  const raw = await startRaw(t, addr, 1)
  raw.say(fromHex(id))
  await until(() => raw.acked() === 1, 'the acknowledgement', 2_000)
  const nonce = raw.say(fromHex(id), { nonce: '7' })
  raw.say(fromHex(id), { nonce })
  for (let i = 0; i < 100; i++) raw.say(fromHex(id))
  await until(() => raw.acked() === 103, 'the acknowledgement', 2_000)
  const acks = raw.frames.filter(({ type }) => type === 'ack').map(({ num }) => Number(num))
  assert.deepEqual(acks, acks.toSorted((a, b) => a - b))
  assert.deepEqual(raw.nacks(), [])
})

both('without the feature nothing is acknowledged', async (t, { addr, id, messages }) => {
  const node = await startNode(t)
  const raw = await rawStream(node, addr)
  await until(() => raw.frames.length > 1)
  const from = await idOf(peerIdBytes(node.peerId))
  raw.write(encodeMessage({ hop: FULL_HOP, nonce: '1', bodyBytes: encodeBody({ to: fromHex(id), from, form: Form.JSON, payload: encodeText('1') }), path: [from] }))
  await until(() => messages().length === 1, 'the message')
  await sleep(100)
  assert.ok(!raw.types().includes('ack'))
})

both('what has no route goes back, and the NACK before its acknowledgement', async (t, { addr }) => {
  const raw = await startRaw(t, addr, 1)
  raw.say(FAR)
  await until(() => raw.acked() === 1, 'the acknowledgement')
  assert.deepEqual(raw.nacks(), [{ seq: 1n, reason: Nack.NO_ROUTE, frame: undefined }])
  const types = raw.types()
  assert.ok(types.indexOf('nack') < types.indexOf('ack'))
  // No NACK is left.
  raw.say(FAR, { hop: 0x27020000 })
  await until(() => raw.acked() === 2, 'the acknowledgement')
  assert.equal(raw.nacks().length, 1)
})

both('an acknowledgement of more than was sent is an offence', async (t, { addr, count }) => {
  const raw = await startRaw(t, addr, 1)
  for (let i = 0; i < 15; i++) raw.write(encodeAck(1_000))
  // One that comes twice, or late, is none.
  for (let i = 0; i < 5; i++) raw.write(encodeAck(1))
  raw.write(encodeAck(0))
  await sleep(100)
  assert.equal(await count(), 1)
  raw.write(encodeAck(2n ** 64n - 1n))
  await until(() => raw.byes().length > 0, 'the BYE')
  assert.deepEqual(raw.byes(), [Bye.PROTOCOL])
})

/**
 * Has a peer pass a message on to one of two relays, and returns both: that one first. The second one
 * acknowledges what it gets at once, since this process may be slower than the peer's patience.
 */
const passOn = async (t, addr) => {
  const [origin, ...relays] = [await startRaw(t, addr, 1), await startRaw(t, addr), await startRaw(t, addr)]
  const nonce = randomNonce()
  const gotIt = ({ byNonce }) => byNonce(nonce)
  for (const relay of relays) {
    relay.ack()
    relay.stream.addEventListener('message', () => { if (relays.every(gotIt)) relay.ack() })
  }
  origin.say(FAR, { nonce })
  const first = await until(() => relays.find(gotIt), 'the message')
  return { origin, nonce, first, second: relays.find(relay => relay !== first) }
}

for (const [what, lose] of [
  ['that is not acknowledged in time', () => {}],
  ['of a link that ended without a BYE', ({ first }) => first.stream.abort(new Error('gone'))],
  ['of a link whose peer said BYE', ({ first }) => first.write(fromHex('3200'))],
  ['that is given back by its number', ({ first, nonce }) => first.write(encodeNack({ seq: first.seqOf(nonce), reason: Nack.NO_ROUTE }))],
  ['that is given back by its frame', ({ first, nonce }) => {
    first.ack()
    first.write(encodeNack({ reason: Nack.BUSY, frame: first.byNonce(nonce).frame }))
  }]
]) {
  both(`a message ${what} takes another way`, async (t, { addr, id }) => {
    const way = await passOn(t, addr)
    lose(way)
    const { second, first, nonce, origin } = way
    const again = await until(() => second.byNonce(nonce), 'the message', 5_000)
    assert.deepEqual(again.path.map(toHex), [toHex(origin.id), id])
    assert.equal(toHex(again.bodyBytes), toHex(first.byNonce(nonce).bodyBytes))
    assert.deepEqual(origin.nacks(), [])
    // And back, if that way is none either.
    second.write(encodeNack({ reason: Nack.NO_ROUTE, frame: again.frame }))
    const [nack] = await until(() => origin.nacks().length > 0 && origin.nacks(), 'the NACK')
    const back = decodeFrame(nack.frame)
    assert.deepEqual([nack.seq, back.nonce, back.path.map(toHex)], [0n, nonce, [toHex(origin.id)]])
    assert.ok((back.hop >>> 8 & 0xff) < 3)
  })
}

both('each attempt has a signed receipt, and other messages have none', async (t, { addr, id, messages }) => {
  const raw = await startRaw(t, addr)
  const [e2e, other] = [7, 8].map(byte => new Uint8Array(16).fill(byte))
  const far = fromHex('66'.repeat(20))
  const body = { to: fromHex(id), from: far, form: Form.JSON, flags: Flag.RECEIPT | Flag.NOTICE, e2e, payload: encodeText('1') }
  const say = (nonce, fields) => raw.write(encodeMessage({ hop: FULL_HOP, nonce, bodyBytes: encodeBody({ ...body, ...fields }), path: [far, raw.id] }))
  say('1')
  say('1')
  say('2', { e2e: other, flags: Flag.NOTICE })
  say('3', { e2e: undefined })
  // Its form is not known, so that no application gets it.
  say('4', { e2e: other, form: Form.SEALED })
  say('5', { e2e: other, form: Form.SEALED })
  const receipts = () => raw.messages().filter(({ body: { kind } }) => kind === Kind.RECEIPT)
  await until(() => receipts().length === 1, 'the receipt')
  say('6')
  await until(() => messages().length === 3 && raw.acked() === 7, 'the messages')
  await until(() => receipts().length === 2, 'the receipts')
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', encodeBody(body)))
  for (const [i, nonce] of ['1', '6'].entries()) {
    const receipt = receipts()[i]
    assert.equal(await verifyMessage(receipt), true)
    assert.deepEqual([receipt.body.to, receipt.route.map(toHex)], [far, [toHex(raw.id), toHex(far)]])
    const { nonce: of, ...told } = decodeReceipt(receipt.body.payload)
    assert.deepEqual([new TextDecoder().decode(of), told], [nonce, { e2e, hash, hops: 2, handed: false }])
  }
  await sleep(100)
  assert.equal(receipts().length, 2)
})

test('a message for the peer of a late link stays with it', async t => {
  const a = await startPeer(t, { listen: [WS] })
  const raw = await startRaw(t, a.addr, 1)
  raw.ack()
  await a.peer.send(raw.id, 'paused')
  const ping = await until(() => raw.frames.find(({ type }) => type === 'ping'), 'the ping')
  assert.equal(await a.peer.send(raw.id, 'still'), true)
  raw.ack()
  assert.ok(ping)
  assert.deepEqual([a.peer.peers.length, a.peer.drops], [1, {}])
})

test('a link takes 4 MiB that are not acknowledged', async t => {
  const a = await startPeer(t, { listen: [WS] })
  const raw = await startRaw(t, a.addr, 1)
  const size = 100_000
  const fill = async () => {
    let taken = 0
    while (await a.peer.send(raw.id, 'x'.repeat(size))) taken++
    return taken
  }
  assert.equal(await fill(), Math.floor(4 * 1024 * 1024 / size))
  // They were written, which makes no room.
  await until(() => raw.messages().length > 40, 'the messages')
  assert.equal(await fill(), 0)
  raw.ack()
  await until(async () => await fill() > 0, 'room')
})

test('the ledger: numbers, room, and the bytes of all links', () => {
  const all = { bytes: 0 }
  const [one, two] = [new Ledger(all), new Ledger(all)]
  assert.deepEqual([one.add('a', 10), one.add('b', 20), two.add('c', 30)], [1, 2, 1])
  one.wrote(1, 5)
  assert.deepEqual([one.take(2), one.take(2), all.bytes], ['b', undefined, 40])
  assert.deepEqual([one.add('d', 1), one.ack(3), one.size, one.bytes], [3, 5, 0, 0])
  assert.equal(all.bytes, 30)
  assert.ok(one.hasRoom(4 * 1024 * 1024))
  assert.ok(!one.hasRoom(4 * 1024 * 1024 + 1))
  all.bytes = 48 * 1024 * 1024
  assert.ok(one.hasRoom(64 * 1024))
  assert.ok(!one.hasRoom(64 * 1024 + 1))
  for (let i = 0; i < 8_192; i++) one.add(i, 0)
  assert.ok(!one.hasRoom(0))
})

test('arrivals are told in order, after 32 or 256 KiB at once', () => {
  const arrivals = new Arrivals()
  for (let i = 0; i < 40; i++) arrivals.next()
  arrivals.done(2, 10)
  assert.deepEqual([arrivals.processed, arrivals.due], [0, 'never'])
  arrivals.done(1, 10)
  assert.deepEqual([arrivals.processed, arrivals.due, arrivals.tell(), arrivals.due], [2, 'soon', 2, 'never'])
  arrivals.done(3, 256 * 1024)
  assert.deepEqual([arrivals.due, arrivals.tell()], ['now', 3])
  for (let i = 4; i < 35; i++) arrivals.done(i, 1)
  assert.equal(arrivals.due, 'soon')
  arrivals.done(35, 1)
  assert.deepEqual([arrivals.due, arrivals.tell()], ['now', 35])
  arrivals.closed = true
  arrivals.done(36, 1)
  assert.deepEqual([arrivals.processed, arrivals.due], [35, 'never'])
})
