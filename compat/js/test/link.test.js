import assert from 'node:assert/strict'
import test from 'node:test'
import {
  Bye, Kind, Form, PROTOCOL,
  encodeBody, encodeHello, encodeMessage, encodePing, encodePong, encodeAnswer, Flag, fromHex, toHex, withLength
} from '../wire.js'
import { FULL_HOP, randomNonce, randomToken } from '../router.js'
import { idOf, openRecord, peerIdBytes, verifyMessage } from '../identity.js'
import { both, linked, originOf, rawStream, sleep, startNode, startPeer, startRelay, until, WEBRTC, WS } from './helpers.js'

both('HELLO at once, then findPeers', async (t, { addr }) => {
  const raw = await rawStream(await startNode(t), addr, { hello: null })
  await until(() => raw.frames.length > 0)
  await sleep(200)
  assert.deepEqual(raw.types(), ['hello'])
  raw.write(encodeHello({ role: 1, link: 1n }))
  await until(() => raw.frames.length > 1)
  assert.equal(raw.frames[1].body.kind, Kind.FIND)
})

both('PONG with the token', async (t, { addr }) => {
  const raw = await rawStream(await startNode(t), addr)
  raw.write(encodePing(0x8000000000000001n))
  await until(() => raw.frames.some(({ type, num }) => type === 'pong' && num === 0x8000000000000001n))
})

both('the 16th malformed frame ends the link with BYE(PROTOCOL)', async (t, { addr, count }) => {
  const raw = await rawStream(await startNode(t), addr)
  await until(() => raw.frames.length > 1)
  for (let i = 0; i < 5; i++) raw.write(fromHex('0000'))
  for (let i = 0; i < 5; i++) raw.write(new Uint8Array(0))
  for (let i = 0; i < 5; i++) raw.write(encodeHello({ link: 1n }))
  // A frame of a later version, and the reserved ones, are no offence.
  for (let i = 0; i < 20; i++) raw.write(fromHex('72036e6577'))
  for (let i = 0; i < 20; i++) raw.write(fromHex('1001'))
  raw.write(encodePing(9n))
  await until(() => raw.types().includes('pong'))
  assert.equal(await count(), 1)
  raw.write(fromHex('80'))
  await until(() => raw.byes().length > 0)
  assert.deepEqual(raw.byes(), [Bye.PROTOCOL])
  await until(() => raw.ended)
})

both('a wrong first frame resets', async (t, { addr }) => {
  for (const first of [encodePing(1n), fromHex('72036e6577'), fromHex('0a021001'), new Uint8Array(0)]) {
    const raw = await rawStream(await startNode(t), addr, { hello: null })
    raw.write(first)
    await until(() => raw.reset, `the reset for ${toHex(first)}`)
  }
})

both('a bad length resets', async (t, { addr }) => {
  for (const length of ['80808001', '818010', '8100']) {
    const raw = await rawStream(await startNode(t), addr)
    await until(() => raw.frames.length > 1)
    raw.stream.send(fromHex(length))
    await until(() => raw.reset, `the reset for ${length}`)
  }
})

both('BYE is answered by BYE(NORMAL), and messages before it are taken', async (t, { addr, count }) => {
  const raw = await rawStream(await startNode(t), addr)
  await until(() => raw.frames.length > 1)
  raw.write(fromHex('32020802'))
  await until(() => raw.ended)
  assert.deepEqual(raw.byes(), [Bye.NORMAL])
  await until(async () => await count() === 0)
})

both('two streams of one opener: the lower link value stays', async (t, { addr, count }) => {
  const node = await startNode(t)
  const low = await rawStream(node, addr, { hello: { role: 1, link: 7n } })
  const high = await rawStream(node, addr, { hello: { role: 1, link: 8n } })
  await until(() => high.byes().length > 0)
  assert.deepEqual([low.byes(), high.byes()], [[], [Bye.DUPLICATE]])
  // The older one is asked whether it lives.
  const ping = await until(() => low.frames.find(({ type }) => type === 'ping'))
  low.write(encodePong(ping.num))
  const lowest = await rawStream(node, addr, { hello: { role: 1, link: 6n } })
  await until(() => low.byes().length > 0)
  assert.deepEqual([low.byes(), lowest.byes()], [[Bye.DUPLICATE], []])
  assert.equal(await count(), 1)
})

