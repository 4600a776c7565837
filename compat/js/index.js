// A peer of /peer-relay/1 on js-libp2p, for Node and browsers.

import { multiaddr } from '@multiformats/multiaddr'
import { Emitter } from './emitter.js'
import { idOf, peerIdBytes, publicKeyBytes, sealRecord, signBody, verifyMessage } from './identity.js'
import { Link, TIMES, goesFirst } from './link.js'
import { createNode } from './node.js'
import { Overlay } from './overlay.js'
import { Receipts } from './receipts.js'
import { Router, isQuestion, isWellFormed, randomNonce, randomToken } from './router.js'
import { rangeOf } from './addresses.js'
import {
  Bye, Flag, Form, Kind, MAX_PAYLOAD, MAX_TEXT, PROTOCOL, Role,
  LinkKind, decodeNotice, decodeReceipt, decodeText, encodeBody, encodeReceipt, encodeReport, encodeText, equalBytes, fromHex, toHex
} from './wire.js'

export { Role, toHex, fromHex }

const AGENT = 'peer-relay-js/0.1'
const PASSIVE_WAIT = 2_000
const TICK = 5_000
const RETRY_MIN = 1_000
const RETRY_MAX = 60_000
const RETRY_JOINED = 5_000
const CONNECT_TIMEOUT = 20_000
const REACH_TIMEOUT = 10_000
// Bytes of the messages that wait to be proved. One link may bring a quarter of them.
const WAITING_BYTES = 16 * 1024 * 1024
const WAITING_SHARE = 4
// Bytes of the frame of a ping that is answered.
const MAX_PING = 4_096
// Bytes that a waiting message takes beside its frame.
const WAITING_OVERHEAD = 512

/**
 * A peer with a 160-bit id that sends messages to any id over a network of direct links.
 *
 * Events, by `on(event, listener)`:
 * - `message(data, from, { proved, path })`: a message for this peer. `data` is a JSON value, a
 *   Uint8Array or undefined. `from` is the sender's id, 20 bytes. `proved` is true if the message
 *   is known to be the sender's. `path` is the ids of the sender and of the relays.
 * - `peer(id)`: a direct link to a peer is up.
 * - `disconnect(id)`: the last link to a peer is gone.
 */
export class PeerRelay extends Emitter {
  #libp2p
  #ownNode
  #id
  #idHex
  #peerIdBytes
  #privateKey
  #signs
  #hello
  #times
  #router
  #overlay
  #receipts
  #bootstrap
  #pending = new Set()
  #held = new Set()
  #opening = new Map()
  #topology
  #timers = new Set()
  #waiting = 0 // bytes
  #kept = { bytes: 0 } // without acknowledgement, of all links
  #recordCache
  #destroyed = false
  #ended

  /**
   * Makes a peer, and the libp2p node under it if none is given.
   *
   * @param {object} [options]
   * @param {import('@libp2p/interface').Libp2p} [options.libp2p] a started node, with identify, which
   *   the caller stops; by default a new one, which `destroy` stops
   * @param {string[]} [options.listen] multiaddrs for a new node to listen on; pages can not
   * @param {string[]} [options.bootstrap] multiaddrs, each ending in /p2p/…, of peers to join by
   * @param {import('@libp2p/interface').PrivateKey} [options.privateKey] the node's key, to sign
   *   with; by default the one that the node has
   * @param {boolean} [options.sign] sign the application's messages as well
   * @param {'peer' | 'leaf' | 'server'} [options.role] a leaf does not relay; by default, a peer that
   *   cannot be dialled is one
   * @param {number} [options.links] how many links to relays to look for
   * @param {number} [options.maxLinks] how many links to have before offers are refused
   * @param {(name: string) => Promise<string[] | undefined>} [options.lookup] resolves the names
   *   in strangers' addresses
   * @returns {Promise<PeerRelay>}
   */
  static async create (options = {}) {
    const bootstrap = (options.bootstrap ?? []).map(text => multiaddr(text))
    const { listen, privateKey } = options
    const libp2p = options.libp2p ?? await createNode({ listen, bootstrap, privateKey })
    const ownNode = libp2p === options.libp2p ? undefined : libp2p
    try {
      const bytes = peerIdBytes(libp2p.peerId)
      const peer = new PeerRelay({ ...options, libp2p, ownNode, bootstrap }, bytes, await idOf(bytes))
      await peer.#start()
      return peer
    } catch (err) {
      await ownNode?.stop()
      throw err
    }
  }

