import assert from 'node:assert/strict'
import test from 'node:test'
import { FULL_HOP, Memory, Router, compareDistance, isWellFormed, randomNonce } from '../router.js'
import { Flag, Form, Kind, Nack, Role, decodeFrame, decodeNotice, encodeBody, encodeMessage, encodeText, toHex } from '../wire.js'
import { goesFirst } from '../link.js'
import { mayDial } from '../addresses.js'
import { multiaddr } from '@multiformats/multiaddr'

const id = first => { const bytes = new Uint8Array(20).fill(1); bytes[0] = first; return bytes }

const fakeLink = (first, options = {}) => {
  const link = {
    id: id(first), idHex: toHex(id(first)), up: true, role: Role.PEER, sent: [], full: false, max: 262144,
    fits (size) { return size <= this.max },
    send (frame, parcel) { if (this.full) return false; this.sent.push(decodeFrame(frame)); this.parcel = parcel; return true },
    given: [],
    giveBack (nack) { this.given.push(nack); return true },
    ask: () => true,
    ...options
  }
  return link
}

const setup = (self, links, options) => {
  const delivered = []
  const router = new Router({ id: id(self), deliver: message => { delivered.push(message) }, ...options })
  for (const link of links) router.links.set(link.idHex, link)
  return { router, delivered }
}

const message = ({ to, from, path = [from], hop = FULL_HOP - (1 << 24), nonce = randomNonce(), route, sig, text = '1', ...body }) => {
  const bodyBytes = encodeBody({ to: id(to), from: id(from), kind: Kind.USER, form: Form.JSON, payload: encodeText(text), ...body })
  return decodeFrame(encodeMessage({ hop: hop >>> 0, nonce, bodyBytes, sig, path: path.map(id), route: route?.map(id) }))
}

test('a message goes over the direct link, with one transmission less and itself in the path', () => {
  const [a, b, c] = [fakeLink(0x10), fakeLink(0x20), fakeLink(0x30)]
  const { router } = setup(0x80, [a, b, c])
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10 })), 'forwarded')
  assert.equal(b.sent[0].hop, 0x26020300)
  assert.deepEqual(b.sent[0].path, [id(0x10), id(0x80)])
  assert.equal(a.sent.length + c.sent.length, 0)
})

test('a full direct link drops', () => {
  const [a, b, c] = [fakeLink(0x10), fakeLink(0x20, { full: true }), fakeLink(0x21)]
  const { router } = setup(0x80, [a, b, c])
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10 })), 'busy')
  assert.equal(c.sent.length, 0)
})

test('the nearest strictly nearer link is next, and the next one if it is full', () => {
  const [a, b, c] = [fakeLink(0x90), fakeLink(0x22), fakeLink(0x30)]
  const { router } = setup(0x80, [a, b, c])
  router.receive(a, message({ to: 0x20, from: 0x90 }))
  assert.equal(b.sent.length, 1)
  b.full = true
  router.receive(a, message({ to: 0x20, from: 0x90 }))
  assert.equal(c.sent.length, 1)
})

test('a frame that is too large for a link takes another', () => {
  const [a, b, c] = [fakeLink(0x90), fakeLink(0x22, { max: 100 }), fakeLink(0x30)]
  const { router } = setup(0x80, [a, b, c])
  router.receive(a, message({ to: 0x20, from: 0x90 }))
  assert.deepEqual([b.sent.length, c.sent.length], [0, 1])
})

test('leaves carry nothing for others', () => {
  const [a, b] = [fakeLink(0x90), fakeLink(0x22, { role: Role.LEAF })]
  const { router } = setup(0x80, [a, b])
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x90 })), 'no route')
  assert.equal(router.receive(a, message({ to: 0x22, from: 0x90 })), 'forwarded')
  const leaf = setup(0x80, [a, b], { relays: false })
  assert.equal(leaf.router.receive(a, message({ to: 0x22, from: 0x90 })), 'leaf')
})