both('a message is delivered, forwarded or dropped as it should, byte by byte', async (t, { addr, id }) => {
  const [one, two] = [await startNode(t), await startNode(t)]
  const [a, b] = [await rawStream(one, addr), await rawStream(two, addr)]
  await until(() => a.frames.length > 1 && b.frames.length > 1)
  const [from, to] = await Promise.all([one, two].map(node => idOf(peerIdBytes(node.peerId))))
  const bodyBytes = encodeBody({ to, from, form: Form.JSON, payload: new TextEncoder().encode('[1.0, 2]') })
  const unknown = [fromHex('7005'), fromHex('a206056c61746572')]
  const frame = encodeMessage({ hop: 0x27020300, nonce: 'x y', bodyBytes, unknown, path: [from] })
  a.write(frame)
  a.write(frame)
  const got = await until(() => b.frames.find(({ type, body }) => type === 'message' && body.kind === Kind.USER))
  const want = encodeMessage({ hop: 0x26020300, nonce: 'x y', bodyBytes, unknown, path: [from, fromHex(id)] })
  assert.equal(toHex(got.frame), toHex(want))
  a.write(encodeMessage({ hop: 0x00020300, nonce: '2', bodyBytes, path: [from] }))
  a.write(encodeMessage({ hop: FULL_HOP, nonce: '3', bodyBytes, path: [from, fromHex(id)] }))
  a.write(encodeMessage({ hop: FULL_HOP, nonce: '4', bodyBytes, path: Array(20).fill(from) }))
  a.write(encodeMessage({ hop: 0x01020300, nonce: '5', bodyBytes, path: [from] }))
  // The copies that went nowhere do not make better ones duplicates, and a signature makes another message.
  a.write(encodeMessage({ hop: FULL_HOP, nonce: '2', bodyBytes, path: [from] }))
  a.write(encodeMessage({ hop: FULL_HOP, nonce: '4', bodyBytes, path: [from] }))
  a.write(encodeMessage({ hop: FULL_HOP, nonce: '4', bodyBytes, sig: new Uint8Array(64), path: [from] }))
  a.write(encodeMessage({ hop: FULL_HOP, nonce: '4', bodyBytes, path: [from] }))
  a.write(encodeMessage({ hop: FULL_HOP, nonce: '6', bodyBytes, path: [from] }))
  await until(() => b.frames.some(({ nonce }) => nonce === '6'))
  const nonces = b.frames.filter(({ type, body }) => type === 'message' && body.kind === Kind.USER).map(({ nonce }) => nonce)
  assert.deepEqual(nonces, ['x y', '5', '2', '4', '4', '6'])
})

both('of the copies of a signed message one is delivered as proved, whatever a relay changes', async (t, { addr, id, messages }) => {
  const node = await startNode(t)
  const raw = await rawStream(node, addr)
  await until(() => raw.frames.length > 1)
  const origin = await originOf()
  const relay = await idOf(peerIdBytes(node.peerId))
  const [one, two, three] = [1, 2, 3].map(byte => new Uint8Array(16).fill(byte))
  const copy = async (text, nonce, { e2e, stripped = false } = {}) => {
    const { bodyBytes, sig } = await origin.sign({ to: fromHex(id), e2e, form: Form.JSON, payload: new TextEncoder().encode(JSON.stringify(text)) })
    raw.write(encodeMessage({ hop: FULL_HOP, nonce, bodyBytes, sig: stripped ? undefined : sig, path: [origin.id, relay] }))
  }
  for (const nonce of ['1', '2', '3']) await copy('pay', nonce, { e2e: one })
  // An older peer signs without an end-to-end id. Two equal messages may be meant: the second proves nothing.
  for (const nonce of ['4', '5']) await copy('old', nonce)
  await copy('stripped first', '6', { e2e: two, stripped: true })
  await copy('stripped first', '6', { e2e: two })
  await copy('stripped later', '7', { e2e: three })
  for (const nonce of ['7', '8']) await copy('stripped later', nonce, { e2e: three, stripped: true })
  await copy('end', '9')
  await until(() => messages().some(({ data }) => data === 'end'), 'the end')
  assert.deepEqual(messages().map(({ data, proved }) => [data, proved]), [
    ['pay', true], ['old', true], ['old', false], ['stripped first', false], ['stripped first', true], ['stripped later', true], ['end', true]
  ])
})

