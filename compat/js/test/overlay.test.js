import assert from 'node:assert/strict'
import test from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { idOf, peerIdBytes, publicKeyBytes, sealRecord } from '../identity.js'
import { Overlay } from '../overlay.js'
import { FULL_HOP, randomToken } from '../router.js'
import { Flag, Form, Kind, encodeAnswer, encodeBody, encodeMessage, toHex } from '../wire.js'
import { startNode, until } from './helpers.js'

const id = first => { const bytes = new Uint8Array(20).fill(1); bytes[0] = first; return bytes }

/** Returns an overlay whose peer only notes what it is to send and to dial. A dial goes on until it is ended. */
const setup = ({ self = id(0x80), links = [], record } = {}) => {
  const sent = []
  const dials = []
  const router = { links: new Map(links.map(link => [link.idHex, link])), nearest: (target, accept = () => true) => links.filter(accept) }
  const overlay = new Overlay({
    id: self,
    idHex: toHex(self),
    router,
    originate: async (body, options) => { sent.push({ body, ...options }); return true },
    reply: async ({ body: { from }, path }, body) => { sent.push({ body: { ...body, to: from }, route: path.length > 1 ? path.toReversed() : undefined }) },
    dial: addresses => new Promise(resolve => { dials.push({ addresses: addresses.map(String), end: resolve }) }),
    record: async () => record,
    ranges: () => new Set()
  })
  return { overlay, sent, dials, self }
}

/** Returns the id, the key and the record of a peer at an address that does not answer. */
const stranger = async t => {
  const { peerId, components: { privateKey } } = await startNode(t)
  const multiaddrs = [multiaddr('/ip4/192.0.2.1/tcp/1/ws')]
  return { id: await idOf(peerIdBytes(peerId)), key: publicKeyBytes(privateKey), record: await sealRecord({ peerId, privateKey, multiaddrs }) }
}

const offerFrom = ({ id: from, key, record }) => ({ body: { from, key, record, token: randomToken() }, path: [from, id(0x70)] })

test('a forged offer does not end an offer to the peer that it names, a proved one does', async t => {
  for (const proved of [false, true]) {
    const other = await stranger(t)
    // Both offer: the one of the lower id stands, if it is that peer's.
    const { overlay, sent, dials } = setup({ self: new Uint8Array(20).fill(0xff), record: new Uint8Array(8) })
    const linked = overlay.connect(other.id, 60_000)
    const [{ body: { token } }] = await until(() => sent.length > 0 && sent, 'our offer')
    await overlay.onOffer(offerFrom(other), proved)
    assert.deepEqual(sent.map(({ body: { kind } }) => kind), [Kind.OFFER, Kind.ANSWER])
    const answer = overlay.onAnswer({ body: { from: other.id, form: Form.RAW, token, key: other.key, record: other.record, payload: encodeAnswer() } }, true)
    if (proved) {
      assert.equal(await answer, false)
    } else {
      await until(() => dials.length === 1, 'the dial')
      dials[0].end()
      assert.equal(await answer, true)
    }
    overlay.linked(toHex(other.id))
    await linked
  }
})

test('dials for the offers of others are few at once, one for a peer, and take no place of our own', async t => {
  const { overlay, sent, dials } = setup()
  const [one, two, three, four, ours] = await Promise.all(Array.from({ length: 5 }, () => stranger(t)))
  const taken = []
  for (const offerer of [one, two, three]) {
    taken.push(overlay.onOffer(offerFrom(offerer), true))
    await until(() => dials.length === taken.length, 'the dial')
  }
  // These find no place. They are answered all the same.
  for (const offerer of [one, four]) await overlay.onOffer(offerFrom(offerer), true)
  assert.equal(dials.length, 3)
  assert.deepEqual(sent.map(({ body: { to } }) => toHex(to)), [one, two, three, one, four].map(({ id }) => toHex(id)))
  // One that is not proved is answered, and not dialled.
  await overlay.onOffer(offerFrom(await stranger(t)), false)
  assert.equal(sent.length, 6)

  const linked = overlay.connect(ours.id, 60_000)
  const { body: { token } } = await until(() => sent[6], 'our offer')
  const answer = overlay.onAnswer({ body: { from: ours.id, form: Form.RAW, token, key: ours.key, record: ours.record, payload: encodeAnswer() } }, true)
  await until(() => dials.length === 4, 'our dial')
  dials[0].end()
  await taken[0]
  taken.push(overlay.onOffer(offerFrom(four), true))
  await until(() => dials.length === 5, 'a dial in the place that is free')
  for (const { end } of dials) end()
  await Promise.all(taken)
  assert.equal(await answer, true)
  overlay.linked(toHex(ours.id))
  await linked
})

test('an answer to an unproved question from afar has at most three times its bytes', async () => {
  const links = Array.from({ length: 30 }, (_, i) => ({ id: id(i + 1), idHex: toHex(id(i + 1)) }))
  const { overlay, sent, self } = setup({ links })
  for (const flags of [0, Flag.CLOSEST]) {
    for (const hops of [2, 10, 20]) {
      for (let size = 0; size < 600; size++) {
        const from = id(0xf0)
        const path = [from, ...Array.from({ length: hops - 1 }, (_, i) => id(0xa0 + i))]
        const record = size === 0 ? undefined : new Uint8Array(size)
        const body = { to: self, from, kind: Kind.FIND, form: Form.RAW, flags, token: randomToken(), payload: self, record }
        const frame = encodeMessage({ hop: FULL_HOP, nonce: '1', bodyBytes: encodeBody(body), path })
        await overlay.onFind({ body, path, frame }, links[0], false)
        const { body: reply, route } = sent.pop()
        assert.deepEqual(reply.token, body.token)
        // The peer makes this of it: signed with an Ed25519 key.
        const bodyBytes = encodeBody({ ...reply, from: self, e2e: randomToken(), key: new Uint8Array(36) })
        const answer = encodeMessage({ hop: FULL_HOP, nonce: '9'.repeat(15), bodyBytes, route, sig: new Uint8Array(64), path: [self] })
        // An answer without room for an id is sent all the same.
        const least = flags === 0 ? 0 : 1
        const ids = reply.payload.length / 20
        assert.ok(ids === least || answer.length <= 3 * frame.length, `${answer.length} bytes to ${frame.length}, ${ids} ids`)
      }
    }
  }
})
