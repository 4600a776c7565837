// Two peers of js/peer join by a multiaddr and exchange messages through the peer there, and
// with it: it sends back what it gets. Prints what came as one JSON line. Needs Node 22.
//
//   node exchange.mjs MULTIADDR ID-OF-THAT-PEER

import { PeerRelay, toHex } from './peer/index.js'

const TIMEOUT = 60_000
const VALUES = [null, 1.5, 'hi ü 😀', { a: [1, { b: null }] }, 'x'.repeat(100_000)]

const deadline = setTimeout(() => { throw new Error('not done in time') }, TIMEOUT)
const [bootstrap, theirs] = process.argv.slice(2)

// start gives a peer that has a link, and what comes to it.
const start = async () => {
  const peer = await PeerRelay.create({ bootstrap: [bootstrap] })
  const came = []
  let wake = () => {}
  peer.on('message', (data, from, { proved, path }) => {
    came.push({ data, from: toHex(from), proved, path: path.map(toHex) })
    wake()
  })
  const got = async (n) => {
    while (came.length < n) await new Promise((resolve) => { wake = resolve })
    return came.splice(0, n)
  }
  if (peer.peers.length === 0) await new Promise((resolve) => peer.on('peer', resolve))
  return { peer, got, peers: peer.peers.map(toHex) }
}

const [a, b] = [await start(), await start()]
const report = { a: a.peer.idHex, b: b.peer.idHex, peers: [a.peers, b.peers], values: VALUES }
for (const value of VALUES) await a.peer.send(b.peer.id, value)
report.aToB = await b.got(VALUES.length)
for (const value of VALUES) await b.peer.send(a.peer.id, value)
report.bToA = await a.got(VALUES.length)
for (const value of VALUES) await a.peer.send(theirs, value)
report.echoes = await a.got(VALUES.length)

console.log(JSON.stringify(report))
await Promise.all([a.peer.destroy(), b.peer.destroy()])
clearTimeout(deadline)