both('questions are answered at a bounded rate: 64 at once, and 32 a second', async (t, { addr, id }) => {
  const node = await startNode(t)
  const raw = await rawStream(node, addr)
  await until(() => raw.frames.length > 1)
  const from = await idOf(peerIdBytes(node.peerId))
  const ask = () => raw.write(encodeMessage({
    hop: FULL_HOP,
    nonce: randomNonce(),
    bodyBytes: encodeBody({ from, to: fromHex(id), kind: Kind.FIND, form: Form.RAW, token: randomToken(), payload: from }),
    path: [from]
  }))
  const answers = () => raw.frames.filter(({ body }) => body?.kind === Kind.FOUND).length
  const start = Date.now()
  for (let i = 0; i < 400; i++) ask()
  await until(() => answers() >= 64, 'the answers')
  // Later questions are answered as time passes.
  await until(() => { ask(); return answers() >= 80 }, 'more answers')
  const seconds = (Date.now() - start) / 1_000
  assert.ok(answers() <= 64 + 32 * seconds, `${answers()} answers in ${seconds} s`)
})

both('the end of a stream before the HELLO, or without a BYE, resets', async (t, { addr, count }) => {
  const hello = withLength(encodeHello({ role: 1, link: 5n }))
  for (const part of [0, 5, hello.length]) {
    const raw = await rawStream(await startNode(t), addr, { hello: null })
    await until(() => raw.frames.length > 0)
    raw.stream.send(hello.subarray(0, part))
    await raw.stream.close()
    await until(() => raw.reset, `the reset after ${part} bytes`)
    assert.deepEqual(raw.byes(), [])
  }
  await until(async () => await count() === 0, 'the end')
})

both('a stream in its handshake does nothing to others of its peer', async (t, { addr, count }) => {
  for (const [value, stays] of [[4n, true], [6n, false], [5n, false]]) {
    const node = await startNode(t)
    const before = await count()
    const first = await rawStream(node, addr, { hello: null })
    await until(() => first.frames.length > 0)
    const second = await rawStream(node, addr, { hello: { role: 1, link: 5n } })
    // It is up, though it was opened later.
    await until(() => second.types().includes('message'), 'the second stream')
    assert.deepEqual(first.types(), ['hello'])
    first.write(encodeHello({ role: 1, link: value }))
    const [winner, loser] = stays ? [first, second] : [second, first]
    await until(() => loser.ended, 'the end')
    assert.deepEqual([loser.byes(), winner.byes()], [[Bye.DUPLICATE], []])
    const ping = stays ? undefined : await until(() => winner.frames.find(({ type }) => type === 'ping'), 'the ping')
    if (ping) winner.write(encodePong(ping.num))
    assert.equal(await count(), before + 1)
  }
})

both('ids in a foundPeers that are no candidates are skipped, whatever its token', async (t, { addr, id }) => {
  const node = await startNode(t)
  const raw = await rawStream(node, addr, { hello: { role: 0, link: 1n } })
  const from = await idOf(peerIdBytes(node.peerId))
  const find = await until(() => raw.frames.find(({ body }) => body?.kind === Kind.FIND), 'the question')
  assert.equal(find.body.token, undefined)
  const found = ids => raw.write(encodeMessage({
    hop: 0x27020300,
    nonce: String(Math.random()).slice(2, 14),
    bodyBytes: encodeBody({ from, to: fromHex(id), kind: Kind.FOUND, form: Form.RAW, token: new Uint8Array(16), payload: fromHex(ids.join('')) }),
    path: [from]
  }))
  const [one, two] = ['aa'.repeat(20), 'bb'.repeat(20)]
  // With 21 ids it is dropped, and the question stands.
  found(Array.from({ length: 21 }, (_, i) => (0xc0 + i).toString(16).repeat(20)))
  found(['00'.repeat(20), id, toHex(from), one, one, two])
  const offers = () => raw.frames.filter(({ body }) => body?.kind === Kind.OFFER).map(({ body }) => toHex(body.to))
  await until(() => offers().length >= 2, 'the offers')
  assert.deepEqual(offers().slice(0, 2).sort(), [one, two])
})

