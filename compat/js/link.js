// One stream of /peer-relay/1: HELLO, the queue, custody, liveness and the end.

import { Arrivals, Ledger } from './custody.js'
import {
  Bye, FrameSplitter, MalformedError, MAX_FRAME, Role,
  compareBytes, decodeFrame, equalBytes, encodeAck, encodeBye, encodeHello, encodeNack, encodePing, encodePong, withLength
} from './wire.js'

export const TIMES = Object.freeze({
  hello: 10_000,
  pingIdle: 20_000,
  pingIdleWebRTC: 3_000,
  pingAnswer: 3_000,
  ackDelay: 15,
  ackLeast: 250,
  bye: 1_000,
  drain: 10_000
})

const MAX_OFFENCES = 16
// Not every message of the overlay fits into less.
const LEAST_MAX_FRAME = 8_192
const QUEUE_BYTES = 4 * 1024 * 1024
const QUEUE_FRAMES = 8_192
// Places for PONGs that are not written yet, and for NACKs with their bytes.
const PONGS = 64
const NACKS = 1_024
const NACK_BYTES = 1024 * 1024
// ms for an acknowledgement from a peer that is heard, beside the time of a line of SLOW_LINE bytes per ms,
// and the most for one in any case. No transport of js-libp2p reports how much has arrived.
const ACK_MOST = 2_000
const SLOW_LINE = 16
const ANSWER_MOST = 60_000
// ms after its time at which a timer shows that the process did something else.
const BLOCKED = 50
// Questions of the peer that are answered at once, and per second after that: each answer costs a
// signature.
const ASK_BURST = 64
const ASK_RATE = 32
// The same for receipts of messages that came.
const RECEIPT_BURST = 512
const RECEIPT_RATE = 1_024
// The same for reports of traced pings that came.
const TRACE_BURST = 16
const TRACE_RATE = 4

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

/** A number of things at once, and a rate after that. */
class Allowance {
  #burst
  #rate
  #left
  #at = Date.now()

  constructor (burst, rate) {
    this.#burst = this.#left = burst
    this.#rate = rate
  }

  /** Takes one, if `spare` are left after it. */
  take (spare = 0) {
    const now = Date.now()
    this.#left = Math.min(this.#burst, this.#left + Math.max(0, now - this.#at) / 1_000 * this.#rate)
    this.#at = now
    if (this.#left < 1 + spare) return false
    this.#left--
    return true
  }
}

export class Link {
  /** 'hello' until the other's HELLO was read, then 'up', 'ending' (no more is sent) and 'closed'. */
  state = 'hello'
  upAt = 0 // Date.now() when it was up
  role = Role.PEER
  features = new Set()
  maxFrame = MAX_FRAME
  agent = ''
  /** Whether messages of the link are acknowledged. */
  custody = false
  /** Whether no acknowledgement came in time. Other links are preferred then. */
  late = false
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
  /** Frames that go ahead of the queue. */
  #urgent = []
  #urgentBytes = 0
  #ackDue = false
  #ackTimer
  #all
  #ledger
  #arrivals
  #ackWatch
  #ackedAt = 0
  #movedAt = 0
  #drainedAt = 0
  #roundTrip // ms from a message to its acknowledgement, smoothed; `deviation` is of it
  #deviation = 0
  #byeQueued = false
  #byeWritten = false
  #byeRead = false
  #timer
  #byeTimer
  #lastRead = Date.now()
  #lastWrite = Date.now()
  #pinged = false
  #doubted = false
  #asks = new Allowance(ASK_BURST, ASK_RATE)
  #receipts = new Allowance(RECEIPT_BURST, RECEIPT_RATE)
  #traces = new Allowance(TRACE_BURST, TRACE_RATE)
  #told = false

