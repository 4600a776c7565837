import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import test from 'node:test'
import { promisify } from 'node:util'
import { PeerRelay } from '../index.js'
import { toHex } from '../wire.js'
import { BINARY, keyNearer, linked, linkedBy, linkedTo, sleep, startPeer, startRelay, until, WEBRTC, WS } from './helpers.js'

const VALUES = [
  undefined, null, true, 0, -1.5, 1e21, '', 'hi ü 😀', [], [1, [2, null]], {}, { a: 1, b: { c: ['d'] } },
  new Uint8Array(0), Uint8Array.from({ length: 256 }, (_, i) => i), new Uint8Array(64_000).fill(7), 'x'.repeat(255_000)
]

test('two peers exchange every type of value through the compiled relay', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr] })
  const b = await startPeer(t, { bootstrap: [relay.addr] })
  await linkedTo(relay, a, b)
  for (const [from, to] of [[a, b], [b, a]]) {
    for (const value of VALUES) assert.equal(await from.peer.send(to.peer.id, value), true)
    await until(() => to.messages.length >= VALUES.length, 'the messages')
    to.messages.forEach((message, i) => {
      assert.deepEqual(message.data, VALUES[i])
      assert.equal(toHex(message.from), from.peer.idHex)
      assert.equal(message.proved, false)
      assert.deepEqual(message.path.map(toHex), [from.peer.idHex, relay.id])
    })
  }
  await a.peer.send(a.peer.id, 'self')
  assert.equal(a.messages.at(-1).data, 'self')
})

test('values to and from the relay itself', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr] })
  await linkedTo(relay, a)
  for (const value of ['s', { x: [1] }, Uint8Array.of(1, 2), undefined]) await a.peer.send(relay.id, value)
  await until(() => relay.messages().length === 4, 'the messages')
  const buffer = { type: 'Buffer', data: [1, 2] }
  assert.deepEqual(relay.messages().map(({ data }) => data), ['s', { x: [1] }, buffer, undefined])
  assert.ok(relay.messages().every(({ from, proved }) => from === a.peer.idHex && proved))
  relay.command({ send: { to: a.peer.idHex, data: { type: 'Buffer', data: [1, 2, 3] } } })
  relay.command({ send: { to: a.peer.idHex, data: { q: 'ü' } } })
  await until(() => a.messages.length === 2)
  assert.deepEqual(a.messages.map(({ data }) => data), [Uint8Array.of(1, 2, 3), { q: 'ü' }])
  assert.ok(a.messages.every(({ proved }) => proved))
})

test('limits of sizes are errors that name them', async t => {
  const a = await startPeer(t)
  await assert.rejects(a.peer.send('11'.repeat(20), new Uint8Array(64_001)), /MaxPayload/)
  await assert.rejects(a.peer.send('11'.repeat(20), 'x'.repeat(256_000)), /MaxText/)
  await assert.rejects(a.peer.send('11'.repeat(20), () => {}), TypeError)
  await assert.rejects(a.peer.send('00'.repeat(20), 1), TypeError)
  assert.equal(await a.peer.send('11'.repeat(20), 1), false)
})

test('it relays between two compiled peers, and shows in their path', async t => {
  const j = await startPeer(t, { listen: [WS] })
  const [g, h] = await Promise.all([startRelay(t, 'none', j.addr), startRelay(t, 'none', j.addr)])
  await until(async () => j.peer.peers.length === 2 && (await g.peers()).length > 0, 'the links')
  g.command({ send: { to: h.id, data: 'over' } })
  const message = await until(() => h.messages()[0], 'the message')
  assert.equal(message.from, g.id)
  assert.equal(message.data, 'over')
  // The command line does not tell the path. A peer of our kind at the other end does.
  const a = await startPeer(t, { bootstrap: [j.addr] })
  await until(() => j.peer.peers.length === 3, 'the links')
  g.command({ send: { to: a.peer.idHex, data: 'and here' } })
  await until(() => a.messages.length === 1, 'the message')
  assert.deepEqual(a.messages[0].path.map(toHex), [g.id, j.peer.idHex])
})

