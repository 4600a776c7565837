import assert from 'node:assert/strict'
import test from 'node:test'
import { Receipts } from '../receipts.js'
import { Router } from '../router.js'
import { Flag, Form, Kind, Nack, Role, decodeFrame, encodeBody, encodeText, toHex } from '../wire.js'

const id = first => { const bytes = new Uint8Array(20).fill(1); bytes[0] = first; return bytes }

const fakeLink = first => ({
  id: id(first), idHex: toHex(id(first)), up: true, late: false, role: Role.PEER, custody: true, sent: [], given: [],
  fits: () => true,
  send (frame, parcel) { this.sent.push({ ...decodeFrame(frame), parcel }); return true },
  giveBack (nack) { this.given.push(nack); return true }
})

const TO = id(0x20)

/** Sends a reliable message at a peer with links, by a clock that the test moves. */
const setup = async (t, firsts, options, kind = Kind.USER) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  const links = firsts.map(fakeLink)
  const router = new Router({ id: id(0x80), deliver: () => {} })
  for (const link of links) router.links.set(link.idHex, link)
  const receipts = new Receipts(router)
  const e2e = new Uint8Array(16).fill(7)
  const body = {
    to: TO, from: id(0x80), kind, form: kind === Kind.PING ? Form.RAW : Form.JSON, flags: Flag.RECEIPT | Flag.NOTICE, e2e,
    payload: encodeText(kind === Kind.PING ? '' : '1')
  }
  const bodyBytes = encodeBody(body)
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bodyBytes))
  const outcome = { settled: false }
  // The clock of the test does not move before the first attempt: the hash comes from another thread.
  const { promise: begun, resolve: begin } = Promise.withResolvers()
  const { originate } = router
  router.originate = (...args) => {
    begin()
    return originate.apply(router, args)
  }
  receipts.send({ body, bodyBytes }, options).then(
    value => Object.assign(outcome, { settled: true, value }),
    error => Object.assign(outcome, { settled: true, error })).finally(begin)
  const settle = async () => { for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve)) }
  await begun
  await settle()
  return {
    links,
    router,
    receipts,
    outcome,
    /** How many copies each link has, after more ms. */
    pass: async ms => {
      t.mock.timers.tick(ms)
      await settle()
      return links.map(({ sent }) => sent.length)
    },
    receipt: async ({ from = TO, straight = false, proved = false, ...receipt } = {}) => {
      const taken = receipts.onReceipt({ body: { from } }, { e2e, hash, nonce: encodeText('1'), hops: 3, handed: false, ...receipt }, { straight, proved })
      await settle()
      return taken
    },
    notice: async (link, word = {}) => {
      const taken = receipts.onNotice({ e2e, nonce: encodeText(link.sent.at(-1).nonce), ...word })
      await settle()
      return taken
    }
  }
}

test('the word of the receiver ends the wait: signed, or over its own link', async t => {
  for (const how of [{ proved: true }, { straight: true }]) {
    await t.test(JSON.stringify(how), async t => {
      const { pass, receipt, outcome, links } = await setup(t, [0x22])
      await pass(700)
      assert.equal(await receipt(how), true)
      assert.deepEqual(outcome, { settled: true, value: { proved: how.proved === true, handed: false, hops: 3, ms: 700 } })
      await pass(60_000)
      assert.equal(links[0].sent.length, 1)
      assert.equal(await receipt(how), false)
    })
  }
})

test('of the receipts that any relay could have made the best one counts, after a second', async t => {
  for (const [name, told, want] of [
    ['an unproved one', [{}], { handed: false, proved: false }],
    ['one of a peer in front of the receiver', [{ from: id(9), handed: true, proved: true }], { handed: true, proved: false }],
    ['both', [{ from: id(9), handed: true, proved: true }, {}, { from: id(9), handed: true }], { handed: false, proved: false }]
  ]) {
    await t.test(name, async t => {
      const { pass, receipt, outcome } = await setup(t, [0x22, 0x30])
      await pass(600)
      for (const one of told) assert.equal(await receipt(one), true)
      assert.deepEqual(await pass(999), [1, 0])
      assert.equal(outcome.settled, false)
      await pass(1)
      assert.deepEqual(outcome.value, { hops: 3, ms: 600, ...want })
    })
  }
  await t.test('a better one in time', async t => {
    const { pass, receipt, outcome } = await setup(t, [0x22])
    await receipt()
    await pass(500)
    await receipt({ proved: true })
    assert.deepEqual(outcome.value, { proved: true, handed: false, hops: 3, ms: 500 })
  })
})

