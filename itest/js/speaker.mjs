// Speaks /peer-relay/1 from js-libp2p. It was written from nothing but protocol/SPEC.md and
// shares no code with the Go peers: the text is enough. Needs Node 22.
//
//   node speaker.mjs MULTIADDR ID-OF-THAT-PEER    with a multiaddr over /ws or /webrtc-direct
//
// Two leaves, A and B, link to the peer; A sends messages to B through it, and to
// the peer, which sends them back; A pings it and says goodbye. Prints what happened as one JSON line.

import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto'
import { createLibp2p } from 'libp2p'
import { webRTCDirect } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { identify } from '@libp2p/identify'
import { generateKeyPair, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { end } from './end.mjs'

const PROTOCOL = '/peer-relay/1'
const TIMEOUT = 30_000
const SIGNED = Buffer.from('peer-relay/1 body\0')
const HOP = [0x00, 0x03, 0x02, 0x27] // 39 transmissions, 2 detours, 3 NACKs
const LEAF = 1
const [USER, FIND, FOUND, OFFER, ANSWER] = [0, 1, 2, 3, 4]
const [NONE, JSON_TEXT, RAW] = [0, 1, 2]

const sha256 = (b) => createHash('sha256').update(b).digest()
const idOf = (peerIDBytes) => sha256(peerIDBytes).subarray(0, 20)
const hex = (b) => Buffer.from(b).toString('hex')
const random = (list) => list[Math.floor(Math.random() * list.length)]

// --- protobuf

const cat = (...parts) => Buffer.concat(parts.map((p) => Buffer.from(p)))
const varint = (n) => n < 128 ? [n] : [n % 128 | 128, ...varint(Math.floor(n / 128))]
const bytes = (field, b) => cat(varint(field << 3 | 2), varint(b.length), b)
const number = (field, n) => n === 0 ? [] : cat(varint(field << 3), varint(n))
const fixed64 = (field, b) => cat(varint(field << 3 | 1), b)
const fixed32 = (field, b) => cat(varint(field << 3 | 5), b)

// readVarint returns the value and the bytes it took, or nothing if b ends before it does.
function readVarint (b, at) {
  let value = 0
  for (let n = 0; at + n < b.length; n++) {
    value += (b[at + n] & 127) * 2 ** (7 * n)
    if (b[at + n] < 128) {
      if (b[at + n] === 0 && n > 0) throw new Error('a varint that is not in its shortest form')
      return [value, n + 1]
    }
  }
}

// fields returns each field's value, of the repeated ones a list.
function fields (b, ...repeated) {
  const out = {}
  const size = { 1: 8, 5: 4 }
  for (let at = 0; at < b.length;) {
    const [tag, n] = readVarint(b, at)
    at += n
    const field = tag >>> 3
    let value
    if ((tag & 7) === 0) {
      const [v, n] = readVarint(b, at)
      value = v
      at += n
    } else {
      let length = size[tag & 7]
      if ((tag & 7) === 2) {
        const [v, n] = readVarint(b, at)
        length = v
        at += n
      }
      if (length === undefined || at + length > b.length) throw new Error('malformed')
      value = b.subarray(at, at + length)
      at += length
    }
    if (repeated.includes(field)) (out[field] ??= []).push(value)
    else if (field in out) throw new Error(`field ${field} stands twice`)
    else out[field] = value
  }
  return out
}

// --- the peer

class Peer {
  links = new Map() // by id
  seen = new Set()
  waits = [] // for what happens: {what, resolve}

  static async create () {
    const peer = new Peer()
    peer.key = await generateKeyPair('Ed25519')
    peer.node = await createLibp2p({
      privateKey: peer.key,
      addresses: { listen: [] },
      transports: [webSockets(), webRTCDirect({ rtcConfiguration: { iceServers: [] } })],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify() }
    })
    peer.id = idOf(peer.node.peerId.toMultihash().bytes)
    await peer.node.handle(PROTOCOL, (stream, conn) => peer.serve(stream, conn))
    return peer
  }

  // wait returns what event brings next.
  wait (event) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${event}`)), TIMEOUT)
      this.waits.push({ event, resolve: (v) => { clearTimeout(timer); resolve(v) } })
    })
  }

  happened (event, value) {
    const i = this.waits.findIndex((w) => w.event === event)
    if (i >= 0) this.waits.splice(i, 1)[0].resolve(value)
  }

  async dial (addr) {
    const conn = await this.node.dial(multiaddr(addr))
    const up = this.wait('link')
    this.serve(await conn.newStream(PROTOCOL), conn).catch((err) => { console.error(err); process.exit(1) })
    return up
  }

  // serve exchanges hellos at once and reads until the link ends.
  async serve (stream, conn) {
    const link = { id: hex(idOf(conn.remotePeer.toMultihash().bytes)), up: false, stream }
    link.send = (frame) => {
      if (!link.ended) stream.send(cat(varint(frame.length), frame)) // nothing follows a bye
    }
    link.bye = (reason) => {
      link.send(bytes(6, reason))
      link.ended = true
    }
    link.send(bytes(1, cat(number(2, LEAF), fixed64(3, randomBytes(8)), bytes(5, Buffer.from('speaker/1')))))
    let buf = Buffer.alloc(0)
    for await (const chunk of stream) {
      buf = cat(buf, chunk.subarray())
      for (;;) {
        const length = readVarint(buf, 0)
        if (length === undefined || buf.length < length[0] + length[1]) break
        const frame = buf.subarray(length[1], length[0] + length[1])
        buf = buf.subarray(length[0] + length[1])
        await this.frame(link, frame)
      }
    }
    this.links.delete(link.id)
  }

  async frame (link, b) {
    const f = fields(b, 11, 13, 15)
    if (!link.up) {
      if (f[1] === undefined) throw new Error('the first frame is no hello')
      const hello = fields(f[1], 1)
      link.up = true
      this.links.set(link.id, link)
      await this.send({ to: Buffer.from(link.id, 'hex'), kind: FIND, form: RAW, payload: this.id, signed: true })
      this.happened('link', { id: link.id, agent: hello[5].toString() })
    } else if (f[4] !== undefined) {
      link.send(fixed64(5, f[4]))
    } else if (f[5] !== undefined) {
      this.happened('pong', hex(f[5]))
    } else if (f[6] !== undefined) {
      link.bye([])
      this.happened('bye', fields(f[6])[1] ?? 0)
      try {
        await link.stream.close()
      } catch { // over WebRTC the other end may have closed it for both, and this throws at once
      }
    } else if (f[10] !== undefined) {
      await this.message(link, f)
    }
  }

  // send begins a message. It goes by the link nearest to its receiver.
  async send ({ to, kind = USER, form = NONE, payload = [], token, route = [], signed = false }) {
    const body = cat(bytes(1, to), bytes(2, this.id), number(3, kind), number(4, form),
      signed ? bytes(8, publicKeyToProtobuf(this.key.publicKey)) : [],
      token === undefined ? [] : bytes(11, token),
      form === NONE ? [] : bytes(15, payload))
    const nonce = String(Math.floor(Math.random() * 1e15))
    const frame = cat(fixed32(8, HOP), bytes(9, Buffer.from(nonce)), bytes(10, body),
      ...route.map((id) => bytes(11, id)),
      signed ? bytes(12, await this.key.sign(cat(SIGNED, body))) : [],
      bytes(15, this.id))
    const [nearest] = sortByDistance(to, [...this.links.keys()])
    this.links.get(nearest).send(frame)
  }

  async message (link, f) {
    const b = fields(f[10])
    if (hex(b[1]) !== hex(this.id)) return // a leaf relays for no other peer
    const key = hex(b[2]) + f[9].toString() + hex(sha256(f[10]))
    if (this.seen.has(key)) return
    this.seen.add(key)
    const proved = (hex(b[2]) === link.id && f[15].length === 1) || (f[12] !== undefined && isProved(b, f))
    const reply = { to: b[2], token: b[11], route: f[15].length > 1 ? f[15].toReversed() : [], signed: true }
    switch (b[3] ?? USER) {
      case USER:
        this.happened('message', { from: hex(b[2]), path: f[15].map(hex), proved, data: JSON.parse(b[15].toString()) })
        break
      case FIND: {
        const ids = sortByDistance(b[15], [...this.links.keys()].filter((id) => id !== hex(b[2]))).slice(0, 20)
        await this.send({ ...reply, kind: FOUND, form: RAW, payload: Buffer.from(ids.join(''), 'hex') })
        break
      }
      case FOUND:
        this.happened('found', { proved, bytes: b[15].length })
        break
      case OFFER: // willing, but it cannot be dialled
        await this.send({ ...reply, kind: ANSWER, form: RAW })
    }
  }
}

// isProved reports whether an Ed25519 key that hashes to the origin signed the message.
function isProved (b, f) {
  const key = b[8]
  if (key === undefined || hex(key.subarray(0, 4)) !== '08011220' || key.length !== 36) return false
  if (hex(idOf(cat([0x00, 0x24], key))) !== hex(b[2])) return false
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: key.subarray(4).toString('base64url') }
  return verify(null, cat(SIGNED, f[10]), createPublicKey({ key: jwk, format: 'jwk' }), f[12])
}

// sortByDistance sorts ids in hexadecimal by XOR distance, the nearest to target first.
function sortByDistance (target, ids) {
  const distance = (id) => hex(Buffer.from(id, 'hex').map((x, i) => x ^ target[i]))
  return ids.sort((a, b) => distance(a) < distance(b) ? -1 : 1)
}

// --- what happens

const [addr, theirs] = process.argv.slice(2)
const a = await Peer.create()
const b = await Peer.create()
const found = [a.wait('found'), b.wait('found')] // it answers when the link is up at its end, too
const link = await a.dial(addr)
await b.dial(addr)
const report = { a: hex(a.id), b: hex(b.id), link, found: (await Promise.all(found))[0] }

const value = random(['text', 3.5, { k: [null, true] }])
let waiting = b.wait('message')
await a.send({ to: b.id, form: JSON_TEXT, payload: Buffer.from(JSON.stringify(value)), signed: true })
report.relayed = { sent: value, got: await waiting }

waiting = a.wait('message')
await a.send({ to: Buffer.from(theirs, 'hex'), form: JSON_TEXT, payload: Buffer.from('"echo"') })
report.echo = await waiting

const toPeer = a.links.get(theirs)
const token = randomBytes(8)
waiting = a.wait('pong')
toPeer.send(fixed64(4, token))
report.ponged = await waiting === hex(token)

waiting = a.wait('bye')
toPeer.bye(number(1, 2)) // shutdown
report.bye = await waiting

waiting = b.wait('bye')
b.links.get(theirs).bye(number(1, 2))
await waiting

await Promise.all([a.node.stop(), b.node.stop()])
end(report)
