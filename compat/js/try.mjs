// The part of the page at /try that joins the network. It is bundled and served as /try/peer.js. The page
// itself is in node/try.

import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { PeerRelay, fromHex, toHex } from './index.js'

export { toHex }

/**
 * Starts a peer that signs its messages.
 *
 * @param {{ key?: string, bootstrap: string[] }} options its private key in hexadecimal, a fresh
 *   one by default; multiaddrs of peers to join by
 * @returns {Promise<{ peer: PeerRelay, key: string }>}
 */
export const startPeer = async ({ key, bootstrap }) => {
  const privateKey = key === undefined ? await generateKeyPair('Ed25519') : privateKeyFromProtobuf(fromHex(key))
  const peer = await PeerRelay.create({ bootstrap, privateKey, sign: true })
  return { peer, key: toHex(privateKeyToProtobuf(privateKey)) }
}
