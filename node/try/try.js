// The page at /try. It makes this browser a peer, and shows messages. The peer itself is in
// peer.js, a bundle of compat/js/try.mjs. Messages of others are shown only as text: the page's
// policy forbids the browser to read any string as HTML.

/** The largest size in bytes of a message's JSON text: see protocol/SPEC.md. */
const MAX_TEXT = 256_000
/** The largest number of characters of a message that are shown, and of messages. */
const MAX_SHOWN = 4_000
const MAX_ENTRIES = 200
/** The time within which the receipt of a message must come. All times are in milliseconds. */
const RECEIPT_TIMEOUT = 15_000
const FETCH_TIMEOUT = 10_000
const RETRY_MIN = 1_000
const RETRY_MAX = 15_000
/** The time that a tab waits for the lock on its identity after it was loaded again. */
const IDENTITY_TIMEOUT = 1_000
const STORED = 'peer-relay-try'

const $ = id => document.getElementById(id)

const setState = (state, text) => {
  $('state').dataset.state = state
  $('state').textContent = text
}

/** Shows a problem beside its field, or hides it if text is empty. */
const setProblem = (element, text = '', field) => {
  element.textContent = text
  element.hidden = text === ''
  if (field !== undefined) {
    if (text === '') field.removeAttribute('aria-invalid')
    else field.setAttribute('aria-invalid', 'true')
  }
}

const element = (name, props, ...children) => {
  const it = Object.assign(document.createElement(name), props)
  it.append(...children)
  return it
}

const plural = (n, one, many) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`

// --- identity ----------------------------------------------------------------

/** Holds a lock until this page ends. Resolves to false if another tab has it. */
const hold = name => new Promise(resolve => {
  const forever = new Promise(() => {})
  navigator.locks.request(name, { signal: AbortSignal.timeout(IDENTITY_TIMEOUT) }, () => {
    resolve(true)
    return forever
  }).catch(() => resolve(false))
})

/**
 * Resolves to the key that this tab had before it was loaded again, so that links to it stay
 * valid. A duplicated tab has a copy of the key, but the lock keeps it from using the key: two
 * peers with the same id would get each other's messages.
 */
const storedKey = async () => {
  try {
    const { key, lock } = JSON.parse(sessionStorage.getItem(STORED)) ?? {}
    if (key !== undefined && await hold(lock)) return key
  } catch {
    // There is no storage, or something else in it. The peer gets a fresh identity.
  }
}

const storeKey = async key => {
  const lock = `${STORED} ${crypto.randomUUID()}`
  await hold(lock)
  try {
    sessionStorage.setItem(STORED, JSON.stringify({ key, lock }))
  } catch {
    // The identity lasts until the page is loaded again.
  }
}

// --- joining -----------------------------------------------------------------

/** Returns the multiaddr of a peer's WebSocket at the page's own origin, which may be a proxy's. */
const originAddress = ({ protocol, hostname, port }, peerID) => {
  const secure = protocol === 'https:'
  const host = hostname.startsWith('[')
    ? `/ip6/${hostname.slice(1, -1)}`
    : `/${/^\d+(\.\d+){3}$/.test(hostname) ? 'ip4' : 'dns'}/${hostname}`
  return `${host}/tcp/${port || (secure ? 443 : 80)}${secure ? '/tls' : ''}/ws/p2p/${peerID}`
}

/** Resolves to the addresses of the node: at the origin of the page, then over WebRTC. */
const nodeAddresses = async () => {
  const answer = await fetch('/status.json', { signal: AbortSignal.timeout(FETCH_TIMEOUT) })
  if (!answer.ok) throw new Error(`the node answered with status ${answer.status}`)
  const { peerID, addrs } = await answer.json()
  return [originAddress(location, peerID), ...addrs.filter(address => address.includes('/webrtc-direct/'))]
}

/** Keeps the peer linked to the node at this origin, and shows the state. */
const stayJoined = (peer, toHex) => {
  let wait = RETRY_MIN
  let timer
  let everJoined = false

  const dial = async () => {
    for (const address of await nodeAddresses()) {
      if (peer.peers.length > 0) return
      await peer.connect(address).catch(() => {})
    }
  }
  const look = () => {
    clearTimeout(timer)
    const ids = peer.peers.map(toHex)
    $('peers').replaceChildren(...(ids.length > 0 ? ids : ['no peer yet']).map(id => element('li', { textContent: id })))
    if (ids.length > 0) {
      wait = RETRY_MIN
      everJoined = true
      setState('joined', `Joined, ${plural(ids.length, 'link', 'links')}`)
      return
    }
    setState('trying', everJoined ? 'Offline, trying again' : 'Connecting')
    timer = setTimeout(() => {
      wait = Math.min(2 * wait, RETRY_MAX)
      dial().catch(() => { everJoined = true }).then(look)
    }, wait)
  }
  peer.on('peer', look)
  peer.on('disconnect', look)
  addEventListener('online', () => {
    wait = RETRY_MIN
    look()
  })
  look()
}

// --- messages ----------------------------------------------------------------

const hexOf = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')

/** Returns the text of a message: a string itself, bytes as UTF-8 if possible, otherwise in hexadecimal. */
const describe = data => {
  if (typeof data === 'string') return { text: data }
  if (data === undefined) return { text: '(no value)', raw: true }
  if (!(data instanceof Uint8Array)) return { text: JSON.stringify(data, undefined, 1), raw: true, note: 'JSON' }
  const note = plural(data.length, 'byte', 'bytes')
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data), note }
  } catch {
    return { text: hexOf(data.subarray(0, MAX_SHOWN / 2 + 1)), raw: true, note: `${note}, in hexadecimal` }
  }
}

const cut = text => text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`

