// The custody of one link: the messages that its peer has not acknowledged yet, and those of the peer
// that are to be acknowledged.

// The most that a link keeps without acknowledgement, and all links of a peer together. Of these each
// link may have a share in any case.
const LINK_BYTES = 4 * 1024 * 1024
const LINK_FRAMES = 8_192
const ALL_BYTES = 48 * 1024 * 1024
const SHARE_BYTES = 64 * 1024

// Messages and bytes that are acknowledged without delay.
const ACK_FRAMES = 32
const ACK_BYTES = 256 * 1024

/** The messages that a link was given and that are not acknowledged, by their number. */
export class Ledger {
  /** The number of the last message. */
  sent = 0
  bytes = 0
  #all
  #entries = new Map()

  /** @param {{ bytes: number }} all what all links of the peer keep together */
  constructor (all) {
    this.#all = all
  }

  get size () {
    return this.#entries.size
  }

  hasRoom (size) {
    if (this.size >= LINK_FRAMES || this.bytes + size > LINK_BYTES) return false
    return this.#all.bytes + size <= ALL_BYTES || this.bytes + size <= SHARE_BYTES
  }

  /** Notes a message, and returns its number. */
  add (parcel, size) {
    this.#entries.set(++this.sent, { parcel, size, writtenAt: undefined })
    this.#count(size)
    return this.sent
  }

  wrote (seq, now) {
    const entry = this.#entries.get(seq)
    if (entry !== undefined) entry.writtenAt = now
  }

  /** Takes what is acknowledged. Returns when the last of it was written; undefined if there is nothing. */
  ack (count) {
    let at
    for (const [seq, { writtenAt }] of this.#entries) {
      if (seq > count) break
      at = writtenAt ?? at
      this.take(seq)
    }
    return at
  }

  /** Takes one message, and returns it; undefined if it is not here any more. */
  take (seq) {
    const entry = this.#entries.get(seq)
    if (entry === undefined) return undefined
    this.#entries.delete(seq)
    this.#count(-entry.size)
    return entry.parcel
  }

  /** Returns the numbers and the messages that are here now. */
  list () {
    return Array.from(this.#entries, ([seq, { parcel }]) => ({ seq, parcel }))
  }

  #count (size) {
    this.bytes += size
    this.#all.bytes += size
  }
}

/** The messages that came over a link. Some are processed before others that came earlier. */
export class Arrivals {
  /** How many of the first ones are processed, which is what an acknowledgement tells. */
  processed = 0
  /** Whether no more of them count as processed. */
  closed = false
  #came = 0
  #told = 0
  #bytes = 0
  #ahead = new Set()

  /** Notes a message that came, and returns its number. */
  next () {
    return ++this.#came
  }

  done (seq, size) {
    if (this.closed) return
    this.#bytes += size
    this.#ahead.add(seq)
    while (this.#ahead.delete(this.processed + 1)) this.processed++
  }

  /** Returns 'now', 'soon' or 'never'. */
  get due () {
    const n = this.processed - this.#told
    if (n === 0) return 'never'
    return n >= ACK_FRAMES || this.#bytes >= ACK_BYTES ? 'now' : 'soon'
  }

  /** Notes that what is processed is told, and returns it. */
  tell () {
    this.#told = this.processed
    this.#bytes = 0
    return this.processed
  }
}
