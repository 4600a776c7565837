// Package rawjson reads and writes JSON as text, for the legacy wire.
//
// The npm package peer-relay speaks JSON, and every JS hop passes a message
// through JSON.parse and JSON.stringify. A Go relay must change nothing that a
// JS relay would keep, and encoding/json does: it turns lone surrogates into
// U+FFFD, escapes <, > and &, and rounds or refuses numbers. So nothing here
// decodes a value to encode it again. A [Scanner] checks a text while it walks
// it, once, and hands out slices of it:
//
//	s := rawjson.NewScanner(frame)
//	if s.EnterObject() {
//		for s.More() {
//			key, value := s.Key(), s.Value() // both alias frame
//			...
//		}
//	}
//	err := s.End()
//
// A text is accepted exactly when it is valid UTF-8, nested at most [MaxDepth]
// deep, and JSON.parse accepts it. Escaped lone surrogates, -0, 1e400 and
// duplicate keys are all fine; a byte order mark is not.
//
// [Canonical] writes what JSON.stringify(JSON.parse(text)) returns in Node. A text
// that equals its canonical form is a fixed point: it crosses JS hops byte for
// byte, so a signature over it stays valid.
//
// # Strings of JS
//
// A JS string is a sequence of 16-bit units and may hold half a surrogate pair.
// Decoded keys are therefore in WTF-8: UTF-8, in which a lone surrogate takes the
// three bytes that its number would take. Two keys are the same property in JS
// exactly when their WTF-8 bytes are equal.
//
// # Hostile input
//
// All text comes from strangers. Scanning takes time linear in its length,
// allocates nothing unless it fails, and keeps its stack of open containers in a
// fixed array. [Canonical] recurses at most MaxDepth deep; integer-like keys cost
// it a sort, duplicate keys in a large object a map with the runtime's random
// seed. The length of a text is for the caller to limit.
package rawjson
