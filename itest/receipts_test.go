package itest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
)

// unknownIn is the time after which a test takes it that what came of a message stays unknown.
const unknownIn = 2 * time.Second

// TestReceiptsThroughJSRelay has two native peers behind gateways, and a relay of the npm package
// between the gateways: receipts come back by it. That no peer has an id is not known behind it.
func TestReceiptsThroughJSRelay(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	r := openRow(t, d, 0, []rowKind{rowNative, rowJS, rowNative})
	relay := r.relays[1]
	for _, ends := range [][2]*node.Node{{r.nodes[0], r.nodes[3]}, {r.nodes[3], r.nodes[0]}} {
		from, to := ends[0], ends[1]
		for range 3 {
			got, err := from.SendReliable(ctx, to.ID(), []byte{0, 255})
			if err != nil || !got.Proved || got.Handed || got.Hops != 4 {
				t.Errorf("from %v to %v: %+v, %v%s", from.ID().Short(), to.ID().Short(), got, err, r.story())
			}
		}
		near := to.ID()
		near[len(near)-1] ^= 1
		short, cancel := context.WithTimeout(ctx, unknownIn)
		if got, err := from.SendReliable(short, near, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("from %v to an id that no peer has: %+v, %v%s", from.ID().Short(), got, err, r.story())
		}
		cancel()
	}
	got, err := r.nodes[0].SendReliable(ctx, relay.ID(), []byte("to JS"))
	if err != nil || got.Proved || !got.Handed {
		t.Errorf("to the relay itself: %+v, %v%s", got, err, r.story())
	}
	e, err := relay.Events().Wait(ctx, peers.IsKind(peers.EventMessage))
	if err != nil || e.Node != r.nodes[0].ID() || string(e.Data) != string(peers.BufferText([]byte("to JS"))) {
		t.Errorf("the relay received %v, %v", e, err)
	}
	for i, want := range map[int]int{0: 3, 3: 3} {
		if n := len(r.heard[i].All()); n != want {
			t.Errorf("peer %d received %d messages, want %d", i, n, want)
		}
	}
	if !r.linked() {
		t.Errorf("the links have changed:%s", r.story())
	}
}

// TestReceiptsOfTheAPI has two of our peers that know only a relay of the npm package.
func TestReceiptsOfTheAPI(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	relay := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "relay", Listen: true}})
	var ours [2]*compat.PeerRelay
	for i := range ours {
		p, err := compat.New(compat.Options{Options: node.Options{Bootstraps: []string{relay.URL()}}, NoWebRTC: true})
		harness.Must(t, err)
		t.Cleanup(func() { p.Close() })
		_, err = relay.Events().Wait(ctx, peers.IsPeer(p.ID()))
		harness.Must(t, err)
		harness.Must(t, peers.Until(ctx, "the relay to be linked", func() (bool, error) { return linkedTo(p.Node(), relay.ID()), nil }))
		ours[i] = p
	}
	for i, p := range ours {
		for _, data := range []any{[]byte{0, 255}, compat.Undefined, map[string]any{"10": 1, "9": []any{"ü", nil, 1e21}}} {
			got, err := p.SendReliable(ctx, ours[1-i].ID(), data)
			if err != nil || !got.Proved || got.Handed || got.Hops != 2 {
				t.Errorf("%v: %+v, %v", data, got, err)
			}
		}
		got, err := p.SendReliable(ctx, relay.ID(), "to JS")
		if err != nil || got.Proved || !got.Handed || got.Hops != 1 {
			t.Errorf("to the relay: %+v, %v", got, err)
		}
		if peers := p.Node().Router().Peers(); len(peers) != 1 {
			t.Errorf("peer %d has links %v, want one with the relay", i, peers)
		}
	}
}