test('detours cost their budget and end with it', () => {
  const [a, b] = [fakeLink(0x10), fakeLink(0xf0)]
  const { router } = setup(0x21, [a, b])
  router.receive(a, message({ to: 0x20, from: 0x10 }))
  assert.equal(b.sent[0].hop, 0x26010300)
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10, hop: 0x27000300 })), 'no route')
})

test('larger budgets than a message begins with are cut down', () => {
  const [a, b] = [fakeLink(0x10), fakeLink(0x20)]
  const { router } = setup(0x80, [a, b])
  router.receive(a, message({ to: 0x20, from: 0x10, hop: 0xffff0307 }))
  assert.equal(b.sent[0].hop, 0x27020307)
})

test('no transmissions left: delivered, not forwarded', () => {
  const a = fakeLink(0x10)
  const { router, delivered } = setup(0x80, [a, fakeLink(0x20)])
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10, hop: 0x00020300 })), 'hops')
  assert.equal(router.receive(a, message({ to: 0x80, from: 0x10, hop: 0x00020300 })), 'delivered')
  assert.equal(delivered.length, 1)
})

test('a path of 20 is full, one of 19 goes on', () => {
  const a = fakeLink(0x10)
  const b = fakeLink(0x20)
  const { router, delivered } = setup(0x80, [a, b])
  const path = n => [0x10, ...Array.from({ length: n - 1 }, (_, i) => 0xa0 + i)]
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10, path: path(20) })), 'path')
  assert.equal(router.receive(a, message({ to: 0x80, from: 0x10, path: path(20) })), 'delivered')
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10, path: path(19) })), 'forwarded')
  assert.equal(b.sent[0].path.length, 20)
  assert.equal(delivered.length, 1)
})

test('duplicates and loops are dropped; another body under the same nonce is not one', () => {
  const [a, b] = [fakeLink(0x10), fakeLink(0x20)]
  const { router } = setup(0x80, [a, b])
  const once = message({ to: 0x20, from: 0x10, nonce: '7' })
  assert.equal(router.receive(a, once), 'forwarded')
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10, nonce: '7', path: [0x10, 0x44] })), 'duplicate')
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10, nonce: '7', text: '2' })), 'forwarded')
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10, nonce: '8' })), 'forwarded')
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x80 })), 'loop')
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x10, path: [0x10, 0x80] })), 'loop')
  assert.equal(b.sent.length, 3)
})

test('to a relay, a copy with its signature and one without are two messages', () => {
  const [a, b] = [fakeLink(0x10), fakeLink(0x20)]
  const { router } = setup(0x80, [a, b])
  const signed = { to: 0x20, from: 0x10, nonce: '7', sig: new Uint8Array(64) }
  assert.equal(router.receive(a, message({ ...signed, sig: undefined })), 'forwarded')
  assert.equal(router.receive(a, message(signed)), 'forwarded')
  assert.equal(router.receive(a, message(signed)), 'duplicate')
  assert.deepEqual(b.sent.map(({ sig }) => sig), [undefined, new Uint8Array(64)])
})

test('a copy that goes nowhere does not make a better one a duplicate', () => {
  const [a, b] = [fakeLink(0x10), fakeLink(0x20)]
  const good = { to: 0x20, from: 0x10, nonce: '7' }
  const full = Array.from({ length: 20 }, (_, i) => 0xa0 + i)
  const cases = {
    hops: { worse: { hop: 0x00020300 } },
    path: { worse: { path: full } },
    busy: { spoil: () => { b.full = true }, mend: () => { b.full = false } },
    'no route': { spoil: () => { b.up = false }, mend: () => { b.up = true } }
  }
  for (const [reason, { worse, spoil, mend }] of Object.entries(cases)) {
    const { router } = setup(0x80, [a, b])
    spoil?.()
    assert.equal(router.receive(a, message({ ...good, ...worse })), reason)
    mend?.()
    assert.equal(router.receive(a, message(good)), 'forwarded', reason)
    assert.equal(router.receive(a, message(good)), 'duplicate', reason)
  }
})

