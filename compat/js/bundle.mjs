// Bundles the peer for pages, and prints each file with its size. Needs Node 18.
//
//   node bundle.mjs OUTDIR [NAME…]

import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const here = path => fileURLToPath(new URL(path, import.meta.url))

// The bundles: the file's name without .js, and the options of esbuild for it.
const bundles = {
  // A script that sets the global PeerRelay to the class.
  peer: { entryPoints: [here('page.js')] },
  // An ES module: the peer of the page at /try.
  try: { entryPoints: [here('try.mjs')], format: 'esm' }
}

/** Writes one bundle to a file. */
export const bundle = (name, outfile) => build({
  bundle: true,
  format: 'iife',
  platform: 'browser',
  target: 'es2022',
  minify: true,
  legalComments: 'eof',
  logLevel: 'warning',
  alias: { '@multiformats/dns': here('no-dns.js') },
  outfile,
  ...bundles[name]
})

const main = async (outdir, ...names) => {
  const unknown = names.filter(name => !Object.hasOwn(bundles, name))
  if (outdir === undefined || unknown.length > 0) {
    console.error(`usage: node bundle.mjs OUTDIR [NAME…], of ${Object.keys(bundles).join(', ')}`)
    process.exit(2)
  }
  for (const name of names.length > 0 ? names : Object.keys(bundles)) {
    const outfile = join(outdir, `${name}.js`)
    await bundle(name, outfile)
    const bytes = readFileSync(outfile)
    console.log(`${outfile} ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzip`)
  }
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main(...process.argv.slice(2))
