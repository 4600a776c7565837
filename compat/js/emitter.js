/** The part of an EventEmitter that is needed here, for browsers too. */
export class Emitter {
  #listeners = new Map()

  on (event, listener) {
    const list = this.#listeners.get(event) ?? []
    this.#listeners.set(event, [...list, listener])
    return this
  }

  once (event, listener) {
    const first = (...args) => {
      this.off(event, first)
      listener.apply(this, args)
    }
    first.listener = listener
    return this.on(event, first)
  }

  off (event, listener) {
    const list = this.#listeners.get(event) ?? []
    this.#listeners.set(event, list.filter(one => one !== listener && one.listener !== listener))
    return this
  }

  emit (event, ...args) {
    const list = this.#listeners.get(event) ?? []
    for (const listener of list) {
      try {
        listener.apply(this, args)
      } catch (err) {
        // A mistake of the application must not stop the network's work, and must not be hidden.
        queueMicrotask(() => { throw err })
      }
    }
    return list.length > 0
  }
}