// The other one of the two times is longer than the test.
for (const [what, times, end] of [
  ['disconnect', { bye: 600_000, drain: 300 }, peer => peer.disconnect(peer.peers[0])],
  ['destroy', { bye: 300, drain: 600_000 }, peer => peer.destroy()]
]) {
  test(`what is queued at the end is written for some time, after ${what}`, async t => {
    const a = await startPeer(t, { listen: [WS], times })
    const node = await startNode(t)
    const raw = await rawStream(node, a.addr)
    await until(() => a.peer.peers.length === 1, 'the link')
    raw.stream.pause()
    const id = a.peer.peers[0]
    // Until the window, which grows, and the queue behind it are full.
    await until(async () => !await a.peer.send(id, 'x'.repeat(200_000)) || raw.reset, 'a full queue')
    end(a.peer)
    await until(() => raw.reset, 'the reset')
    assert.equal(a.peer.peers.length, 0)
  })
}

test('a reader takes a max_frame that is too small as the least that is useful', async t => {
  const a = await startPeer(t, { listen: [WS] })
  const node = await startNode(t)
  const raw = await rawStream(node, a.addr, { hello: { role: 1, link: 1n, maxFrame: 1 } })
  await until(() => raw.frames.some(({ body }) => body?.kind === Kind.FIND), 'the question')
  const id = await idOf(peerIdBytes(node.peerId))
  assert.equal(await a.peer.send(id, 'x'.repeat(9_000)), false)
  assert.equal(await a.peer.send(id, 'x'.repeat(7_000)), true)
})

test('a silent peer is asked, then left with BYE(SILENT)', async t => {
  const { addr, left, came } = await startPeer(t, { listen: [WS], times: { pingIdle: 200, pingAnswer: 200 } })
  const raw = await rawStream(await startNode(t), addr)
  const ping = await until(() => raw.frames.find(({ type }) => type === 'ping'))
  raw.write(encodePong(ping.num))
  await until(() => raw.frames.filter(({ type }) => type === 'ping').length === 2)
  await until(() => raw.byes().length > 0)
  assert.deepEqual(raw.byes(), [Bye.SILENT])
  assert.deepEqual(came, left)
})

test('a silent peer is asked sooner over webrtc-direct', async t => {
  const times = { pingIdle: 60_000, pingIdleWebRTC: 200 }
  const overWebRTC = await startPeer(t, { listen: [WEBRTC], times })
  const asked = await rawStream(await startNode(t), overWebRTC.addr)
  await until(() => asked.frames.some(({ type }) => type === 'ping'), 'the PING')
  const overWS = await startPeer(t, { listen: [WS], times })
  const left = await rawStream(await startNode(t), overWS.addr)
  const again = await rawStream(await startNode(t), overWebRTC.addr)
  await until(() => again.frames.some(({ type }) => type === 'ping'), 'the PING')
  assert.ok(!left.frames.some(({ type }) => type === 'ping'))
})

test('no HELLO in time resets', async t => {
  const { addr } = await startPeer(t, { listen: [WS], times: { hello: 200 } })
  const raw = await rawStream(await startNode(t), addr, { hello: null })
  await until(() => raw.reset)
})

const relayStreams = ({ libp2p }) => libp2p.getConnections().flatMap(({ streams }) => streams).filter(({ protocol }) => protocol === PROTOCOL)

test('exactly one link when both sides dial and open at once', async t => {
  for (let i = 0; i < 4; i++) {
    const [a, b] = [await startPeer(t, { listen: [WS] }), await startPeer(t, { listen: [WS] })]
    // All streams are there by now, at their openers' ends.
    await Promise.all([a.peer.connect(b.addr), b.peer.connect(a.addr)])
    await linked(a, b)
    await until(() => relayStreams(a).length === 1 && relayStreams(b).length === 1, 'the one stream')
    await a.peer.send(b.peer.id, 1)
    await b.peer.send(a.peer.id, 2)
    await until(() => a.messages.length === 1 && b.messages.length === 1, 'the messages')
    assert.deepEqual([a.peer.peers.length, b.peer.peers.length], [1, 1])
    assert.deepEqual([a.came, a.left, b.came, b.left], [[b.peer.idHex], [], [a.peer.idHex], []])
  }
})

test('exactly one link with a compiled relay when both sides dial', async t => {
  for (let i = 0; i < 3; i++) {
    const a = await startPeer(t, { listen: [WS] })
    const relay = await startRelay(t, '0', a.addr)
    await a.peer.connect(relay.addr)
    await linked(a)
    await until(() => relayStreams(a).length === 1, 'the one stream')
    await a.peer.send(relay.id, i)
    await until(() => relay.messages().length === 1, 'the message')
    assert.deepEqual(a.peer.peers.map(toHex), [relay.id])
    assert.equal((await relay.peers()).length, 1)
    assert.deepEqual([a.came, a.left], [[relay.id], []])
  }
})

