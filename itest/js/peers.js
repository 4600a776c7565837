'use strict'

// Peers of npm `peer-relay` as published, any number in one process.

const crypto = require('node:crypto')
const vm = require('node:vm')
const PeerRelay = require('peer-relay')

// The package takes its id from crypto.randomBytes(20) and has no option for it.
function withNodeId (hex, make) {
  if (!hex) return make()
  const randomBytes = crypto.randomBytes
  crypto.randomBytes = (n, ...rest) => n === 20 ? Buffer.from(hex, 'hex') : randomBytes(n, ...rest)
  try {
    return make()
  } finally {
    crypto.randomBytes = randomBytes
  }
}

// decode returns the JavaScript value of a command: JSON text, the bytes of a Buffer,
// or any expression (undefined, -0, new Date(0), …). None of them: undefined.
function decode ({ json, base64, js }) {
  if (json !== undefined) return JSON.parse(json)
  if (base64 !== undefined) return Buffer.from(base64, 'base64')
  if (js !== undefined) return vm.runInThisContext(`(${js})`)
}

module.exports = (emit) => {
  const peers = new Map()

  function get (name) {
    const peer = peers.get(name)
    if (!peer) throw new Error(`no peer ${name}`)
    return peer
  }

  return {
    // create answers once the peer listens, or at once if it has no port.
    create ({ peer: name, nodeId, port, bootstrap, hold, wrtc }) {
      if (peers.has(name)) throw new Error(`a peer ${name} exists`)
      const opts = { bootstrap: bootstrap ?? [] }
      if (port != null) opts.port = port
      // An empty one is enough to be announced ({"wrtc":true}), not to be used.
      if (wrtc) opts.wrtc = wrtc === 'real' ? require('@roamhq/wrtc') : {}
      const peer = withNodeId(nodeId, () => new PeerRelay(opts))
      peers.set(name, peer)

      peer.on('peer', (id) => emit('peer', { peer: name, node: id.toString('hex') }))
      peer.peers.on('removed', (c) => emit('disconnect', { peer: name, node: c.id.toString('hex') }))
      peer.on('message', (data, from) => {
        // text is absent for undefined: JSON.stringify leaves it out.
        emit('message', { peer: name, node: from.toString('hex'), text: JSON.stringify(data) })
      })
      if (hold) {
        // Held from dialling and from being dialled: only bootstraps and explicit connects make links.
        peer.connect = () => {}
        peer._onHandshakeOffer = () => {}
      }

      const ready = () => ({ nodeId: peer.id.toString('hex'), url: peer.wsConnector.url })
      if (port == null) return ready()
      return new Promise((resolve, reject) => {
        // The connector's own listener, which sets the url, was there first.
        peer.wsConnector._wss.once('listening', () => resolve(ready()))
        peer.wsConnector._wss.once('error', reject)
      })
    },

    send ({ peer, to, value }) {
      get(peer).send(Buffer.from(to, 'hex'), decode(value))
    },

    // sendAll sends in order, in one turn.
    sendAll ({ peer, to, values }) {
      const id = Buffer.from(to, 'hex')
      for (const value of values) get(peer).send(id, decode(value))
    },

    connect ({ peer, to }) {
      PeerRelay.prototype.connect.call(get(peer), Buffer.from(to, 'hex'))
    },

    disconnect ({ peer, to }) {
      get(peer).disconnect(Buffer.from(to, 'hex'))
    },

    stats ({ peer: name }) {
      const peer = get(name)
      return {
        count: peer.peers.count(),
        peers: peer.peers.toArray().map((c) => c.id.toString('hex')),
        candidates: peer.canidates.count(),
        pending: Object.keys(peer.pending).length,
        queued: peer.router._queue.length
      }
    },

    // destroy answers from the package's own callback.
    destroy ({ peer: name }) {
      const peer = get(name)
      peers.delete(name)
      return new Promise((resolve) => peer.destroy(() => resolve()))
    }
  }
}
