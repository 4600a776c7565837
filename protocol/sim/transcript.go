package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
)

// note adds an action to the hash of the transcript.
func (w *World) note(p *Peer, a core.Action) {
	b := w.line[:0]
	for _, v := range []uint64{uint64(w.now), uint64(p.Index), uint64(a.Type), uint64(a.Link), uint64(a.Index), uint64(a.Reason)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	if a.Proved {
		b = append(b, 1)
	}
	b = append(b, a.Peer[:]...)
	b = append(b, a.Contact.ID[:]...)
	b = append(b, a.Contact.Record...)
	if a.Err != nil {
		b = append(b, a.Err.Error()...)
	}
	if a.Frame != nil {
		raw, err := a.Frame.AppendTo(nil)
		if err != nil {
			panic(fmt.Sprintf("sim: a core sent a frame that cannot be written: %v", err))
		}
		b = append(b, raw...)
	}
	w.hash.Write(b)
	w.line = b
}

// noteEvent adds an event of a peer's core to the hash.
func (w *World) noteEvent(p *Peer, e journal.Event) {
	b := w.line[:0]
	for _, v := range []uint64{uint64(w.now), uint64(p.Index), uint64(e.Type), uint64(e.Kind), uint64(e.Reason)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(append(b, e.Digest[:]...), e.Peer[:]...)
	w.hash.Write(append(append(b, e.From[:]...), e.To[:]...))
	w.line = b
}
