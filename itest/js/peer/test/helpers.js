import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { createLibp2p } from 'libp2p'
import { PeerRelay } from '../index.js'

// The Go test that runs this one gives the binary.
const BINARY = process.env.PEER_RELAY ?? fileURLToPath(new URL('../../../../peer-relay', import.meta.url))

const stacks = new WeakMap()

/** Ends what a test has started, the last first. */
const atEnd = (t, end) => {
  if (!stacks.has(t)) {
    stacks.set(t, [])
    t.after(async () => { for (const one of stacks.get(t).reverse()) await one() })
  }
  stacks.get(t).push(end)
}

export const until = async (check, what = 'it', timeout = 15_000) => {
  const end = Date.now() + timeout
  for (;;) {
    const value = await check()
    if (value) return value
    if (Date.now() > end) throw new Error(`${what} did not come in time`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** A compiled peer; it ends with its standard input. */
export const startRelay = async (t, ...args) => {
  const child = spawn(BINARY, ['--json', '--host', '127.0.0.1', ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const events = []
  createInterface({ input: child.stdout }).on('line', line => events.push(JSON.parse(line)))
  atEnd(t, async () => {
    child.stdin.end()
    await new Promise(resolve => child.exitCode === null ? child.once('exit', resolve) : resolve())
  })
  const ready = await until(() => events.find(({ event }) => event === 'ready'), 'the relay')
  return {
    ...ready,
    events,
    addr: ready.addrs?.[0],
    command: object => child.stdin.write(JSON.stringify(object) + '\n'),
    messages: () => events.filter(({ event }) => event === 'message'),
    async peers () {
      const n = events.length
      child.stdin.write('{"peers":true}\n')
      return (await until(() => events.slice(n).find(({ event }) => event === 'peers'), 'the peers')).peers
    }
  }
}

export const startNode = async (t, { listen = false } = {}) => {
  const libp2p = await createLibp2p({
    addresses: { listen: listen ? ['/ip4/127.0.0.1/tcp/0/ws'] : [] },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify() }
  })
  atEnd(t, () => libp2p.stop())
  return libp2p
}

export const startPeer = async (t, { listen, ...options } = {}) => {
  const libp2p = await startNode(t, { listen })
  const peer = await PeerRelay.create({ libp2p, ...options })
  const messages = []
  const came = []
  const left = []
  peer.on('message', (data, from, info) => messages.push({ data, from, ...info }))
  peer.on('peer', id => came.push(Buffer.from(id).toString('hex')))
  peer.on('disconnect', id => left.push(Buffer.from(id).toString('hex')))
  atEnd(t, () => peer.destroy())
  return { peer, libp2p, messages, came, left, addr: libp2p.getMultiaddrs()[0]?.toString() }
}

export const linked = (...ends) => until(() => ends.every(({ peer }) => peer.peers.length > 0), 'the links')