test('it relays between two of its kind that cannot be dialled', async t => {
  const j = await startPeer(t, { listen: [WS] })
  const [a, b] = [await startPeer(t, { bootstrap: [j.addr], sign: true }), await startPeer(t, { bootstrap: [j.addr] })]
  await until(() => j.peer.peers.length === 2, 'the links')
  await linked(a, b)
  await a.peer.send(b.peer.id, 'signed')
  await b.peer.send(a.peer.id, 'not signed')
  await until(() => a.messages.length + b.messages.length === 2)
  assert.equal(b.messages[0].proved, true)
  assert.deepEqual(b.messages[0].path.map(toHex), [a.peer.idHex, j.peer.idHex])
  assert.equal(a.messages[0].proved, false)
})

test('a message crosses two compiled relays that it brought together', async t => {
  const [r, s] = [await startRelay(t, '0'), await startRelay(t, '0')]
  // Each end has one link. Such a network does not promise to find it: a message goes to two peers at
  // most that are no nearer.
  const a = await startPeer(t, { bootstrap: [r.addr], maxLinks: 1 })
  const b = await startPeer(t, { bootstrap: [s.addr], maxLinks: 1, privateKey: await keyNearer(s.id, r.id) })
  const j = await startPeer(t, { listen: [WS], bootstrap: [r.addr, s.addr] })
  await linked(a, b)
  await until(() => j.peer.peers.length >= 2, 'the links')
  await until(async () => {
    await a.peer.send(b.peer.id, 'far')
    await sleep(300)
    return b.messages.length > 0
  }, 'the message')
  const path = b.messages[0].path.map(toHex)
  assert.equal(path[0], a.peer.idHex)
  assert.ok(path.includes(r.id) && path.includes(s.id))
})

test('what a compiled peer signs is proved, what it does not sign is not', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr] })
  const [signer, other] = await Promise.all([startRelay(t, '--sign', 'none', relay.addr), startRelay(t, 'none', relay.addr)])
  await linkedTo(relay, a)
  for (const from of [signer, other]) {
    await until(async () => (await from.peers()).length > 0)
    const n = a.messages.length
    await until(async () => {
      from.command({ send: { to: a.peer.idHex, data: 'whose' } })
      await sleep(300)
      return a.messages.length > n
    })
  }
  const byOrigin = from => a.messages.find(message => toHex(message.from) === from.id)
  assert.deepEqual(byOrigin(signer).path.map(toHex), [signer.id, relay.id])
  assert.equal(byOrigin(signer).proved, true)
  assert.equal(byOrigin(other).proved, false)
})

test('connect by an offer: to a compiled relay, to one of its kind, and to one that cannot be dialled', async t => {
  const relay = await startRelay(t, '0')
  const far = await startRelay(t, '0', relay.addr)
  // Offers go by the relay that knows the receiver. The other one, if it has links to some by then, may
  // pass them to a leaf.
  const key = () => keyNearer(relay.id, far.id)
  const a = await startPeer(t, { bootstrap: [relay.addr], links: 0 })
  const b = await startPeer(t, { bootstrap: [relay.addr], links: 0, listen: [WS], privateKey: await key() })
  const c = await startPeer(t, { bootstrap: [relay.addr], links: 0, privateKey: await key() })
  await linkedTo(relay, a, b, c)
  await until(async () => (await far.peers()).length > 0)
  await a.peer.connect(far.id)
  assert.ok(a.came.includes(far.id))
  await a.peer.connect(b.peer.id)
  assert.ok(a.came.includes(b.peer.idHex))
  // The offerer can be dialled, the answerer cannot: the answerer dials.
  await b.peer.connect(c.peer.id)
  assert.ok(b.came.includes(c.peer.idHex))
  const none = await startRelay(t, 'none', relay.addr)
  for (const one of [relay, far]) await until(async () => (await one.peers()).includes(none.id), 'both relays to know it')
  await b.peer.connect(none.id)
  assert.ok(b.came.includes(none.id))
  // Neither can be dialled.
  await assert.rejects(a.peer.connect(c.peer.id, { timeout: 1_000 }), /in time/)

  a.peer.disconnect(b.peer.id)
  await until(() => a.left.includes(b.peer.idHex) && b.left.includes(a.peer.idHex), 'the end')
})