/** Adds a message at the top of the list. Returns a function that shows whether it was sent. */
const show = ({ incoming, id, data, notes = [] }) => {
  const { text, raw = false, note } = describe(data)
  const now = new Date()
  const about = element('p', { className: 'about' }, element('span', { className: 'facts' },
    element('span', {}, incoming ? 'From ' : 'To ', element('code', { textContent: id.slice(0, 8), title: id })),
    element('time', { dateTime: now.toISOString(), textContent: now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) }),
    ...[...notes, ...(note ? [note] : [])].map(textContent => element('span', { textContent }))))
  const reply = element('button', { type: 'button', textContent: incoming ? 'Reply' : 'Again' })
  reply.setAttribute('aria-label', `${incoming ? 'Reply to' : 'Write again to'} ${id.slice(0, 8)}`)
  reply.addEventListener('click', () => {
    $('to').value = id
    setProblem($('to-problem'), '', $('to'))
    if (!incoming && $('text').value === '') $('text').value = text
    $('text').focus()
  })
  about.append(reply)
  const fate = element('p', { className: 'fate', hidden: true })
  const body = element('p', { className: raw ? 'body raw' : 'body', dir: 'auto', textContent: cut(text) })
  const entry = element('li', { className: incoming ? 'in' : 'out' }, about, body, fate)
  entry.dataset.id = id
  $('none').hidden = true
  $('log').prepend(entry)
  while ($('log').children.length > MAX_ENTRIES) $('log').lastChild.remove()
  return (kind, textContent) => {
    fate.dataset.fate = kind
    fate.textContent = textContent
    fate.hidden = false
  }
}

/** Returns what is wrong with an id, or ''. */
const idProblem = id => {
  if (id === '') return 'Who is it for? Enter the id of a peer.'
  const odd = id.match(/[^0-9a-f]/iu)
  if (odd !== null) return `An id has 40 hexadecimal digits (0-9, a-f); here is “${odd[0]}”.`
  if (id.length !== 40) return `An id has 40 hexadecimal digits; this has ${id.length}.`
  if (/^0+$/.test(id)) return 'No peer has the id of zeros.'
  return ''
}

const textProblem = text => {
  if (text === '') return 'Write something first.'
  const size = new TextEncoder().encode(JSON.stringify(text)).length
  if (size <= MAX_TEXT) return ''
  return `The message is too long: ${size.toLocaleString('en')} bytes, at most ${MAX_TEXT.toLocaleString('en')} can be sent.`
}

