// Package wire encodes and decodes what peers send to each other: ids, frames, the bodies
// of messages and the payloads of the overlay's own messages, with their limits. It has no
// policy: package protocol decides what to send, and where.
//
//	a frame of a link:  | length | hello, ack, nack, ping, pong or bye |
//	or a message:       | length | hop nonce body route sig targets path … |
//
// A message is a [Frame] around a [Body]. The Body is the same bytes from the origin to the
// receiver, and only the Body is signed. The fields that a relay changes are outside the
// Body. The relay patches them or appends to them, so it never encodes a message again. See
// SPEC.md and envelope.proto in package protocol's folder.
//
// # Limits
//
// Each limit has a name in limits.go, and is checked when reading and when writing. A
// reader that finds one exceeded returns an error that wraps [ErrMalformed]. A writer
// returns [ErrTooBig] or ErrMalformed.
//
// # Threats
//
// All input may be hostile. A reader refuses a length prefix above a limit, a number that is
// not in its shortest form, a duplicate field, and a frame of two types. So a message has one
// encoding, and a relay cannot make a second one. The slices of a parsed Frame alias its own
// bytes, and appending to one never overwrites the next.
package wire