test('messages of 200 kB in a row pass a slow stream whole', async t => {
  const a = await startPeer(t, { listen: [WS] })
  const b = await startPeer(t)
  await b.peer.connect(a.addr)
  await linked(a, b)
  const text = 'y'.repeat(200_000)
  let taken = 0
  for (let i = 0; i < 40; i++) taken += await b.peer.send(a.peer.id, i + text) ? 1 : 0
  await until(() => a.messages.length === taken)
  assert.ok(taken >= 20)
  assert.ok(a.messages.every(({ data }) => data.length > 200_000 && data.endsWith(text)))
})

test('a stream that is not wanted any more: BYE after what was queued', async t => {
  const a = await startPeer(t, { listen: [WS] })
  const b = await startPeer(t)
  await b.peer.connect(a.addr)
  await linked(a, b)
  for (let i = 0; i < 10; i++) await b.peer.send(a.peer.id, 'z'.repeat(100_000))
  await b.peer.destroy()
  assert.equal(a.messages.length, 10)
  await until(() => a.left.length === 1)
})

/** Returns functions that write offers over a raw stream, forged and proved ones, and return the origin. */
const offerer = async (node, raw, to) => {
  const relay = await idOf(peerIdBytes(node.peerId))
  const message = (from, bodyBytes, sig) => raw.write(encodeMessage({ hop: FULL_HOP, nonce: randomNonce(), bodyBytes, sig, path: [from, relay] }))
  const body = from => ({ from, to: fromHex(to), kind: Kind.OFFER, form: Form.NONE, token: randomToken() })
  return {
    forged: () => {
      const from = crypto.getRandomValues(new Uint8Array(20))
      message(from, encodeBody(body(from)))
      return from
    },
    proved: async () => {
      const origin = await originOf()
      const { bodyBytes, sig } = await origin.sign(body(origin.id))
      message(origin.id, bodyBytes, sig)
      return origin.id
    }
  }
}

const answerTo = (raw, from) => until(() => raw.frames.find(({ body }) => body?.kind === Kind.ANSWER && toHex(body.to) === toHex(from)), 'the answer')

test('a flood of forged offers over one link leaves room for others, and for a proved one over that link', async t => {
  const { addr, peer } = await startPeer(t, { listen: [WS] })
  const [one, two] = [await startNode(t), await startNode(t)]
  const hello = { role: 0, link: 1n }
  const [flooded, other] = [await rawStream(one, addr, { hello }), await rawStream(two, addr, { hello })]
  await until(() => flooded.frames.length > 1 && other.frames.length > 1)
  const [flood, real] = [await offerer(one, flooded, peer.idHex), await offerer(two, other, peer.idHex)]
  const start = Date.now()
  for (let i = 0; i < 500; i++) flood.forged()
  await answerTo(flooded, await flood.proved())
  await answerTo(other, await real.proved())
  await answerTo(other, real.forged())
  const answers = flooded.frames.filter(({ body }) => body?.kind === Kind.ANSWER).length
  assert.ok(answers <= 1 + 32 + 32 * (Date.now() - start) / 1_000, `${answers} answers`)
  assert.ok(peer.drops.rate >= 300, `${peer.drops.rate} dropped`)
})

