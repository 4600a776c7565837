// Must be loaded first. It asks no STUN server for the page's addresses, and keeps every data
// channel, so that a test can look at it.
window.itestChannels = []
window.RTCPeerConnection = class extends window.RTCPeerConnection {
  constructor (config, ...rest) {
    super({ ...config, iceServers: [] }, ...rest)
    this.addEventListener('datachannel', ({ channel }) => itestChannels.push(channel))
  }

  createDataChannel (...args) {
    const channel = super.createDataChannel(...args)
    itestChannels.push(channel)
    return channel
  }
}
