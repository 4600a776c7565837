// Ids, signatures and signed peer records.

import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { concatBytes, encodeText, equalBytes } from './wire.js'

const BODY_PREFIX = encodeText('peer-relay/1 body\0')
const MAX_RECORD = 2_048
const MAX_ADDRESSES = 16

/** Returns the id of a libp2p peer: the first 20 bytes of the SHA-256 of its peer id's bytes. */
export const idOf = async peerIdBytes =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', peerIdBytes)).subarray(0, 20)

export const peerIdBytes = peerId => peerId.toMultihash().bytes

export const publicKeyBytes = privateKey => publicKeyToProtobuf(privateKey.publicKey)

export const signBody = async (privateKey, bodyBytes) => privateKey.sign(concatBytes([BODY_PREFIX, bodyBytes]))

/** Returns whether a message's signature proves that it is from `from`. */
export const verifyMessage = async ({ body: { key, from }, bodyBytes, sig }) => {
  if (key === undefined || sig === undefined) return false
  try {
    const publicKey = publicKeyFromProtobuf(key)
    if (!equalBytes(publicKeyToProtobuf(publicKey), key)) return false
    if (!equalBytes(await idOf(publicKey.toMultihash().bytes), from)) return false
    return await publicKey.verify(concatBytes([BODY_PREFIX, bodyBytes]), sig)
  } catch {
    return false
  }
}

/** Returns the signed record of a peer's own addresses. Undefined if it cannot be dialled. */
export const sealRecord = async ({ peerId, privateKey, multiaddrs }) => {
  if (privateKey === undefined || multiaddrs.length === 0) return undefined
  const record = new PeerRecord({ peerId, multiaddrs: multiaddrs.slice(0, MAX_ADDRESSES) })
  const bytes = (await RecordEnvelope.seal(record, privateKey)).marshal()
  return bytes.length <= MAX_RECORD ? bytes : undefined
}

/** Returns the peer id and the addresses in a signed record. Undefined if it is not `from`'s. */
export const openRecord = async (bytes, from) => {
  try {
    const envelope = await RecordEnvelope.openAndCertify(bytes, PeerRecord.DOMAIN)
    if (!equalBytes(envelope.payloadType, PeerRecord.CODEC)) return undefined
    const record = PeerRecord.createFromProtobuf(envelope.payload)
    const peerId = peerIdBytes(record.peerId)
    if (!equalBytes(peerId, envelope.publicKey.toMultihash().bytes)) return undefined
    if (!equalBytes(await idOf(peerId), from)) return undefined
    return { peerId: record.peerId, multiaddrs: record.multiaddrs.slice(0, MAX_ADDRESSES) }
  } catch {
    return undefined
  }
}
