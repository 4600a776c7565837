'use strict'

// Bare WebSockets that speak any frame and report every frame verbatim. They are of a
// current ws, another implementation than the one inside the npm package.

const { WebSocket, WebSocketServer } = require('ws8')

const MAX_PAYLOAD = 256 << 20

module.exports = (emit) => {
  const sockets = new Map()
  const servers = new Map()

  function get (name) {
    const ws = sockets.get(name)
    if (!ws) throw new Error(`no open raw connection ${name}`)
    return ws
  }

  function attach (raw, ws) {
    sockets.set(raw, ws)
    ws.on('message', (data, binary) => {
      emit('frame', binary ? { raw, base64: data.toString('base64') } : { raw, text: data.toString() })
    })
    ws.on('pong', () => emit('pong', { raw }))
    ws.on('close', (code, reason) => {
      sockets.delete(raw)
      emit('close', { raw, code, reason: reason.toString() })
    })
    ws.on('error', (err) => emit('socketError', { raw, error: err.message }))
  }

  return {
    rawDial ({ raw, url, deflate, headers }) {
      if (sockets.has(raw)) throw new Error(`a raw connection ${raw} exists`)
      const ws = new WebSocket(url, { perMessageDeflate: !!deflate, maxPayload: MAX_PAYLOAD, headers })
      let responseHeaders = {}
      ws.on('upgrade', (res) => { responseHeaders = res.headers })
      attach(raw, ws)
      return new Promise((resolve, reject) => {
        ws.once('open', () => resolve({ extensions: ws.extensions, headers: responseHeaders }))
        ws.once('error', reject)
      })
    },

    // rawListen names the connections that it accepts NAME/1, NAME/2, …
    rawListen ({ raw, port, deflate }) {
      if (servers.has(raw)) throw new Error(`a raw server ${raw} exists`)
      const server = new WebSocketServer({ host: '127.0.0.1', port: port ?? 0, perMessageDeflate: !!deflate, maxPayload: MAX_PAYLOAD })
      servers.set(raw, server)
      let accepted = 0
      server.on('connection', (ws, req) => {
        const name = `${raw}/${++accepted}`
        emit('accept', { raw: name, server: raw, headers: req.headers, extensions: ws.extensions })
        attach(name, ws)
      })
      return new Promise((resolve, reject) => {
        server.once('listening', () => resolve({ url: `ws://127.0.0.1:${server.address().port}` }))
        server.once('error', reject)
      })
    },

    // rawSend answers when the frames are handed to the kernel. fragments splits each into that many.
    rawSend ({ raw, texts, base64s, fragments }) {
      const ws = get(raw)
      const frames = [
        ...(texts ?? []).map((t) => [t, false]),
        ...(base64s ?? []).map((b) => [Buffer.from(b, 'base64'), true])
      ]
      return Promise.all(frames.map(([data, binary]) => {
        const bytes = Buffer.from(data)
        const step = Math.max(1, Math.ceil(bytes.length / (fragments ?? 1)))
        const parts = []
        let at = 0
        do {
          const part = bytes.subarray(at, at += step)
          parts.push(new Promise((resolve, reject) => {
            ws.send(part, { binary, fin: at >= bytes.length }, (err) => err ? reject(err) : resolve())
          }))
        } while (at < bytes.length)
        return Promise.all(parts)
      })).then(() => {})
    },

    rawPing ({ raw }) {
      get(raw).ping()
    },

    rawClose ({ raw, code, reason, terminate }) {
      if (servers.has(raw)) {
        const server = servers.get(raw)
        servers.delete(raw)
        return new Promise((resolve) => {
          server.close(() => resolve())
          for (const ws of server.clients) ws.terminate()
        })
      }
      if (terminate) get(raw).terminate()
      else get(raw).close(code ?? 1000, reason)
    }
  }
}
