package sim

import (
	"encoding/binary"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// note adds an action to the hash of a peer's transcript. It returns the bytes of its frame, if it has one,
// which are valid until the next call.
func (l *lane) note(p *Peer, a *core.Action) (frame []byte) {
	b := l.line[:0]
	for _, v := range []uint64{uint64(l.now), uint64(p.Index), uint64(a.Type), uint64(a.Link), uint64(a.Index), uint64(a.Reason)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	if a.Proved {
		b = append(b, 1)
	}
	b = append(b, a.Peer[:]...)
	var contact wire.Contact
	if a.Contact != nil {
		contact = *a.Contact
	}
	b = append(b, contact.ID[:]...)
	b = append(b, contact.Record...)
	if a.Err != nil {
		b = append(b, a.Err.Error()...)
	}
	if a.Frame != nil {
		n := len(b)
		b = encode(b, a.Frame)
		frame = b[n:]
	}
	p.hash.Write(b)
	l.line = b
	return frame
}