test('what waits to be proved of one link has a bound, and keeps nothing of another link waiting', async t => {
  const { addr, peer, messages } = await startPeer(t, { listen: [WS] })
  const [one, two] = [await startNode(t), await startNode(t)]
  const [slow, other] = [await rawStream(one, addr), await rawStream(two, addr)]
  await until(() => slow.frames.length > 1 && other.frames.length > 1)
  const origin = await originOf()
  const [relay, from] = [await idOf(peerIdBytes(one.peerId)), await idOf(peerIdBytes(two.peerId))]
  const body = text => ({ to: peer.id, form: Form.JSON, payload: new TextEncoder().encode(JSON.stringify(text)) })
  const { promise: released, resolve: release } = Promise.withResolvers()
  const { digest } = crypto.subtle
  t.mock.method(crypto.subtle, 'digest', async (...args) => {
    await released
    return digest.apply(crypto.subtle, args)
  })
  const sent = 80
  for (let i = 0; i < sent; i++) {
    const { bodyBytes, sig } = await origin.sign(body('x'.repeat(60_000)))
    slow.write(encodeMessage({ hop: FULL_HOP, nonce: String(i), bodyBytes, sig, path: [origin.id, relay] }))
  }
  await until(() => peer.drops.busy > 0, 'the bound')
  other.write(encodeMessage({ hop: FULL_HOP, nonce: '1', bodyBytes: encodeBody({ ...body('here'), from }), path: [from] }))
  await until(() => messages.length > 0, 'the message')
  assert.deepEqual(messages.map(({ data }) => data), ['here'])
  release()
  await until(() => messages.length + peer.drops.busy === sent + 1, 'the rest')
  assert.ok(peer.drops.busy < sent / 2, `${peer.drops.busy} dropped`)
})

test('it searches for its own id, offers links to the peers that it hears of, and answers offers', async t => {
  const { addr, peer } = await startPeer(t, { listen: [WS], times: { tick: 50, search: 200 } })
  const node = await startNode(t)
  const raw = await rawStream(node, addr, { hello: { role: 0, link: 1n } })
  const from = await idOf(peerIdBytes(node.peerId))
  const control = (kind, test = () => true) =>
    until(() => raw.frames.find(({ type, body }) => type === 'message' && body.kind === kind && test(body)), `kind ${kind}`)
  const say = (body, path = [from]) => raw.write(encodeMessage({
    hop: 0x27020300, nonce: String(Math.random()).slice(2, 14), bodyBytes: encodeBody({ from, to: peer.id, ...body }), path
  }))

  const search = await control(Kind.FIND, ({ flags }) => flags === Flag.CLOSEST)
  assert.deepEqual([search.body.to, search.body.payload, search.hop], [peer.id, peer.id, 0x27020300])
  assert.equal(await verifyMessage(search), true)
  assert.equal(search.body.e2e.length, 16)

  // This peer was not asked, and the token is another one.
  const [near, wrong] = [fromHex('77'.repeat(20)), fromHex('66'.repeat(20))]
  say({ kind: Kind.FOUND, form: Form.RAW, token: new Uint8Array(16), payload: wrong, from: fromHex('55'.repeat(20)) }, [fromHex('55'.repeat(20))])
  say({ kind: Kind.FOUND, form: Form.RAW, token: search.body.token, payload: near })
  const offer = await control(Kind.OFFER)
  assert.equal(toHex(offer.body.to), toHex(near))
  assert.equal(offer.body.token.length, 16)
  assert.equal(await verifyMessage(offer), true)
  assert.equal(offer.body.e2e.length, 16)
  assert.notDeepEqual(offer.body.e2e, search.body.e2e)
  assert.equal((await openRecord(offer.body.record, peer.id)).multiaddrs.length, 1)
  assert.equal(await openRecord(offer.body.record, near), undefined)
  await sleep(200)
  assert.ok(!raw.frames.some(({ body }) => body?.kind === Kind.OFFER && toHex(body.to) === toHex(wrong)))
  assert.ok(peer.drops['not asked for'] >= 1)

  // An offer from afar gets an answer with the reverse path.
  const far = fromHex('01'.repeat(20))
  say({ kind: Kind.OFFER, from: far, token: new Uint8Array(16).fill(9) }, [far, fromHex('02'.repeat(20)), from])
  const answer = await control(Kind.ANSWER)
  assert.deepEqual(answer.body.token, new Uint8Array(16).fill(9))
  assert.deepEqual(answer.route.map(toHex), [toHex(from), '02'.repeat(20), '01'.repeat(20)])
  assert.equal(toHex(answer.body.payload), toHex(encodeAnswer()))
  assert.ok(answer.body.record)
  // A linked peer's offer pings the link instead.
  const pings = raw.frames.filter(({ type }) => type === 'ping').length
  say({ kind: Kind.OFFER, token: new Uint8Array(16) })
  await until(() => raw.frames.filter(({ type }) => type === 'ping').length > pings)
  // To an unproved question from afar the answer is short.
  say({ kind: Kind.FIND, form: Form.RAW, from: far, payload: peer.id }, [far, from])
  const found = await control(Kind.FOUND)
  assert.ok(found.frame.length <= 3 * 130)
})
