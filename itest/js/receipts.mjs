// A peer of compat/js joins by a multiaddr, sends reliable messages to a peer of the network and to an id
// that no peer has, and waits for one message. Prints what came of them as one JSON line. Needs Node 22.
//
//   node receipts.mjs MULTIADDR ID-OF-THE-PEER

import { PeerRelay, toHex } from '../../compat/js/index.js'
import { end } from './end.mjs'

const TIMEOUT = 60_000 // ms; less than the test waits

const [bootstrap, theirs] = process.argv.slice(2)
const peer = await PeerRelay.create({ bootstrap: [bootstrap] })
const deadline = setTimeout(() => {
  throw new Error(`not done in ${TIMEOUT} ms: links to [${peer.peers.map(toHex)}], drops ${JSON.stringify(peer.drops)}`)
}, TIMEOUT)
if (peer.peers.length === 0) await new Promise((resolve) => peer.once('peer', resolve))
const message = new Promise((resolve) => peer.once('message', (data, from) => resolve({ data, from: toHex(from) })))

const receipt = await peer.sendReliable(theirs, { hello: 'ü' }, { timeout: TIMEOUT })
const got = await message
const unused = await peer.sendReliable('5a'.repeat(20), 1, { timeout: TIMEOUT }).then(
  (receipt) => ({ code: 'a receipt', receipt }),
  ({ code, message }) => ({ code, message }))
await peer.destroy()
clearTimeout(deadline)
end({ id: peer.idHex, receipt, got, unused })
