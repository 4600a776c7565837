// The handling of a message: loops, duplicates, delivery, limits, the next link, and the next one after
// that. Of a link it knows only { id, idHex, up, late, role, custody, send(frame, parcel), fits(size),
// giveBack(nack), ask(proved) }.

import {
  Flag, Form, Kind, MAX_FRAME, MAX_PATH, MalformedError, Nack, Role, NACK_HEAD, PATH_ENTRY, TOKEN_SIZE,
  concatBytes, decodeFrame, encodeMessage, encodeNotice, encodeText, equalBytes, relayFrame, toHex, withHop, withoutLastHop
} from './wire.js'
import { siphash128 } from './siphash.js'

/** `hop` at the origin, before its first transmission: 40 transmissions, 2 detours, 3 NACKs. */
export const FULL_HOP = 0x28020300

const MAX_TRANSMISSIONS = 40
const MAX_DETOURS = 2
const MAX_NACKS = 3
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
 * Remembers keys for at least `age` milliseconds, as far as `entries` allow, each with a value. It holds
 * two generations: when the young one is as old as `age`, or full, it becomes the old one.
 */
export class Memory {
  #age
  #entries
  #now
  #young = new Map()
  #old = new Map()
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

  get (key) {
    this.#expire()
    return this.#young.get(key) ?? this.#old.get(key)
  }

  add (key) {
    if (!this.has(key)) this.#young.set(key)
  }

  set (key, value) {
    this.#expire()
    this.#young.set(key, value)
  }

  delete (key) {
    this.#young.delete(key)
    this.#old.delete(key)
  }

  #expire () {
    const now = this.#now()
    if (now - this.#since < this.#age && this.#young.size < this.#entries) return
    this.#old = now - this.#since < 2 * this.#age ? this.#young : new Map()
    this.#young = new Map()
    this.#since = now
  }
}

const NONE = new Uint8Array(0)

const uint32 = number => [24, 16, 8, 0].map(shift => (number >>> shift) & 0xff)

// The kinds of hashes in the table of delivered messages: of an end-to-end id or nonce with a body; of
// a proved message; of a signed body without an end-to-end id; of a message that the application has.
const OF_CONTENT = [0]
const OF_PROVED = [1]
const OF_SIGNED = [2]
const OF_HANDED = [3]

/** Why a message goes back, by the reason for which it would be dropped. */
const NACKS = {
  'no route': Nack.NO_ROUTE, leaf: Nack.NO_ROUTE, loop: Nack.NO_ROUTE, busy: Nack.BUSY, size: Nack.TOO_BIG, path: Nack.HOPS, hops: Nack.HOPS
}

/** Returns the parts of `hop`, cut down to what a message begins with. */
const budgets = hop => ({
  transmissions: Math.min(hop >>> 24, MAX_TRANSMISSIONS),
  detours: Math.min((hop >>> 16) & 0xff, MAX_DETOURS),
  nacks: (hop >>> 8) & 0xff,
  number: hop & 0xff
})

const packHop = ({ transmissions, detours, nacks, number }) => (transmissions << 24 | detours << 16 | nacks << 8 | number) >>> 0

export class Router {
  /** @type {Map<string, object>} the one link for each peer, by its id in hexadecimal */
  links = new Map()
  drops = {}
  /** How many messages were given back. */
  returned = 0

  #id
  #idHex
  #relays
  #deliver
  #notify
  #now
  #secret = crypto.getRandomValues(new Uint8Array(16))
  #passed
  #delivered
  #handed
  /** The `own` of this peer's reliable messages, by the nonces of their attempts. */
  #own = new Map()
  #via = new Map()

  /**
   * @param {object} init
   * @param {Uint8Array} init.id
   * @param {boolean} [init.relays] whether messages of others are passed on
   * @param {(message, link) => string | undefined} init.deliver takes a message for this peer, or
   *   returns the reason why not
   * @param {(message, payload) => void} [init.notify] sends a Notice to the origin of a message
   */
  constructor ({ id, relays = true, deliver, notify = () => {}, now = Date.now }) {
    this.#id = id
    this.#idHex = toHex(id)
    this.#relays = relays
    this.#deliver = deliver
    this.#notify = notify
    this.#now = now
    this.#passed = new Memory(SEEN_AGE, { now })
    this.#delivered = new Memory(DELIVER_AGE, { now })
    this.#handed = new Memory(DELIVER_AGE, { now })
  }

