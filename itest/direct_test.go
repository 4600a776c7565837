package itest

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestJSLibp2pDials lets js-libp2p dial, identify and ping a node.
func TestJSLibp2pDials(t *testing.T) {
	harness.NeedNPM(t)
	// With QUIC, which then has the socket; TestJSPeerExchanges is without.
	n, err := node.New(node.Options{Listen: true, ListenHost: peers.Loopback, Version: "itest", QUIC: true})
	harness.Must(t, err)
	defer n.Close()
	for _, test := range []struct {
		transport, security string
		dial                func(context.Context, string) (*peers.Libp2pReport, error)
	}{
		{"tcp", "/noise", peers.DialJSLibp2p},
		{"tcp", libp2ptls.ID, peers.DialJSLibp2pByTLS},
		{"ws", libp2ptls.ID, peers.DialJSLibp2pByTLS},
		{"webrtc-direct", "", peers.DialJSLibp2p},
	} {
		t.Run(test.transport+" "+test.security, func(t *testing.T) {
			report, err := test.dial(harness.Context(t), peers.AddrOver(n.Addrs(), test.transport))
			harness.Must(t, err)
			if report.Peer != n.Host().ID().String() || report.Agent != "peer-relay/itest" || report.Ping() <= 0 {
				t.Errorf("js-libp2p reports %+v", report)
			}
			if test.security != "" && report.Encryption != test.security {
				t.Errorf("secured by %q", report.Encryption)
			}
			for _, want := range []string{string(ping.ID), string(node.StreamProtocol)} {
				if !slices.Contains(report.Protocols, want) {
					t.Errorf("it does not see %s among %v", want, report.Protocols)
				}
			}
		})
	}
}

// TestJSPeerExchanges has two peers of compat/js talk through a node and with it.
func TestJSPeerExchanges(t *testing.T) {
	harness.NeedNPM(t)
	for _, transport := range []string{"ws", "webrtc-direct"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			jsPeerExchanges(t, transport)
		})
	}
}

func jsPeerExchanges(t *testing.T, transport string) {
	messages, links := make(chan protocol.Message, 100), make(chan protocol.LinkInfo, 100)
	n, err := node.New(node.Options{
		Listen: true, ListenHost: peers.Loopback,
		OnMessage: func(m protocol.Message) { messages <- m },
		OnPeer:    func(i protocol.LinkInfo) { links <- i },
	})
	harness.Must(t, err)
	defer n.Close()
	ctx := harness.Context(t)
	echoing := make(chan struct{})
	defer func() { <-echoing }()
	done := make(chan struct{})
	defer close(done)
	go func() { // ends with the test, which waits for it
		defer close(echoing)
		for {
			select {
			case m := <-messages:
				if err := n.Router().Send(m.From, m.Form, m.Payload); err != nil {
					t.Errorf("send: %v", err)
				}
			case <-done:
				return
			}
		}
	}()

	out, err := peers.RunNode(ctx, nil, "exchange.mjs", peers.AddrOver(n.Addrs(), transport), n.ID().String())
	if err != nil {
		t.Fatalf("exchange.mjs: %v", err)
	}
	type received struct {
		Data   json.RawMessage
		From   protocol.ID
		Proved bool
		Path   []protocol.ID
	}
	var r struct {
		A, B               protocol.ID
		Peers              [2][]protocol.ID
		Values             []json.RawMessage
		AToB, BToA, Echoes []received
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %.500s", err, out)
	}
	for i, linked := range r.Peers {
		if !slices.Equal(linked, []protocol.ID{n.ID()}) {
			t.Errorf("peer %d is linked to %v, want %v", i, linked, n.ID())
		}
	}
	for _, test := range []struct {
		name   string
		got    []received
		from   protocol.ID
		proved bool
		path   []protocol.ID
	}{
		{"a to b", r.AToB, r.A, false, []protocol.ID{r.A, n.ID()}},
		{"b to a", r.BToA, r.B, false, []protocol.ID{r.B, n.ID()}},
		{"echoes", r.Echoes, n.ID(), true, []protocol.ID{n.ID()}},
	} {
		if len(test.got) != len(r.Values) {
			t.Fatalf("%s: %d messages, want %d", test.name, len(test.got), len(r.Values))
		}
		for i, m := range test.got {
			if string(m.Data) != string(r.Values[i]) || m.From != test.from || m.Proved != test.proved || !slices.Equal(m.Path, test.path) {
				t.Errorf("%s: message %d is %.200s from %v, proved %v, path %v", test.name, i, m.Data, m.From, m.Proved, m.Path)
			}
		}
	}
	for range 2 {
		if i := <-links; i.Kind != protocol.LinkNative || i.OverWebRTC != (transport == "webrtc-direct") {
			t.Errorf("the link is %+v", i)
		}
	}
}

// TestJSPeerReceipts has a peer of compat/js and a node send each other reliable messages through a
// second node, and the former send one to an id that no peer has.
func TestJSPeerReceipts(t *testing.T) {
	harness.NeedNPM(t)
	relay, err := node.New(node.Options{Listen: true, ListenHost: peers.Loopback})
	harness.Must(t, err)
	defer relay.Close()
	messages, links := make(chan protocol.Message, 100), make(chan protocol.LinkInfo, 100)
	n, err := node.New(node.Options{
		Bootstraps: []string{peers.AddrOver(relay.Addrs(), "ws")},
		OnMessage:  func(m protocol.Message) { messages <- m },
		OnPeer:     func(i protocol.LinkInfo) { links <- i },
	})
	harness.Must(t, err)
	defer n.Close()
	ctx := harness.Context(t)
	select {
	case <-links:
	case <-ctx.Done():
		t.Fatal("the nodes have no link")
	}

	type outcome struct {
		out []byte
		err error
	}
	ended := make(chan outcome, 1)
	go func() { // ends with its process, which the context ends
		out, err := peers.RunNode(ctx, nil, "receipts.mjs", peers.AddrOver(relay.Addrs(), "ws"), n.ID().String())
		ended <- outcome{out, err}
	}()
	var m protocol.Message
	select {
	case m = <-messages:
	case o := <-ended:
		t.Fatalf("receipts.mjs: %v", o.err)
	}
	receipt, err := n.SendReliable(ctx, m.From, []byte{1, 2})
	if err != nil || !receipt.Proved || receipt.Handed || receipt.Hops != 2 {
		t.Errorf("the receipt of the JS peer is %+v, %v", receipt, err)
	}
	o := <-ended
	if o.err != nil {
		t.Fatalf("receipts.mjs: %v", o.err)
	}
	var r struct {
		ID      protocol.ID
		Receipt struct {
			Proved, Handed bool
			Hops           int
			MS             float64
		}
		Got struct {
			Data map[string]int
			From protocol.ID
		}
		Unused struct{ Code, Message string }
	}
	if err := json.Unmarshal(o.out, &r); err != nil {
		t.Fatalf("%v: %.500s", err, o.out)
	}
	if string(m.Payload) != `{"hello":"ü"}` || m.From != r.ID {
		t.Errorf("the node got %s from %v", m.Payload, m.From)
	}
	if !r.Receipt.Proved || r.Receipt.Handed || r.Receipt.Hops != 2 {
		t.Errorf("the receipt of the node is %+v", r.Receipt)
	}
	if len(r.Got.Data) != 2 || r.Got.Data["1"] != 2 || r.Got.From != n.ID() {
		t.Errorf("the JS peer got %+v", r.Got)
	}
	if r.Unused.Code != "ERR_NO_ROUTE" {
		t.Errorf("a message to an id that no peer has ends with %+v", r.Unused)
	}
}
