// The handling of a message: loops, duplicates, delivery, limits, the next link. Of a link it
// knows only { id, idHex, up, role, send(frame), fits(size) }.

import {
  Flag, Form, Kind, MAX_FRAME, MAX_PATH, Role, NACK_HEAD, PATH_ENTRY, TOKEN_SIZE,
  concatBytes, encodeMessage, encodeText, equalBytes, relayFrame, toHex
} from './wire.js'
import { siphash128 } from './siphash.js'

/** `hop` at the origin, before its first transmission: 40 transmissions, 2 detours, 3 NACKs. */
export const FULL_HOP = 0x28020300

const MAX_TRANSMISSIONS = 40
const MAX_DETOURS = 2
const SEEN_AGE = 60_000
const DELIVER_AGE = 120_000
const VIA_AGE = 60_000
const VIA_ENTRIES = 4_096
const SEEN_ENTRIES = 65_536

/** Compares the distances of `a` and `b` to `target`. Returns a number below 0 if `a` is nearer. */
export const compareDistance = (a, b, target) => {
  for (let i = 0; i < target.length; i++) {
    const difference = (a[i] ^ target[i]) - (b[i] ^ target[i])
    if (difference !== 0) return difference
  }
  return 0
}

/** Returns 16 random bytes: a token, or an end-to-end id. */
export const randomToken = () => crypto.getRandomValues(new Uint8Array(TOKEN_SIZE))

/** Returns a nonce that every reader takes: a uniform number below 10^15, in decimal. */
export const randomNonce = () => {
  // The drawn number is below 2^50, which is no multiple of 10^15. Drawing again keeps it uniform.
  for (;;) {
    const [a, b] = crypto.getRandomValues(new Uint32Array(2))
    const number = (a & 0x3ffff) * 2 ** 32 + b
    if (number < 1e15) return String(number)
  }
}

/**
 * Remembers keys for at least `age` milliseconds, as far as `entries` allow. It holds two generations:
 * when the young one is as old as `age`, or full, it becomes the old one.
 */
export class Memory {
  #age
  #entries
  #now
  #young = new Set()
  #old = new Set()
  #since

  constructor (age, { entries = SEEN_ENTRIES, now = Date.now } = {}) {
    this.#age = age
    this.#entries = entries
    this.#now = now
    this.#since = now()
  }

  /** Returns whether the key was added and is not forgotten yet. */
  has (key) {
    this.#expire()
    return this.#young.has(key) || this.#old.has(key)
  }

  add (key) {
    if (!this.has(key)) this.#young.add(key)
  }

  #expire () {
    const now = this.#now()
    if (now - this.#since < this.#age && this.#young.size < this.#entries) return
    this.#old = now - this.#since < 2 * this.#age ? this.#young : new Set()
    this.#young = new Set()
    this.#since = now
  }
}

const NONE = new Uint8Array(0)

const uint32 = number => [24, 16, 8, 0].map(shift => (number >>> shift) & 0xff)

// The kinds of hashes in the table of delivered messages: of an end-to-end id or nonce with a body; of
// a proved message; of a signed body without an end-to-end id.
const OF_CONTENT = [0]
const OF_PROVED = [1]
const OF_SIGNED = [2]

/** Returns the parts of `hop`, cut down to what a message begins with. */
const budgets = hop => ({
  transmissions: Math.min(hop >>> 24, MAX_TRANSMISSIONS),
  detours: Math.min((hop >>> 16) & 0xff, MAX_DETOURS),
  rest: hop & 0xffff
})

const packHop = ({ transmissions, detours, rest }) => (transmissions << 24 | detours << 16 | rest) >>> 0

export class Router {
  /** @type {Map<string, object>} the one link for each peer, by its id in hexadecimal */
  links = new Map()
  drops = {}

  #id
  #idHex
  #relays
  #deliver
  #now
  #secret = crypto.getRandomValues(new Uint8Array(16))
  #passed
  #delivered
  #via = new Map()

  /**
   * @param {object} init
   * @param {Uint8Array} init.id
   * @param {boolean} [init.relays] whether messages of others are passed on
   * @param {(message, link) => string | undefined} init.deliver takes a message for this peer, or
   *   returns the reason why not
   */
  constructor ({ id, relays = true, deliver, now = Date.now }) {
    this.#id = id
    this.#idHex = toHex(id)
    this.#relays = relays
    this.#deliver = deliver
    this.#now = now
    this.#passed = new Memory(SEEN_AGE, { now })
    this.#delivered = new Memory(DELIVER_AGE, { now })
  }

