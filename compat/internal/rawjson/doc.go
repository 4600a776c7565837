// Package rawjson reads and writes JSON as text, for the legacy wire.
//
// The npm package peer-relay speaks JSON, and every JS hop passes a message through JSON.parse
// and JSON.stringify. A Go relay must change nothing that a JS relay would keep. The package
// encoding/json does: it turns lone surrogates into U+FFFD, escapes <, > and &, and rounds or
// refuses numbers. So nothing here decodes a value to encode it again. A [Scanner] checks a
// text in one pass and returns slices of it:
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
// A text is accepted exactly when it is valid UTF-8, nested at most [MaxDepth] deep, and
// JSON.parse accepts it. Escaped lone surrogates, -0, 1e400 and duplicate keys are all
// accepted. A byte order mark is not.
//
// [Canonical] writes the text of JSON.stringify(JSON.parse(text)) in Node. A text that equals
// its canonical form is a fixed point: it crosses JS hops byte for byte, so a signature over it
// stays valid.
//
// # Strings of JS
//
// A JS string is a sequence of 16-bit units and may hold half a surrogate pair. Decoded keys
// are therefore in WTF-8: UTF-8, in which a lone surrogate takes the three bytes that its
// number would take. Two keys are the same property in JS exactly when their WTF-8 bytes are
// equal.
//
// # Hostile input
//
// All text comes from strangers. Scanning takes time linear in its length. It allocates nothing
// unless it fails, and keeps its stack of open containers in a fixed array. [Canonical]
// recurses at most MaxDepth deep. Integer-like keys cost it a sort, and duplicate keys in a
// large object a map with the runtime's random seed. The caller must limit the length of a
// text.
package rawjson
