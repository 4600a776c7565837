package wire

// SignedBytes returns what a signature of the Body is over. No other protocol that uses
// the same key can take these bytes for its own.
func (b *Body) SignedBytes() []byte {
	return append([]byte("peer-relay/1 body\x00"), b.raw...)
}