  /**
   * @param {object} init
   * @param {import('@libp2p/interface').Stream} init.stream
   * @param {Uint8Array} init.id the other peer's id; `peerId` is the bytes of its libp2p peer id
   * @param {boolean} init.opened whether this side opened the stream
   * @param {{ role, agent, features }} init.hello what this side says in its HELLO
   * @param {object} init.handlers `up`, `down` and `closed` are told of the link. `message` takes a message:
   *   it may return a promise for when it is processed. `again` takes a message that the peer did not
   *   take, and returns whether it found another way. `nacked` takes one that the peer returns.
   * @param {{ bytes: number }} [init.kept] what all links of this side keep without acknowledgement
   */
  constructor ({ stream, id, idHex, peerId, selfPeerId, opened, webRTC = false, hello, handlers, kept = { bytes: 0 }, times = TIMES }) {
    Object.assign(this, { id, idHex, peerId, opened })
    this.opener = opened ? selfPeerId : peerId
    this.#stream = stream
    this.#handlers = handlers
    this.#times = times
    this.#all = kept
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
   * @param {object} [parcel] what `again` and `nacked` are told of it
   * @returns {boolean} false if this link cannot take it: it is full or ending, or the frame is too large
   */
  send (frame, parcel) {
    if (this.state !== 'up' || !this.fits(frame.length)) return false
    if (this.#queueBytes + frame.length > QUEUE_BYTES || this.#queue.length >= QUEUE_FRAMES) return false
    const ledger = this.#ledger
    if (ledger?.hasRoom(frame.length) === false) return false
    if (ledger?.size === 0) this.#ackedAt = this.#movedAt = Date.now()
    this.#enqueue(frame, ledger?.add(parcel, frame.length))
    if (ledger !== undefined && this.#ackWatch === undefined) this.#watchAcks()
    return true
  }

  /**
   * Returns a message to the peer that sent it: by its number, or by its frame if it may be
   * acknowledged already.
   *
   * @returns {boolean} false if it does not go back
   */
  giveBack (nack) {
    if (this.state === 'closed' || this.#byeWritten) return false
    const bytes = withLength(encodeNack(nack))
    if (this.#urgent.length >= NACKS || this.#urgentBytes + bytes.length > NACK_BYTES) {
      // The peer does not read. It keeps what is not acknowledged from here on.
      this.#arrivals.closed = true
      this.end(Bye.SILENT)
      return false
    }
    this.#hasten(bytes)
    return true
  }

  /** Returns whether the other side takes frames of that size. */
  fits (size) {
    return size <= this.maxFrame
  }

  /**
   * Asks whether the peer still lives. The link ends if nothing comes: soon if the link is in doubt
   * since there is another one to the peer.
   */
  ping (doubted = true) {
    if (this.state !== 'up') return
    this.#doubted ||= doubted
    if (!this.#pinged) {
      this.#pinged = true
      this.#lastWrite = Date.now()
      this.#hasten(withLength(encodePing(random64())))
    }
    this.#watch()
  }

  /**
   * Returns whether one more question that came over this link may be answered. The last half of the
   * burst is kept for questions of a proved origin, so that a flood of forged ones leaves them some.
   */
  ask (proved) {
    return this.#asks.take(proved ? 0 : ASK_BURST / 2)
  }

  /** Returns whether one more receipt may be sent for a message that came over this link. */
  mayConfirm () {
    return this.#receipts.take()
  }

  /** Returns whether one more report may be sent for a traced ping that came over this link. */
  mayReport () {
    return this.#traces.take()
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
    // The peer sends another way the messages that are not acknowledged before the BYE.
    this.#ackDue = this.#arrivals !== undefined && this.#arrivals.due !== 'never'
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
    this.#pinged = this.#doubted = false
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
        this.#onMessage(frame)
        break
      case 'ping':
        if (this.state === 'up' && this.#urgent.length < PONGS) this.#hasten(withLength(encodePong(frame.num)))
        break
      case 'pong':
        this.#isInTime()
        break
      case 'ack':
        if (this.custody) this.#onAck(frame.num)
        else this.counts.reserved++
        break
      case 'nack':
        if (this.custody) this.#onNack(frame.nack)
        else this.counts.reserved++
        break
      case 'neighbours': // its feature is not named
        this.counts.reserved++
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
    }
  }

  // --- custody -------------------------------------------------------------

  #onMessage (message) {
    if (!this.custody) {
      this.#handlers.message(this, message)
      return
    }
    message.seq = this.#arrivals.next()
    const { seq, frame: { length } } = message
    const taken = this.#handlers.message(this, message)
    if (taken === undefined) this.#onProcessed(seq, length)
    else taken.then(() => this.#onProcessed(seq, length))
  }

  #onProcessed (seq, size) {
    const arrivals = this.#arrivals
    arrivals.done(seq, size)
    if (this.state === 'closed' || this.#byeWritten || arrivals.due === 'never') return
    if (arrivals.due === 'now') this.#acknowledge()
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), this.#times.ackDelay)
  }

  #acknowledge () {
    clearTimeout(this.#ackTimer)
    this.#ackTimer = undefined
    this.#ackDue = true
    this.#pump()
  }

  #onAck (count) {
    const ledger = this.#ledger
    if (count > BigInt(ledger.sent)) {
      this.#offence()
      return
    }
    const { size } = ledger
    const at = ledger.ack(Number(count))
    if (ledger.size === size) return
    const now = Date.now()
    if (at !== undefined) this.#sample(now - at)
    this.#ackedAt = now
    this.#isInTime()
  }

  #onNack ({ seq, reason, frame }) {
    const parcel = frame === undefined && seq <= BigInt(this.#ledger.sent) ? this.#ledger.take(Number(seq)) : undefined
    // A message that is not here any more took another way before.
    if (frame !== undefined || parcel !== undefined) this.#handlers.nacked(this, { parcel, frame, reason })
  }

  /** An acknowledgement or a PONG came. */
  #isInTime () {
    this.late = false
    this.#movedAt = Date.now()
    if (this.#ackWatch === undefined) this.#watchAcks()
  }

  /** Notes a time from a message to its acknowledgement. */
  #sample (ms) {
    if (this.#roundTrip === undefined) {
      this.#roundTrip = ms
      this.#deviation = ms / 2
    } else {
      this.#deviation += (Math.abs(ms - this.#roundTrip) - this.#deviation) / 4
      this.#roundTrip += (ms - this.#roundTrip) / 8
    }
  }

  /** Sets the timer for an acknowledgement that is late. It is started once and looks again when it fires. */
  #watchAcks () {
    this.#ackWatch = undefined
    if (this.state !== 'up' || this.late || this.#ledger === undefined || this.#ledger.size === 0) return
    const { ackLeast } = this.#times
    const round = this.#roundTrip === undefined ? 0 : this.#roundTrip + Math.max(this.#roundTrip, 4 * this.#deviation)
    const now = Date.now()
    let wait = this.#movedAt + Math.min(Math.max(ackLeast, round), ANSWER_MOST) - now
    if (wait <= 0 && this.#carries(now, wait < -BLOCKED)) {
      this.#movedAt = now
      wait = ackLeast
    }
    if (wait > 0) {
      this.#ackWatch = setTimeout(() => this.#watchAcks(), wait)
      return
    }
    this.late = true
    this.ping(false)
    this.#handOver()
  }

  /**
   * Returns whether a line without acknowledgements is only slow: the peer is heard, or the writer goes
   * on. A process that was `blocked` for a time has not read everything that came.
   */
  #carries (now, blocked) {
    const moves = blocked || this.#lastRead > this.#movedAt || this.#drainedAt > this.#movedAt
    return moves && now - this.#ackedAt < ACK_MOST + this.#ledger.bytes / SLOW_LINE
  }

