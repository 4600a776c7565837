// Writes the bundle that package node embeds for the page at /try: node/try/dist/peer.js.gz,
// which git ignores. The same sources make the same bytes. Needs Node 18.
//
//	node embed.mjs

import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { bundle } from './bundle.mjs'

const target = fileURLToPath(new URL('../../node/try/dist/peer.js.gz', import.meta.url))

const read = path => {
  try {
    return readFileSync(path)
  } catch (err) {
    if (err.code === 'ENOENT') return undefined
    throw err
  }
}

const work = mkdtempSync(join(tmpdir(), 'peer-relay-try-'))
try {
  const script = join(work, 'try.js')
  await bundle('try', script)
  const packed = gzipSync(readFileSync(script), { level: 9 })
  if (read(target)?.equals(packed) !== true) {
    // The file is renamed into place, so that a concurrent build sees all or nothing. Go embeds
    // no file whose name begins with a dot.
    mkdirSync(dirname(target), { recursive: true })
    const fresh = join(dirname(target), `.new-${process.pid}`)
    writeFileSync(fresh, packed)
    renameSync(fresh, target)
  }
  console.log(`${relative(process.cwd(), target)}: ${packed.length} bytes, ${readFileSync(script).length} unpacked`)
} finally {
  rmSync(work, { recursive: true })
}
