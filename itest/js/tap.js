'use strict'

// A WebSocket in the middle: every connection made to a tap is continued to its target,
// and every frame of both directions is reported verbatim before it is passed on.

const { WebSocket, WebSocketServer } = require('ws8')

module.exports = (emit) => {
  const taps = new Map()

  function join (tap, conn, down, target) {
    // Uncompressed on both sides: what is reported is what the peers wrote.
    const up = new WebSocket(target, { perMessageDeflate: false })
    const waiting = []
    const pass = (from, to, dir) => from.on('message', (data, binary) => {
      emit('tapped', { tap, conn, dir, binary, text: data.toString() })
      const forward = () => { if (to.readyState === WebSocket.OPEN) to.send(data, { binary }) }
      if (to.readyState === WebSocket.CONNECTING) waiting.push(forward)
      else forward()
    })
    const end = (from, to) => from.on('close', (code) => {
      // 1005 and 1006 say that no code was sent; they cannot be sent themselves.
      if (code === 1005 || code === 1006) to.terminate()
      else to.close(code)
    })
    pass(down, up, 'up')
    pass(up, down, 'down')
    end(down, up)
    end(up, down)
    up.on('open', () => waiting.splice(0).forEach((forward) => forward()))
    for (const ws of [up, down]) ws.on('error', (err) => emit('tapError', { tap, conn, error: err.message }))
  }

  return {
    tapStart ({ tap, target }) {
      if (taps.has(tap)) throw new Error(`a tap ${tap} exists`)
      const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
      taps.set(tap, server)
      let conns = 0
      server.on('connection', (ws) => join(tap, ++conns, ws, target))
      return new Promise((resolve, reject) => {
        server.once('listening', () => resolve({ url: `ws://127.0.0.1:${server.address().port}` }))
        server.once('error', reject)
      })
    },

    tapStop ({ tap }) {
      const server = taps.get(tap)
      if (!server) throw new Error(`no tap ${tap}`)
      taps.delete(tap)
      return new Promise((resolve) => {
        server.close(() => resolve())
        for (const ws of server.clients) ws.terminate()
      })
    }
  }
}