  /**
   * Sends the messages of a late link another way. Those for its peer stay as well, since the peer may
   * only be paused. So do those for which there is no other way.
   */
  #handOver () {
    for (const { seq, parcel } of this.#ledger.list()) {
      if (parcel === undefined || parcel.copied) continue
      const gone = this.#handlers.again(this, parcel, true)
      if (this.#isFor(parcel)) parcel.copied = gone
      else if (gone) this.#ledger.take(seq)
    }
  }

  /** Sends another way what the peer did not take before its last frame, or what it never will. */
  #pass (all) {
    if (this.#ledger === undefined) return
    const passed = this.#ledger.list().filter(({ parcel }) => all || !this.#isFor(parcel))
    const numbers = new Set(passed.map(({ seq }) => seq))
    for (const seq of numbers) this.#ledger.take(seq)
    const kept = this.#queue.filter(({ seq }) => !numbers.has(seq))
    this.#queue = kept
    this.#queueBytes = kept.reduce((sum, { bytes }) => sum + bytes.length, 0)
    for (const { parcel } of passed) if (parcel !== undefined) this.#handlers.again(this, parcel, false)
  }

  #isFor (parcel) {
    return parcel !== undefined && equalBytes(parcel.message.body.to, this.id)
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
    this.custody = this.features.has('custody')
    if (this.custody) {
      this.#ledger = new Ledger(this.#all)
      this.#arrivals = new Arrivals()
    }
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
      this.#pass(false)
      this.#sayBye(Bye.NORMAL)
    } else {
      this.#pass(false)
      if (this.#byeWritten) this.#finish()
    }
  }

