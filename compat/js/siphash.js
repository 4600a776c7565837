// SipHash-2-4 with 128 bits of output. It is a keyed hash that is synchronous in browsers too, where
// WebCrypto is not, so that a duplicate is known before anything else happens.

/**
 * @param {Uint8Array} key 16 bytes
 * @param {Uint8Array} data
 * @returns {string} 32 hexadecimal digits
 */
export const siphash128 = (key, data) => {
  const k = new DataView(key.buffer, key.byteOffset, 16)
  const k0l = k.getInt32(0, true)
  const k0h = k.getInt32(4, true)
  const k1l = k.getInt32(8, true)
  const k1h = k.getInt32(12, true)
  let v0l = k0l ^ 0x70736575
  let v0h = k0h ^ 0x736f6d65
  let v1l = k1l ^ 0x6e646f6d ^ 0xee
  let v1h = k1h ^ 0x646f7261
  let v2l = k0l ^ 0x6e657261
  let v2h = k0h ^ 0x6c796765
  let v3l = k1l ^ 0x79746573
  let v3h = k1h ^ 0x74656462

  const rounds = count => {
    for (let i = 0; i < count; i++) {
      let low = (v0l >>> 0) + (v1l >>> 0)
      v0h = (v0h + v1h + (low > 0xffffffff ? 1 : 0)) | 0
      v0l = low | 0
      let l = (v1l << 13) | (v1h >>> 19)
      let h = (v1h << 13) | (v1l >>> 19)
      v1l = l ^ v0l
      v1h = h ^ v0h
      l = v0l
      v0l = v0h
      v0h = l

      low = (v2l >>> 0) + (v3l >>> 0)
      v2h = (v2h + v3h + (low > 0xffffffff ? 1 : 0)) | 0
      v2l = low | 0
      l = (v3l << 16) | (v3h >>> 16)
      h = (v3h << 16) | (v3l >>> 16)
      v3l = l ^ v2l
      v3h = h ^ v2h

      low = (v0l >>> 0) + (v3l >>> 0)
      v0h = (v0h + v3h + (low > 0xffffffff ? 1 : 0)) | 0
      v0l = low | 0
      l = (v3l << 21) | (v3h >>> 11)
      h = (v3h << 21) | (v3l >>> 11)
      v3l = l ^ v0l
      v3h = h ^ v0h

      low = (v2l >>> 0) + (v1l >>> 0)
      v2h = (v2h + v1h + (low > 0xffffffff ? 1 : 0)) | 0
      v2l = low | 0
      l = (v1l << 17) | (v1h >>> 15)
      h = (v1h << 17) | (v1l >>> 15)
      v1l = l ^ v2l
      v1h = h ^ v2h
      l = v2l
      v2l = v2h
      v2h = l
    }
  }

  const absorb = (low, high) => {
    v3l ^= low
    v3h ^= high
    rounds(2)
    v0l ^= low
    v0h ^= high
  }

  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const whole = data.length - data.length % 8
  for (let at = 0; at < whole; at += 8) absorb(view.getInt32(at, true), view.getInt32(at + 4, true))
  let low = 0
  let high = (data.length & 0xff) << 24
  for (let at = whole; at < data.length; at++) {
    const shift = 8 * (at - whole)
    if (shift < 32) low |= data[at] << shift
    else high |= data[at] << (shift - 32)
  }
  absorb(low, high)

  const digest = new DataView(new ArrayBuffer(16))
  v2l ^= 0xee
  rounds(4)
  digest.setInt32(0, v0l ^ v1l ^ v2l ^ v3l, true)
  digest.setInt32(4, v0h ^ v1h ^ v2h ^ v3h, true)
  v1l ^= 0xdd
  rounds(4)
  digest.setInt32(8, v0l ^ v1l ^ v2l ^ v3l, true)
  digest.setInt32(12, v0h ^ v1h ^ v2h ^ v3h, true)
  let hex = ''
  for (let i = 0; i < 16; i++) hex += digest.getUint8(i).toString(16).padStart(2, '0')
  return hex
}
