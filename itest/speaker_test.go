package itest

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestJSLibp2pSpeaksFromTheSpec has a peer on js-libp2p that was written from nothing but
// SPEC.md talk through a node and with it.
func TestJSLibp2pSpeaksFromTheSpec(t *testing.T) {
	harness.NeedNPM(t)
	for _, transport := range []string{"ws", "webrtc-direct"} {
		t.Run(transport, func(t *testing.T) { speakFromTheSpec(t, transport) })
	}
}

func speakFromTheSpec(t *testing.T, transport string) {
	ctx := harness.Context(t)
	messages := make(chan protocol.Message, 10)
	n, err := node.New(node.Options{Listen: true, ListenHost: "127.0.0.1", OnMessage: func(m protocol.Message) { messages <- m }})
	harness.Must(t, err)
	defer n.Close()
	echoed := make(chan protocol.Message, 1)
	go func() { // ends with the first message or the test
		select {
		case m := <-messages:
			if err := n.Router().Send(m.From, m.Form, m.Payload); err != nil {
				t.Errorf("send: %v", err)
			}
			echoed <- m
		case <-ctx.Done():
			close(echoed)
		}
	}()

	out, err := peers.RunNode(ctx, nil, "speaker.mjs", peers.AddrOver(n.Addrs(), transport), n.ID().String())
	if err != nil {
		t.Fatalf("speaker.mjs: %v", err)
	}

	type received struct {
		From, Data json.RawMessage
		Path       []protocol.ID
		Proved     bool
	}
	var r struct {
		A, B  protocol.ID
		Link  struct{ ID protocol.ID }
		Found struct {
			Proved bool
			Bytes  int
		}
		Relayed struct {
			Sent json.RawMessage
			Got  received
		}
		Echo   received
		Ponged bool
		Bye    wire.ByeReason
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	quote := func(id protocol.ID) string { return `"` + id.String() + `"` }
	if r.Link.ID != n.ID() {
		t.Errorf("it takes the node for %v, which is %v", r.Link.ID, n.ID())
	}
	if !r.Found.Proved || r.Found.Bytes%wire.IDSize != 0 {
		t.Errorf("found: %+v", r.Found)
	}
	if g := r.Relayed.Got; string(g.Data) != string(r.Relayed.Sent) || string(g.From) != quote(r.A) || !g.Proved || !slices.Equal(g.Path, []protocol.ID{r.A, n.ID()}) {
		t.Errorf("relayed: %s", out)
	}
	if g := r.Echo; string(g.Data) != `"echo"` || string(g.From) != quote(n.ID()) || !g.Proved || len(g.Path) != 1 {
		t.Errorf("echo: %s", out)
	}
	if !r.Ponged || r.Bye != wire.ByeNormal {
		t.Errorf("ponged %v, bye %d", r.Ponged, r.Bye)
	}
	if m, ok := <-echoed; !ok || m.From != r.A || !m.Proved || string(m.Payload) != `"echo"` {
		t.Errorf("the node got %+v", m)
	}
	if s := n.Router().Stats(); s.Forwarded != 1 || s.BadSignatures != 0 || s.Dropped[protocol.DropMalformed]+s.Dropped[protocol.DropBadControl] != 0 {
		t.Errorf("the node forwarded %d, bad signatures %d, drops: %v", s.Forwarded, s.BadSignatures, s.Dropped)
	}
}
