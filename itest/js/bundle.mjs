// Bundles what pages load of packages that others wrote. Prints each file with its size. Needs Node 18.
//
//   node bundle.mjs OUTDIR [NAME…]

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const here = path => fileURLToPath(new URL(path, import.meta.url))

// One bundle a row: the file's name without .js, its entry, and what esbuild has to know of it.
const bundles = {
  // The global PeerRelay is that of the npm package, with a simple-peer that works in
  // browsers of today.
  legacy: {
    entryPoints: [here('node_modules/peer-relay/index.js')],
    globalName: 'PeerRelay',
    define: { global: 'globalThis', 'process.env.READABLE_STREAM': 'undefined' },
    inject: [here('pages/node/globals.js')],
    alias: {
      'simple-peer': here('node_modules/simple-peer/index.js'),
      crypto: here('pages/node/crypto.js'),
      stream: here('node_modules/readable-stream/readable-browser.js'),
      util: here('pages/node/util.js'),
      ws: here('pages/node/ws.js')
    }
  }
}

const [outdir, ...names] = process.argv.slice(2)
const unknown = names.filter(name => !Object.hasOwn(bundles, name))
if (outdir === undefined || unknown.length > 0) {
  console.error(`usage: node bundle.mjs OUTDIR [NAME…], of ${Object.keys(bundles).join(', ')}`)
  process.exit(2)
}
for (const name of names.length > 0 ? names : Object.keys(bundles)) {
  const outfile = join(outdir, `${name}.js`)
  await build({
    bundle: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'eof',
    logLevel: 'warning',
    outfile,
    ...bundles[name]
  })
  const bytes = readFileSync(outfile)
  console.log(`${outfile} ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzip`)
}
