// Two peers of compat/js join by a multiaddr and exchange messages through the peer there, and
// with that peer, which sends them back. Prints what came as one JSON line. Needs Node 22.
//
//   node exchange.mjs MULTIADDR ID-OF-THAT-PEER

import { PeerRelay, toHex } from '../../compat/js/index.js'
import { end } from './end.mjs'

const TIMEOUT = 60_000 // ms; less than the test waits, so that it says where it hangs
const VALUES = [null, 1.5, 'hi ü 😀', { a: [1, { b: null }] }, 'x'.repeat(100_000)]

const [bootstrap, theirs] = process.argv.slice(2)
const peers = {}
const steps = []
const step = (what) => { steps.push(`${Math.round(performance.now())} ms: ${what}`) }
const deadline = setTimeout(() => {
  const held = Object.entries(peers).map(([name, { peer, came }]) =>
    `${name} ${peer.idHex} has links to [${peer.peers.map(toHex)}], ${came.length} messages and the drops ${JSON.stringify(peer.drops)}`)
  throw new Error([`not done in ${TIMEOUT} ms`, ...steps, ...held].join('\n'))
}, TIMEOUT)

// start returns a peer that has a link, and the messages that come to it.
const start = async (name) => {
  step(`${name} starts`)
  const peer = await PeerRelay.create({ bootstrap: [bootstrap] })
  const came = []
  peers[name] = { peer, came }
  let wake = () => {}
  peer.on('message', (data, from, { proved, path }) => {
    came.push({ data, from: toHex(from), proved, path: path.map(toHex) })
    wake()
  })
  const got = async (n) => {
    while (came.length < n) await new Promise((resolve) => { wake = resolve })
    return came.splice(0, n)
  }
  step(`${name} joins`)
  if (peer.peers.length === 0) await new Promise((resolve) => peer.once('peer', resolve))
  return { peer, got, peers: peer.peers.map(toHex) }
}

// exchange sends all values to a peer, and waits for the same number of messages. A link is up
// at the end that has the other's HELLO: the receiver may have its link before the node has it,
// and messages that the node cannot pass on then are lost.
const exchange = async (what, sender, to, receiver) => {
  step(`${what}: reaches`)
  if (!await sender.peer.reach(to, { timeout: TIMEOUT })) throw new Error(`${what}: it is not there`)
  step(`${what}: sends`)
  const sent = []
  for (const value of VALUES) sent.push(await sender.peer.send(to, value))
  step(`${what}: waits for ${VALUES.length} messages; a link took ${sent}`)
  return receiver.got(VALUES.length)
}

const [a, b] = [await start('a'), await start('b')]
const report = { a: a.peer.idHex, b: b.peer.idHex, peers: [a.peers, b.peers], values: VALUES }
report.aToB = await exchange('a to b', a, b.peer.id, b)
report.bToA = await exchange('b to a', b, a.peer.id, a)
report.echoes = await exchange('a to the node and back', a, theirs, a)

step('ends')
await Promise.all([a.peer.destroy(), b.peer.destroy()])
clearTimeout(deadline)
end(report)
