// Node's crypto, as much as the npm package uses.
const { Buffer } = require('buffer/')

exports.randomBytes = (n) => Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(n)))