test('it finds relays near its own id by itself', async t => {
  const first = await startRelay(t, '0')
  const more = await Promise.all([startRelay(t, '0', first.addr), startRelay(t, '0', first.addr), startRelay(t, '0', first.addr)])
  await until(async () => (await first.peers()).length >= more.length)
  const a = await startPeer(t, { bootstrap: [first.addr] })
  await until(() => a.peer.peers.length >= 3, 'three links')
})

test('an own signed message is proved across two relays', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr], sign: true })
  const b = await startRelay(t, 'none', relay.addr)
  await linkedTo(relay, a)
  await until(async () => (await relay.peers()).length === 2)
  await a.peer.send(b.id, 'mine')
  const message = await until(() => b.messages()[0], 'the message')
  assert.equal(message.proved, true)
})

test('destroy says goodbye, and the peers hear of it', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr] })
  await linkedTo(relay, a)
  await until(async () => (await relay.peers()).length === 1)
  await a.peer.destroy()
  await until(async () => (await relay.peers()).length === 0, 'the end')
})

test('destroy ends also after the node has stopped, and in the midst of a handshake', async t => {
  const relay = await startRelay(t, '0')
  for (const stopFirst of [false, true]) {
    const a = await startPeer(t)
    const dialled = a.peer.connect(relay.addr).catch(() => {})
    await sleep(20)
    if (stopFirst) await a.libp2p.stop()
    await a.peer.destroy()
    await a.peer.destroy()
    await dialled
    await assert.rejects(a.peer.send(relay.id, 1), /destroyed/)
  }
})

test('a bootstrap that is not there does no harm', async t => {
  const first = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [first.addr.replace(/tcp\/\d+/, 'tcp/9'), first.addr] })
  await linked(a)
  assert.deepEqual(a.peer.peers.map(toHex), [first.id])
})

test('over webrtc-direct: every type of value, and large ones, through the compiled relay', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.webRTC] })
  const b = await startPeer(t, { bootstrap: [relay.addr] })
  await linkedTo(relay, a, b)
  assert.deepEqual([linkedBy(a), linkedBy(b)], [['webrtc-direct'], ['ws']])
  for (const [from, to] of [[a, b], [b, a]]) {
    for (const value of VALUES) assert.equal(await from.peer.send(to.peer.id, value), true)
    await until(() => to.messages.length >= VALUES.length, 'the messages')
    assert.deepEqual(to.messages.map(({ data }) => data), VALUES)
  }
  await a.peer.destroy()
  await until(async () => (await relay.peers()).length === 1, 'the end')
})

test('over webrtc-direct: it relays between two that only dial', async t => {
  const j = await startPeer(t, { listen: [WEBRTC] })
  const [a, g] = [await startPeer(t, { bootstrap: [j.addr] }), await startRelay(t, 'none', j.addr)]
  await until(async () => j.peer.peers.length === 2 && (await g.peers()).length > 0, 'the links')
  await linked(a)
  assert.deepEqual(linkedBy(j), ['webrtc-direct', 'webrtc-direct'])
  g.command({ send: { to: a.peer.idHex, data: 'there' } })
  await until(() => a.messages.length === 1, 'the message')
  await a.peer.send(g.id, 'back')
  assert.equal((await until(() => g.messages()[0], 'the message')).data, 'back')
})

test('over webrtc-direct: connect by an offer, where the record names that alone', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr], links: 0 })
  const b = await startPeer(t, { bootstrap: [relay.addr], links: 0, listen: [WEBRTC] })
  await linkedTo(relay, a, b)
  await a.peer.connect(b.peer.id)
  assert.ok(linkedBy(a).includes('webrtc-direct'))
})

test('a peer that makes its own node ends it', async t => {
  const relay = await startRelay(t, '0')
  const peer = await PeerRelay.create({ bootstrap: [relay.addr], listen: [WS] })
  const [addr] = peer.addrs
  await until(() => peer.peers.length === 1, 'the link')
  // Queued messages are written first.
  for (let i = 0; i < 3; i++) await peer.send(relay.id, i + 'x'.repeat(100_000))
  await peer.destroy()
  await until(() => relay.messages().length === 3, 'the messages')
  const a = await startPeer(t)
  await assert.rejects(a.peer.connect(addr))
})

