// Replaces @multiformats/dns in pages, where that package asks strangers over HTTPS.

export const RecordType = {}

export const dns = () => {
  throw new Error('a page resolves no names')
}