  /**
   * Takes a message that came over a link: for this peer, or to be passed on.
   *
   * A copy that goes nowhere leaves no trace. It may have come with a spent budget, a full path, or at
   * a moment when every queue was full, and must not make a better copy a duplicate.
   *
   * @returns {string} what was done: 'delivered', 'forwarded', or the reason why neither. For that it was
   *   dropped, or given back to the peer that sent it
   */
  receive (link, message) {
    const { body } = message
    if (equalBytes(body.from, this.#id) || message.path.some(id => equalBytes(id, this.#id))) return this.#refuse(link, message, 'loop')
    const hash = this.#hashOf(message)
    if (this.#passed.has(hash)) return this.drop('duplicate')
    if (message.targets.length > 0) return this.drop('targets')
    this.#learn(toHex(body.from), link)
    return this.#pass(link, message, hash)
  }

  #pass (link, message, hash) {
    const { body } = message
    if (equalBytes(body.to, this.#id) || (isSearch(body) && this.#searchLinks(message, link).length === 0)) {
      const refused = this.#deliver(message, link)
      if (refused !== undefined) return this.drop(refused)
      this.#passed.add(hash)
      return 'delivered'
    }
    if (!this.#relays) return this.#refuse(link, message, 'leaf')
    if (message.path.length >= MAX_PATH) return this.#refuse(link, message, 'path')
    const size = message.frame.length + PATH_ENTRY
    if (size > MAX_FRAME) return this.#refuse(link, message, 'size')
    const done = this.#next({
      message,
      hash,
      size,
      hop: message.hop,
      barred: new Set(message.path.map(toHex)).add(this.#idHex).add(link.idHex),
      from: link.idHex,
      tried: '',
      encode: hop => relayFrame(message, hop, this.#id),
      encodeBack: hop => message.hopAt === 1 ? withHop(message.frame, hop) : encodeMessage({ ...message, hop })
    })
    return done === 'forwarded' ? done : this.#refuse(link, message, done)
  }

  /** Returns a message that this peer can not take over to the peer that sent it, or drops it. */
  #refuse (link, message, reason) {
    const { body, hop, seq } = message
    if (link.custody && seq !== undefined && budgets(hop).nacks > 0 && body.to !== undefined && !isSearch(body)) {
      if (link.giveBack({ seq, reason: NACKS[reason] })) this.returned++
      else this.drop(reason)
      return reason
    }
    this.#lose(message, link, reason)
    return reason
  }

  /** Drops a message for good. Its origin is told if it wants to know that there is no route. A leaf has none. */
  #lose (message, link, reason) {
    this.drop(reason)
    const { body: { kind, flags, e2e }, nonce } = message
    if ((reason !== 'no route' && reason !== 'leaf') || (flags & Flag.NOTICE) === 0 || e2e === undefined) return
    if (kind !== Kind.USER && kind !== Kind.PING) return
    if (link?.ask?.(false)) this.#notify(message, encodeNotice({ e2e, nonce: encodeText(nonce) }))
  }

  /**
   * Sends a message of this peer's own.
   *
   * @param {{ nonce: string, body: object, bodyBytes: Uint8Array, route?: Uint8Array[], sig?: Uint8Array }} message
   * @param {object} [options]
   * @param {object} [options.over] the only link to use
   * @param {object} [options.first] the link to try first
   * @param {number} [options.hop] its budgets
   * @param {{ went, lost }} [options.own] is told of each link that takes it, until `forget`. If it comes back
   *   and no other link takes it, it is told why: 'no route' only if no peer may have it
   * @returns {boolean} whether a link took it
   */
  originate (message, { over, first, hop = FULL_HOP, own } = {}) {
    const path = [this.#id]
    const size = encodeMessage({ ...message, hop: 0, path }).length
    if (size + PATH_ENTRY * (MAX_PATH - 1) + NACK_HEAD > MAX_FRAME) throw new RangeError('the message is larger than MaxFrame (262144) allows')
    if (own !== undefined) this.#own.set(message.nonce, own)
    const done = this.#next({
      message: { ...message, path: [] },
      hash: this.#hashOf(message),
      size,
      hop,
      over,
      first,
      own,
      barred: new Set([this.#idHex]),
      tried: '',
      encode: hop => encodeMessage({ ...message, hop, path })
    })
    if (done !== 'forwarded') this.drop(done)
    return done === 'forwarded'
  }

  /** Tells nothing more of the attempts with these nonces. */
  forget (nonces) {
    for (const nonce of nonces) this.#own.delete(nonce)
  }

  /**
   * Sends a message another way that a link's peer did not take, or returns it.
   *
   * @param {object} link
   * @param {object} parcel what the link was told of the message
   * @param {object} [how]
   * @param {boolean} [how.unsure] whether the peer may have it, or had no room: this is no word that
   *   there is no route
   * @param {boolean} [how.stays] whether the link keeps it if there is no other way
   * @returns {boolean} whether the link is rid of it
   */
  again (link, parcel, { unsure = true, stays = false } = {}) {
    const { message, own } = parcel
    // This peer has given it back for another copy, or its origin asks again.
    if (parcel.back || ((isSearch(message.body) || parcel.over !== undefined) && stays)) return parcel.back === true
    if (isSearch(message.body) || parcel.over !== undefined) {
      this.drop('link ended')
      return true
    }
    parcel.unsure ||= unsure
    // Of two links of a peer one ends. The other one takes what the first did not bring.
    const other = this.links.get(link.idHex)
    if (other !== link && other?.up) parcel.tried = parcel.tried.replaceAll(link.idHex, '')
    let reason = this.#next(parcel)
    if (reason === 'forwarded') return true
    if (reason === 'no route' && parcel.unsure) reason = 'busy'
    // The peer before this one has no better way to the receiver than its link.
    if (stays && equalBytes(message.body.to, link.id)) return false
    if (this.#giveBack(parcel, reason)) return true
    if (stays) return false
    this.#lose(message, this.links.get(parcel.from), reason)
    own?.lost(reason)
    return true
  }

  /** Returns a message that this peer has taken over to the peer that sent it. */
  #giveBack (parcel, reason) {
    const left = budgets(parcel.hop)
    const before = this.links.get(parcel.from)
    if (!before?.up || !before.custody || left.nacks === 0) return false
    if (!before.giveBack({ reason: NACKS[reason], frame: parcel.encodeBack(packHop(left)) })) return false
    parcel.back = true
    this.returned++
    // The copy was of no use: another one may find a way.
    this.#passed.delete(parcel.hash)
    return true
  }

  /** Takes back a message that a link's peer could not bring further. */
  nacked (link, { parcel = undefined, frame, reason }) {
    if (frame !== undefined) parcel = this.#sentBefore(link, frame)
    if (parcel === undefined) {
      this.drop('not asked for')
      return
    }
    const left = budgets(parcel.hop)
    left.nacks = Math.max(0, Math.min(left.nacks, MAX_NACKS) - 1)
    parcel.hop = packHop(left)
    this.again(link, parcel, { unsure: reason !== Nack.NO_ROUTE })
  }

  /**
   * Returns the message in a NACK if this peer has sent that very one over the link. Otherwise a stranger's
   * message would leave with this peer in its path, and be taken for its word.
   */
  #sentBefore (link, frame) {
    let message
    try {
      message = decodeFrame(frame)
    } catch (err) {
      if (err instanceof MalformedError) return undefined
      throw err
    }
    if (message.type !== 'message' || message.body.to === undefined || !equalBytes(message.path.at(-1), this.#id)) return undefined
    const hash = this.#hashOf(message)
    const tried = this.#passed.get(hash) ?? ''
    if (!tried.includes(link.idHex)) return undefined
    const bytes = message.hopAt === 1 && message.pathLast ? frame : encodeMessage(message)
    const path = message.path.slice(0, -1)
    return {
      message: { ...message, path },
      hash,
      size: bytes.length,
      hop: message.hop,
      own: path.length > 0 ? undefined : this.#own.get(message.nonce),
      barred: new Set(message.path.map(toHex)),
      from: path.length > 0 ? toHex(path.at(-1)) : undefined,
      tried,
      encode: hop => withHop(bytes, hop),
      encodeBack: hop => withoutLastHop(bytes, hop)
    }
  }

  /**
   * Notes a message for this peer. Two proved messages are the same if their end-to-end id is, whatever
   * else a relay changed. A proved one is delivered even if a copy without its proof was faster, since
   * each relay on the way can strip a signature. One that came straight and has no signature is not: the
   * copy may be another attempt, which took another way. Two messages that are not proved are the same
   * if their bytes are.
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
    const unsigned = straight && message.sig === undefined
    const again = (proved && delivered.has(proof)) || ((!proved || unsigned) && delivered.has(content))
    if (proved && !again) delivered.add(proof)
    delivered.add(content)
    return { proved, again }
  }

  /** Notes that the application has a message. Its receipt is sent again for further attempts. */
  noteHanded (message) {
    this.#handed.add(this.#handedHash(message))
  }

  /** Returns whether the application has a message with this very body. */
  wasHanded (message) {
    return this.#handed.has(this.#handedHash(message))
  }

  #handedHash (message) {
    return this.#hash(message.body.from, OF_HANDED, message.body.e2e, this.#bodyHash(message))
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

  /** Returns the hash by which a copy of a message is known. A relay on the way can send one without its signature. */
  #hashOf (message) {
    return this.#hash(message.body.from, encodeText(message.nonce), this.#bodyHash(message), message.sig)
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

  /** Sends a message over the next link that takes it. Returns 'forwarded', or why none does. */
  #next (parcel) {
    const { hop, size, encode, hash, own } = parcel
    const left = budgets(hop)
    if (left.transmissions === 0) return 'hops'
    left.transmissions--
    let none = 'no route'
    for (const { link, detour = false } of this.#ways(parcel, left)) {
      none = 'busy'
      if (!link.fits(size)) continue
      const before = parcel.tried
      parcel.hop = packHop({ ...left, detours: left.detours - (detour ? 1 : 0) })
      parcel.tried += ` ${link.idHex}`
      if (link.send(encode(parcel.hop), parcel)) {
        if (parcel.back !== true) this.#passed.set(hash, parcel.tried)
        own?.went(link)
        return 'forwarded'
      }
      parcel.hop = hop
      parcel.tried = before
    }
    return none
  }

  /** Returns the links that a message may take, the best first. Those that are late come last. */
  #ways (parcel, left) {
    const { message, over, first, tried } = parcel
    if (over !== undefined) return [{ link: over }]
    if (isSearch(message.body)) return this.#searchLinks(message, this.links.get(parcel.from)).map(link => ({ link }))
    const all = [...this.#choices(parcel, left)]
    if (first?.up && !tried.includes(first.idHex)) {
      const { to } = message.body
      all.unshift({ link: first, detour: left.detours > 0 && !equalBytes(first.id, to) && compareDistance(first.id, this.#id, to) >= 0 })
    }
    return [...all.filter(({ link }) => !link.late), ...all.filter(({ link }) => link.late)]
  }

  /** Yields the links that a message may take, the best first. */
  * #choices ({ message: { body: { to }, route = [] }, barred, tried }, { detours, number }) {
    const may = link => link !== undefined && link.up && !barred.has(link.idHex) && !tried.includes(link.idHex)

    const direct = this.links.get(toHex(to))
    if (may(direct)) {
      // If it is full, there is no better way.
      yield { link: direct }
      return
    }
    const yielded = new Set()
    const relay = link => may(link) && link.role !== Role.LEAF && !yielded.has(link)

    for (const id of route.toReversed()) {
      const link = this.links.get(toHex(id))
      if (relay(link)) {
        yielded.add(link)
        yield { link }
      }
    }
    const byDistance = this.nearest(to, relay)
    const nearer = byDistance.filter(link => compareDistance(link.id, this.#id, to) < 0)
    // The first attempt of a reliable message may have died at the nearest one.
    if (number !== 0 && nearer.length > 1 && Math.random() < 0.5) [nearer[0], nearer[1]] = [nearer[1], nearer[0]]
    for (const link of nearer) {
      yielded.add(link)
      yield { link }
    }
    const via = this.#via.get(toHex(to))
    if (via !== undefined && this.#now() - via.at < VIA_AGE && relay(via.link)) {
      yielded.add(via.link)
      yield { link: via.link }
    }
    if (detours > 0) {
      for (const link of byDistance) if (!yielded.has(link)) yield { link, detour: true }
    }
  }

  /** Returns the links over which a search goes on. If there are none, it has arrived. */
  #searchLinks ({ body: { to, from }, path }, came) {
    if (!this.#relays && !equalBytes(from, this.#id)) return []
    const barred = new Set(path.map(toHex)).add(toHex(from))
    if (came !== undefined) barred.add(came.idHex)
    // No peer is nearer to an origin's own id than the origin. The first step of its search goes to the
    // nearest one.
    const starts = equalBytes(from, this.#id) && equalBytes(to, this.#id)
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
    case Kind.RECEIPT:
    case Kind.NOTICE:
    case Kind.REPORT: return form === Form.RAW
    case Kind.PING: return form === Form.RAW && payload.length === 0
    default: return false
  }
}