test('reliable messages between two peers through the compiled relay, and to an id that no peer has', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr] })
  const b = await startPeer(t, { bootstrap: [relay.addr] })
  await linkedTo(relay, a, b)
  const receipt = await a.peer.sendReliable(b.peer.id, { n: 1 })
  assert.deepEqual([receipt.proved, receipt.handed, receipt.hops], [true, false, 2])
  assert.ok(receipt.ms >= 0)
  const straight = await a.peer.sendReliable(relay.id, 'relay')
  assert.deepEqual([straight.proved, straight.hops], [true, 1])
  assert.deepEqual(b.messages.map(({ data }) => data), [{ n: 1 }])
  await until(() => relay.messages().length === 1, 'the message in the output of the relay') // its receipt goes first
  assert.deepEqual(relay.messages().map(({ data }) => data), ['relay'])
  const start = Date.now()
  await assert.rejects(a.peer.sendReliable('77'.repeat(20), 1), { code: 'ERR_NO_ROUTE' })
  assert.ok(Date.now() - start < 3_000, `${Date.now() - start} ms`)
  assert.deepEqual(await a.peer.sendReliable(a.peer.id, 'self'), { proved: true, handed: false, hops: 0, ms: 0 })
  const waits = a.peer.sendReliable('78'.repeat(20), 1)
  await Promise.all([assert.rejects(waits, { code: 'ERR_CLOSED' }), a.peer.destroy()])
  await assert.rejects(a.peer.sendReliable(b.peer.id, 1), /destroyed/)
})

test('a relay of our kind tells the origin that there is no route', async t => {
  const j = await startPeer(t, { listen: [WS] })
  const a = await startPeer(t, { bootstrap: [j.addr] })
  await until(() => j.peer.peers.length === 1, 'the link')
  await linked(a)
  await assert.rejects(a.peer.sendReliable('77'.repeat(20), 1), { code: 'ERR_NO_ROUTE' })
})

test('pings: to a page through a relay, to the relay, and to no peer', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr] })
  const b = await startPeer(t, { bootstrap: [relay.addr] })
  await linkedTo(relay, a, b)
  const [through, straight] = [await a.peer.ping(b.peer.id), await a.peer.ping(relay.id)]
  assert.deepEqual([through.proved, through.handed, through.hops], [true, false, 2])
  assert.deepEqual([straight.proved, straight.hops], [true, 1])
  await assert.rejects(a.peer.ping('77'.repeat(20)), { code: 'ERR_NO_ROUTE' })
  assert.deepEqual(await a.peer.ping(a.peer.id), { proved: true, handed: false, hops: 0, ms: 0 })
  assert.deepEqual([b.messages, relay.messages()], [[], []])
})

test('a trace shows a relay and a receiver of our kind', async t => {
  const j = await startPeer(t, { listen: [WS] })
  const two = await startRelay(t, 'none', j.addr)
  await until(() => j.peer.peers.length === 1, 'the link')
  const trace = async to => {
    const { stdout } = await promisify(execFile)(BINARY, ['trace', '--json', '--no-webrtc', '--bootstrap', j.addr, to])
    const { answered, proved, way } = stdout.split('\n').filter(line => line.includes('"event":"trace"')).map(line => JSON.parse(line))[0]
    return { answered, proved, way: way.map(({ id, told, inPath, link, agent }) => ({ id, told, inPath, link, agent: agent?.split('/')[0] })) }
  }
  const told = { told: true, inPath: true, link: 'native' }
  const hop = { id: j.peer.idHex, ...told, agent: 'peer-relay-js' }
  assert.deepEqual(await trace(two.id), { answered: true, proved: true, way: [hop, { id: two.id, ...told, agent: 'peer-relay' }] })
  assert.deepEqual(await trace(j.peer.idHex), { answered: true, proved: true, way: [hop] })
})

