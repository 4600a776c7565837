package itest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestTraceThroughJSRelay has two native peers behind gateways, and a relay of the npm package between
// the gateways: pings and reports cross it, and it is shown as the path has it.
func TestTraceThroughJSRelay(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	r := openRow(t, d, 0, []rowKind{rowNative, rowJS, rowNative})
	relay := r.relays[1]
	for _, order := range [][4]int{{0, 1, 2, 3}, {3, 2, 1, 0}} {
		from, near, far, to := r.nodes[order[0]], r.nodes[order[1]], r.nodes[order[2]], r.nodes[order[3]]
		if got, err := from.Ping(ctx, to.ID()); err != nil || !got.Proved || got.Handed || got.Hops != 4 {
			t.Errorf("the ping from %v to %v: %+v, %v%s", from.ID().Short(), to.ID().Short(), got, err, r.story())
		}
		hops, got, err := from.Trace(ctx, to.ID())
		var way []string
		for _, h := range hops {
			way = append(way, fmt.Sprintf("%v %v %s %s", h.ID.Short(), h.Told, h.Link, h.Agent))
		}
		want := fmt.Sprint([]string{
			fmt.Sprintf("%v true native peer-relay/dev", near.ID().Short()), fmt.Sprintf("%v false  ", relay.ID().Short()),
			fmt.Sprintf("%v true websocket peer-relay/dev", far.ID().Short()), fmt.Sprintf("%v true native peer-relay/dev", to.ID().Short()),
		})
		if err != nil || !got.Proved || fmt.Sprint(way) != want {
			t.Errorf("the trace is %v, %+v, %v, want %v%s", way, got, err, want, r.story())
		}
		absent := to.ID()
		absent[len(absent)-1] ^= 1
		short, cancel := context.WithTimeout(ctx, unknownIn)
		if got, err := from.Ping(short, absent); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("to an id that no peer has: %+v, %v%s", got, err, r.story())
		}
		cancel()
	}
	for _, from := range []*node.Node{r.nodes[0], r.nodes[1]} {
		hops, got, err := from.Trace(ctx, relay.ID())
		if err != nil || got.Proved || !got.Handed || len(hops) == 0 || hops[len(hops)-1].ID != relay.ID() {
			t.Errorf("the trace of the relay itself: %+v, %+v, %v%s", hops, got, err, r.story())
		}
	}
	if e := relay.Events().All(); len(e) > 0 {
		for _, e := range e {
			if e.Kind == peers.EventMessage {
				t.Errorf("the relay's application got %v", e)
			}
		}
	}
	for i := range r.heard {
		if n := len(r.heard[i].All()); n != 0 {
			t.Errorf("the application of peer %d got %d messages", i, n)
		}
	}
	if !r.linked() {
		t.Errorf("the links have changed:%s", r.story())
	}
}

// TestPingCommands has the commands ping and trace reach a process of ours through a relay of the npm
// package, and reach that relay.
func TestPingCommands(t *testing.T) {
	d := harness.StartDriver(t)
	relay := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "relay", Listen: true}})
	ours := harness.GoPeer(t, peers.Spec{Name: "ours", Bootstrap: []string{relay.URL()}}, "--no-webrtc")
	_, err := relay.Events().Wait(harness.Context(t), peers.IsPeer(ours.ID()))
	harness.Must(t, err)
	for _, test := range []struct {
		command string
		to      protocol.ID
		want    string
	}{
		{"ping", ours.ID(), `^1: answer from ` + ours.ID().String() + `: hops=2 time=[\d.]+ ms.*\n--- .*\n1 sent, 1 answered, 0% lost\n`},
		{"ping", relay.ID(), `^1: handed to the relay of ` + relay.ID().String() + `: hops=1 .*\n--- .*\n1 sent, 0 answered, 1 handed to its relay, 0% lost\n`},
		{"trace", ours.ID(), `^ 1  ` + relay.ID().String() + `  websocket          -  \(as the path says\)\n 2  ` + ours.ID().String() + `  websocket +[\d.]+ ms  peer-relay/.*\nanswered in [\d.]+ ms over 1 relay\n$`},
		{"trace", relay.ID(), `^ 1  ` + relay.ID().String() + `  websocket          -  \(a legacy peer, .*\)\nhanded to its relay in .*\n$`},
	} {
		args := []string{test.command, "--no-webrtc", "--timeout", "60s", "--bootstrap", relay.URL(), test.to.String()}
		if test.command == "ping" {
			args = append(args, "-n", "1")
		}
		out, err := exec.CommandContext(harness.Context(t), harness.Binary(t), args...).CombinedOutput()
		if err != nil || !regexp.MustCompile(test.want).Match(out) {
			t.Errorf("%s %v: %v\n%s\nwant %s", test.command, test.to, err, out, test.want)
		}
		t.Logf("%s\n%s", test.command, out)
	}
}
