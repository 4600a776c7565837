// The encoding of /peer-relay/1: strict readers and canonical writers of frames. A generic protobuf
// library would accept much that the protocol refuses, and a relay has to keep the bytes of a Body as
// they came.

export const PROTOCOL = '/peer-relay/1'

export const MAX_FRAME = 262_144
export const MAX_BODY = 260_000
export const MAX_HELLO = 4_096
export const MAX_PATH = 20
export const MAX_FOUND = 20
export const MAX_PAYLOAD = 64_000
export const MAX_TEXT = 256_000
export const NACK_HEAD = 25
export const ID_SIZE = 20
export const TOKEN_SIZE = 16
export const HASH_SIZE = 32
export const PATH_ENTRY = 22

export const Role = Object.freeze({ PEER: 0, LEAF: 1, SERVER: 2 })
export const Kind = Object.freeze({ USER: 0, FIND: 1, FOUND: 2, OFFER: 3, ANSWER: 4, SIGNAL: 5, RECEIPT: 6, NOTICE: 7, OTHER: 8, PING: 9, REPORT: 10 })
export const Form = Object.freeze({ NONE: 0, JSON: 1, RAW: 2, WHOLE_JSON: 3, SEALED: 4 })
export const Flag = Object.freeze({ RECEIPT: 1, NOTICE: 2, CLOSEST: 4, TRACE: 8 })
export const LinkKind = Object.freeze({ NONE: 0, NATIVE: 1, WEBSOCKET: 2, WEBRTC: 3 })
export const Nack = Object.freeze({ NONE: 0, NO_ROUTE: 1, BUSY: 2, TOO_BIG: 3, HOPS: 4, REFUSED: 5 })
export const Bye = Object.freeze({ NORMAL: 0, DUPLICATE: 1, SHUTDOWN: 2, UNWANTED: 3, PROTOCOL: 4, SILENT: 5 })

/** The error for a frame that breaks the rules of the encoding. It is dropped and counted. */
export class MalformedError extends Error {
  name = 'MalformedError'
}

/** The error for an invalid length. The stream is reset, since it is not known where the next frame begins. */
export class FramingError extends Error {
  name = 'FramingError'
}

const malformed = text => { throw new MalformedError(text) }

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

const MAX_ENUM = 2 ** 31 - 1
const MAX_UINT32 = 2 ** 32 - 1

// --- bytes -----------------------------------------------------------------

const utf8 = new TextEncoder()
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const toHex = bytes => {
  let text = ''
  for (const byte of bytes) text += (byte < 16 ? '0' : '') + byte.toString(16)
  return text
}

export const fromHex = text => {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) throw new TypeError('want hexadecimal digits')
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16))
}

export const equalBytes = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i])

/** Compares two byte strings as unsigned bytes. A string goes before those that it begins. */
export const compareBytes = (a, b) => {
  const n = Math.min(a.length, b.length)
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i] - b[i]
  return a.length - b.length
}