test('a message that no application takes has no receipt', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr] })
  const deaf = await PeerRelay.create({ bootstrap: [relay.addr] })
  t.after(() => deaf.destroy())
  await until(async () => (await relay.peers()).length === 2, 'the links')
  await linked(a)
  await assert.rejects(a.peer.sendReliable(deaf.id, 1, { timeout: 1_500 }), { code: 'ERR_TIMEOUT' })
  assert.ok(deaf.drops['no listener'] >= 1)
})

test('a compiled peer has the receipts of ours, through a relay and through ours', async t => {
  const relay = await startRelay(t, '0')
  const a = await startPeer(t, { bootstrap: [relay.addr] })
  const g = await startRelay(t, 'none', relay.addr)
  await linkedTo(relay, a)
  await until(async () => (await g.peers()).length > 0, 'the link')
  g.command({ send: { to: a.peer.idHex, data: 'one', tag: 1, reliable: true } })
  const { id, hops, proved, handed } = await until(() => g.events.find(({ event }) => event === 'receipt'), 'the receipt')
  assert.deepEqual([id, hops, proved, handed], [a.peer.idHex, 2, true, false])
  assert.deepEqual(a.messages.map(({ data }) => data), ['one'])

  const j = await startPeer(t, { listen: [WS] })
  const [one, two] = await Promise.all([startRelay(t, 'none', j.addr), startRelay(t, 'none', j.addr)])
  await until(async () => j.peer.peers.length === 2 && (await one.peers()).length > 0, 'the links')
  one.command({ send: { to: two.id, data: 'two', tag: 2, reliable: true } })
  assert.equal((await until(() => one.events.find(({ event }) => event === 'receipt'), 'the receipt')).hops, 2)
  one.command({ send: { to: '77'.repeat(20), data: 'three', tag: 3, reliable: true } })
  const none = await until(() => one.events.find(({ event, tag }) => event === 'error' && tag === 3), 'the error')
  assert.match(none.error, /no peer|no route/i)
})

test('a relay that ends takes no message with it', async t => {
  const [r, s] = [await startRelay(t, '0'), await startRelay(t, '0')]
  const a = await startPeer(t, { bootstrap: [r.addr, s.addr] })
  const b = await startPeer(t, { bootstrap: [r.addr, s.addr] })
  await until(() => a.peer.peers.length >= 2 && b.peer.peers.length >= 2, 'the links')
  await linkedTo(r, a, b)
  await linkedTo(s, a, b)
  const n = 400
  for (let i = 0; i < n; i++) {
    if (i === n / 2) r.end()
    assert.equal(await a.peer.send(b.peer.id, i), true)
    await sleep(2)
  }
  await until(() => b.messages.length >= n, 'the messages')
  assert.deepEqual(new Set(b.messages.map(({ data }) => data)).size, n)
  assert.deepEqual([b.messages.length, a.peer.drops['no route'] ?? 0], [n, 0])
})

test('a relay that is paused or killed takes no reliable message with it, and each comes once', async t => {
  for (const signal of ['SIGSTOP', 'SIGKILL']) {
    await t.test(signal, async t => {
      const [r, s] = [await startRelay(t, '0'), await startRelay(t, '0')]
      const a = await startPeer(t, { bootstrap: [r.addr, s.addr] })
      const b = await startPeer(t, { bootstrap: [r.addr, s.addr] })
      await linkedTo(r, a, b)
      await linkedTo(s, a, b)
      const n = 100
      const receipts = []
      for (let i = 0; i < n; i++) {
        // The nearest of the two is the way of all messages.
        if (i === n / 2) (b.messages[0].path[1].every((byte, k) => byte === Buffer.from(r.id, 'hex')[k]) ? r : s).signal(signal)
        receipts.push(a.peer.sendReliable(b.peer.id, i))
        await sleep(5)
      }
      assert.ok((await Promise.all(receipts)).every(({ proved }) => proved))
      for (const relay of [r, s]) relay.signal('SIGCONT')
      await sleep(200)
      assert.deepEqual(b.messages.map(({ data }) => data).sort((x, y) => x - y), Array.from({ length: n }, (_, i) => i))
    })
  }
})
