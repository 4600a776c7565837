package wire

import (
	"crypto/sha256"

	"google.golang.org/protobuf/encoding/protowire"
)

// HashSize is the size of the hash of a Body in bytes.
const HashSize = 32

// A Receipt is the payload of a message of KindReceipt.
type Receipt struct {
	E2E    []byte         // end-to-end id of the message that was received
	Hash   [HashSize]byte // SHA-256 of its Body
	Hops   int            // links over which it came; 0 means unknown
	Nonce  []byte         // of the attempt that came first
	Handed bool           // the receiver is a legacy peer: this is the word of the peer in front of it
	Path   []ID           // of a traced ping: the path by which it came; nil means not told
	Kept   uint64         // the receiver is offline, and the sender of the receipt keeps the message until then, in Unix milliseconds; 0 means that it does not
}

// Wants reports whether the message is one of an application or a ping, with an end-to-end id and one
// of the flags.
func (m *Message) Wants(flag Flags) bool {
	return m.Body.Flags&flag != 0 && m.Body.E2E != nil && (!m.Body.Kind.IsControl() || m.Body.Kind == KindPing)
}

// IsKept reports whether peers may keep the message while its receiver has no link: its origin wants
// that and has signed it.
func (m *Message) IsKept() bool {
	return m.Wants(FlagKeep) && m.Wants(FlagReceipt) && m.Body.Expiry != 0 && m.Body.Key != nil && m.Sig != nil && !m.Body.Kind.IsControl()
}

// IsTraced reports whether the message is a ping on whose way peers report.
func (m *Message) IsTraced() bool { return m.Body.Kind == KindPing && m.Wants(FlagTrace) }

// Again returns another attempt of a message that the peer itself has sent.
func (f *Frame) Again(attempt int, nonce []byte) (*Frame, error) {
	return NewMessageFrame(MessageFields{Hop: NewHop().WithAttempt(attempt), Nonce: nonce, Body: f.Body, Sig: f.Sig, Path: []ID{f.Body.From}})
}

// ReceiptFor returns the receipt for a message.
func ReceiptFor(f *Frame, handed bool) Receipt {
	r := Receipt{E2E: f.Body.E2E, Hash: sha256.Sum256(f.Body.raw), Nonce: f.Nonce, Hops: f.PathLen(), Handed: handed}
	if f.IsTraced() {
		r.Path = f.Path()
	}
	return r
}

// AppendReceipt appends the payload of a receipt.
func AppendReceipt(b []byte, r Receipt) []byte {
	b = appendBytes(b, 1, r.E2E)
	b = appendBytes(b, 2, r.Hash[:])
	b = appendBytes(b, 3, r.Nonce)
	b = appendUint(b, 4, uint64(r.Hops))
	if r.Handed {
		b = appendVarint(b, 5, 1)
	}
	return appendUint(appendIDs(b, 6, r.Path), 7, r.Kept)
}

// ParseReceipt returns the Receipt that a payload encodes. It aliases the payload.
func ParseReceipt(b []byte) (Receipt, error) {
	var r Receipt
	seen, err := eachField(b, 7, 1<<6, func(f *field) (err error) {
		switch f.number {
		case 1:
			r.E2E, err = f.sized(TokenSize, TokenSize)
		case 2:
			var hash []byte
			if hash, err = f.sized(HashSize, HashSize); err == nil {
				r.Hash = [HashSize]byte(hash)
			}
		case 3:
			r.Nonce, err = f.sized(1, MaxNonce)
		case 4:
			var hops uint32
			if err = f.upTo(&hops, MaxPath); err == nil {
				r.Hops = int(hops)
			}
		case 5:
			r.Handed, err = true, f.isTrue("handed")
		case 6:
			var id ID
			if id, err = f.id(); err == nil && len(r.Path) == MaxPath {
				err = malformed("a path of more than %d entries", MaxPath)
			}
			r.Path = append(r.Path, id)
		case 7:
			r.Kept, err = f.num, f.want(protowire.VarintType)
		}
		return err
	})
	if err == nil && seen.has(7) && (r.Kept == 0 || r.Handed) {
		err = malformed("a receipt of a message that is kept, until %d, handed %v", r.Kept, r.Handed)
	}
	if err == nil && !(seen.has(1) && seen.has(2) && seen.has(3)) {
		err = malformed("a receipt without the end-to-end id, the hash or the nonce")
	}
	if err != nil {
		return Receipt{}, err
	}
	return r, nil
}

// A Notice is the payload of a message of KindNotice: a peer had no route for a message.
type Notice struct {
	E2E     []byte  // end-to-end id of the message
	Nonce   []byte  // of the attempt
	Silent  bool    // the peer is linked with the receiver, which does not answer
	Refusal Refusal // why the peer, which keeps messages, does not keep this one
}

// A Refusal is why a peer that keeps messages does not keep one.
type Refusal uint32

const (
	RefusalNone  Refusal = 0 // nothing was refused
	RefusalQuota Refusal = 1 // too much is kept of its sender or for its receiver
	RefusalFull  Refusal = 2 // there is no room at all, as on a disk that is full
	RefusalOther Refusal = 3 // the signature is wrong, the time is over, the store has failed
)

// AppendNotice appends the payload of a notice.
func AppendNotice(b []byte, n Notice) []byte {
	b = appendBytes(appendBytes(b, 1, n.E2E), 2, n.Nonce)
	if n.Silent {
		b = appendVarint(b, 3, 1)
	}
	return appendUint(b, 4, uint64(n.Refusal))
}

// ParseNotice returns the Notice that a payload encodes. It aliases the payload.
func ParseNotice(b []byte) (Notice, error) {
	var n Notice
	seen, err := eachField(b, 4, 0, func(f *field) (err error) {
		switch f.number {
		case 1:
			n.E2E, err = f.sized(TokenSize, TokenSize)
		case 2:
			n.Nonce, err = f.sized(1, MaxNonce)
		case 3:
			n.Silent, err = true, f.isTrue("silent")
		case 4:
			err = f.enum((*uint32)(&n.Refusal))
		}
		return err
	})
	if err == nil && !(seen.has(1) && seen.has(2)) {
		err = malformed("a notice without the end-to-end id or the nonce")
	}
	if err != nil {
		return Notice{}, err
	}
	return n, nil
}