test('a message that its receiver refuses is taken from another copy', () => {
  let refused = 'busy'
  const a = fakeLink(0x10)
  const { router } = setup(0x80, [a], { deliver: () => refused })
  const mine = message({ to: 0x80, from: 0x10 })
  assert.equal(router.receive(a, mine), 'busy')
  refused = undefined
  assert.equal(router.receive(a, mine), 'delivered')
  assert.equal(router.receive(a, mine), 'duplicate')
  assert.deepEqual(router.drops, { busy: 1, duplicate: 1 })
})

test('duplicates are forgotten after their time', () => {
  let now = 0
  const memory = new Memory(60, { now: () => now })
  memory.add('x')
  now = 60
  assert.equal(memory.has('x'), true)
  now = 200
  assert.equal(memory.has('x'), false)
})

test('what is remembered has a bound, and the oldest goes first', () => {
  const memory = new Memory(60, { entries: 2, now: () => 0 })
  for (const key of ['a', 'b', 'c', 'd', 'e']) memory.add(key)
  assert.deepEqual(['a', 'b', 'c', 'd', 'e'].map(key => memory.has(key)), [false, false, true, true, true])
})

test('nothing goes back, or to a peer that stands in the path', () => {
  const [a, b] = [fakeLink(0x21), fakeLink(0x22)]
  const { router } = setup(0x80, [a, b])
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x99, path: [0x99, 0x22] })), 'no route')
  assert.equal(router.receive(a, message({ to: 0x21, from: 0x99, path: [0x99] })), 'forwarded')
  assert.deepEqual([a.sent.length, b.sent.length], [0, 1])
})

test('the route is tried before nearness, its last linked entry first', () => {
  const [a, b, c] = [fakeLink(0x10), fakeLink(0x21), fakeLink(0xe0)]
  const { router } = setup(0x80, [a, b, c])
  router.receive(a, message({ to: 0x20, from: 0x10, route: [0x21, 0xe0, 0x20] }))
  assert.deepEqual([b.sent.length, c.sent.length], [0, 1])
})

test('a message goes where messages of its receiver come from', () => {
  const [a, b, c] = [fakeLink(0x10), fakeLink(0xe0), fakeLink(0x60)]
  const { router } = setup(0x21, [a, b, c])
  router.receive(b, message({ to: 0x21, from: 0x20, path: [0x20, 0xe0] }))
  router.receive(a, message({ to: 0x20, from: 0x10 }))
  assert.deepEqual([b.sent.length, c.sent.length], [1, 0])
  assert.equal(b.sent[0].hop, 0x26020300)
})

test('a search ends where no relay is nearer', () => {
  const find = { kind: Kind.FIND, form: Form.RAW, flags: Flag.CLOSEST, payload: id(0x20) }
  const [a, b, leaf] = [fakeLink(0x90), fakeLink(0x22), fakeLink(0x20, { role: Role.LEAF })]
  const { router, delivered } = setup(0x80, [a, b, leaf])
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x91, ...find })), 'forwarded')
  assert.deepEqual([b.sent.length, leaf.sent.length], [1, 0])
  router.links.delete(b.idHex)
  assert.equal(router.receive(a, message({ to: 0x20, from: 0x91, ...find })), 'delivered')
  assert.equal(delivered.length, 1)
})

test('targets are dropped', () => {
  const a = fakeLink(0x10)
  const { router } = setup(0x80, [a])
  const bodyBytes = encodeBody({ from: id(0x10) })
  const frame = decodeFrame(encodeMessage({ hop: FULL_HOP, nonce: '1', bodyBytes, targets: [id(0x80)], path: [id(0x10)] }))
  assert.equal(router.receive(a, frame), 'targets')
})

test('an own message: 39 transmissions, path of itself', () => {
  const b = fakeLink(0x22)
  const { router } = setup(0x80, [b])
  const body = { to: id(0x20), from: id(0x80), kind: 0, form: 0, flags: 0 }
  assert.equal(router.originate({ nonce: '1', body, bodyBytes: encodeBody(body) }), true)
  assert.equal(b.sent[0].hop, 0x27020300)
  assert.deepEqual(b.sent[0].path, [id(0x80)])
  assert.throws(() => router.originate({ nonce: '1', body, bodyBytes: new Uint8Array(262_000) }), /MaxFrame/)
})

