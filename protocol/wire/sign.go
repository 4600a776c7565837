package wire

// SignedBytes returns the bytes that a signature of the Body covers. Their prefix keeps
// another protocol that uses the same key from taking them for its own.
func (b *Body) SignedBytes() []byte {
	return append([]byte("peer-relay/1 body\x00"), b.raw...)
}
