package legacy

import (
	"reflect"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestTraceAcrossJS checks that pings, reports and receipts cross a JS peer, which is shown as the path
// has it.
func TestTraceAcrossJS(t *testing.T) {
	b := newBridge(t)
	for i, from := range b.ends {
		to := b.ends[1-i]
		if r, err := from.Ping(testContext(t), to.ID()); err != nil || !r.Proved || r.Handed || r.Hops != 4 {
			t.Errorf("the ping: %+v, %v", r, err)
		}
		hops, r, err := from.Trace(testContext(t), to.ID())
		if err != nil || !r.Proved || len(hops) != 4 {
			t.Fatalf("the trace: %+v, %+v, %v", hops, r, err)
		}
		for i := range hops {
			hops[i].RTT = 0
		}
		want := []protocol.Hop{
			{ID: b.gateways[i].ID(), Told: true, InPath: true, Link: "native"},
			{ID: b.js.id, InPath: true},
			{ID: b.gateways[1-i].ID(), Told: true, InPath: true, Link: "websocket"},
			{ID: to.ID(), Told: true, InPath: true, Link: "native"},
		}
		if !reflect.DeepEqual(hops, want) {
			t.Errorf("the trace found %+v, want %+v", hops, want)
		}
		select {
		case m := <-b.messages[1-i]:
			t.Errorf("the application got %+v", m)
		default:
		}
	}
	kinds := make(map[wire.Kind]int)
	for _, text := range b.js.of(dataPR) {
		kinds[parse(t, text).Body.Kind]++
	}
	if kinds[wire.KindPing] < 4 || kinds[wire.KindReport] < 4 || kinds[wire.KindReceipt] < 4 {
		t.Errorf("the JS peer passed %v", kinds)
	}
}

// TestPingToJS checks that the peer in front of a JS peer answers for it, and says so.
func TestPingToJS(t *testing.T) {
	b := newBridge(t)
	for hops, from := range map[int]*protocol.Router{1: b.gateways[0], 2: b.ends[0]} {
		if r, err := from.Ping(testContext(t), b.js.id); err != nil || r.Proved || !r.Handed || r.Hops != hops {
			t.Errorf("the ping over %d hops: %+v, %v", hops, r, err)
		}
		way, r, err := from.Trace(testContext(t), b.js.id)
		if err != nil || !r.Handed || len(way) != hops || way[hops-1].ID != b.js.id || way[hops-1].Told {
			t.Errorf("the trace over %d hops: %+v, %+v, %v", hops, way, r, err)
		}
		if hops == 1 && way[0].Link != "websocket" || hops == 2 && (!way[0].Told || way[0].ID != b.gateways[0].ID()) {
			t.Errorf("the trace over %d hops: %+v", hops, way)
		}
	}
}
