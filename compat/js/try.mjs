// The peer of the page at /try. It is bundled and served as /try/peer.js. The page itself is in
// node/try.

import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { PeerRelay, fromHex, toHex } from './index.js'

export { toHex }

/**
 * Starts a peer that signs its messages.
/**
 * Starts a peer that signs its messages.
 *
 * @param {{ key?: string, bootstrap: string[] }} options its private key in hexadecimal, by default a
 *   fresh one, and the multiaddrs of its bootstraps
 */
export const startPeer = async ({ key, bootstrap }) => {
  const privateKey = key === undefined ? await generateKeyPair('Ed25519') : privateKeyFromProtobuf(fromHex(key))
  const peer = await PeerRelay.create({ bootstrap, privateKey, sign: true })
  return { peer, key: toHex(privateKeyToProtobuf(privateKey)) }
}
