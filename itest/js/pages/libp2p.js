// The peer of a page, of the global PeerRelay of our module on js-libp2p: the same as
// page.js is for the npm package. With more than one bootstrap it relays for others; other
// pages do not, and a page with one bootstrap could not.
window.itest = (() => {
  const { fromHex, toHex } = PeerRelay
  const report = (kind, id, more) => itestEmit(JSON.stringify({ kind, node: toHex(id), ...more }))
  let peer

  // An id is that of a random key: to be nearer to another one than others are takes some tries.
  const distance = (a, b) => BigInt('0x' + a) ^ BigInt('0x' + b)
  const isNearest = (id, near, others) =>
    near === '' || others.every((other) => distance(id, near) < distance(other, near))

  return {
    async create ({ bootstrap, near, others }) {
      for (;;) {
        peer = await PeerRelay.create({ role: bootstrap.length > 1 ? 'peer' : 'leaf' })
        if (isNearest(peer.idHex, near, others)) break
        await peer.destroy()
      }
      peer.on('peer', (id) => report('peer', id))
      peer.on('disconnect', (id) => report('disconnect', id))
      peer.on('message', (data, from, { path }) => {
        report('message', from, { text: JSON.stringify(data), path: path.map(toHex) })
      })
      for (const address of bootstrap) await peer.connect(address)
      return peer.idHex
    },

    send: (to, data) => peer.send(fromHex(to), data),
    connect: (to) => peer.connect(fromHex(to)),
    disconnect: (to) => peer.disconnect(fromHex(to)),
    peers: () => peer.peers.map(toHex),
    destroy: () => peer.destroy()
  }
})()
