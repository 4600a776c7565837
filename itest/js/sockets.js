'use strict'

// Datagram sockets of npm `peer-relay` as published, and bittorrent-dht over them, any
// number in one process.

const DHT = require('bittorrent-dht')
const { Socket } = require('peer-relay')

module.exports = (emit) => {
  const sockets = new Map()
  const dhts = new Map()

  function get (map, name) {
    const it = map.get(name)
    if (!it) throw new Error(`no ${name}`)
    return it
  }

  function describe (socket) {
    const { address, port, family } = socket.address()
    return { address, port, family, url: socket.peer.wsConnector.url }
  }

  return {
    // socket answers once the peer listens for WebSockets. Without a port the package
    // could not close it.
    socket ({ socket: name, bootstrap }) {
      const socket = new Socket({ port: 0, bootstrap: bootstrap ?? [] })
      sockets.set(name, socket)
      socket.on('message', (buffer, rinfo) => {
        emit('datagram', { socket: name, base64: buffer.toString('base64'), address: rinfo.address, port: rinfo.port, family: rinfo.family })
      })
      for (const event of ['listening', 'close']) socket.on(event, () => emit(event, { socket: name }))
      return new Promise((resolve, reject) => {
        socket.peer.wsConnector._wss.once('listening', () => resolve(describe(socket)))
        socket.peer.wsConnector._wss.once('error', reject)
      })
    },

    socketBind ({ socket: name, port }) {
      const socket = get(sockets, name)
      return new Promise((resolve) => socket.bind(port, () => resolve(describe(socket))))
    },

    // socketSend takes the numbers as the package does: length is where the bytes end.
    socketSend ({ socket: name, base64, offset, length, port, address }) {
      get(sockets, name).send(Buffer.from(base64, 'base64'), offset, length, port, address)
    },

    socketClose ({ socket: name }) {
      get(sockets, name).close()
      sockets.delete(name)
    },

    // dht runs a DHT over a socket, and answers once it is ready. Its nodes are {host, port},
    // where a host is the id of a peer, which it must not look up as a name. Nodes that other
    // nodes name never answer, since a host in their lists has four bytes: with concurrency
    // the library waits for many of them at once.
    dht ({ socket: name, port, nodes }) {
      const dht = new DHT({ socket: get(sockets, name), isIP: () => true, bootstrap: nodes, concurrency: 64 })
      dhts.set(name, dht)
      dht.listen(port)
      return new Promise((resolve, reject) => {
        dht.once('ready', () => resolve({ nodes: dht.nodes.count() }))
        dht.once('error', reject)
      })
    },

    dhtPut ({ socket: name, text }) {
      return new Promise((resolve, reject) => {
        get(dhts, name).put({ v: text }, (err, hash, n) => err ? reject(err) : resolve({ hash: hash.toString('hex'), nodes: n }))
      })
    },

    // dhtGet returns no text if the value was not found, and whether the node held it itself.
    dhtGet ({ socket: name, hash }) {
      const dht = get(dhts, name)
      const held = hash in dht.toJSON().values
      return new Promise((resolve, reject) => {
        dht.get(hash, (err, value) => err ? reject(err) : resolve({ text: value ? value.v.toString() : undefined, held }))
      })
    },

    // dhtClose closes the socket, too.
    dhtClose ({ socket: name }) {
      return new Promise((resolve) => get(dhts, name).destroy(() => resolve()))
    }
  }
}
