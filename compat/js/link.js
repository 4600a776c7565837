// One stream of /peer-relay/1: HELLO, the queue, liveness and the end.

import {
  Bye, FrameSplitter, MalformedError, MAX_FRAME, Role,
  compareBytes, decodeFrame, encodeBye, encodeHello, encodePing, encodePong, withLength
} from './wire.js'

export const TIMES = Object.freeze({
  hello: 10_000,
  pingIdle: 20_000,
  pingIdleWebRTC: 3_000,
  pingAnswer: 3_000,
  bye: 1_000,
  drain: 10_000
})

const MAX_OFFENCES = 16
// Not every message of the overlay fits into less.
const LEAST_MAX_FRAME = 8_192
const QUEUE_BYTES = 4 * 1024 * 1024
const QUEUE_FRAMES = 8_192
// Places for PONG and BYE in a queue that is full of messages.
const QUEUE_SPARE = 64
// Questions of the peer that are answered at once, and per second after that: each answer costs a
// signature.
const ASK_BURST = 64
const ASK_RATE = 32

const random64 = () => crypto.getRandomValues(new BigUint64Array(1))[0]

// Age in ms of a link from which on its opener has not opened it together with a new one.
const PAIR_TIME = 5_000

/**
 * Returns whether `a` goes before `b`, of two native links to one peer of which `b` is the older one
 * and has been up for `age` ms. This is the rule of exactly one link: both ends come to the same answer.
 */
export const goesFirst = (a, b, age) =>
  compareBytes(a.opener, b.opener) < 0 ||
  (compareBytes(a.opener, b.opener) === 0 && age < PAIR_TIME && a.linkValue < b.linkValue)

export class Link {
  /** 'hello' until the other's HELLO was read, then 'up', 'ending' (no more is sent) and 'closed'. */
  state = 'hello'
  upAt = 0 // Date.now() when it was up
  role = Role.PEER
  features = new Set()
  maxFrame = MAX_FRAME
  agent = ''
  counts = { malformed: 0, later: 0, reserved: 0 }

  #stream
  #handlers
  #times
  #pingIdle
  #splitter = new FrameSplitter()
  #ours
  #theirs
  #queue = []
  #queueBytes = 0
  #byeQueued = false
  #byeRead = false
  #timer
  #byeTimer
  #lastRead = Date.now()
  #lastWrite = Date.now()
  #pinged = false
  #asks = ASK_BURST
  #askedAt = Date.now()
  #told = false

  /**
   * @param {object} init
   * @param {import('@libp2p/interface').Stream} init.stream
   * @param {Uint8Array} init.id the other peer's id; `peerId` is the bytes of its libp2p peer id
   * @param {boolean} init.opened whether this side opened the stream
   * @param {{ role, agent, features }} init.hello what this side says in its HELLO
   * @param {{ up, message, down, closed }} init.handlers
   */
  constructor ({ stream, id, idHex, peerId, selfPeerId, opened, webRTC = false, hello, handlers, times = TIMES }) {
    Object.assign(this, { id, idHex, peerId, opened })
    this.opener = opened ? selfPeerId : peerId
    this.#stream = stream
    this.#handlers = handlers
    this.#times = times
    this.#pingIdle = webRTC ? times.pingIdleWebRTC : times.pingIdle
    this.#ours = { ...hello, link: hello.link ?? random64() }
  }