export const concatBytes = parts => {
  let size = 0
  for (const part of parts) size += part.length
  const out = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

export const encodeText = text => utf8.encode(text)

/** Decodes UTF-8, and throws an error if it is invalid. */
export const decodeText = bytes => strictUtf8.decode(bytes)

const isZero = bytes => bytes.every(byte => byte === 0)

const isAscii = (bytes, from, except = -1) => bytes.every(byte => byte >= from && byte <= 0x7e && byte !== except)

// --- reading ---------------------------------------------------------------

class Reader {
  constructor (bytes) {
    this.bytes = bytes
    this.at = 0
  }

  get done () {
    return this.at >= this.bytes.length
  }

  /** Returns a Number where it is exact, otherwise a BigInt. */
  varint () {
    const { bytes } = this
    const start = this.at
    let value = 0
    let big
    for (let i = 0; i < 10; i++) {
      const byte = bytes[this.at++]
      if (byte === undefined || (i === 9 && byte > 1)) malformed('a varint is cut off or too large')
      const bits = byte & 0x7f
      if (i < 7) value += bits * 2 ** (7 * i)
      else big = (big ?? BigInt(value)) | (BigInt(bits) << BigInt(7 * i))
      if (byte < 0x80) {
        if (byte === 0 && this.at - start > 1) malformed('a varint is not in its shortest form')
        return big ?? value
      }
    }
    return malformed('a varint is cut off or too large')
  }

  take (size, field) {
    if (size > this.bytes.length - this.at) malformed(`field ${field} is cut off`)
    const start = this.at
    this.at += Number(size)
    return this.bytes.subarray(start, this.at)
  }

  value (wire, field) {
    switch (wire) {
      case VARINT: return this.varint()
      case FIXED64: return this.take(8, field)
      case BYTES: return this.take(this.varint(), field)
      case FIXED32: return this.take(4, field)
      default: return malformed(`field ${field} has wire type ${wire}`)
    }
  }
}

/**
 * Reads a protobuf message by a table of its known fields.
 *
 * @returns {{ values: object, spans: object, unknown: Uint8Array[] }} the values by name; where each
 *   known field first starts, and where the last one that is not `path` ends; the unknown fields
 */
const readFields = (bytes, table) => {
  const reader = new Reader(bytes)
  const values = {}
  const spans = {}
  const unknown = []
  let last = false
  while (!reader.done) {
    const start = reader.at
    if (last) malformed('fields after the payload')
    const tag = reader.varint()
    const number = Math.floor(Number(tag) / 8)
    if (number < 1 || number > 2 ** 29 - 1) malformed('a field number out of range')
    const wire = Number(tag) % 8
    const field = table[number]
    if (field !== undefined && field.wire !== wire && [VARINT, FIXED64, BYTES, FIXED32].includes(wire)) {
      malformed(`field ${number} has wire type ${wire}, want ${field.wire}`)
    }
    const raw = reader.value(wire, number)
    if (field === undefined) {
      unknown.push(bytes.subarray(start, reader.at))
      spans.otherEnd = reader.at
      continue
    }
    const value = check(field, number, raw)
    if (field.repeated !== undefined) {
      const list = (values[field.name] ??= [])
      if (list.length === field.repeated) malformed(`field ${number} stands more than ${field.repeated} times`)
      if (list.length === 0) spans[field.name] = start
      list.push(value)
    } else {
      if (field.name in values) malformed(`field ${number} stands twice`)
      values[field.name] = value
      spans[field.name] = start
    }
    if (field.name !== 'path') spans.otherEnd = reader.at
    last = field.last === true
  }
  return { values, spans, unknown }
}

const check = ({ wire, min = 0, max = Infinity, id = false, u64 = false, convert }, number, raw) => {
  if (wire === VARINT) {
    if (u64) return BigInt(raw)
    if (raw > max) malformed(`field ${number} is ${raw}, want at most ${max}`)
    return convert ? convert(raw) : raw
  }
  if (wire === FIXED64) return new DataView(raw.buffer, raw.byteOffset, 8).getBigUint64(0, true)
  if (wire === FIXED32) return new DataView(raw.buffer, raw.byteOffset, 4).getUint32(0, true)
  if (id && raw.length !== ID_SIZE) malformed(`field ${number} has ${raw.length} bytes, want ${ID_SIZE}`)
  if (raw.length < min || raw.length > max) malformed(`field ${number} has ${raw.length} bytes, want ${min} to ${max}`)
  return convert ? convert(raw) : raw
}

const asFeature = bytes => {
  if (!isAscii(bytes, 0x21, 0x2c)) malformed('the name of a feature is not printable ASCII')
  return decodeText(bytes)
}

const asString = bytes => {
  try {
    return decodeText(bytes)
  } catch {
    return malformed('a string is not UTF-8')
  }
}

const asNonce = bytes => {
  if (!isAscii(bytes, 0x20)) malformed('the nonce is not printable ASCII')
  return decodeText(bytes)
}

const asPeer = id => {
  if (isZero(id)) malformed('an id is zero')
  return id
}

const LIMITS = { 1: { name: 'maxFrame', wire: VARINT, max: MAX_UINT32 } }

const HELLO = {
  1: { name: 'features', wire: BYTES, repeated: 32, min: 1, max: 64, convert: asFeature },
  2: { name: 'role', wire: VARINT, max: MAX_ENUM },
  3: { name: 'link', wire: FIXED64 },
  4: { name: 'limits', wire: BYTES, convert: bytes => readFields(bytes, LIMITS).values },
  5: { name: 'agent', wire: BYTES, max: 256, convert: asString }
}

const NACK = {
  1: { name: 'seq', wire: VARINT, u64: true },
  2: { name: 'reason', wire: VARINT, max: MAX_ENUM },
  3: { name: 'frame', wire: BYTES, min: 1, max: MAX_FRAME }
}

const MAX_NAMED = 128

const asBool = number => number === 1 || (number !== 0 && malformed(`a bool is ${number}, want 0 or 1`))

const NEIGHBOURS = {
  1: { name: 'reset', wire: VARINT, convert: asBool },
  2: { name: 'named', wire: BYTES, repeated: MAX_NAMED, min: ID_SIZE + 1, max: ID_SIZE + 1 },
  3: { name: 'gone', wire: BYTES, repeated: MAX_NAMED, id: true },
  4: { name: 'lost', wire: BYTES, repeated: MAX_NAMED, id: true }
}

const BYE = { 1: { name: 'reason', wire: VARINT, max: MAX_ENUM } }

const FRAME = {
  1: { name: 'hello', wire: BYTES },
  2: { name: 'ack', wire: VARINT, u64: true },
  3: { name: 'nack', wire: BYTES },
  4: { name: 'ping', wire: FIXED64 },
  5: { name: 'pong', wire: FIXED64 },
  6: { name: 'bye', wire: BYTES },
  7: { name: 'neighbours', wire: BYTES },
  8: { name: 'hop', wire: FIXED32 },
  9: { name: 'nonce', wire: BYTES, min: 1, max: 32, convert: asNonce },
  10: { name: 'body', wire: BYTES, max: MAX_BODY },
  11: { name: 'route', wire: BYTES, repeated: 20, id: true },
  12: { name: 'sig', wire: BYTES, min: 1, max: 512 },
  13: { name: 'targets', wire: BYTES, repeated: 64, id: true },
  15: { name: 'path', wire: BYTES, repeated: MAX_PATH, id: true }
}

const BODY = {
  1: { name: 'to', wire: BYTES, id: true, convert: asPeer },
  2: { name: 'from', wire: BYTES, id: true, convert: asPeer },
  3: { name: 'kind', wire: VARINT, max: MAX_ENUM },
  4: { name: 'form', wire: VARINT, max: MAX_ENUM },
  5: { name: 'flags', wire: VARINT, max: MAX_UINT32 },
  6: { name: 'e2e', wire: BYTES, min: TOKEN_SIZE, max: TOKEN_SIZE },
  7: { name: 'expiry', wire: VARINT, u64: true },
  8: { name: 'key', wire: BYTES, min: 1, max: 1_024 },
  9: { name: 'extra', wire: BYTES, min: 1 },
  10: { name: 'record', wire: BYTES, min: 1, max: 2_048 },
  11: { name: 'token', wire: BYTES, min: TOKEN_SIZE, max: TOKEN_SIZE },
  15: { name: 'payload', wire: BYTES, last: true }
}

const ANSWER = {
  1: { name: 'ws', wire: BYTES, max: 2_048, convert: asString },
  2: { name: 'wrtc', wire: VARINT, convert: Boolean }
}

const isTrue = number => number === 1 || malformed(`a bool is ${number}, want 1 or none`)

const RECEIPT = {
  1: { name: 'e2e', wire: BYTES, min: TOKEN_SIZE, max: TOKEN_SIZE },
  2: { name: 'hash', wire: BYTES, min: HASH_SIZE, max: HASH_SIZE },
  3: { name: 'nonce', wire: BYTES, min: 1, max: 32 },
  4: { name: 'hops', wire: VARINT, max: MAX_PATH },
  5: { name: 'handed', wire: VARINT, convert: isTrue },
  6: { name: 'path', wire: BYTES, repeated: MAX_PATH, id: true }
}

const NOTICE = {
  1: { name: 'e2e', wire: BYTES, min: TOKEN_SIZE, max: TOKEN_SIZE },
  2: { name: 'nonce', wire: BYTES, min: 1, max: 32 },
  3: { name: 'silent', wire: VARINT, convert: isTrue }
}

const CONTROL = ['hello', 'ack', 'nack', 'ping', 'pong', 'bye', 'neighbours']

/**
 * Reads one frame, without its length.
 *
 * A message keeps `frame` (its bytes), `bodyBytes`, and what `relayFrame` needs. A frame of a later
 * version has the type `unknown`.
 *
 * @param {Uint8Array} bytes
 * @throws {MalformedError}
 */
export const decodeFrame = bytes => {
  if (bytes.length === 0) malformed('the frame is empty')
  if (bytes.length > MAX_FRAME) malformed('the frame is too large')
  const { values, spans, unknown } = readFields(bytes, FRAME)
  const controls = CONTROL.filter(name => name in values)
  if (controls.length > 0) {
    if (Object.keys(values).length > 1) malformed('the fields of two frames')
    return decodeControl(controls[0], values[controls[0]], bytes)
  }
  if (values.body === undefined) {
    return unknown.length > 0 ? { type: 'unknown' } : malformed('a message without a body')
  }
  if (values.nonce === undefined) malformed('a message without a nonce')
  if (values.path === undefined) malformed('a message without a path')
  const body = decodeBody(values.body)
  const targets = values.targets ?? []
  if ((body.to === undefined) !== (targets.length > 0)) malformed('want either one receiver or targets')
  return {
    type: 'message',
    hop: values.hop ?? 0,
    nonce: values.nonce,
    body,
    bodyBytes: values.body,
    route: values.route ?? [],
    sig: values.sig,
    targets,
    path: values.path,
    unknown,
    frame: bytes,
    hopAt: spans.hop === undefined ? -1 : spans.hop + 1,
    pathLast: spans.path >= spans.otherEnd
  }
}

const decodeControl = (type, value, bytes) => {
  switch (type) {
    case 'hello': {
      if (bytes.length > MAX_HELLO) malformed('a hello of more than 4,096 bytes')
      const { link, features = [], role = 0, limits = {}, agent } = readFields(value, HELLO).values
      if (link === undefined) malformed('a hello without its link value')
      return { type, hello: { features, role, link, maxFrame: limits.maxFrame, agent } }
    }
    case 'nack': {
      const { seq = 0n, reason = 0, frame } = readFields(value, NACK).values
      return { type, nack: { seq, reason, frame } }
    }
    case 'neighbours': {
      const { reset = false, named = [], gone = [], lost = [] } = readFields(value, NEIGHBOURS).values
      if (named.length + gone.length + lost.length > MAX_NAMED) malformed('more than 128 neighbours')
      return { type, neighbours: { reset, named, gone, lost } }
    }
    case 'bye':
      return { type, bye: readFields(value, BYE).values.reason ?? 0 }
    default:
      return { type, num: value }
  }
}

/** @throws {MalformedError} */
export const decodeBody = bytes => {
  const { values, spans, unknown } = readFields(bytes, BODY)
  if (values.from === undefined) malformed('the body does not say from whom it is')
  const body = { kind: 0, form: 0, flags: 0, expiry: 0n, ...values, unknown, head: spans.payload ?? bytes.length }
  if (body.form === Form.NONE && body.payload !== undefined) malformed('a payload without a form')
  if (body.form !== Form.NONE && body.payload === undefined) malformed('a form without a payload')
  return body
}

/** @throws {MalformedError} */
export const decodeAnswer = bytes => {
  const { ws, wrtc = false } = readFields(bytes, ANSWER).values
  return { ws, wrtc }
}

/** @throws {MalformedError} */
export const decodeReceipt = bytes => {
  const { e2e, hash, nonce, hops = 0, handed = false, path } = readFields(bytes, RECEIPT).values
  if (e2e === undefined || hash === undefined || nonce === undefined) malformed('a receipt without its end-to-end id, hash or nonce')
  return { e2e, hash, nonce, hops, handed, ...(path !== undefined && { path }) }
}

/** @throws {MalformedError} */
export const decodeNotice = bytes => {
  const { e2e, nonce, silent } = readFields(bytes, NOTICE).values
  if (e2e === undefined || nonce === undefined) malformed('a notice without its end-to-end id or nonce')
  return { e2e, nonce, ...(silent && { silent }) }
}

// --- writing ---------------------------------------------------------------

const varint = value => {
  const out = []
  let rest = BigInt(value)
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  out.push(Number(rest))
  return out
}

class Writer {
  parts = []

  tag (number, wire) {
    this.parts.push(varint(number * 8 + wire))
    return this
  }

  bytes (number, value) {
    if (value !== undefined) {
      this.tag(number, BYTES)
      this.parts.push(varint(value.length), value)
    }
    return this
  }

  each (number, values = []) {
    for (const value of values) this.bytes(number, value)
    return this
  }

  /** Writes a number, unless it is zero. */
  number (number, value) {
    if (value) {
      this.tag(number, VARINT)
      this.parts.push(varint(value))
    }
    return this
  }

  fixed32 (number, value) {
    this.tag(number, FIXED32)
    this.parts.push([value, value >>> 8, value >>> 16, value >>> 24].map(byte => byte & 0xff))
    return this
  }

  fixed64 (number, value) {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigUint64(0, value, true)
    this.tag(number, FIXED64)
    this.parts.push(bytes)
    return this
  }

  raw (parts = []) {
    this.parts.push(...parts)
    return this
  }

  finish () {
    return concatBytes(this.parts)
  }
}

export const encodeHello = ({ features = [], role = 0, link, maxFrame, agent }) => new Writer()
  .bytes(1, new Writer()
    .each(1, features.map(encodeText))
    .number(2, role)
    .fixed64(3, link)
    .bytes(4, maxFrame ? new Writer().number(1, maxFrame).finish() : undefined)
    .bytes(5, agent ? encodeText(agent) : undefined)
    .finish())
  .finish()

export const encodePing = token => new Writer().fixed64(4, token).finish()

export const encodePong = token => new Writer().fixed64(5, token).finish()

export const encodeAck = count => new Writer().tag(2, VARINT).raw([varint(count)]).finish()

export const encodeNack = ({ seq = 0, reason = 0, frame }) => new Writer()
  .bytes(3, new Writer().number(1, seq).number(2, reason).bytes(3, frame).finish())
  .finish()

export const encodeNeighbours = ({ reset = false, named, gone, lost }) => new Writer()
  .bytes(7, new Writer().number(1, Number(reset)).each(2, named).each(3, gone).each(4, lost).finish())
  .finish()

export const encodeBye = (reason = 0) => new Writer().bytes(6, new Writer().number(1, reason).finish()).finish()

/** Returns the canonical encoding of a Body: fields in order, zeros left out, the payload last. */
export const encodeBody = body => new Writer()
  .bytes(1, body.to)
  .bytes(2, body.from)
  .number(3, body.kind)
  .number(4, body.form)
  .number(5, body.flags)
  .bytes(6, body.e2e)
  .number(7, body.expiry)
  .bytes(8, body.key)
  .bytes(9, body.extra)
  .bytes(10, body.record)
  .bytes(11, body.token)
  .raw(body.unknown)
  .bytes(15, body.payload)
  .finish()

/** Writes a message around the bytes of a Body. */
export const encodeMessage = ({ hop, nonce, bodyBytes, route, sig, targets, unknown, path }) => new Writer()
  .fixed32(8, hop)
  .bytes(9, encodeText(nonce))
  .bytes(10, bodyBytes)
  .each(11, route)
  .bytes(12, sig)
  .each(13, targets)
  .raw(unknown)
  .each(15, path)
  .finish()

export const encodeAnswer = ({ ws, wrtc } = {}) => new Writer()
  .bytes(1, ws ? encodeText(ws) : undefined)
  .number(2, wrtc ? 1 : 0)
  .finish()

export const encodeReceipt = ({ e2e, hash, nonce, hops, handed, path }) => new Writer()
  .bytes(1, e2e)
  .bytes(2, hash)
  .bytes(3, nonce)
  .number(4, hops)
  .number(5, handed ? 1 : 0)
  .each(6, path)
  .finish()

/** Writes a Report. `agent` is at most 64 characters of printable ASCII. */
export const encodeReport = ({ e2e, nonce, hops, link, agent }) => new Writer()
  .bytes(1, e2e)
  .bytes(2, nonce)
  .number(3, hops)
  .number(4, link)
  .bytes(5, agent ? encodeText(agent) : undefined)
  .finish()

export const encodeNotice = ({ e2e, nonce }) => new Writer().bytes(1, e2e).bytes(2, nonce).finish()

/**
 * Returns the frame as a relay passes it on: the received bytes with another `hop` and one more entry
 * of `path`. It is encoded again only if the writer before did not put `hop` first and `path` last.
 */
export const relayFrame = (message, hop, id) => {
  if (message.hopAt !== 1 || !message.pathLast) {
    return encodeMessage({ ...message, hop, path: [...message.path, id] })
  }
  const { frame, hopAt } = message
  const out = new Uint8Array(frame.length + PATH_ENTRY)
  out.set(frame)
  new DataView(out.buffer).setUint32(hopAt, hop, true)
  out.set([0x7a, ID_SIZE], frame.length)
  out.set(id, frame.length + 2)
  return out
}

/** Returns a copy of a message that this peer has written, with another `hop`. */
export const withHop = (frame, hop) => {
  const out = frame.slice()
  new DataView(out.buffer).setUint32(1, hop, true)
  return out
}

/** Returns a message that this peer has passed on as the peer before sent it, with the budgets that are left. */
export const withoutLastHop = (frame, hop) => withHop(frame.subarray(0, frame.length - PATH_ENTRY), hop)

// --- the stream ------------------------------------------------------------

/** Puts the length before a frame. */
export const withLength = frame => concatBytes([varint(frame.length), frame])

/** Cuts the bytes of a stream into frames. It holds at most one unfinished frame. */
export class FrameSplitter {
  /** The most bytes of the next frame; raised once the HELLO was read. */
  max = MAX_HELLO
  #head = []
  #frame
  #size = 0
  #have = 0;

  /**
   * @param {Uint8Array} chunk
   * @throws {FramingError}
   */
  * push (chunk) {
    let at = 0
    while (at < chunk.length) {
      if (this.#frame === undefined) {
        const byte = chunk[at++]
        this.#head.push(byte)
        if (byte >= 0x80) {
          if (this.#head.length === 3) throw new FramingError('a length of more than 3 bytes')
          continue
        }
        if (byte === 0 && this.#head.length > 1) throw new FramingError('a length that is not in its shortest form')
        const size = this.#head.reduce((sum, bits, i) => sum + (bits & 0x7f) * 2 ** (7 * i), 0)
        if (size > this.max) throw new FramingError(`a frame of ${size} bytes, want at most ${this.max}`)
        this.#head = []
        // A length from a stranger must not take the memory that it names, so the memory grows with what arrives.
        this.#frame = new Uint8Array(Math.min(size, 4_096))
        this.#size = size
        this.#have = 0
      }
      const n = Math.min(this.#size - this.#have, chunk.length - at)
      if (this.#have + n > this.#frame.length) {
        const grown = new Uint8Array(Math.min(this.#size, Math.max(2 * this.#frame.length, this.#have + n)))
        grown.set(this.#frame.subarray(0, this.#have))
        this.#frame = grown
      }
      this.#frame.set(chunk.subarray(at, at + n), this.#have)
      this.#have += n
      at += n
      if (this.#have === this.#size) {
        const frame = this.#frame
        this.#frame = undefined
        yield frame
      }
    }
  }
}
