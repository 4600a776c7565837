import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { idOf, publicKeyBytes, signBody } from '../identity.js'
import { PeerRelay } from '../index.js'
import { createNode } from '../node.js'
import { FrameSplitter, MAX_FRAME, PROTOCOL, decodeFrame, encodeBody, encodeHello, withLength } from '../wire.js'

// The Go test that runs this file names the binary.
export const BINARY = process.env.PEER_RELAY ?? fileURLToPath(new URL('../../../peer-relay', import.meta.url))

const stacks = new WeakMap()

/** Has something ended when a test is over, the last started first. */
const atEnd = (t, end) => {
  if (!stacks.has(t)) {
    stacks.set(t, [])
    t.after(async () => { for (const one of stacks.get(t).reverse()) await one() })
  }
  stacks.get(t).push(end)
}

export const until = async (check, what = 'it', timeout = 45_000) => {
  const end = Date.now() + timeout
  for (;;) {
    const value = await check()
    if (value) return value
    if (Date.now() > end) throw new Error(`${what} did not come in time`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** Starts a compiled peer without legacy links. It ends with its standard input. */
export const startRelay = async (t, ...args) => {
  const child = spawn(BINARY, ['--json', '--host', '127.0.0.1', '--no-webrtc', ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const events = []
  createInterface({ input: child.stdout }).on('line', line => events.push(JSON.parse(line)))
  atEnd(t, async () => {
    child.kill('SIGCONT')
    child.stdin.end()
    await new Promise(resolve => child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve())
  })
  const ready = await until(() => events.find(({ event }) => event === 'ready'), 'the relay')
  return {
    ...ready,
    events,
    addr: ready.addrs?.find(addr => addr.includes('/ws/')),
    webRTC: ready.addrs?.find(addr => addr.includes('/webrtc-direct/')),
    end: () => child.stdin.end(),
    signal: name => child.kill(name),
    command: object => child.stdin.write(JSON.stringify(object) + '\n'),
    messages: () => events.filter(({ event }) => event === 'message'),
    async peers () {
      const n = events.length
      child.stdin.write('{"peers":true}\n')
      return (await until(() => events.slice(n).find(({ event }) => event === 'peers'), 'the peers')).peers
    }
  }
}

/** The addresses at which peers listen that may be dialled. */
export const WS = '/ip4/127.0.0.1/tcp/0/ws'
export const WEBRTC = '/ip4/127.0.0.1/udp/0/webrtc-direct'

export const startNode = async (t, { listen = [], privateKey } = {}) => {
  const libp2p = await createNode({ listen, privateKey })
  atEnd(t, () => libp2p.stop())
  return libp2p
}

export const startPeer = async (t, { listen, privateKey, ...options } = {}) => {
  const libp2p = await startNode(t, { listen, privateKey })
  const peer = await PeerRelay.create({ libp2p, ...options })
  const messages = []
  const came = []
  const left = []
  peer.on('message', (data, from, info) => messages.push({ data, from, ...info }))
  peer.on('peer', id => came.push(Buffer.from(id).toString('hex')))
  peer.on('disconnect', id => left.push(Buffer.from(id).toString('hex')))
  atEnd(t, () => peer.destroy())
  return { peer, libp2p, messages, came, left, addr: peer.addrs[0] }
}

/** Runs a test for both implementations, which have to do the same. */
export const both = (name, run, times) => {
  test(`${name}: ours`, async t => {
    const { addr, peer, messages } = await startPeer(t, { listen: [WS], times })
    await run(t, { addr, id: peer.idHex, count: async () => peer.peers.length, messages: () => messages })
  })
  test(`${name}: the compiled one`, async t => {
    const relay = await startRelay(t, '0')
    await run(t, { addr: relay.addr, id: relay.id, count: async () => (await relay.peers()).length, messages: relay.messages })
  })
}

/** Returns an origin that has no link: its id, and how it signs. */
export const originOf = async () => {
  const key = await generateKeyPair('Ed25519')
  const id = await idOfKey(key)
  return {
    id,
    sign: async body => {
      const bodyBytes = encodeBody({ ...body, from: id, key: publicKeyBytes(key) })
      return { bodyBytes, sig: await signBody(key, bodyBytes) }
    }
  }
}

const idOfKey = key => {
  const publicKey = publicKeyBytes(key)
  return idOf(Uint8Array.of(0, publicKey.length, ...publicKey)) // an identity multihash is the peer id
}

/** Returns a key whose id is nearer to one id than to another, both in hex. */
export const keyNearer = async (near, far) => {
  for (;;) {
    const key = await generateKeyPair('Ed25519')
    const id = await idOfKey(key)
    const [x, y] = [near, far].map(other => Buffer.from(other, 'hex').map((byte, i) => byte ^ id[i]))
    if (Buffer.compare(x, y) < 0) return key
  }
}

export const linked = (...ends) => until(() => ends.every(({ peer }) => peer.peers.length > 0), 'the links')

/** Waits until links are up at both ends. A peer of ours may learn of its link before the relay does. */
export const linkedTo = async (relay, ...ends) => {
  await linked(...ends)
  await until(async () => {
    const peers = await relay.peers()
    return ends.every(({ peer }) => peers.includes(peer.idHex))
  }, "the relay's links")
}

/** Returns the transports that the links of a peer use. */
export const linkedBy = ({ libp2p }) => libp2p.getConnections()
  .filter(({ streams }) => streams.some(({ protocol }) => protocol === PROTOCOL))
  .map(({ remoteAddr }) => remoteAddr.getComponents().some(({ name }) => name === 'webrtc-direct') ? 'webrtc-direct' : 'ws')

/** Opens a stream that says only what it is told to. */
export const rawStream = async (node, address, { hello = { role: 1, link: 5n } } = {}) => {
  const connection = await node.dial(multiaddr(address))
  const stream = await connection.newStream(PROTOCOL)
  const splitter = new FrameSplitter()
  splitter.max = MAX_FRAME
  const raw = { frames: [], ended: false, reset: false, stream, write: frame => stream.send(withLength(frame)) }
  stream.addEventListener('message', ({ data }) => { for (const bytes of splitter.push(data.subarray())) raw.frames.push(decodeFrame(bytes)) })
  stream.addEventListener('remoteCloseWrite', () => { raw.ended = true })
  stream.addEventListener('close', ({ error }) => { raw.ended = true; raw.reset = error !== undefined })
  raw.types = () => raw.frames.map(({ type }) => type)
  raw.byes = () => raw.frames.filter(({ type }) => type === 'bye').map(({ bye }) => bye)
  if (hello) raw.write(encodeHello(hello))
  return raw
}
