// What a peer does with a message: loops, duplicates, delivery, limits, the next link. It knows
// links only as { id, idHex, up, role, send(frame), fits(size) }.

import {
  Flag, Form, Kind, MAX_FRAME, MAX_PATH, Role, NACK_HEAD, PATH_ENTRY,
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

/** Compares the distances of `a` and `b` to `target`: below 0 if `a` is the nearer one. */
export const compareDistance = (a, b, target) => {
  for (let i = 0; i < target.length; i++) {
    const difference = (a[i] ^ target[i]) - (b[i] ^ target[i])
    if (difference !== 0) return difference
  }
  return 0
}

/** A nonce as every reader takes it: a uniform number below 10^15, in decimal. */
export const randomNonce = () => {
  // 10^15 does not divide 2^53; drawing again keeps the number uniform.
  for (;;) {
    const [a, b] = crypto.getRandomValues(new Uint32Array(2))
    const number = (a & 0x3ffff) * 2 ** 32 + b
    if (number < 1e15) return String(number)
  }
}

/** Remembers keys for at least `age`, as far as `entries` allow, in two generations. */
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

  /** Whether the key is new; it is not so a second time. */
  add (key) {
    const now = this.#now()
    if (now - this.#since >= 2 * this.#age) this.#young = new Set()
    if (now - this.#since >= this.#age || this.#young.size >= this.#entries) {
      this.#old = this.#young
      this.#young = new Set()
      this.#since = now
    }
    if (this.#young.has(key) || this.#old.has(key)) return false
    this.#young.add(key)
    return true
  }
}

/** The parts of `hop`, with what nobody may claim cut down. */
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
  #seen
  #delivered
  #via = new Map()

  /**
   * @param {object} init
   * @param {Uint8Array} init.id
   * @param {boolean} [init.relays] whether messages of others are passed on
   * @param {(message, link) => void} init.deliver takes a message for this peer
   */
  constructor ({ id, relays = true, deliver, now = Date.now }) {
    this.#id = id
    this.#idHex = toHex(id)
    this.#relays = relays
    this.#deliver = deliver
    this.#now = now
    this.#seen = new Memory(SEEN_AGE, { now })
    this.#delivered = new Memory(DELIVER_AGE, { now })
  }

  /**
   * Takes a message that came over a link.
   *
   * @returns {string} what was done: 'delivered', 'forwarded', or the reason of the drop
   */
  receive (link, message) {
    const { body } = message
    if (equalBytes(body.from, this.#id) || message.path.some(id => equalBytes(id, this.#id))) return this.drop('loop')
    if (!this.#seen.add(this.#hash(body.from, message.nonce, message.bodyBytes))) return this.drop('duplicate')
    if (message.targets.length > 0) return this.drop('targets')
    this.#learn(toHex(body.from), link)

    if (equalBytes(body.to, this.#id) || (isSearch(body) && this.#searchLinks(message, link).length === 0)) {
      this.#deliver(message, link)
      return 'delivered'
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

  /** Whether a delivery is the first one of its message; to be asked once it is known to be proved. */
  firstDelivery ({ body, bodyBytes, nonce }, proved) {
    const key = body.e2e !== undefined && proved
      ? `proved ${toHex(body.from)} ${toHex(body.e2e)}`
      : this.#hash(body.from, body.e2e === undefined ? `n${nonce}` : `e${toHex(body.e2e)}`, bodyBytes)
    return this.#delivered.add(key)
  }

  /** The live links, the nearest to `target` first. */
  nearest (target, accept = () => true) {
    return [...this.links.values()]
      .filter(link => link.up && accept(link))
      .sort((a, b) => compareDistance(a.id, b.id, target))
  }

  drop (reason) {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1
    return reason
  }

  #hash (from, nonce, bodyBytes) {
    const text = encodeText(nonce)
    return siphash128(this.#secret, concatBytes([from, [text.length], text, bodyBytes]))
  }

  /** Remembers by which link messages of an origin come. */
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

  /** The links that a message may take, the best first; lazy, as the first one mostly does. */
  * #choices ({ body: { to }, route = [] }, path, detours, from) {
    const barred = new Set(path.map(toHex))
    if (from !== undefined) barred.add(from.idHex)
    const may = link => link !== undefined && link.up && !barred.has(link.idHex)

    const direct = this.links.get(toHex(to))
    if (may(direct)) {
      // If it is full, no other way is better.
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

  /** The links over which a search goes on; where there are none it has arrived. */
  #searchLinks ({ body: { to, from }, path }, came) {
    if (!this.#relays && came !== undefined) return []
    const barred = new Set(path.map(toHex)).add(toHex(from))
    if (came !== undefined) barred.add(came.idHex)
    // Nobody is nearer to an origin's own id than the origin: its first step goes to whoever is
    // nearest.
    const starts = came === undefined && equalBytes(to, this.#id)
    return this.nearest(to, link =>
      link.role !== Role.LEAF && !barred.has(link.idHex) && (starts || compareDistance(link.id, this.#id, to) < 0))
  }
}

const isSearch = ({ kind, flags }) => kind === Kind.FIND && (flags & Flag.CLOSEST) !== 0

/** Whether the form and payload of a message are what its kind asks for. */
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
