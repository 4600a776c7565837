// Bundles what pages load of the peer. Prints each file with its size. Needs Node 18.
//
//   node bundle.mjs OUTDIR [NAME…]

import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const here = path => fileURLToPath(new URL(path, import.meta.url))

// One bundle a row: the file's name without .js, and what esbuild has to know of it.
const bundles = {
  // The global PeerRelay is the class of our module.
  peer: { entryPoints: [here('page.js')] },
  // An ES module: the network's part of the page at /try.
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
