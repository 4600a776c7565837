// The messages of this peer whose receipts it waits for, and their further attempts.

import { FULL_HOP, compareDistance, randomNonce } from './router.js'
import { Kind, Role, encodeText, equalBytes, toHex } from './wire.js'

export const TIMEOUT = 20_000

// Timers of JavaScript take no more.
const MAX_TIMEOUT = 2 ** 31 - 1

const MAX_OPEN = 1_024
const MAX_BYTES = 16 * 1024 * 1024
// Attempts of a message whose notices are believed. The last number of an attempt is 255.
const MAX_WAYS = 64
const MAX_NUMBER = 255
// ms from an attempt to the next one; the last one repeats.
const WAITS = [1_000, 2_000, 4_000]
const COPIES = 2
// Least age of a message for which there is no route: its receiver may just be joining.
const SETTLED = 500
// How long a better receipt is waited for than one that any relay could have made.
const GRACE = 1_000

const NO_NACKS = 0xffff00ff

const failure = (code, text) => Object.assign(new Error(text), { code })

const closed = () => failure('ERR_CLOSED', 'the peer is destroyed')

export class Receipts {
  #router
  #open = new Map()
  #bytes = 0
  #closed = false

  constructor (router) {
    this.#router = router
  }

  /**
   * Sends a message until its receipt comes.
   *
   * @param {{ body: object, bodyBytes: Uint8Array, sig?: Uint8Array }} message
   * @param {object} [options]
   * @param {AbortSignal} [options.signal]
   * @param {number} [options.timeout] in milliseconds
   * @returns {Promise<{ proved: boolean, handed: boolean, hops: number, ms: number }>}
   */
  async send (message, { signal, timeout = TIMEOUT } = {}) {
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', message.bodyBytes))
    signal?.throwIfAborted()
    if (this.#closed) throw closed()
    const size = message.bodyBytes.length
    if (this.#open.size >= MAX_OPEN || this.#bytes + size > MAX_BYTES) throw failure('ERR_BUSY', 'too many messages wait for their receipts')
    const key = toHex(message.body.e2e)
    const { promise, resolve, reject } = Promise.withResolvers()
    const send = { message, hash, resolve, reject, startedAt: Date.now(), number: 0, ways: [], noticed: false, weak: undefined }
    const abort = () => reject(signal.reason)
    signal?.addEventListener('abort', abort)
    const over = setTimeout(
      () => reject(failure('ERR_TIMEOUT', `no receipt of ${toHex(message.body.to)} in ${timeout} ms`)),
      Math.min(timeout, MAX_TIMEOUT))
    this.#open.set(key, send)
    this.#bytes += size
    try {
      this.#attempt(send, {})
      this.#schedule(send, WAITS[0])
      return await promise
    } finally {
      clearTimeout(over)
      clearTimeout(send.timer)
      signal?.removeEventListener('abort', abort)
      this.#open.delete(key)
      this.#bytes -= size
      this.#router.forget(send.ways.map(({ nonce }) => nonce))
    }
  }

  /** Ends all waits. */
  end () {
    this.#closed = true
    for (const { reject } of this.#open.values()) reject(closed())
  }

  /**
   * Takes a receipt. One that is proved, or came over a link to the receiver, is the receiver's word. Of
   * others the best that comes in a second is told.
   *
   * @returns {boolean} whether a message waits for it
   */
  onReceipt ({ body: { from } }, { e2e, hash, nonce, hops, handed }, { straight, proved }) {
    const send = this.#open.get(toHex(e2e))
    if (send === undefined || !equalBytes(hash, send.hash)) return false
    // A receiver does not hand a message to itself, and no other peer is the receiver.
    if (handed === equalBytes(from, send.message.body.to)) return false
    // The round trip of a ping is that of one copy.
    const way = send.message.body.kind === Kind.PING ? send.ways.find(way => equalBytes(encodeText(way.nonce), nonce)) : undefined
    const told = { proved: proved && !handed, handed, hops, ms: Date.now() - (way?.at ?? send.startedAt) }
    if (!handed && (proved || straight)) {
      send.resolve(told)
    } else if (send.weak === undefined) {
      send.weak = told
      this.#schedule(send, GRACE)
    } else if (send.weak.handed && !handed) {
      send.weak = told
    }
    return true
  }

  /**
   * Takes the word of a peer that it had no route for an attempt, or that it is linked with the
   * receiver, which is silent. Of the latter two are needed in any case.
   *
   * @returns {boolean} whether a message waits
   */
  onNotice ({ e2e, nonce, silent = false }) {
    const send = this.#open.get(toHex(e2e))
    if (send === undefined) return false
    return this.#onNoRoute(send, way => equalBytes(encodeText(way.nonce), nonce), silent)
  }

  #onNoRoute (send, isIt, silent = false) {
    const ways = send.ways.filter(isIt)
    if (ways.length === 0) return false
    for (const way of ways) way[silent ? 'silent' : 'none'] = true
    const firsts = test => new Set(send.ways.filter(test).map(({ first }) => first)).size
    const age = Date.now() - send.startedAt
    const nowhere = firsts(({ none }) => none) >= Math.min(2, this.#firstLinks(send).length)
    const enough = nowhere || firsts(({ none, silent }) => none || silent) >= 2
    if (age >= SETTLED && enough) {
      const to = toHex(send.message.body.to)
      send.reject(nowhere ? failure('ERR_NO_ROUTE', `no peer has the id ${to}`) : failure('ERR_SILENT', `${to} does not answer the peers that are linked with it`))
    } else if (send.weak === undefined && !send.noticed) {
      send.noticed = true
      this.#schedule(send, Math.max(0, Math.min(send.dueAt - Date.now(), SETTLED - age)))
    }
    return true
  }

  #schedule (send, wait) {
    clearTimeout(send.timer)
    send.dueAt = Date.now() + wait
    send.timer = setTimeout(() => {
      if (send.weak === undefined) this.#retry(send)
      else send.resolve(send.weak)
    }, wait)
  }

  /** Sends two more copies over first links that had none. One is enough to find a second peer without a route. */
  #retry (send) {
    const { noticed, number } = send
    const links = this.#firstLinks(send).slice(0, noticed ? 1 : COPIES)
    if (links.length > 0) send.number = Math.min(number + 1, MAX_NUMBER)
    send.noticed = false
    this.#schedule(send, WAITS[Math.min(send.number, WAITS.length - 1)])
    // Then no further peer has to look for a route.
    for (const first of links) this.#attempt(send, { first, nacks: !noticed })
  }

  /** Returns the links that an attempt may take first: those that none took, the nearest first, then the others. */
  #firstLinks ({ message: { body: { to } }, ways }) {
    const used = new Set(ways.map(({ first }) => first))
    const rank = link => equalBytes(link.id, to) ? 0 : (used.has(link.idHex) ? 2 : 1) + (link.late ? 2 : 0)
    return this.#router.nearest(to, link => link.role !== Role.LEAF || equalBytes(link.id, to))
      .sort((a, b) => rank(a) - rank(b) || compareDistance(a.id, b.id, to))
  }

  #attempt (send, { first, nacks = true }) {
    const nonce = randomNonce()
    const hop = ((nacks ? FULL_HOP : FULL_HOP & NO_NACKS) | send.number) >>> 0
    const own = {
      went: ({ idHex }) => { if (send.ways.length < MAX_WAYS) send.ways.push({ nonce, first: idHex, at: Date.now(), none: false }) },
      lost: reason => { if (reason === 'no route') this.#onNoRoute(send, way => way.nonce === nonce) }
    }
    this.#router.originate({ ...send.message, nonce }, { first, hop, own })
  }
}
