import assert from 'node:assert/strict'
import test from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { mayDial, pageMayDial, rangeOf } from '../addresses.js'

const HASH = 'uEiAVgXKm0mzIvvCq8EFv4s1VuKCqvhZWLjwW6CxGrDgkGg'

test('ranges', () => {
  const want = {
    '/ip4/127.0.0.2/tcp/1/ws': 'loopback',
    '/ip6/::1/tcp/1/ws': 'loopback',
    '/ip6/::ffff:127.0.0.1/tcp/1/ws': 'loopback',
    '/ip4/10.1.2.3/udp/1/webrtc-direct': '10/8',
    '/ip4/172.31.0.1/tcp/1': '172.16/12',
    '/ip4/172.32.0.1/tcp/1': 'public',
    '/ip4/192.168.1.1/tcp/1': '192.168/16',
    '/ip4/100.64.0.1/tcp/1': '100.64/10',
    '/ip6/fd00::1/tcp/1': 'fc00::/7',
    '/ip6/fe80::1/tcp/1': 'link-local',
    '/ip6/64:ff9b::a00:1/tcp/1': '10/8',
    '/ip6/2001:db8::1/tcp/1': 'public',
    '/ip4/0.0.0.0/tcp/1': 'never',
    '/ip4/224.0.0.1/tcp/1': 'never',
    '/ip6/ff02::1/tcp/1': 'never',
    '/dns4/example.com/tcp/443/tls/ws': undefined
  }
  for (const [address, range] of Object.entries(want)) assert.equal(rangeOf(multiaddr(address)), range, address)
})

test('an address of a stranger is dialled only if it is public or in a range of this peer', async () => {
  const lookup = async name => ({ 'a.example': ['192.0.2.1'], 'b.example': ['192.0.2.1', '127.0.0.1'], 'c.example': undefined })[name]
  const may = (address, ranges = []) => mayDial(multiaddr(address), new Set(ranges), lookup)
  assert.equal(await may(`/ip4/192.0.2.1/udp/1/webrtc-direct/certhash/${HASH}`), true)
  assert.equal(await may(`/ip4/127.0.0.1/udp/1/webrtc-direct/certhash/${HASH}`), false)
  assert.equal(await may(`/ip4/127.0.0.1/udp/1/webrtc-direct/certhash/${HASH}`, ['loopback']), true)
  assert.equal(await may('/ip4/0.0.0.0/tcp/1/ws', ['loopback']), false)
  assert.equal(await may('/dns4/a.example/tcp/1/ws'), true)
  assert.equal(await may('/dns4/b.example/tcp/1/ws'), false)
  assert.equal(await may('/dns4/c.example/tcp/1/ws'), false)
  assert.equal(await may('/dns4/c.example/tcp/443/tls/ws'), true)
  assert.equal(await may('/dns4/c.example/tcp/443/wss'), true)
  assert.equal(await may('/dnsaddr/a.example'), false)
  assert.equal(await may('/ip4/192.0.2.1/tcp/1/ws/p2p/12D3KooWGzh8vk7gYYtGQMCSLFdxiKfkPvkB2LjVWYJ8ckhqkNTF/p2p-circuit'), false)
})

test('a page dials what its browser allows, and private addresses in its own ranges', () => {
  const may = (href, address, ranges = []) => pageMayDial(multiaddr(address), new URL(href), new Set(ranges))
  for (const local of ['http://127.0.0.1:8000/', 'http://[::1]/', 'http://localhost/', 'http://app.localhost/']) {
    assert.equal(may(local, '/ip4/127.0.0.1/tcp/1/ws'), true, local)
    assert.equal(may(local, `/ip6/::1/udp/1/webrtc-direct/certhash/${HASH}`), true, local)
    assert.equal(may(local, '/ip4/10.0.0.1/tcp/1/ws'), false, local)
    assert.equal(may(local, '/ip4/192.0.2.1/tcp/1/ws'), true, local)
  }
  for (const far of ['http://example.com/', 'https://example.com/', 'https://192.0.2.7/', 'http://10.0.0.1/']) {
    assert.equal(may(far, '/ip4/127.0.0.1/tcp/1/ws'), false, far)
    assert.equal(may(far, '/dns4/localhost/tcp/1/ws'), false, far)
    assert.equal(may(far, '/ip4/127.0.0.1/tcp/1/ws', ['loopback']), true, far)
    assert.equal(may(far, '/dns4/a.example/tcp/443/tls/ws'), true, far)
  }
  assert.equal(may('https://example.com/', '/ip4/192.0.2.1/tcp/1/ws'), false)
  assert.equal(may('https://example.com/', `/ip4/192.0.2.1/udp/1/webrtc-direct/certhash/${HASH}`), true)
  assert.equal(may('http://example.com/', '/ip4/192.0.2.1/tcp/1/ws'), true)
})
