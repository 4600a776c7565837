// proof returns "open" once two ends within this page have a data channel, or the state in
// which they failed.
async function proof () {
  const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection()]
  const settled = new Promise((resolve) => {
    a.createDataChannel('proof').onopen = () => resolve('open')
    a.onconnectionstatechange = () => { if (a.connectionState === 'failed') resolve('failed') }
  })
  a.onicecandidate = ({ candidate }) => b.addIceCandidate(candidate)
  b.onicecandidate = ({ candidate }) => a.addIceCandidate(candidate)
  await a.setLocalDescription()
  await b.setRemoteDescription(a.localDescription)
  await b.setLocalDescription()
  await a.setRemoteDescription(b.localDescription)
  return settled
}