/** Returns a function that passes copies to one receiver, and returns the outcome of each. */
const receiver = () => {
  const { router } = setup(0x80, [])
  return (nonce, how, { e2e, text, from = 0x10 } = {}) => {
    const copy = message({ to: 0x80, from, nonce, text, e2e: e2e === undefined ? undefined : new Uint8Array(16).fill(e2e) })
    const { proved, again } = router.delivery(copy, { straight: how === 'straight', signed: how === 'signed' })
    return again ? 'again' : proved ? 'proved' : 'unproved'
  }
}

test('a proved message is one by its end-to-end id, whatever a relay changes', () => {
  const take = receiver()
  assert.equal(take('1', 'signed', { e2e: 1 }), 'proved')
  assert.equal(take('2', 'signed', { e2e: 1 }), 'again')
  assert.equal(take('1', 'straight', { e2e: 1 }), 'again')
  assert.equal(take('1', 'signed', { e2e: 1, text: '2' }), 'again')
  assert.equal(take('1', 'signed', { e2e: 2 }), 'proved')
  assert.equal(take('1', 'signed', { e2e: 1, from: 0x11 }), 'proved')
})

test('a copy without its proof keeps no proved one away, and comes to nothing after it', () => {
  const take = receiver()
  assert.equal(take('1', 'unproved', { e2e: 1 }), 'unproved')
  assert.equal(take('2', 'unproved', { e2e: 1 }), 'again')
  assert.equal(take('1', 'signed', { e2e: 1 }), 'proved')
  assert.equal(take('1', 'signed', { e2e: 2 }), 'proved')
  assert.equal(take('1', 'unproved', { e2e: 2 }), 'again')
  assert.equal(take('2', 'unproved', { e2e: 2 }), 'again')
  assert.equal(take('2', 'unproved', { e2e: 2, text: '2' }), 'unproved')
})

test('an attempt that comes straight and unsigned is none after another one, whatever way that took', () => {
  const take = receiver()
  assert.equal(take('1', 'unproved', { e2e: 1 }), 'unproved')
  assert.equal(take('2', 'straight', { e2e: 1 }), 'again')
  assert.equal(take('2', 'straight', { e2e: 1, text: '2' }), 'proved')
  assert.equal(take('1', 'straight', { e2e: 2 }), 'proved')
  assert.equal(take('2', 'unproved', { e2e: 2 }), 'again')
})

test('of equal signed bodies of an older peer, only the first counts as proved', () => {
  const take = receiver()
  assert.equal(take('1', 'signed'), 'proved')
  assert.equal(take('1', 'signed'), 'again')
  assert.equal(take('2', 'signed'), 'unproved')
  assert.equal(take('2', 'signed'), 'again')
  assert.equal(take('3', 'unproved'), 'unproved')
  assert.equal(take('1', 'signed', { text: '2' }), 'proved')
  assert.equal(take('1', 'unproved', { text: '2' }), 'again')
})

test('a link proves each message of its peer, also two that are equal', () => {
  const take = receiver()
  assert.equal(take('1', 'straight'), 'proved')
  assert.equal(take('2', 'straight'), 'proved')
  assert.equal(take('2', 'straight'), 'again')
  assert.equal(take('2', 'unproved'), 'again')
  // The ones before came straight, and their signatures were not looked at.
  assert.equal(take('3', 'signed'), 'proved')
})

test('nonces are 1 to 15 digits', () => {
  for (let i = 0; i < 1000; i++) assert.match(randomNonce(), /^\d{1,15}$/)
})

