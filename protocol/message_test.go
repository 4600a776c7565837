package protocol

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A message keeps its payload in memory, and not a large frame around it. The bounds of queues of
// messages count only the payloads.
func TestMessageKeepsNoLargeFrame(t *testing.T) {
	const laterField = 14
	for _, around := range []int{0, 200 << 10} {
		body := wire.Body{To: ID{1}, From: ID{2}, Form: FormRaw, Payload: []byte("payload"), Extra: []byte(`{"a":1}`)}
		if err := body.Encode(); err != nil {
			t.Fatal(err)
		}
		head := len(body.Head())
		raw := protowire.AppendTag(body.Raw()[:head:head], laterField, protowire.BytesType)
		raw = append(protowire.AppendBytes(raw, make([]byte, around)), body.Raw()[head:]...)
		later, err := wire.ParseBody(raw)
		if err != nil {
			t.Fatal(err)
		}
		f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: later, Path: []ID{{2}}})
		if err != nil {
			t.Fatal(err)
		}
		m := newMessage(f, false)
		if string(m.Payload) != "payload" || string(m.Extra) != `{"a":1}` {
			t.Errorf("with %d bytes around it: %q, %q", around, m.Payload, m.Extra)
		}
		kept := &m.Payload[0] == &f.Body.Payload[0] || &m.Extra[0] == &f.Body.Extra[0]
		if want := around <= maxAround; kept != want {
			t.Errorf("with %d bytes around it: the frame is kept: %v", around, kept)
		}
	}
}