  /**
   * Takes a message that came over a link: for this peer, or to be passed on.
   *
   * A copy that goes nowhere leaves no trace. It may have come with a spent budget, a full path, or at
   * a moment when every queue was full, and must not make a better copy a duplicate.
   *
   * @returns {string} what was done: 'delivered', 'forwarded', or the reason of the drop
   */
  receive (link, message) {
    const { body, nonce, sig } = message
    if (equalBytes(body.from, this.#id) || message.path.some(id => equalBytes(id, this.#id))) return this.drop('loop')
    // The signature belongs to the hash: a relay on the way can send a copy without it.
    const hash = this.#hash(body.from, encodeText(nonce), this.#bodyHash(message), sig)
    if (this.#passed.has(hash)) return this.drop('duplicate')
    if (message.targets.length > 0) return this.drop('targets')
    this.#learn(toHex(body.from), link)
    const done = this.#pass(link, message)
    if (done === 'delivered' || done === 'forwarded') this.#passed.add(hash)
    return done
  }

  #pass (link, message) {
    const { body } = message
    if (equalBytes(body.to, this.#id) || (isSearch(body) && this.#searchLinks(message, link).length === 0)) {
      const refused = this.#deliver(message, link)
      return refused === undefined ? 'delivered' : this.drop(refused)
    }
    if (!this.#relays) return this.drop('leaf')
    if (message.path.length >= MAX_PATH) return this.drop('path')
    if (budgets(message.hop).transmissions === 0) return this.drop('hops')
    return this.#forward(message, link)
  }

  /**
   * Sends a message of this peer's own.
   *
   * @param {{ nonce: string, body: object, bodyBytes: Uint8Array, route?: Uint8Array[], sig?: Uint8Array }} message
   * @param {object} [over] the only link to use
   * @returns {boolean} whether a link took it
   */
  originate (message, over) {
    const path = [this.#id]
    const size = encodeMessage({ ...message, hop: 0, path }).length
    if (size + PATH_ENTRY * (MAX_PATH - 1) + NACK_HEAD > MAX_FRAME) throw new RangeError('the message is larger than MaxFrame (262144) allows')
    const encode = hop => encodeMessage({ ...message, hop, path })
    const searched = isSearch(message.body) && over === undefined
    const choices = over !== undefined
      ? [{ link: over }]
      : searched
        ? this.#searchLinks({ ...message, path }, undefined).map(link => ({ link }))
        : this.#choices(message, path, budgets(FULL_HOP).detours)
    return this.#transmit(choices, FULL_HOP, size, encode) === 'forwarded'
  }

  /**
   * Notes a message for this peer. Two proved messages are the same if their end-to-end id is, whatever
   * else a relay changed. A proved one is delivered even if a copy without its proof was faster, since
   * each relay on the way can strip a signature. Two messages that are not proved are the same if their
   * bytes are.
   *
   * A signed body of an older peer has no end-to-end id. Then only the nonce, which is not signed,
   * tells two equal messages apart, and only the first counts as proved.
   *
   * @param {object} message
   * @param {object} proof
   * @param {boolean} proof.straight whether it came from its origin over the origin's own link
   * @param {boolean} proof.signed whether its signature is right; not looked at if it came straight
   * @returns {{ proved: boolean, again: boolean }} whether its origin is proved, and whether it was
   *   delivered before
   */
  delivery (message, { straight, signed }) {
    const { body: { from, e2e }, nonce } = message
    const delivered = this.#delivered
    const id = e2e ?? encodeText(nonce)
    const body = this.#bodyHash(message)
    let proved = straight || signed
    if (proved && !straight && e2e === undefined) {
      const equal = this.#hash(from, OF_SIGNED, body)
      proved = !delivered.has(equal)
      delivered.add(equal)
    }
    const content = this.#hash(from, OF_CONTENT, id, body)
    const proof = this.#hash(from, OF_PROVED, id, e2e === undefined ? body : undefined)
    const again = delivered.has(proved ? proof : content)
    if (proved) delivered.add(proof)
    delivered.add(content)
    return { proved, again }
  }

  /** Returns the live links, the nearest to `target` first. */
  nearest (target, accept = () => true) {
    return [...this.links.values()]
      .filter(link => link.up && accept(link))
      .sort((a, b) => compareDistance(a.id, b.id, target))
  }

  drop (reason) {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1
    return reason
  }

  /** Returns the hash of a message's body. It is computed once, since a body can be large. */
  #bodyHash (message) {
    return (message.bodyHash ??= encodeText(siphash128(this.#secret, message.bodyBytes)))
  }

  /** Returns a keyed hash of parts. Each is hashed with its length, so that no other list has the same bytes. */
  #hash (...parts) {
    return siphash128(this.#secret, concatBytes(parts.flatMap((part = NONE) => [uint32(part.length), part])))
  }

  /** Remembers the link over which messages of an origin come. */
  #learn (from, link) {
    this.#via.delete(from)
    this.#via.set(from, { link, at: this.#now() })
    if (this.#via.size > VIA_ENTRIES) this.#via.delete(this.#via.keys().next().value)
  }

  #forward (message, from) {
    const path = [...message.path, this.#id]
    const encode = hop => relayFrame(message, hop, this.#id)
    const size = message.frame.length + PATH_ENTRY
    if (size > MAX_FRAME) return this.drop('size')
    if (isSearch(message.body)) {
      const choices = this.#searchLinks(message, from).map(link => ({ link }))
      return this.#transmit(choices, message.hop, size, encode)
    }
    return this.#transmit(this.#choices(message, path, budgets(message.hop).detours, from), message.hop, size, encode)
  }

  #transmit (choices, hop, size, encode) {
    const left = budgets(hop)
    left.transmissions--
    let none = 'no route'
    for (const { link, detour = false } of choices) {
      const frame = link.fits(size) && encode(packHop({ ...left, detours: left.detours - (detour ? 1 : 0) }))
      if (frame && link.send(frame)) return 'forwarded'
      none = 'busy'
    }
    return this.drop(none)
  }

  /** Yields the links that a message may take, the best first. Mostly the first one takes it. */
  * #choices ({ body: { to }, route = [] }, path, detours, from) {
    const barred = new Set(path.map(toHex))
    if (from !== undefined) barred.add(from.idHex)
    const may = link => link !== undefined && link.up && !barred.has(link.idHex)

    const direct = this.links.get(toHex(to))
    if (may(direct)) {
      // If it is full, there is no better way.
      yield { link: direct }
      return
    }
    const tried = new Set()
    const relay = link => may(link) && link.role !== Role.LEAF && !tried.has(link)

    for (const id of route.toReversed()) {
      const link = this.links.get(toHex(id))
      if (relay(link)) {
        tried.add(link)
        yield { link }
      }
    }
    const byDistance = this.nearest(to, relay)
    for (const link of byDistance) {
      if (compareDistance(link.id, this.#id, to) < 0) {
        tried.add(link)
        yield { link }
      }
    }
    const via = this.#via.get(toHex(to))
    if (via !== undefined && this.#now() - via.at < VIA_AGE && relay(via.link)) {
      tried.add(via.link)
      yield { link: via.link }
    }
    if (detours > 0) {
      for (const link of byDistance) if (!tried.has(link)) yield { link, detour: true }
    }
  }

  /** Returns the links over which a search goes on. If there are none, it has arrived. */
  #searchLinks ({ body: { to, from }, path }, came) {
    if (!this.#relays && came !== undefined) return []
    const barred = new Set(path.map(toHex)).add(toHex(from))
    if (came !== undefined) barred.add(came.idHex)
    // No peer is nearer to an origin's own id than the origin. The first step of its search goes to the
    // nearest one.
    const starts = came === undefined && equalBytes(to, this.#id)
    return this.nearest(to, link =>
      link.role !== Role.LEAF && !barred.has(link.idHex) && (starts || compareDistance(link.id, this.#id, to) < 0))
  }
}

const isSearch = ({ kind, flags }) => kind === Kind.FIND && (flags & Flag.CLOSEST) !== 0

/** Returns whether a message asks for an answer, which costs a signature. */
export const isQuestion = ({ kind }) => kind === Kind.FIND || kind === Kind.OFFER

/** Returns whether the form and payload of a message are as its kind wants them. */
export const isWellFormed = ({ kind, form, payload }) => {
  switch (kind) {
    case Kind.USER: return form === Form.NONE || form === Form.JSON || form === Form.RAW
    case Kind.FIND: return form === Form.RAW && payload.length === 20
    case Kind.FOUND: return form === Form.RAW && payload.length % 20 === 0 && payload.length <= 400
    case Kind.OFFER: return form === Form.NONE
    case Kind.ANSWER: return form === Form.RAW || form === Form.NONE
    case Kind.SIGNAL: return form === Form.JSON
    default: return false
  }
}
