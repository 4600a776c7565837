// Which addresses of a stranger may be dialled.

const HOSTS = new Set(['ip4', 'ip6', 'dns', 'dns4', 'dns6', 'dnsaddr'])

const ip4Range = text => {
  const [a, b] = text.split('.').map(Number)
  if (a === 127) return 'loopback'
  if (a === 10) return '10/8'
  if (a === 172 && b >= 16 && b < 32) return '172.16/12'
  if (a === 192 && b === 168) return '192.168/16'
  if (a === 169 && b === 254) return 'link-local'
  if (a === 100 && b >= 64 && b < 128) return '100.64/10'
  return a === 0 || a >= 224 ? 'never' : 'public'
}

/** Returns the eight groups of an IPv6 address. An IPv4 tail counts as two. */
const ip6Groups = text => {
  const plain = text.split('%')[0].replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    `${(a * 256 + +b).toString(16)}:${(c * 256 + +d).toString(16)}`)
  const [head, tail] = plain.split('::').map(part => part === '' ? [] : part.split(':'))
  const groups = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail]
  return groups.map(group => parseInt(group, 16))
}

const ip6Range = text => {
  const groups = ip6Groups(text)
  const leading = groups.findIndex(group => group !== 0)
  if (leading === -1) return 'never'
  if (leading === 7 && groups[7] === 1) return 'loopback'
  const embedded = leading === 5 && groups[5] === 0xffff ? 6 : groups[0] === 0x64 && groups[1] === 0xff9b ? 6 : leading >= 6 ? 6 : -1
  if (embedded === 6) return ip4Range([groups[6] >> 8, groups[6] & 255, groups[7] >> 8, groups[7] & 255].join('.'))
  if ((groups[0] & 0xfe00) === 0xfc00) return 'fc00::/7'
  if ((groups[0] & 0xffc0) === 0xfe80) return 'link-local'
  return (groups[0] & 0xff00) === 0xff00 ? 'never' : 'public'
}

const ipRange = text => text.includes(':') ? ip6Range(text) : ip4Range(text)

const hostOf = address => {
  const { name, value } = address.getComponents()[0] ?? {}
  return HOSTS.has(name) ? { name, value } : undefined
}

/** Returns the range of an address that names an IP: 'public', a private range, 'never'. Undefined for names. */
export const rangeOf = address => {
  const host = hostOf(address)
  return host?.name === 'ip4' ? ip4Range(host.value) : host?.name === 'ip6' ? ip6Range(host.value) : undefined
}

/** Resolves a name by Node's resolver, which no bundler sees. Returns undefined in browsers, which have none. */
const nodeLookup = async name => {
  const dns = globalThis.process?.getBuiltinModule?.('node:dns/promises')
  return dns && (await dns.lookup(name, { all: true })).map(({ address }) => address)
}

/**
 * Returns whether a stranger's address may be dialled: it is public, or in a range in which this peer
 * itself listens or has a bootstrap.
 *
 * @param {import('@multiformats/multiaddr').Multiaddr} address
 * @param {Set<string>} ranges those of this peer
 * @param {(name: string) => Promise<string[] | undefined>} [lookup]
 */
export const mayDial = async (address, ranges, lookup = nodeLookup) => {
  if (address.getComponents().some(({ name }) => name === 'p2p-circuit')) return false
  const allowed = range => range === 'public' || ranges.has(range)
  const range = rangeOf(address)
  if (range !== undefined) return allowed(range)
  const host = hostOf(address)
  if (host === undefined || host.name === 'dnsaddr') return false
  const found = await lookup(host.value).catch(() => [])
  // Without a resolver, only TLS shows that the host is the name's: a private host has no certificate
  // for a stranger's name.
  if (found === undefined) return address.getComponents().some(({ name }) => name === 'tls' || name === 'wss')
  return found.length > 0 && found.every(ip => allowed(ipRange(ip)))
}

const isLocalName = name => name === 'localhost' || name.endsWith('.localhost')

/** Returns the range of a URL's host: 'loopback' for localhost, undefined for other names. */
const hostRange = hostname => {
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  if (isLocalName(host)) return 'loopback'
  return /^[\d.]+$/.test(host) || host.includes(':') ? ipRange(host) : undefined
}

/**
 * Returns whether a page may dial an address: a public one, or one in its own range or in a range that
 * its application named. It must be over TLS where browsers want that.
 *
 * @param {import('@multiformats/multiaddr').Multiaddr} address
 * @param {{ protocol: string, hostname: string }} page
 * @param {Set<string>} ranges those that the application named
 */
export const pageMayDial = (address, page, ranges) => {
  const host = hostOf(address)
  if (host === undefined) return false
  const range = rangeOf(address) ?? (isLocalName(host.value) ? 'loopback' : 'public')
  if (range !== 'public' && range !== hostRange(page.hostname) && !ranges.has(range)) return false
  const names = address.getComponents().map(({ name }) => name)
  // Browsers treat loopback as secure.
  return page.protocol !== 'https:' || range === 'loopback' || !names.includes('ws') || names.includes('tls')
}