test('distance, the rule of one link, kinds', () => {
  assert.ok(compareDistance(id(1), id(2), id(3)) > 0)
  const link = (opener, linkValue) => ({ opener: Uint8Array.of(...opener), linkValue })
  assert.ok(goesFirst(link([1, 2], 9n), link([1, 3], 1n), 0))
  assert.ok(goesFirst(link([1], 9n), link([1, 3], 1n), 0))
  assert.ok(goesFirst(link([1], 1n), link([1], 2n), 0))
  assert.ok(!goesFirst(link([1], 2n), link([1], 2n), 0))
  assert.ok(goesFirst(link([0x7f], 2n), link([0x80], 1n), 0))
  // Later links of the same opener do not take the place of an older one.
  assert.ok(!goesFirst(link([1], 1n), link([1], 2n), 5_000))
  assert.ok(goesFirst(link([1], 9n), link([1, 3], 1n), 5_000))
  assert.ok(!isWellFormed({ kind: Kind.FIND, form: Form.RAW, payload: new Uint8Array(19) }))
  assert.ok(!isWellFormed({ kind: Kind.USER, form: Form.SEALED, payload: new Uint8Array(1) }))
  assert.ok(!isWellFormed({ kind: 99, form: Form.JSON, payload: new Uint8Array(1) }))
})

test('which addresses may be dialled', async () => {
  const none = new Set()
  const may = (text, ranges = none, names = {}) => mayDial(multiaddr(text), ranges, async name => names[name] ?? [])
  assert.equal(await may('/ip4/127.0.0.1/tcp/1/ws'), false)
  assert.equal(await may('/ip4/127.0.0.1/tcp/1/ws', new Set(['loopback'])), true)
  assert.equal(await may('/ip4/10.1.1.1/tcp/1/ws', new Set(['192.168/16'])), false)
  assert.equal(await may('/ip4/1.1.1.1/tcp/1/ws'), true)
  assert.equal(await may('/ip6/::1/tcp/1/ws'), false)
  assert.equal(await may('/ip6/::ffff:127.0.0.1/tcp/1/ws'), false)
  assert.equal(await may('/ip6/fe80::1/tcp/1/ws'), false)
  assert.equal(await may('/ip6/2606:4700::1/tcp/1/ws'), true)
  assert.equal(await may('/dns4/a.example/tcp/1/ws', none, { 'a.example': ['1.1.1.1', '127.0.0.1'] }), false)
  assert.equal(await may('/dns4/a.example/tcp/1/ws', none, { 'a.example': ['1.1.1.1'] }), true)
  assert.equal(await may('/dns4/b.example/tcp/1/ws'), false)
})

let seq = 0
/** Returns a message as a link with custody brings it. */
const entrusted = fields => Object.assign(message(fields), { seq: ++seq })

const keeping = (first, options) => fakeLink(first, { custody: true, ...options })

test('what can not be passed on goes back by its number, and why', () => {
  const a = keeping(0x10)
  const cases = {
    'no route': [{ to: 0x20 }, Nack.NO_ROUTE],
    loop: [{ to: 0x20, path: [0x10, 0x80] }, Nack.NO_ROUTE],
    path: [{ to: 0x20, path: Array.from({ length: 20 }, (_, i) => 0xa0 + i) }, Nack.HOPS],
    hops: [{ to: 0x20, hop: 0x00020300 }, Nack.HOPS]
  }
  for (const [reason, [fields, why]] of Object.entries(cases)) {
    const { router } = setup(0x80, [a])
    const one = entrusted({ from: 0x10, ...fields })
    assert.equal(router.receive(a, one), reason)
    assert.deepEqual(a.given.pop(), { seq: one.seq, reason: why })
    assert.deepEqual(router.drops, {})
    // With no NACK left, and over a link without custody, it is dropped.
    const spent = fields.hop === undefined ? 0x27020000 : 0x00020000
    assert.equal(router.receive(a, entrusted({ from: 0x10, ...fields, hop: spent })), reason)
    assert.equal(router.receive(fakeLink(0x11), message({ from: 0x10, ...fields })), reason)
    assert.deepEqual([a.given, router.drops[reason]], [[], 2])
  }
  const b = keeping(0x20, { full: true })
  assert.equal(setup(0x80, [a, b]).router.receive(a, entrusted({ to: 0x20, from: 0x10 })), 'busy')
  assert.equal(a.given.pop().reason, Nack.BUSY)
  assert.equal(setup(0x80, [a], { relays: false }).router.receive(a, entrusted({ to: 0x20, from: 0x10 })), 'leaf')
  assert.equal(a.given.pop().reason, Nack.NO_ROUTE)
})

