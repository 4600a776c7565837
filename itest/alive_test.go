package itest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// overTCP are the flags of a peer that has no other way than TCP.
var overTCP = []string{"--no-webrtc", "--no-webrtc-direct"}

// stays checks that a peer keeps its link to another one for a time.
func stays(t *testing.T, p *peers.GoPeer, to protocol.ID, during time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(harness.Context(t), during)
	defer cancel()
	if _, err := p.Events().Wait(ctx, peers.IsDisconnect(to)); err == nil {
		t.Error("the link was lost")
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestTransferOverASlowLine has peers send more over a line than it carries within the time of an
// answer to a ping. The answers lie behind seconds of data. By URL the first link is a legacy
// one, and a native link replaces it while it still carries the messages.
func TestTransferOverASlowLine(t *testing.T) {
	const (
		rate  = "128kbit"
		count = 10
		size  = 60_000
		url   = "ws://10.77.0.1:8001"
	)
	lan := harness.LAN(t)
	relay := harness.GoPeer(t, peers.Spec{Name: "relay", Listen: true, Port: 8001, On: harness.LANHost(t, lan, "10.77.0.1/24")})
	multiaddr, err := relay.AddrWith("/ip4/10.77.0.1/tcp/")
	harness.Must(t, err)
	for i, bootstrap := range []string{url, multiaddr} {
		name, _, _ := strings.Cut(strings.Trim(bootstrap, "/"), "/")
		host := harness.LANHost(t, lan, fmt.Sprintf("10.77.0.%d/24", 10+i))
		line := harness.LANHost(t, lan, fmt.Sprintf("10.77.0.%d/24", 20+i))
		harness.Must(t, line.Slow(rate))
		t.Run(strings.TrimSuffix(name, ":"), func(t *testing.T) {
			t.Parallel()
			ctx := harness.Context(t)
			fast := harness.GoPeer(t, peers.Spec{Name: "fast", Bootstrap: []string{multiaddr}, On: host}, overTCP...)
			slow := harness.GoPeer(t, peers.Spec{Name: "slow", Bootstrap: []string{bootstrap}, On: line}, overTCP...)
			_, err := slow.Events().Wait(ctx, peers.IsPeer(relay.ID()))
			harness.Must(t, err)
			for range count {
				harness.Must(t, slow.Send(ctx, fast.ID(), strings.Repeat("x", size)))
			}
			_, err = fast.Events().WaitN(ctx, count, peers.IsKind(peers.EventMessage))
			if err != nil {
				t.Errorf("%d of %d messages arrived: %v", fast.Events().Count(peers.IsKind(peers.EventMessage)), count, err)
			}
			// The first frame of a link that replaces another one lies behind seconds of data.
			if bootstrap == multiaddr && slow.Events().Count(peers.IsDisconnect(relay.ID())) > 0 {
				t.Error("the link was lost")
			}
		})
	}
}

// TestLongRoundTrip has a peer dial a relay over a line whose round trips are longer than a
// peer on a usual line may take to answer.
func TestLongRoundTrip(t *testing.T) {
	const oneWay = 2 * time.Second
	for _, name := range []string{"by URL", "by multiaddr"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate, err := peers.NewGate("")
			harness.Must(t, err)
			t.Cleanup(func() { gate.Close() })
			gate.SetDelay(oneWay)
			relay := harness.GoPeer(t, peers.Spec{Name: "relay", Listen: true}, slices.Concat(overTCP, []string{"--announce", gate.URL()})...)
			harness.Must(t, gate.SetTarget(relay.PortURL()))
			gate.Open()
			bootstrap := gate.URL()
			if name == "by multiaddr" {
				_, id, _ := strings.Cut(relay.PortAddr(), "/p2p/")
				bootstrap = gate.Multiaddr() + "/p2p/" + id
			}
			p := harness.GoPeer(t, peers.Spec{Name: "peer", Bootstrap: []string{bootstrap}}, overTCP...)
			begun := time.Now()
			_, err = p.Events().Wait(harness.Context(t), peers.IsPeer(relay.ID()))
			harness.Must(t, err)
			t.Logf("linked after %v", time.Since(begun))
			stays(t, p, relay.ID(), 30*time.Second) // a ping after 20 s
		})
	}
}

// TestRelayGoneWithoutAWord has one of two relays lose its cable. Messages that were sent a while
// later must take the other relay.
func TestRelayGoneWithoutAWord(t *testing.T) {
	const (
		clients = 4
		every   = 200 * time.Millisecond
		before  = 20 // rounds before the cable is pulled
		rounds  = 100
		within  = 10 * time.Second // 2.3 s on a machine with nothing else to do
	)
	ctx, lan := harness.Context(t), harness.LAN(t)
	urls := []string{"ws://10.77.0.1:8001", "ws://10.77.0.2:8001"}
	host := harness.LANHost(t, lan, "10.77.0.1/24")
	first := harness.GoPeer(t, peers.Spec{Name: "first", Listen: true, Port: 8001, On: host}, overTCP...)
	second := harness.GoPeer(t, peers.Spec{Name: "second", Listen: true, Port: 8001, Bootstrap: urls[:1], On: harness.LANHost(t, lan, "10.77.0.2/24")}, overTCP...)
	all := make([]*peers.GoPeer, clients)
	for i := range all {
		all[i] = harness.GoPeer(t, peers.Spec{Name: "client", Bootstrap: urls, On: harness.LANHost(t, lan, fmt.Sprintf("10.77.0.%d/24", 20+i))}, overTCP...)
	}
	for _, p := range all {
		for _, relay := range []*peers.GoPeer{first, second} {
			_, err := p.Events().Wait(ctx, peers.IsPeer(relay.ID()))
			harness.Must(t, err)
		}
	}
	type message struct {
		text string
		to   *peers.GoPeer
		at   time.Time
	}
	var sent []message
	var pulled time.Time
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for round := range rounds {
		if round == before {
			harness.Must(t, host.Plug(ctx, false))
			pulled = time.Now()
		}
		for i, p := range all {
			m := message{fmt.Sprintf("%d of %d", round, i), all[(i+1+round%(clients-1))%clients], time.Now()}
			harness.Must(t, p.Write("send", map[string]any{"to": m.to.ID(), "data": m.text}))
			sent = append(sent, m)
		}
		<-ticker.C
	}
	// The last message to each peer may be in flight.
	lost, last := 0, time.Duration(0)
	for _, m := range sent {
		arrived := func(e peers.Event) bool {
			return e.Kind == peers.EventMessage && string(e.Data) == `"`+m.text+`"`
		}
		late := m.at.Sub(pulled) > within
		if late || m.at.Before(pulled.Add(-every)) {
			if _, err := m.to.Events().Wait(ctx, arrived); err != nil {
				t.Fatalf("a message sent %v after the relay was gone is lost: %v", m.at.Sub(pulled), err)
			}
		} else if m.to.Events().Count(arrived) == 0 {
			lost, last = lost+1, m.at.Sub(pulled)
		}
	}
	t.Logf("%d of %d messages lost, the last of them %v after the relay was gone", lost, len(sent), last)
}
