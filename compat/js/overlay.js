// How a peer finds others: findPeers, foundPeers, offers and answers.

import { multiaddr } from '@multiformats/multiaddr'
import { openRecord } from './identity.js'
import { mayDial } from './addresses.js'
import { compareDistance, randomToken } from './router.js'
import {
  Flag, Form, Kind, MAX_FOUND, Role,
  concatBytes, decodeAnswer, encodeAnswer, equalBytes, toHex
} from './wire.js'

const QUERY_EXPIRY = 10_000
const OFFER_EXPIRY = 6_000
const SEARCH_EVERY = 30_000
const REACH_AGAIN = 2_000
const REFUSED_FOR = 60_000
const PER_SOURCE = 8
const MAX_CANDIDATES = 64
const CANDIDATE_AGE = 120_000
const OFFERS_AT_ONCE = 3
const DIALS_AT_ONCE = 3
// Bytes around the ids of a foundPeers that has a token and is signed with an Ed25519 key.
const FOUND_OVERHEAD = 240

export class Overlay {
  #peer
  #wanted
  #maxLinks
  /** Open questions, by the id that was asked, and searches, by their token. */
  #questions = new Map()
  #candidates = new Map()
  #offers = new Map()
  #refused = new Map()
  #waiting = new Map()
  /** Functions to call with the next message of a peer, by its id. */
  #reaching = new Map()
  /** The ids of peers that are being dialled: of those that took our offers, and of those whose offers we took. */
  #dials = new Set()
  #dialsOffered = new Set()
  #lookup
  #searchEvery
  #searched = Date.now()

  /**
   * @param {object} peer what the overlay needs of its peer: id, idHex, router, originate, reply,
   *   dial, record, ranges
   */
  constructor (peer, { wantedLinks = 3, maxLinks = 64, lookup, searchEvery = SEARCH_EVERY } = {}) {
    this.#peer = peer
    this.#wanted = wantedLinks
    this.#maxLinks = maxLinks
    this.#lookup = lookup
    this.#searchEvery = searchEvery
  }

  /** Asks the peer of a new link for the peers near this one. */
  async ask (link) {
    this.#questions.set(link.idHex, { until: Date.now() + QUERY_EXPIRY })
    await this.#peer.originate({ to: link.id, kind: Kind.FIND, form: Form.RAW, payload: this.#peer.id }, { over: link })
  }

  /** Searches the network for the peers nearest to an id. */
  async search (target) {
    const token = randomToken()
    this.#questions.set(toHex(token), { until: Date.now() + QUERY_EXPIRY })
    await this.#peer.originate({ to: target, kind: Kind.FIND, form: Form.RAW, flags: Flag.CLOSEST, token, payload: target })
  }