  /** @private use `PeerRelay.create` */
  constructor ({ libp2p, ownNode, bootstrap, privateKey, sign = false, role, links, maxLinks, lookup, times }, bytes, id) {
    if (id === undefined) throw new TypeError('use await PeerRelay.create(options)')
    super()
    this.#libp2p = libp2p
    this.#ownNode = ownNode
    this.#peerIdBytes = bytes
    this.#id = id
    this.#idHex = toHex(id)
    this.#privateKey = privateKey ?? libp2p.components?.privateKey
    this.#signs = sign
    if (sign && this.#privateKey === undefined) throw new TypeError('want privateKey to sign with')
    const ours = role === undefined
      ? (libp2p.getMultiaddrs().length > 0 ? Role.PEER : Role.LEAF)
      : { peer: Role.PEER, leaf: Role.LEAF, server: Role.SERVER }[role]
    if (ours === undefined) throw new TypeError(`no role ${role}`)
    this.#hello = { role: ours, agent: AGENT, features: ['custody'] }
    this.#times = { ...TIMES, ...times }
    this.#bootstrap = bootstrap
    this.#router = new Router({
      id,
      relays: ours !== Role.LEAF,
      deliver: (message, link) => this.#take(message, link),
      notify: (message, payload) => this.#aside(this.#reply(message, { kind: Kind.NOTICE, form: Form.RAW, payload }))
    })
    this.#receipts = new Receipts(this.#router)
    this.#overlay = new Overlay({
      id,
      idHex: this.#idHex,
      router: this.#router,
      originate: (body, options) => this.#originate(body, options),
      reply: (message, body) => this.#reply(message, body),
      dial: addresses => this.#dial(addresses),
      record: () => this.#record(),
      ranges: () => this.#ranges()
    }, { wantedLinks: links, maxLinks, lookup, searchEvery: times?.search })
  }

  /** @returns {Uint8Array} this peer's id, 20 bytes */
  get id () {
    return this.#id.slice()
  }

  /** @returns {string} this peer's id as 40 hexadecimal digits */
  get idHex () {
    return this.#idHex
  }

  /** @returns {Uint8Array[]} the ids of the peers with a direct link */
  get peers () {
    return this.#router.nearest(this.#id).map(link => link.id.slice())
  }

  /** @returns {string[]} multiaddrs by which this peer can be dialled */
  get addrs () {
    return this.#libp2p.getMultiaddrs().map(String)
  }

  /** @returns {Record<string, number>} how many messages were dropped, by reason */
  get drops () {
    return { ...this.#router.drops }
  }

  /**
   * Sends a value to a peer: a Uint8Array as bytes, undefined as no value, any other value as JSON.
   * Delivery is best effort.
   *
   * @param {Uint8Array | string} id
   * @param {unknown} [data]
   * @returns {Promise<boolean>} whether a link took the message
   */
  async send (id, data) {
    const to = asId(id)
    if (this.#destroyed) throw new Error('the peer is destroyed')
    return this.#originate({ to, kind: Kind.USER, ...encodeValue(data) })
  }

  /**
   * Sends a value, as `send` does, and further copies of it over other links, until the receiver's
   * receipt comes. The receiver's application gets one of them.
   *
   * @param {Uint8Array | string} id
   * @param {unknown} [data]
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] ends the wait, with its reason as the error
   * @param {number} [options.timeout] in milliseconds
   * @returns {Promise<{ proved: boolean, handed: boolean, hops: number, ms: number }>} `proved`: the
   *   receipt is known to be the receiver's, and otherwise a hostile relay may have made it. `handed`: the
   *   receiver is a peer of the npm package, which makes no receipts, and the peer in front of it says that
   *   it handed the message on. `hops`: the links over which the message came, 0 if that is not
   *   told. `ms`: the time from the first attempt to the receipt
   * @throws an error with the `code` ERR_NO_ROUTE if no peer has the id; ERR_SILENT if the receiver does not
   *   answer the peers that are linked with it; ERR_TIMEOUT if no receipt came in time, though the message may have arrived; ERR_BUSY if too many messages wait; ERR_CLOSED if the peer is destroyed
   */
  async sendReliable (id, data, { signal, timeout } = {}) {
    const to = asId(id)
    if (this.#destroyed) throw new Error('the peer is destroyed')
    signal?.throwIfAborted()
    const flags = Flag.RECEIPT | Flag.NOTICE
    const message = await this.#write({ to, kind: Kind.USER, flags, e2e: randomToken(), ...encodeValue(data) })
    if (equalBytes(to, this.#id)) {
      this.#emitMessage({ ...message, path: [this.#id] }, true)
      return { proved: true, handed: false, hops: 0, ms: 0 }
    }
    return this.#receipts.send(message, { signal, timeout })
  }

  /**
   * Asks a peer, linked or not, whether it is there, as `sendReliable` does with a message. Its application
   * gets nothing.
   *
   * @param {Uint8Array | string} id
   * @param {object} [options] those of `sendReliable`
   * @returns {Promise<{ proved: boolean, handed: boolean, hops: number, ms: number }>} as of `sendReliable`, but
   *   `ms` is the round trip of the copy that was answered
   * @throws the errors of `sendReliable`. A peer from before pings answers none: ERR_TIMEOUT
   */
  async ping (id, { signal, timeout } = {}) {
    const to = asId(id)
    if (this.#destroyed) throw new Error('the peer is destroyed')
    signal?.throwIfAborted()
    if (equalBytes(to, this.#id)) return { proved: true, handed: false, hops: 0, ms: 0 }
    const flags = Flag.RECEIPT | Flag.NOTICE
    const message = await this.#write({ to, kind: Kind.PING, form: Form.RAW, payload: new Uint8Array(0), flags, e2e: randomToken() })
    return this.#receipts.send(message, { signal, timeout })
  }

  /**
   * Asks a peer, linked or not, whether it is there. Peers of every kind answer.
   *
   * @param {Uint8Array | string} id
   * @param {{ timeout?: number }} [options] in milliseconds
   * @returns {Promise<boolean>}
   */
  async reach (id, { timeout = REACH_TIMEOUT } = {}) {
    const wanted = asId(id)
    if (this.#destroyed) throw new Error('the peer is destroyed')
    return equalBytes(wanted, this.#id) || this.#overlay.reach(wanted, timeout)
  }

  /**
   * Makes a direct link to a peer of the network.
   *
   * @param {Uint8Array | string} id an id, or a multiaddr that ends in /p2p/…
   * @param {{ timeout?: number }} [options] in milliseconds
   */
  async connect (id, { timeout = CONNECT_TIMEOUT } = {}) {
    if (this.#destroyed) throw new Error('the peer is destroyed')
    if (typeof id === 'string' && id.startsWith('/')) return this.#dial([multiaddr(id)], timeout)
    const wanted = asId(id)
    if (equalBytes(wanted, this.#id)) throw new TypeError('a peer has no link with itself')
    return this.#overlay.connect(wanted, timeout)
  }

  /**
   * Ends the direct link to a peer, and does not seek one for a minute.
   *
   * @param {Uint8Array | string} id
   */
  disconnect (id) {
    const idHex = toHex(asId(id))
    this.#overlay.avoid(idHex)
    this.#router.links.get(idHex)?.end(Bye.UNWANTED)
  }

  /** Ends all links, and the libp2p node if it is the peer's own. */
  destroy () {
    return this.#ended ??= this.#end()
  }

  async #end () {
    this.#destroyed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.#receipts.end()
    this.#libp2p.unregister(this.#topology)
    await this.#libp2p.unhandle(PROTOCOL)
    const all = [...this.#links]
    const closed = all.map(link => new Promise(resolve => this.#closers.set(link, resolve)))
    for (const link of all) link.end(Bye.SHUTDOWN)
    await Promise.all(closed)
    await this.#ownNode?.stop()
  }

  // --- links ---------------------------------------------------------------

  /** The links that are not closed yet, and what is called when one is. */
  #links = new Set()
  #closers = new Map()

  async #start () {
    await this.#libp2p.handle(PROTOCOL, (stream, connection) => {
      this.#adopt(stream, connection, false).catch(err => stream.abort(err))
    })
    this.#topology = await this.#libp2p.register(PROTOCOL, {
      onConnect: (_, connection) => {
        if (connection.direction === 'outbound') this.#open(connection).catch(() => {})
        else this.#after(PASSIVE_WAIT, () => this.#open(connection).catch(() => {}))
      }
    })
    for (const address of this.#bootstrap) this.#join(address)
    const every = this.#times.tick ?? TICK
    const tick = () => {
      this.#overlay.tick()
      this.#after(every, tick)
    }
    this.#after(every, tick)
  }

  #after (wait, task) {
    if (this.#destroyed) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      task()
    }, wait)
    this.#timers.add(timer)
  }

  /** Dials a bootstrap until it answers, and again when no relay is linked. */
  async #join (address, wait = RETRY_MIN, joined = false) {
    if (this.#destroyed) return
    const lonely = this.#router.nearest(this.#id, link => link.role !== Role.LEAF).length === 0
    if (!joined || lonely) {
      joined = await this.#dial([address]).then(() => true, () => false)
      wait = joined ? RETRY_MIN : Math.min(2 * wait, RETRY_MAX)
    }
    this.#after(joined ? RETRY_JOINED : wait, () => this.#join(address, wait, joined))
  }

  async #dial (addresses, timeout = CONNECT_TIMEOUT) {
    const connection = await this.#libp2p.dial(addresses, { signal: AbortSignal.timeout(timeout) })
    await this.#open(connection)
  }

  /** Opens a link over a connection, unless its peer has one or is about to have one. */
  async #open (connection) {
    const peer = connection.remotePeer.toString()
    if (this.#destroyed || connection.status !== 'open' || connection.remotePeer.equals(this.#libp2p.peerId)) return
    if ([...this.#links].some(link => link.state !== 'closed' && link.state !== 'ending' && link.peer === peer)) return
    if (!this.#opening.has(peer)) {
      const opening = connection.newStream(PROTOCOL)
        .then(stream => this.#adopt(stream, connection, true))
        .finally(() => this.#opening.delete(peer))
      this.#opening.set(peer, opening)
    }
    await this.#opening.get(peer)
  }

  async #adopt (stream, connection, opened) {
    const peerId = peerIdBytes(connection.remotePeer)
    const id = await idOf(peerId)
    if (this.#destroyed || equalBytes(id, this.#id)) {
      stream.abort(new Error('no link is wanted'))
      return
    }
    const link = new Link({
      stream,
      id,
      idHex: toHex(id),
      peerId,
      selfPeerId: this.#peerIdBytes,
      opened,
      webRTC: connection.remoteAddr.getComponents().some(({ name }) => name === 'webrtc-direct'),
      hello: this.#hello,
      times: this.#times,
      kept: this.#kept,
      handlers: {
        up: link => this.#onUp(link),
        // A message for others is processed by then, one for this peer when its turn has come.
        message: (link, message) => this.#receive(link, message),
        again: (link, parcel, stays) => this.#router.again(link, parcel, { stays }),
        nacked: (link, nack) => this.#router.nacked(link, nack),
        down: link => this.#onDown(link),
        closed: link => this.#onClosed(link)
      }
    })
    link.peer = connection.remotePeer.toString()
    link.waiting = 0 // bytes
    link.taken = Promise.resolve()
    this.#links.add(link)
    this.#pending.add(link)
    link.start()
  }

  #onUp (link) {
    this.#pending.delete(link)
    const { idHex } = link
    const { links } = this.#router
    const old = links.get(idHex)
    if (old !== undefined && !goesFirst(link, old, Date.now() - old.upAt)) {
      link.end(Bye.DUPLICATE)
      // The old link may be dead unnoticed, and the new one would be right.
      old.ping()
      return
    }
    links.set(idHex, link)
    if (old !== undefined) old.end(Bye.DUPLICATE)
    this.#overlay.ask(link).catch(() => {})
    this.#overlay.linked(idHex)
    const held = this.#held.delete(idHex)
    if (old === undefined && !held) this.emit('peer', link.id.slice())
  }

  #onDown (link) {
    const { idHex, byeReason } = link
    if (byeReason === Bye.UNWANTED || byeReason === Bye.PROTOCOL || byeReason > Bye.SILENT) this.#overlay.avoid(idHex)
    if (this.#router.links.get(idHex) !== link) return
    this.#router.links.delete(idHex)
    // The other end may hear before this one that a better link is up.
    if (this.#isPending(idHex)) this.#held.add(idHex)
    else this.emit('disconnect', link.id.slice())
  }

  #onClosed (link) {
    this.#links.delete(link)
    this.#pending.delete(link)
    if (this.#held.has(link.idHex) && !this.#isPending(link.idHex)) {
      this.#held.delete(link.idHex)
      this.emit('disconnect', link.id.slice())
    }
    this.#closers.get(link)?.()
    this.#closers.delete(link)
  }

  #isPending (idHex) {
    return [...this.#pending].some(link => link.idHex === idHex)
  }

  // --- messages ------------------------------------------------------------

  /** Writes the Body of a message, and signs it if it is to be signed. */
  async #write ({ kind, e2e, ...rest }) {
    const signs = this.#privateKey !== undefined && (this.#signs || isControl(kind))
    const body = {
      ...rest,
      kind,
      from: this.#id,
      flags: rest.flags ?? 0,
      e2e: e2e ?? (signs ? randomToken() : undefined),
      key: signs ? publicKeyBytes(this.#privateKey) : undefined
    }
    const bodyBytes = encodeBody(body)
    return { body, bodyBytes, sig: signs ? await signBody(this.#privateKey, bodyBytes) : undefined }
  }

  async #originate (fields, { over, route } = {}) {
    const message = { ...await this.#write(fields), nonce: randomNonce(), route: route?.slice(0, 20) }
    const { to, kind } = message.body
    if (kind === Kind.USER && equalBytes(to, this.#id)) {
      this.#emitMessage({ ...message, path: [this.#id] }, true)
      return true
    }
    return this.#router.originate(message, { over })
  }

  /** Answers a message. Its path is the way back. The answer to a peer that asked over its own link needs none. */
  #reply ({ body: { from }, path }, body) {
    return this.#originate({ ...body, to: from }, { route: path.length > 1 ? path.toReversed() : undefined })
  }

  /**
   * Takes a message for this peer, or returns the reason why not. A proof takes a while. The messages
   * of one link wait for each other, and not for those of other links.
   */
  #take (message, link) {
    const size = message.frame.length + WAITING_OVERHEAD
    if (this.#waiting + size > WAITING_BYTES || link.waiting + size > WAITING_BYTES / WAITING_SHARE) return 'busy'
    this.#waiting += size
    link.waiting += size
    link.taken = link.taken
      .then(() => this.#dispatch(message, link))
      .catch(() => this.#router.drop('malformed'))
      .finally(() => {
        this.#waiting -= size
        link.waiting -= size
      })
  }

  #receive (link, message) {
    const done = this.#router.receive(link, message)
    if (done === 'forwarded') this.#report(message, link)
    return done === 'delivered' ? link.taken : undefined
  }

  async #dispatch (message, link) {
    if (this.#destroyed) return
    const { body, path } = message
    const { from } = body
    const near = equalBytes(link.id, from)
    const straight = near && path.length === 1 && equalBytes(path[0], from)
    const signed = !straight && await verifyMessage(message)
    const { proved, again } = this.#router.delivery(message, { straight, signed })
    if (again) {
      this.#router.drop('delivered before')
      // It is another attempt, of which the origin may not have the receipt yet.
      if (wantsReceipt(body) && this.#router.wasHanded(message)) {
        this.#report(message, link)
        this.#confirm(message, link)
      }
      return
    }
    if (!isWellFormed(body)) {
      this.#router.drop('kind or form')
      return
    }
    if (isQuestion(body) && !link.ask(proved)) {
      this.#router.drop('rate')
      return
    }
    switch (body.kind) {
      case Kind.USER:
        if (!this.#emitMessage(message, proved)) {
          this.#router.drop('no listener')
        } else if (wantsReceipt(body)) {
          this.#router.noteHanded(message)
          this.#confirm(message, link)
        }
        break
      case Kind.PING:
        if (!wantsReceipt(body) || message.frame.length > MAX_PING) {
          this.#router.drop('kind or form')
          break
        }
        this.#router.noteHanded(message)
        this.#report(message, link)
        this.#confirm(message, link)
        break
      case Kind.RECEIPT:
        if (!this.#receipts.onReceipt(message, decodeReceipt(body.payload), { straight: near, proved })) this.#router.drop('not asked for')
        break
      case Kind.NOTICE:
        if (!this.#receipts.onNotice(decodeNotice(body.payload))) this.#router.drop('not asked for')
        break
      // A task that takes a while, such as a dial, must not delay the messages after it.
      case Kind.FIND:
        this.#aside(this.#overlay.onFind(message, link, proved))
        break
      case Kind.FOUND:
        if (!this.#overlay.onFound(message, proved)) this.#router.drop('not asked for')
        break
      case Kind.OFFER:
        this.#aside(this.#overlay.onOffer(message, proved))
        break
      case Kind.ANSWER:
        this.#aside(this.#overlay.onAnswer(message, proved).then(taken => { if (!taken) this.#router.drop('not asked for') }))
        break
      default:
        this.#router.drop('kind or form')
    }
  }

  #aside (promise) {
    promise.catch(() => this.#router.drop('malformed'))
  }

  /** Sends the receipt of a message that the application has. */
  #confirm (message, link) {
    if (link.mayConfirm()) this.#aside(this.#sendReceipt(message))
    else this.#router.drop('rate')
  }

  async #sendReceipt (message) {
    const { body: { e2e }, bodyBytes, nonce, path } = message
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bodyBytes))
    const payload = encodeReceipt({ e2e, hash, nonce: encodeText(nonce), hops: path.length, path: isTraced(message.body) ? path : undefined })
    await this.#reply(message, { kind: Kind.RECEIPT, form: Form.RAW, payload })
  }

  /** Tells the origin of a traced ping that it came to this peer. Only a signed one is worth it. */
  #report (message, link) {
    if (isTraced(message.body) && link.mayReport()) this.#aside(this.#sendReport(message))
  }

  async #sendReport (message) {
    const { body: { e2e }, nonce, path } = message
    if (!await verifyMessage(message)) return
    const payload = encodeReport({ e2e, nonce: encodeText(nonce), hops: path.length, link: LinkKind.NATIVE, agent: AGENT })
    await this.#reply(message, { kind: Kind.REPORT, form: Form.RAW, payload })
  }

  /** Returns whether the application listens. */
  #emitMessage ({ body, path }, proved) {
    return this.emit('message', decodeValue(body), body.from.slice(), { proved, path: path.map(id => id.slice()) })
  }

  // --- addresses -----------------------------------------------------------

  async #record () {
    const all = this.#libp2p.getMultiaddrs()
    const open = all.filter(address => rangeOf(address) === 'public' || rangeOf(address) === undefined)
    // Private addresses are of use only in a network that has no others.
    const multiaddrs = open.length > 0 ? open : all
    const text = multiaddrs.join()
    if (this.#recordCache?.text !== text) {
      const bytes = await sealRecord({ peerId: this.#libp2p.peerId, privateKey: this.#privateKey, multiaddrs })
      this.#recordCache = { text, bytes }
    }
    return this.#recordCache.bytes
  }

  #ranges () {
    const own = [...this.#libp2p.getMultiaddrs(), ...this.#bootstrap].map(rangeOf)
    return new Set(own.filter(range => range !== undefined && range !== 'never' && range !== 'public'))
  }
}

/** Returns whether messages of a kind are signed in any case. */
const isControl = kind => (kind >= Kind.FIND && kind <= Kind.NOTICE) || kind === Kind.PING || kind === Kind.REPORT

const wantsReceipt = ({ kind, flags, e2e }) =>
  (kind === Kind.USER || kind === Kind.PING) && (flags & Flag.RECEIPT) !== 0 && e2e !== undefined

const isTraced = ({ kind, flags, e2e }) => kind === Kind.PING && (flags & Flag.TRACE) !== 0 && e2e !== undefined

// --- values ------------------------------------------------------------------

const asId = id => {
  const bytes = typeof id === 'string' ? fromHex(id) : id
  if (!(bytes instanceof Uint8Array) || bytes.length !== 20 || bytes.every(byte => byte === 0)) {
    throw new TypeError('want an id: 20 bytes, not all zero, or their 40 hexadecimal digits')
  }
  return new Uint8Array(bytes)
}

const encodeValue = data => {
  if (data === undefined) return { form: Form.NONE }
  if (data instanceof Uint8Array) {
    if (data.length > MAX_PAYLOAD) throw new RangeError(`the data has ${data.length} bytes, more than MaxPayload (${MAX_PAYLOAD})`)
    return { form: Form.RAW, payload: new Uint8Array(data) }
  }
  const text = JSON.stringify(data)
  if (text === undefined) throw new TypeError('the data is no JSON value')
  const payload = encodeText(text)
  if (payload.length > MAX_TEXT) throw new RangeError(`the JSON text has ${payload.length} bytes, more than MaxText (${MAX_TEXT})`)
  return { form: Form.JSON, payload }
}

const decodeValue = ({ form, payload }) => {
  switch (form) {
    case Form.NONE: return undefined
    case Form.RAW: return payload.slice()
    default: return JSON.parse(decodeText(payload))
  }
}
