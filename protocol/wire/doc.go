// Package wire is what peers write to each other: ids, frames, the bodies of messages and
// the payloads of the overlay's own messages, with their limits. It reads and writes, and
// decides nothing: package protocol does.
//
//	a frame of a link:  | length | hello, ack, nack, ping, pong or bye |
//	or a message:       | length | hop nonce body route sig targets path … |
//
// A message is a [Frame] around a [Body]. The Body never changes on the way, and a signature
// is over it. What a relay changes stands outside it, where it is patched or appended in
// place: a relay never encodes a message again. See SPEC.md and envelope.proto beside
// package protocol.
//
// # Limits
//
// Each has a name in limits.go, and is checked on what is read and on what is written. What
// breaks one is an error that wraps [ErrMalformed] where it was read, and [ErrTooBig] or
// [ErrMalformed] where it was to be written.
//
// # Threats
//
// Everything read here may be hostile. A length prefix above a limit, a number that is not in
// its shortest form, a field that stands twice, and a frame of two types are all refused, so
// that a message has one encoding and a relay cannot make a second one of it. The slices of a
// parsed Frame are parts of its own bytes, and appending to one never writes over the next.
package wire