  /** Forgets what has expired, and looks for links if there are too few. */
  tick () {
    const now = Date.now()
    for (const map of [this.#questions, this.#offers, this.#refused, this.#candidates]) {
      for (const [key, { until }] of map) if (until <= now) map.delete(key)
    }
    this.#seek()
    if (this.#lacksLinks() && now - this.#searched >= this.#searchEvery) {
      this.#searched = now
      this.search(this.#peer.id).catch(() => {})
    }
  }

  /** Returns whether there are too few links, and a relay to ask for more. */
  #lacksLinks () {
    const { router, id } = this.#peer
    const relays = router.nearest(id, link => link.role !== Role.LEAF).length
    return relays > 0 && relays < this.#wanted && router.links.size < this.#maxLinks
  }

  /** Notes that a link is up, which `connect` may wait for. */
  linked (idHex) {
    this.#offers.delete(idHex)
    this.#candidates.delete(idHex)
    for (const resolve of this.#waiting.get(idHex) ?? []) resolve()
    this.#waiting.delete(idHex)
  }

  /** Does not seek a link to a peer for some time. */
  avoid (idHex) {
    this.#refused.set(idHex, { until: Date.now() + REFUSED_FOR })
    this.#candidates.delete(idHex)
  }

  /** Offers a link to a peer and waits until it is there. */
  async connect (id, timeout) {
    const idHex = toHex(id)
    if (this.#peer.router.links.get(idHex)?.up) return
    let resolve
    let timer
    const up = new Promise((_resolve, reject) => {
      resolve = _resolve
      timer = setTimeout(() => reject(new Error(`no link to ${idHex} in time`)), timeout)
    })
    const waiting = this.#waiting.get(idHex) ?? new Set()
    this.#waiting.set(idHex, waiting.add(resolve))
    try {
      if (!this.#offers.has(idHex)) await this.#offer(id)
      await up
    } finally {
      clearTimeout(timer)
      waiting.delete(resolve)
      if (waiting.size === 0 && this.#waiting.get(idHex) === waiting) this.#waiting.delete(idHex)
    }
  }

  /** Asks a peer for the peers near it, and again until it answers. Returns whether it does in time. */
  async reach (id, timeout) {
    const idHex = toHex(id)
    const waiting = this.#reaching.get(idHex) ?? new Set()
    this.#reaching.set(idHex, waiting)
    let answered
    const answer = new Promise(resolve => { answered = resolve })
    waiting.add(answered)
    const ask = () => this.#peer.originate({ to: id, kind: Kind.FIND, form: Form.RAW, token: randomToken(), payload: this.#peer.id })
      .catch(() => {})
    // A message can be lost where links come and go, though the peer is there.
    const again = setInterval(ask, REACH_AGAIN)
    const over = setTimeout(answered, timeout, false)
    try {
      await ask()
      return await answer
    } finally {
      clearInterval(again)
      clearTimeout(over)
      waiting.delete(answered)
      if (waiting.size === 0 && this.#reaching.get(idHex) === waiting) this.#reaching.delete(idHex)
    }
  }

  // --- what comes ----------------------------------------------------------

  async onFind (message, link, proved) {
    const { body: { from, payload, flags, token }, path, frame } = message
    const { router, id } = this.#peer
    const straight = path.length === 1 && equalBytes(link.id, from)
    const room = proved || straight
      ? MAX_FOUND
      : Math.max(0, Math.min(MAX_FOUND, Math.floor((3 * frame.length - FOUND_OVERHEAD - 22 * path.length) / 20)))
    const ids = router.nearest(payload, other => !equalBytes(other.id, from)).map(other => other.id)
    const searched = (flags & Flag.CLOSEST) !== 0
    const found = searched ? [...ids.slice(0, Math.max(0, room - 1)), id] : ids.slice(0, room)
    await this.#peer.reply(message, { kind: Kind.FOUND, form: Form.RAW, token, payload: concatBytes(found) })
  }

  onFound ({ body: { from, token, key: signer, payload } }, proved) {
    // A legacy peer cannot prove its answer. Any message from it is enough here.
    const reached = proved || signer === undefined ? this.#reaching.get(toHex(from)) : undefined
    for (const answered of reached ?? []) answered(true)
    const byToken = token === undefined ? undefined : toHex(token)
    const key = byToken !== undefined && this.#questions.has(byToken) ? byToken : toHex(from)
    const question = this.#questions.get(key)
    if (question === undefined || question.until <= Date.now() || (key !== byToken && !proved)) return reached !== undefined
    this.#questions.delete(key)
    const until = Date.now() + CANDIDATE_AGE
    const { id: self, router } = this.#peer
    const ids = []
    for (let at = 0; at < payload.length; at += 20) ids.push(payload.slice(at, at + 20))
    const source = toHex(from)
    let room = PER_SOURCE - [...this.#candidates.values()].filter(candidate => candidate.source === source).length
    for (const id of ids) {
      if (room <= 0 || this.#candidates.size >= MAX_CANDIDATES) break
      const idHex = toHex(id)
      if (equalBytes(id, self) || id.every(byte => byte === 0) || router.links.has(idHex) || this.#candidates.has(idHex)) continue
      this.#candidates.set(idHex, { id, source, until })
      room--
    }
    this.#seek()
    return true
  }

  async onOffer (message, proved) {
    const { body: { from, token, key, record } } = message
    const idHex = toHex(from)
    const { router, idHex: self } = this.#peer
    const linked = router.links.get(idHex)
    if (linked?.up) {
      linked.ping()
      return
    }
    if (this.#offers.has(idHex)) {
      if (idHex > self) return
      // A forged offer must not end this peer's own.
      if (proved) this.#offers.delete(idHex)
    }
    if (router.links.size >= this.#maxLinks) {
      if (key !== undefined) await this.#peer.reply(message, { kind: Kind.ANSWER, form: Form.NONE, token })
      return
    }
    const own = await this.#peer.record()
    await this.#peer.reply(message, { kind: Kind.ANSWER, form: Form.RAW, token, record: own, payload: encodeAnswer() })
    if (own === undefined && record !== undefined && proved) await this.#dialRecord(record, from, this.#dialsOffered)
  }

  async onAnswer ({ body: { from, form, token, key, record, payload } }, proved) {
    const idHex = toHex(from)
    const offer = this.#offers.get(idHex)
    if (offer === undefined || offer.until <= Date.now()) return false
    if ((token !== undefined || key !== undefined) && (token === undefined || !equalBytes(token, offer.token))) return false
    if (key !== undefined && !proved) return false
    if (form === Form.RAW) {
      // `ws` and `wrtc` are for legacy links, which this peer does not make.
      decodeAnswer(payload)
    }
    this.#offers.delete(idHex)
    if (form === Form.NONE) this.avoid(idHex)
    else if (record !== undefined) await this.#dialRecord(record, from, this.#dials)
    return true
  }

  // --- what goes -----------------------------------------------------------

  async #offer (id) {
    const token = randomToken()
    this.#offers.set(toHex(id), { token, until: Date.now() + OFFER_EXPIRY })
    const record = await this.#peer.record()
    const sent = await this.#peer.originate({ to: id, kind: Kind.OFFER, form: Form.NONE, token, record })
    if (!sent) this.#offers.delete(toHex(id))
  }

  #seek () {
    const { router, id: self } = this.#peer
    if (!this.#lacksLinks()) return
    const nearest = [...this.#candidates.values()].sort((a, b) => compareDistance(a.id, b.id, self))
    for (const { id } of nearest) {
      if (this.#offers.size >= OFFERS_AT_ONCE) return
      const idHex = toHex(id)
      this.#candidates.delete(idHex)
      if (router.links.has(idHex) || this.#offers.has(idHex) || this.#refused.has(idHex)) continue
      this.#offer(id).catch(() => {})
    }
  }

  /** Dials the addresses of a record, if there is a place for one more dial. */
  async #dialRecord (bytes, from, places) {
    const record = await openRecord(bytes, from)
    const idHex = toHex(from)
    if (record === undefined || places.size >= DIALS_AT_ONCE || places.has(idHex)) return
    places.add(idHex)
    try {
      const ranges = this.#peer.ranges()
      const suffix = `/p2p/${record.peerId}`
      const addresses = []
      for (const address of record.multiaddrs) {
        if (await mayDial(address, ranges, this.#lookup)) {
          addresses.push(address.getComponents().some(({ name }) => name === 'p2p') ? address : multiaddr(address + suffix))
        }
      }
      if (addresses.length > 0) await this.#peer.dial(addresses)
    } catch {
      // An address that does not answer is a stranger's mistake. connect() has its own time limit.
    } finally {
      places.delete(idHex)
    }
  }
}