  /** The other side has ended its direction, or the stream is gone. */
  #onEnd = () => {
    if (this.state === 'hello' || this.state === 'up') {
      this.#reset(new Error('the stream ended without a BYE'))
    } else if (this.#byeWritten || this.#stream.status !== 'open') {
      this.#finish()
    }
  }

  #enqueue (frame, seq) {
    if (this.state === 'closed') return
    const bytes = withLength(frame)
    this.#queue.push({ bytes, seq })
    this.#queueBytes += bytes.length
    this.#pump()
  }

  /** Queues a frame, with its length, ahead of the messages. */
  #hasten (bytes) {
    if (this.state === 'closed' || this.#byeWritten) return
    this.#urgent.push(bytes)
    this.#urgentBytes += bytes.length
    this.#pump()
  }

  #onDrain = () => {
    this.#lastWrite = this.#drainedAt = Date.now()
    this.#pump()
  }

  /** Takes the next bytes to write. NACKs go before the acknowledgement that counts their messages. */
  #next () {
    if (this.#urgent.length > 0) {
      const bytes = this.#urgent.shift()
      this.#urgentBytes -= bytes.length
      return { bytes }
    }
    if (this.#ackDue) {
      this.#ackDue = false
      return { bytes: withLength(encodeAck(this.#arrivals.tell())) }
    }
    const next = this.#queue.shift()
    if (next !== undefined) this.#queueBytes -= next.bytes.length
    return next
  }

  get #idle () {
    return this.#urgent.length === 0 && !this.#ackDue && this.#queue.length === 0
  }

  #pump () {
    if (this.state === 'closed' || this.#byeWritten) return
    const stream = this.#stream
    try {
      while (!this.#idle && !stream.writableNeedsDrain) {
        const { bytes, seq } = this.#next()
        this.#lastWrite = Date.now()
        if (seq !== undefined) this.#ledger.wrote(seq, this.#lastWrite)
        stream.send(bytes)
      }
    } catch {
      this.#finish()
      return
    }
    if (this.#byeQueued && this.#idle) {
      this.#byeQueued = false
      this.#byeWritten = true
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
    const { pingAnswer } = this.#times
    const due = this.#pinged
      ? Math.max(this.#lastWrite + pingAnswer, this.#doubted ? 0 : this.#lastRead + this.#pingIdle + pingAnswer)
      : this.#lastRead + this.#pingIdle
    const wait = due - Date.now()
    if (wait > 0) {
      this.#timer = setTimeout(() => this.#watch(), wait)
    } else if (this.#pinged) {
      this.end(Bye.SILENT)
    } else {
      this.ping(false)
    }
  }

  /** Ends the sending of messages. `reason` is this side's; the other side's is `byeReason`. */
  #leave (state, reason) {
    const wasUp = this.state === 'up'
    clearTimeout(this.#timer)
    clearTimeout(this.#ackWatch)
    this.state = state
    if (wasUp) this.#handlers.down(this, reason)
  }

  #finish () {
    if (this.state === 'closed') return
    this.#leave('closed')
    clearTimeout(this.#byeTimer)
    clearTimeout(this.#ackTimer)
    this.#byeQueued = false
    this.#pass(true)
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
    clearTimeout(this.#ackTimer)
    this.#stream.abort(err)
    this.#pass(true)
    this.#tellClosed()
  }

  #tellClosed () {
    if (this.#told) return
    this.#told = true
    this.#handlers.closed(this)
  }
}
