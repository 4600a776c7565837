// Replaces @multiformats/dns in pages, where that package would ask third parties over HTTPS.

export const RecordType = {}

export const dns = () => {
  throw new Error('a page cannot resolve names')
}