test('the round trip of a ping is that of the copy that was answered', async t => {
  for (const [name, at, ms] of [['the first', 0, 1_300], ['the second', 1, 300]]) {
    await t.test(name, async t => {
      const { links: [a], pass, receipt, outcome } = await setup(t, [0x22], {}, Kind.PING)
      await pass(1_000)
      await pass(300)
      await receipt({ proved: true, nonce: encodeText(a.sent[at].nonce) })
      assert.deepEqual(outcome.value, { proved: true, handed: false, hops: 3, ms })
    })
  }
})

test('receipts that are none', async t => {
  const { receipt, outcome, pass } = await setup(t, [0x22])
  for (const wrong of [
    { hash: new Uint8Array(32) }, { e2e: new Uint8Array(16) }, { from: id(9) }, { handed: true }
  ]) assert.equal(await receipt({ proved: true, straight: true, ...wrong }), false)
  await pass(5_000)
  assert.equal(outcome.settled, false)
})

test('further attempts: two copies after 1 s, 2 s, and every 4 s, over links that had none', async t => {
  const { links, pass } = await setup(t, [0x22, 0x30, 0x40, 0xf0])
  const [a, b, c, d] = links
  assert.deepEqual(await pass(999), [1, 0, 0, 0])
  assert.deepEqual(await pass(1), [1, 1, 1, 0])
  assert.deepEqual(await pass(1_999), [1, 1, 1, 0])
  assert.deepEqual(await pass(1), [2, 1, 1, 1])
  assert.deepEqual(await pass(3_999), [2, 1, 1, 1])
  assert.deepEqual(await pass(1), [3, 2, 1, 1])
  assert.deepEqual(await pass(4_000), [4, 3, 1, 1])
  const sent = links.flatMap(({ sent }) => sent)
  assert.equal(new Set(sent.map(({ nonce }) => nonce)).size, sent.length)
  assert.equal(new Set(sent.map(({ bodyBytes }) => toHex(bodyBytes))).size, 1)
  assert.deepEqual([a.sent[0], b.sent[0], c.sent[0], a.sent[1]].map(({ hop }) => hop), [0x27020300, 0x27020301, 0x27020301, 0x27020302])
  // Its peer is not nearer than this one.
  assert.equal(d.sent[0].hop, 0x27010302)
})

test('a late link is not the first of a further attempt', async t => {
  const { links, pass } = await setup(t, [0x22, 0x30, 0x40])
  links[1].late = true
  assert.deepEqual(await pass(1_000), [2, 0, 1])
})

test('two notices over different first links: no peer has the id, but not before 0.5 s', async t => {
  const { links: [a, b], pass, notice, outcome } = await setup(t, [0x22, 0x30])
  await pass(10)
  assert.equal(await notice(a), true)
  // One more copy, without NACKs, once the message is old enough.
  assert.deepEqual(await pass(489), [1, 0])
  assert.deepEqual(await pass(1), [1, 1])
  assert.equal(b.sent[0].hop, 0x27020001)
  assert.equal(outcome.settled, false)
  await notice(b)
  assert.equal(outcome.error.code, 'ERR_NO_ROUTE')
  assert.match(outcome.error.message, /20010101/)
})

