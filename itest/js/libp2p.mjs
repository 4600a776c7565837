// Dials a multiaddr with js-libp2p, completes noise or TLS, yamux and identify, pings, and prints
// what it saw as one JSON line. Needs Node 22.
//
//   node libp2p.mjs /ip4/127.0.0.1/tcp/8001/p2p/12D3… [noise|tls]
//   node libp2p.mjs /ip4/127.0.0.1/tcp/8001/ws/p2p/12D3…
//   node libp2p.mjs /ip4/127.0.0.1/udp/8001/webrtc-direct/certhash/uEi…/p2p/12D3…

import { createLibp2p } from 'libp2p'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webRTCDirect } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'
import { end } from './end.mjs'

const TIMEOUT = 30_000

const node = await createLibp2p({
  addresses: { listen: [] },
  transports: [tcp(), webSockets(), webRTCDirect({ rtcConfiguration: { iceServers: [] } })],
  connectionEncrypters: [process.argv[3] === 'tls' ? tls() : noise()],
  streamMuxers: [yamux()],
  services: { identify: identify({ runOnConnectionOpen: false }), ping: ping() }
})

const signal = AbortSignal.timeout(TIMEOUT)
const conn = await node.dial(multiaddr(process.argv[2]), { signal })
const seen = await node.services.identify.identify(conn, { signal })
// Timed here: the time that ping() returns is in whole milliseconds, so that on one machine it is often 0.
const start = performance.now()
await node.services.ping.ping(conn.remotePeer, { signal })
const rtt = performance.now() - start

const report = {
  self: node.peerId.toString(),
  peer: conn.remotePeer.toString(),
  agent: seen.agentVersion,
  protocolVersion: seen.protocolVersion,
  protocols: seen.protocols,
  listenAddrs: seen.listenAddrs.map(String),
  encryption: conn.encryption,
  multiplexer: conn.multiplexer,
  pingMillis: rtt
}
await node.stop()
end(report)
