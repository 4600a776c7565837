// The peer of a page, of the global PeerRelay of a bundle of the npm package. It reports to
// itestEmit, which the harness provides, and is driven by the functions of itest.
window.itest = (() => {
  const hex = (id) => Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join('')
  const report = (kind, id, more) => itestEmit(JSON.stringify({ kind, node: hex(id), ...more }))
  let peer

  // The package's Buffer is no global.
  const buffer = (id) => peer.id.constructor.from(id, 'hex')
  const channelTo = (id) => peer.peers.get(buffer(id))

  // The package takes a random id, and has no option for it. In a page there is one function
  // that its 20 bytes may come from.
  function withNodeID (id, make) {
    if (!id) return make()
    const { getRandomValues } = crypto
    crypto.getRandomValues = (bytes) => {
      getRandomValues.call(crypto, bytes)
      if (bytes.length === 20) bytes.set(id.match(/../g).map((byte) => parseInt(byte, 16)))
      return bytes
    }
    try {
      return make()
    } finally {
      delete crypto.getRandomValues
    }
  }

  return {
    create ({ bootstrap, nodeID }) {
      peer = withNodeID(nodeID, () => new PeerRelay({ bootstrap }))
      const { router } = peer
      const onMessage = router._onMessage
      let path // of the message that is being taken; the message event does not tell it
      router._onMessage = (message) => {
        path = message.path
        onMessage.call(router, message)
      }
      peer.on('peer', (id) => report('peer', id))
      peer.peers.on('removed', (channel) => report('disconnect', channel.id))
      // text is absent for undefined: JSON.stringify leaves it out.
      peer.on('message', (data, from) => report('message', from, { text: JSON.stringify(data), path }))
      return hex(peer.id)
    },

    send: (to, data) => peer.send(buffer(to), data),
    connect: (to) => peer.connect(buffer(to)),
    disconnect: (to) => peer.disconnect(buffer(to)),
    peers: () => peer.peers.toArray().map((channel) => hex(channel.id)),
    destroy: () => new Promise((resolve) => peer.destroy(resolve)),

    // channels returns the states of all data channels that this page ever had.
    channels: () => itestChannels.map((channel) => channel.readyState),

    // link returns the kind of the link to a peer, and of WebRTC what the browser counts
    // on it and the addresses that it connects. It returns null if there is none.
    async link (to) {
      const channel = channelTo(to)
      if (channel == null || channel.destroyed) return null
      if (!('_sp' in channel)) return { kind: 'websocket' }
      const stats = await channel._sp._pc.getStats()
      const link = { kind: 'webrtc' }
      for (const s of stats.values()) {
        if (s.type === 'data-channel') {
          link.label = s.label
          link.messagesSent = s.messagesSent
          link.messagesReceived = s.messagesReceived
        } else if (s.type === 'transport' && s.selectedCandidatePairId) {
          const pair = stats.get(s.selectedCandidatePairId)
          const end = (id) => {
            const { protocol, address, port, candidateType } = stats.get(id)
            return `${candidateType} ${protocol} ${address}:${port}`
          }
          link.state = pair.state
          link.local = end(pair.localCandidateId)
          link.remote = end(pair.remoteCandidateId)
          link.bytesSent = s.bytesSent
          link.bytesReceived = s.bytesReceived
        }
      }
      return link
    }
  }
})()