test('a notice over the only link is enough, a repeated one of two is not', async t => {
  await t.test('the only one', async t => {
    const { links: [a], pass, notice, outcome } = await setup(t, [0x22])
    await notice(a)
    await pass(500)
    assert.equal(outcome.settled, false)
    await notice(a)
    assert.equal(outcome.error.code, 'ERR_NO_ROUTE')
  })
  await t.test('one of two', async t => {
    const { links: [a, b], pass, notice, outcome, receipts } = await setup(t, [0x22, 0x30])
    for (let i = 0; i < 3; i++) await notice(a)
    assert.deepEqual(await pass(600), [1, 1])
    await notice(a)
    assert.equal(outcome.settled, false)
    assert.equal(receipts.onNotice({ e2e: new Uint8Array(16), nonce: encodeText(b.sent[0].nonce) }), false)
    assert.equal(receipts.onNotice({ e2e: new Uint8Array(16).fill(7), nonce: encodeText('1') }), false)
    assert.equal(outcome.settled, false)
  })
})

test('that the receiver is silent must be said behind two links', async t => {
  await t.test('over the only one', async t => {
    const { links: [a], pass, notice, outcome } = await setup(t, [0x22])
    await pass(1_500)
    assert.equal(await notice(a, { silent: true }), true)
    await notice(a, { silent: true })
    assert.equal(outcome.settled, false)
  })
  for (const silent of [true, false]) {
    await t.test(`the second word is silent: ${silent}`, async t => {
      const { links: [a, b], pass, notice, outcome } = await setup(t, [0x22, 0x30])
      await pass(1_500)
      await notice(a, { silent: true })
      assert.equal(outcome.settled, false)
      await notice(b, { silent })
      assert.equal(outcome.error.code, 'ERR_SILENT')
    })
  }
})

test('a message that comes back without a route is as a notice, one that is busy is not', async t => {
  for (const [reason, code] of [[Nack.NO_ROUTE, 'ERR_NO_ROUTE'], [Nack.BUSY, 'ERR_TIMEOUT']]) {
    await t.test(code, async t => {
      const { links: [a, b], pass, router, notice, outcome } = await setup(t, [0x22, 0x30], { timeout: 3_000 })
      const back = link => router.nacked(link, { parcel: link.sent.at(-1).parcel, reason })
      back(a)
      // It took the other way first.
      assert.deepEqual(await pass(0), [1, 1])
      back(b)
      assert.deepEqual(await pass(499), [1, 1])
      if (code === 'ERR_NO_ROUTE') {
        assert.deepEqual(await pass(1), [2, 1])
        await notice(a)
      }
      await pass(3_000)
      assert.equal(outcome.error.code, code)
    })
  }
})

test('the wait ends by a signal, with its reason, and in time', async t => {
  await t.test('a signal', async t => {
    const abort = new AbortController()
    const { pass, outcome, links } = await setup(t, [0x22], { signal: abort.signal })
    abort.abort(new Error('enough'))
    await pass(0)
    await pass(60_000)
    assert.equal(outcome.error.message, 'enough')
    assert.equal(links[0].sent.length, 1)
  })
  await t.test('a signal before', async t => {
    const { outcome, links } = await setup(t, [0x22], { signal: AbortSignal.abort() })
    assert.equal(outcome.error.name, 'AbortError')
    assert.equal(links[0].sent.length, 0)
  })
  await t.test('a time', async t => {
    const { pass, outcome } = await setup(t, [0x22], { timeout: 100 })
    await pass(100)
    assert.equal(outcome.error.code, 'ERR_TIMEOUT')
  })
  await t.test('none', async t => {
    const { pass, outcome } = await setup(t, [0x22], { timeout: Infinity })
    await pass(1_000_000)
    assert.equal(outcome.settled, false)
  })
  await t.test('the end', async t => {
    const { pass, outcome, receipts } = await setup(t, [])
    receipts.end()
    await pass(0)
    assert.equal(outcome.error.code, 'ERR_CLOSED')
  })
})

test('without a link it waits for one', async t => {
  const { links, router, pass, receipt, outcome } = await setup(t, [0x22])
  links[0].up = false
  await pass(1_000)
  const link = fakeLink(0x30)
  router.links.set(link.idHex, link)
  await pass(4_000)
  assert.ok(link.sent.length > 0)
  await receipt({ proved: true })
  assert.equal(outcome.value.proved, true)
})
