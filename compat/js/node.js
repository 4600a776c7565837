// The libp2p node of a peer that brings none, in Node and in pages.

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
 * @param {string[]} [options.listen] multiaddrs to listen on; a page can listen on none
 * @param {import('@multiformats/multiaddr').Multiaddr[]} [options.bootstrap] where the application
 *   sends it, so that their ranges may be dialled
 * @param {import('@libp2p/interface').PrivateKey} [options.privateKey]
 * @param {{ protocol: string, hostname: string }} [options.page] where the page is from
 * @returns {Promise<import('@libp2p/interface').Libp2p>}
 */
export const createNode = ({ listen = [], bootstrap = [], privateKey, page = globalThis.document?.location } = {}) => {
  const ranges = new Set(bootstrap.map(rangeOf))
  return createLibp2p({
    privateKey,
    addresses: { listen },
    transports: [
      webSockets(),
      // A peer that is dialled in this way has a public address: no STUN server needs to learn of it.
      webRTCDirect({ rtcConfiguration: { iceServers: [] } })
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // By default, pages refuse every private address and every ws://.
    connectionGater: { denyDialMultiaddr: address => page !== undefined && !pageMayDial(address, page, ranges) },
    // A page would ask a stranger's DNS over HTTPS for a /dnsaddr.
    connectionManager: { resolvers: {} },
    services: { identify: identify() }
  })
}