  /** Sends the HELLO. The constructor does not: a stream that is gone already ends the link at once. */
  start () {
    const stream = this.#stream
    stream.addEventListener('message', this.#onData)
    stream.addEventListener('drain', this.#onDrain)
    stream.addEventListener('remoteCloseWrite', this.#onEnd)
    stream.addEventListener('close', this.#onEnd)
    this.#timer = setTimeout(() => this.#reset(new Error('no HELLO in time')), this.#times.hello)
    if (stream.status === 'open') this.#enqueue(encodeHello(this.#ours))
    else this.#finish()
  }

  get up () {
    return this.state === 'up'
  }

  /** The value in the opener's HELLO, which orders the links of one opener. */
  get linkValue () {
    return this.opened ? this.#ours.link : this.#theirs.link
  }

  /**
   * Queues a message.
   *
   * @param {Uint8Array} frame
   * @returns {boolean} false if this link cannot take it: it is full or ending, or the frame is too large
   */
  send (frame) {
    if (this.state !== 'up' || !this.fits(frame.length)) return false
    if (this.#queueBytes + frame.length > QUEUE_BYTES || this.#queue.length >= QUEUE_FRAMES) return false
    this.#enqueue(frame)
    return true
  }

  /** Returns whether the other side takes frames of that size. */
  fits (size) {
    return size <= this.maxFrame
  }

  /** Asks whether the peer still lives. The link ends if nothing comes. */
  ping () {
    if (this.state !== 'up' || this.#pinged) return
    this.#pinged = true
    this.#lastWrite = Date.now()
    this.#enqueue(encodePing(random64()))
    this.#watch()
  }

  /**
   * Returns whether one more question that came over this link may be answered. The last half of the
   * burst is kept for questions of a proved origin, so that a flood of forged ones leaves them some.
   */
  ask (proved) {
    const now = Date.now()
    this.#asks = Math.min(ASK_BURST, this.#asks + Math.max(0, now - this.#askedAt) / 1_000 * ASK_RATE)
    this.#askedAt = now
    if (this.#asks < (proved ? 1 : 1 + ASK_BURST / 2)) return false
    this.#asks--
    return true
  }

  /** Ends the link: sends what is queued, then BYE. */
  end (reason = Bye.NORMAL) {
    if (this.state === 'hello') {
      // Only the HELLO may be sent before the other side's was read, so no BYE is.
      this.#reset(new Error('the link is not wanted'))
    } else if (this.state === 'up') {
      this.#leave('ending', reason)
      this.#sayBye(reason)
    }
  }

  #sayBye (reason) {
    this.#byeQueued = true
    // A peer that does not read must not keep the link.
    const { bye, drain } = this.#times
    this.#byeTimer = setTimeout(() => this.#reset(new Error('the queue was not read in time')), reason === Bye.SHUTDOWN ? bye : drain)
    this.#enqueue(encodeBye(reason))
  }

  #onData = ({ data }) => {
    if (this.state === 'closed') return
    try {
      for (const frame of this.#splitter.push(data instanceof Uint8Array ? data : data.subarray())) {
        this.#onFrame(frame)
        if (this.state === 'closed') return
      }
    } catch (err) {
      this.#reset(err)
    }
  }

  #onFrame (bytes) {
    if (this.#byeRead) return
    this.#lastRead = Date.now()
    this.#pinged = false
    let frame
    try {
      frame = decodeFrame(bytes)
    } catch (err) {
      if (!(err instanceof MalformedError) || this.state === 'hello') throw err
      this.#offence()
      return
    }
    if (this.state === 'hello') {
      if (frame.type !== 'hello') throw new MalformedError('the first frame is no HELLO')
      this.#onHello(frame.hello)
      return
    }
    switch (frame.type) {
      case 'message':
        this.#handlers.message(this, frame)
        break
      case 'ping':
        if (this.state === 'up' && this.#queue.length < QUEUE_FRAMES + QUEUE_SPARE) this.#enqueue(encodePong(frame.num))
        break
      case 'pong':
        break
      case 'bye':
        this.#onBye(frame.bye)
        break
      case 'hello':
        this.#offence()
        break
      case 'unknown':
        this.counts.later++
        break
      default:
        this.counts.reserved++
    }
  }

  #onHello (hello) {
    clearTimeout(this.#timer)
    this.#theirs = hello
    this.#splitter.max = MAX_FRAME
    this.role = hello.role === Role.LEAF || hello.role === Role.SERVER ? hello.role : Role.PEER
    this.maxFrame = Math.min(Math.max(hello.maxFrame || MAX_FRAME, LEAST_MAX_FRAME), MAX_FRAME)
    this.agent = hello.agent ?? ''
    const ours = new Set(this.#ours.features)
    this.features = new Set(hello.features.filter(name => ours.has(name)))
    this.state = 'up'
    this.upAt = Date.now()
    this.#watch()
    this.#handlers.up(this)
  }

  #offence () {
    if (++this.counts.malformed === MAX_OFFENCES) this.end(Bye.PROTOCOL)
  }

  #onBye (reason) {
    this.#byeRead = true
    if (this.state === 'up') {
      this.byeReason = reason
      this.#leave('ending', undefined)
      this.#sayBye(Bye.NORMAL)
    } else if (this.#queue.length === 0) {
      this.#finish()
    }
  }

  /** The other side has ended its direction, or the stream is gone. */
  #onEnd = () => {
    if (this.state === 'hello' || this.state === 'up') {
      this.#reset(new Error('the stream ended without a BYE'))
    } else if (this.#queue.length === 0 || this.#stream.status !== 'open') {
      this.#finish()
    }
  }

  #enqueue (frame) {
    if (this.state === 'closed') return
    const bytes = withLength(frame)
    this.#queue.push(bytes)
    this.#queueBytes += bytes.length
    this.#pump()
  }

  #onDrain = () => {
    this.#lastWrite = Date.now()
    this.#pump()
  }

  #pump () {
    const stream = this.#stream
    try {
      while (this.#queue.length > 0 && !stream.writableNeedsDrain) {
        const bytes = this.#queue.shift()
        this.#queueBytes -= bytes.length
        this.#lastWrite = Date.now()
        stream.send(bytes)
      }
    } catch {
      this.#finish()
      return
    }
    if (this.#byeQueued && this.#queue.length === 0) {
      this.#byeQueued = false
      stream.close({ signal: AbortSignal.timeout(this.#times.bye) }).catch(() => {})
      clearTimeout(this.#byeTimer)
      if (this.#byeRead) this.#finish()
      else this.#byeTimer = setTimeout(() => this.#finish(), this.#times.bye)
    }
  }

  /** Sets the one timer, for a silence after which to send a PING and for a PING without an answer. */
  #watch () {
    clearTimeout(this.#timer)
    if (this.state !== 'up') return
    const due = this.#pinged
      ? this.#lastWrite + this.#times.pingAnswer
      : this.#lastRead + this.#pingIdle
    const wait = due - Date.now()
    if (wait > 0) {
      this.#timer = setTimeout(() => this.#watch(), wait)
    } else if (this.#pinged) {
      this.end(Bye.SILENT)
    } else {
      this.ping()
    }
  }

  /** Ends the sending of messages. `reason` is this side's; the other side's is `byeReason`. */
  #leave (state, reason) {
    const wasUp = this.state === 'up'
    clearTimeout(this.#timer)
    this.state = state
    if (wasUp) this.#handlers.down(this, reason)
  }

  #finish () {
    if (this.state === 'closed') return
    this.#leave('closed')
    clearTimeout(this.#byeTimer)
    this.#byeQueued = false
    this.#queue = []
    this.#queueBytes = 0
    const stream = this.#stream
    stream.removeEventListener('message', this.#onData)
    stream.removeEventListener('drain', this.#onDrain)
    if (stream.status === 'open' || stream.status === 'closing') {
      stream.close({ signal: AbortSignal.timeout(this.#times.bye) }).then(
        () => { if (stream.remoteWriteStatus !== 'closed') setTimeout(() => stream.abort(new Error('the link is over')), this.#times.bye) },
        err => stream.abort(err))
    }
    this.#tellClosed()
  }

  #reset (err) {
    if (this.state === 'closed') return
    this.#leave('closed')
    clearTimeout(this.#byeTimer)
    this.#stream.abort(err)
    this.#tellClosed()
  }

  #tellClosed () {
    if (this.#told) return
    this.#told = true
    this.#handlers.closed(this)
  }
}