/** Returns what a receipt says: how long the message took, and over how many relays. */
const fateOf = ({ proved, handed, hops, ms }) => {
  const time = `${Math.max(1, ms).toLocaleString('en')} ms`
  if (handed) return `Handed to its relay in ${time}. The peer is of an older kind that confirms nothing.`
  const way = hops > 1 ? ` over ${plural(hops - 1, 'relay', 'relays')}` : hops === 1 ? ' directly' : ''
  return `Delivered in ${time}${way}${proved ? '' : ', as a receipt says that is not proved'}.`
}

const send = async (peer, to, text) => {
  const setFate = show({ incoming: false, id: to, data: text })
  $('log').firstChild.scrollIntoView({ block: 'nearest' })
  if (peer.peers.length === 0 && to !== peer.idHex) {
    setFate('bad', 'Not sent: this page is offline. It is trying to connect again.')
    return
  }
  try {
    setFate('wait', 'Sending …')
    setFate('good', fateOf(await peer.sendReliable(to, text, { timeout: RECEIPT_TIMEOUT })))
  } catch (err) {
    const texts = {
      ERR_NO_ROUTE: 'Not delivered: no peer with this id answers.',
      ERR_TIMEOUT: 'No receipt has come: there may be no peer with this id, or the message may have arrived.'
    }
    setFate('bad', texts[err.code] ?? `Not sent: ${err.message}.`)
  }
}

// --- the page ----------------------------------------------------------------

const offerCopy = () => {
  for (const button of document.querySelectorAll('[data-copy]')) {
    const source = $(button.dataset.copy)
    button.disabled = false
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(source.href ?? source.textContent)
        button.textContent = 'Copied'
      } catch {
        // Copying is not allowed: select the text, so that the visitor can copy it.
        getSelection().selectAllChildren(source)
        button.textContent = 'Selected'
      }
      setTimeout(() => { button.textContent = 'Copy' }, 2_000)
    })
  }
}

const fail = text => {
  setState('failed', 'Not joined')
  setProblem($('problem'), text)
}

const run = async () => {
  const wanted = new URLSearchParams(location.search).get('to')?.trim()
  if (wanted) {
    $('to').value = wanted
    setProblem($('to-problem'), idProblem(wanted), $('to'))
  }
  // Other pages have no crypto.subtle, and so no identity.
  if (!isSecureContext) {
    fail('Browsers allow cryptography only on pages from https:// or from this machine (http://localhost). Open this page in one of these ways.')
    return
  }
  const { startPeer, toHex } = await import('/try/peer.js')
  const [address] = await nodeAddresses()
  const before = await storedKey()
  const start = key => startPeer({ key, bootstrap: [address] })
  // The stored key may be invalid. Then the identity is lost, but the page still works.
  const { peer, key } = await start(before).catch(err => {
    if (before === undefined) throw err
    return start()
  })
  if (key !== before) await storeKey(key)

  $('id').textContent = peer.idHex
  const link = new URL('/try', location.href)
  link.searchParams.set('to', peer.idHex)
  $('share').href = link.href
  $('share').textContent = link.href
  offerCopy()

  peer.on('message', (data, from, { proved, path }) => show({
    incoming: true,
    id: toHex(from),
    data,
    notes: [proved ? 'sender proved' : 'sender not proved', path.length > 1 ? `over ${plural(path.length - 1, 'relay', 'relays')}` : 'direct']
  }))
  stayJoined(peer, toHex)

  const submit = event => {
    event.preventDefault()
    const to = $('to').value.trim().toLowerCase()
    const text = $('text').value
    setProblem($('to-problem'), idProblem(to), $('to'))
    setProblem($('text-problem'), textProblem(text), $('text'))
    const wrong = document.querySelector('[aria-invalid]')
    if (wrong !== null) {
      wrong.focus()
      return
    }
    $('text').value = ''
    send(peer, to, text)
  }
  $('form').addEventListener('submit', submit)
  $('text').addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit(event)
  })
  $('send').disabled = false

  // destroy() ends the links at once. A page that returns from the browser's cache loads again.
  addEventListener('pagehide', () => { peer.destroy() })
  addEventListener('pageshow', event => { if (event.persisted) location.reload() })
}

run().catch(err => fail(`This did not work: ${err.message}. Reload the page to try again.`))
