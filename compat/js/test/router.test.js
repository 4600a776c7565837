import assert from 'node:assert/strict'
import test from 'node:test'
import { FULL_HOP, Memory, Router, compareDistance, isWellFormed, randomNonce } from '../router.js'
import { Flag, Form, Kind, Role, decodeFrame, encodeBody, encodeMessage, encodeText, toHex } from '../wire.js'
import { goesFirst } from '../link.js'
import { mayDial } from '../addresses.js'
import { multiaddr } from '@multiformats/multiaddr'

const id = first => { const bytes = new Uint8Array(20).fill(1); bytes[0] = first; return bytes }

const fakeLink = (first, options = {}) => {
  const link = {
    id: id(first), idHex: toHex(id(first)), up: true, role: Role.PEER, sent: [], full: false, max: 262144,
    fits (size) { return size <= this.max },
    send (frame) { if (this.full) return false; this.sent.push(decodeFrame(frame)); return true },
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
