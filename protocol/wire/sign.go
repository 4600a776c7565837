package wire

// SignedBytes returns what a signature of the Body is over. No other protocol that uses
// the same key can take these bytes for its own.
func (b *Body) SignedBytes() []byte {
	return append([]byte("peer-relay/1 body\x00"), b.raw...)
}

// Verify reports whether the message is signed by the key that its origin's id is the
// hash of. It keeps the answer, so that it can be found before a lock is taken.
func (f *Frame) Verify(verify func(key, data, sig []byte) (ID, bool)) bool {
	if !f.checked {
		f.checked = true
		if len(f.Sig) > 0 && len(f.Body.Key) > 0 && verify != nil {
			id, ok := verify(f.Body.Key, f.Body.SignedBytes(), f.Sig)
			f.signed = ok && id == f.Body.From
		}
	}
	return f.signed
}