test('a search does not go back', () => {
  const [a, b] = [keeping(0x90), keeping(0x22, { full: true })]
  const { router } = setup(0x80, [a, b])
  router.receive(a, entrusted({ to: 0x20, from: 0x91, kind: Kind.FIND, form: Form.RAW, flags: Flag.CLOSEST, payload: id(0x20) }))
  assert.deepEqual([a.given, router.drops], [[], { busy: 1 }])
})

test('a message that a peer did not take goes on to the next choice, and then back', () => {
  const [a, b, c] = [keeping(0x90), keeping(0x22), keeping(0x30)]
  const { router } = setup(0x80, [a, b, c])
  const one = entrusted({ to: 0x20, from: 0x90 })
  assert.equal(router.receive(a, one), 'forwarded')
  assert.equal(b.sent[0].hop, 0x26020300)
  router.nacked(b, { parcel: b.parcel, reason: Nack.NO_ROUTE })
  assert.equal(c.sent[0].hop, 0x25020200)
  assert.deepEqual(c.sent[0].path, [id(0x90), id(0x80)])
  // The same by its frame, when it was acknowledged already.
  router.nacked(c, { frame: c.sent[0].frame, reason: Nack.NO_ROUTE })
  const [{ seq, reason, frame }] = a.given
  assert.deepEqual([seq, reason], [undefined, Nack.NO_ROUTE])
  const back = decodeFrame(frame)
  assert.deepEqual([back.path, back.hop, back.nonce, toHex(back.bodyBytes)], [[id(0x90)], 0x25020100, one.nonce, toHex(one.bodyBytes)])
  assert.deepEqual([b.sent.length, c.sent.length, router.drops], [1, 1, {}])
  // It is no duplicate any more: another copy may have a longer budget.
  assert.equal(router.receive(a, entrusted({ to: 0x20, from: 0x90, nonce: one.nonce })), 'forwarded')
})

test('without a way back or a NACK left it is dropped, and the origin is told if there is no route', () => {
  const told = []
  const options = { notify: (message, payload) => told.push([toHex(message.body.from), decodeNotice(payload)]) }
  const e2e = new Uint8Array(16).fill(7)
  const wants = { to: 0x20, from: 0x90, flags: Flag.NOTICE, e2e }
  for (const { reason, notices } of [{ reason: Nack.NO_ROUTE, notices: 1 }, { reason: Nack.BUSY, notices: 0 }]) {
    const [a, b] = [fakeLink(0x90), keeping(0x22)]
    const { router } = setup(0x80, [a, b], options)
    router.receive(a, message({ ...wants, nonce: '42' }))
    router.nacked(b, { parcel: b.parcel, reason })
    assert.deepEqual(told.splice(0), Array(notices).fill([toHex(id(0x90)), { e2e, nonce: encodeText('42') }]))
    assert.equal(router.drops[reason === Nack.BUSY ? 'busy' : 'no route'], 1)
  }
  const leaf = setup(0x80, [], { ...options, relays: false })
  leaf.router.receive(keeping(0x90), entrusted({ ...wants, hop: 0x27020000 }))
  assert.equal(told.splice(0).length, 1)
  const { router } = setup(0x80, [], options)
  const [a, strict] = [keeping(0x90), keeping(0x90, { ask: () => false })]
  router.receive(a, entrusted({ ...wants, hop: 0x27020000 }))
  assert.equal(told.splice(0).length, 1)
  router.receive(strict, entrusted({ ...wants, hop: 0x27020000 }))
  router.receive(a, entrusted({ ...wants, hop: 0x00020000 }))
  router.receive(a, entrusted({ ...wants, hop: 0x27020000, flags: 0 }))
  router.receive(a, entrusted({ ...wants, hop: 0x27020000, e2e: undefined }))
  router.receive(a, entrusted({ ...wants, hop: 0x27020000, kind: Kind.RECEIPT, form: Form.RAW }))
  assert.deepEqual([told, a.given], [[], []])
})

