// To be loaded first: it asks nobody on the internet for the page's addresses, and keeps
// every data channel for who wants to look at it.
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
