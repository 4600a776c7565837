// The libp2p node of a peer that gets none from the application, in Node and in pages.

import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { identify } from '@libp2p/identify'
import { webRTCDirect } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { createLibp2p } from 'libp2p'
import { pageMayDial, rangeOf } from './addresses.js'

/**
 * Makes and starts a libp2p node that a peer can use.
 *
 * @param {object} [options]
 * @param {string[]} [options.listen] multiaddrs to listen on; a page cannot listen
 * @param {import('@multiformats/multiaddr').Multiaddr[]} [options.bootstrap] the application's
 *   bootstraps; a page may dial their private ranges
 * @param {import('@libp2p/interface').PrivateKey} [options.privateKey]
 * @param {{ protocol: string, hostname: string }} [options.page] the location of the page
 * @returns {Promise<import('@libp2p/interface').Libp2p>}
 */
export const createNode = ({ listen = [], bootstrap = [], privateKey, page = globalThis.document?.location } = {}) => {
  const ranges = new Set(bootstrap.map(rangeOf))
  return createLibp2p({
    privateKey,
    addresses: { listen },
    transports: [
      webSockets(),
      // A peer that can be dialled in this way has a public address, so no STUN server is
      // needed.
      webRTCDirect({ rtcConfiguration: { iceServers: [] } })
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // The default in pages refuses every private address and every ws://.
    connectionGater: { denyDialMultiaddr: address => page !== undefined && !pageMayDial(address, page, ranges) },
    // To resolve a /dnsaddr, a page would ask a third party's DNS over HTTPS.
    connectionManager: { resolvers: {} },
    services: { identify: identify() }
  })
}