test('a peer takes back only what it has sent to that very peer', () => {
  const [a, b, c] = [keeping(0x90), keeping(0x22), keeping(0x30)]
  const { router } = setup(0x80, [a, b, c])
  router.receive(a, entrusted({ to: 0x20, from: 0x90 }))
  const { frame } = b.sent[0]
  router.nacked(c, { frame, reason: Nack.NO_ROUTE })
  const made = message({ to: 0x20, from: 0x90, path: [0x90, 0x80] }).frame
  router.nacked(b, { frame: made, reason: Nack.NO_ROUTE })
  router.nacked(b, { frame: message({ to: 0x20, from: 0x90, path: [0x90] }).frame, reason: Nack.NO_ROUTE })
  router.nacked(b, { frame: new Uint8Array(3), reason: Nack.NO_ROUTE })
  assert.deepEqual([c.sent.length, a.given.length, router.drops], [0, 0, { 'not asked for': 4 }])
})

test('an own message that comes back takes every way once, and then its origin is told', () => {
  const [b, c] = [keeping(0x22), keeping(0x30)]
  const { router } = setup(0x80, [b, c])
  const body = { to: id(0x20), from: id(0x80), kind: 0, form: 0, flags: 0 }
  const log = []
  const own = { went: ({ idHex }) => log.push(idHex), lost: reason => log.push(reason) }
  assert.equal(router.originate({ nonce: '1', body, bodyBytes: encodeBody(body) }, { own }), true)
  router.nacked(b, { parcel: b.parcel, reason: Nack.NO_ROUTE })
  router.nacked(c, { frame: c.sent[0].frame, reason: Nack.NO_ROUTE })
  assert.deepEqual(log, [b.idHex, c.idHex, 'no route'])
  assert.deepEqual(c.sent[0].path, [id(0x80)])
})

test('late links come last, and the one to the receiver is tried all the same', () => {
  const [a, b, c] = [fakeLink(0x90), fakeLink(0x22, { late: true }), fakeLink(0x30)]
  const { router } = setup(0x80, [a, b, c])
  router.receive(a, message({ to: 0x20, from: 0x90 }))
  assert.deepEqual([b.sent.length, c.sent.length], [0, 1])
  c.up = false
  router.receive(a, message({ to: 0x20, from: 0x90 }))
  router.receive(a, message({ to: 0x22, from: 0x90 }))
  assert.deepEqual([b.sent.length, c.sent.length], [2, 1])
})

test('a message of a late link stays with it if there is no other way', () => {
  const [a, b, c] = [fakeLink(0x90), keeping(0x22), keeping(0x30)]
  const { router } = setup(0x80, [a, b])
  router.receive(a, message({ to: 0x20, from: 0x90 }))
  b.late = true
  assert.equal(router.again(b, b.parcel, { stays: true }), false)
  router.links.set(c.idHex, c)
  assert.equal(router.again(b, b.parcel, { stays: true }), true)
  assert.deepEqual([c.sent.length, router.drops], [1, {}])
})

test('when one of two links to a peer ends, the other one takes its messages', () => {
  const [a, b] = [fakeLink(0x90), keeping(0x20)]
  const { router } = setup(0x80, [a, b])
  router.receive(a, message({ to: 0x20, from: 0x90 }))
  const newer = keeping(0x20)
  router.links.set(newer.idHex, newer)
  assert.equal(router.again(b, b.parcel), true)
  assert.deepEqual([newer.sent.length, newer.sent[0].nonce], [1, b.sent[0].nonce])
})

test('later attempts take one of the two nearest links', () => {
  const [a, b, c, d] = [fakeLink(0x90), fakeLink(0x22), fakeLink(0x24), fakeLink(0x30)]
  const { router } = setup(0x80, [a, b, c, d])
  for (let i = 0; i < 200; i++) router.receive(a, message({ to: 0x20, from: 0x90, hop: 0x27020301 }))
  assert.ok(b.sent.length > 50 && c.sent.length > 50 && d.sent.length === 0, `${b.sent.length} and ${c.sent.length}`)
  assert.equal(b.sent[0].hop, 0x26020301)
})
