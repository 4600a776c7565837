package itest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/jsongen"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

const (
	rowSends = 200
	// rowBurst is the most sends before all of them must have arrived. A burst fits the
	// queue of every link.
	rowBurst = 20
	// rowDepth is the most objects and arrays inside each other in a value.
	rowDepth = 20
)

// rowPrefix is the first two bits of the ids of a row, in the order of the row. From each
// peer the neighbour on the way to a target has the id nearest to it, so that a message
// finds its way although no peer has other links.
var rowPrefix = [...]byte{0b00, 0b01, 0b11, 0b10}

const rowPeers = len(rowPrefix)

// A rowKind is what joins two neighbours of a row.
type rowKind string

const (
	rowNative    rowKind = "native"    // a libp2p stream
	rowWebSocket rowKind = "websocket" // a legacy WebSocket
	rowChannel   rowKind = "channel"   // a data channel, signalled through a third peer
	rowJS        rowKind = "js"        // a relay of the npm package between the two
)

// linkKind is the kind of link that a peer has on its side of it.
func (k rowKind) linkKind() protocol.LinkKind {
	switch k {
	case rowNative:
		return protocol.LinkNative
	case rowChannel:
		return protocol.LinkWebRTC
	}
	return protocol.LinkWebSocket
}

// TestLinkKindsDeliverTheSame sends one random script over rows of peers that differ in
// nothing but the kinds of their links. Each row must deliver the same messages, each of
// them once, and the signed ones proved.
func TestLinkKindsDeliverTheSame(t *testing.T) {
	d := harness.StartDriver(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	script := rowScript(t, d, rand.New(rand.NewPCG(seed, 0)))
	var first []string
	for i, links := range [][rowPeers - 1]rowKind{
		{rowNative, rowNative, rowNative},
		{rowWebSocket, rowWebSocket, rowWebSocket},
		{rowChannel, rowChannel, rowChannel},
		{rowJS, rowJS, rowJS},
		// Neither end of a data channel may have a port: the other one would dial that.
		{rowJS, rowNative, rowChannel},
		{rowNative, rowChannel, rowJS},
		{rowJS, rowWebSocket, rowChannel},
		{rowNative, rowWebSocket, rowJS},
	} {
		t.Run(fmt.Sprintf("%s %s %s", links[0], links[1], links[2]), func(t *testing.T) {
			got := openRow(t, d, i, links[:]).play(t, script)
			if i == 0 {
				first = got
			}
			if !slices.Equal(got, first) {
				t.Errorf("it delivers\n%s\nwhere native links deliver\n%s", strings.Join(got, "\n"), strings.Join(first, "\n"))
			}
		})
	}
}

// A rowSend is one step of a script.
type rowSend struct {
	from, to int // to is rowPeers for an id that no peer has
	form     protocol.Form
	payload  []byte
}

// rowScript makes a script. Its JSON is spelled as JavaScript spells it, so that relays of
// the npm package leave it as it is. At its end each peer writes to each other one.
func rowScript(t *testing.T, d *peers.Driver, r *rand.Rand) (script []rowSend) {
	t.Helper()
	var documents []string
	generator := jsongen.New(r.Uint64(), rowDepth)
	for range 3 * rowSends {
		documents = append(documents, string(generator.Document()))
	}
	canon, err := d.Canon(harness.Context(t), documents)
	harness.Must(t, err)
	for i, c := range canon {
		if c.Text != documents[i] || len(script) == rowSends {
			continue
		}
		s := rowSend{from: r.IntN(rowPeers), form: protocol.FormJSON, payload: []byte(documents[i])}
		s.to = (s.from + 1 + r.IntN(rowPeers-1)) % rowPeers
		switch r.IntN(10) {
		case 0:
			s.to = rowPeers
		case 1:
			s.form = protocol.FormRaw
		case 2:
			s.form, s.payload = protocol.FormNone, nil
		}
		script = append(script, s)
	}
	if len(script) < rowSends {
		t.Fatalf("only %d of %d documents are as JavaScript spells them", len(script), len(documents))
	}
	// A copy of an earlier message is not behind these, which come last on each way.
	for from := range rowPeers {
		for to := range rowPeers {
			if from != to {
				script = append(script, rowSend{from, to, protocol.FormJSON, []byte(`"the last one"`)})
			}
		}
	}
	return script
}

// A row is peers of which each has links to the next one and the one before, and to no
// other peer. Every second one signs its messages.
type row struct {
	links  []rowKind
	nodes  []*node.Node
	heard  []*peers.Log[protocol.Message]
	relays map[int]*peers.NPMPeer // by the number of the link
}

// openRow starts a row that is linked as links says.
func openRow(t *testing.T, d *peers.Driver, number int, links []rowKind) *row {
	t.Helper()
	ctx := harness.Context(t)
	r := &row{links: links, relays: make(map[int]*peers.NPMPeer)}
	third, err := compat.New(compat.Options{Options: node.Options{Listen: true, ListenHost: peers.Loopback}, NoWebRTC: true})
	harness.Must(t, err)
	t.Cleanup(func() { third.Close() })
	for i, prefix := range rowPrefix {
		r.start(t, d, fmt.Sprintf("row %d relay %d", number, i), rowKey(t, prefix), third.URL())
	}
	for i, kind := range links {
		if kind == rowChannel {
			a, b := r.nodes[i], r.nodes[i+1]
			r.await(t, ctx, "the third peer's links", func() bool { return linkedTo(third.Node(), a.ID()) && linkedTo(third.Node(), b.ID()) })
			b.Connect(a.ID())
			r.await(t, ctx, "a data channel", func() bool { return linkedTo(a, b.ID()) && linkedTo(b, a.ID()) })
		}
	}
	harness.Must(t, third.Close())
	r.await(t, ctx, "the links of the row", r.linked)
	return r
}

// start starts the next peer of a row, and what joins it with the one after it.
func (r *row) start(t *testing.T, d *peers.Driver, relay string, key crypto.PrivKey, third string) {
	t.Helper()
	ctx := harness.Context(t)
	w, err := legacy.NewWebRTC(legacy.WebRTCOptions{Loopback: true})
	harness.Must(t, err)
	t.Cleanup(func() { w.Close() })
	i := len(r.nodes)
	log := peers.NewLog[protocol.Message](fmt.Sprint("peer ", i))
	gate := &rowGater{}
	o := node.Options{ListenHost: peers.Loopback, Key: key, NoOverlay: true, NoDiscovery: true, NoWebRTCDirect: true, SignMessages: i%2 == 0,
		OnMessage: log.Add, Legacy: rowLegacy{&legacy.WebSocket{}}, WebRTC: w, Gater: gate}
	signalled := false
	if i > 0 {
		switch before := r.nodes[i-1]; r.links[i-1] {
		case rowNative:
			gate.let = before.Host().ID()
			o.Bootstraps = append(o.Bootstraps, before.Addrs()[0].String())
		case rowWebSocket:
			o.Bootstraps = append(o.Bootstraps, before.URLs()[0])
		case rowChannel:
			signalled = true
		case rowJS:
			o.Bootstraps = append(o.Bootstraps, r.relays[i-1].URL())
		}
	}
	if i < len(r.links) {
		switch r.links[i] {
		case rowNative, rowWebSocket:
			o.Listen = true
		case rowChannel:
			signalled = true
		case rowJS:
			// A peer sends copies to both relays of the package beside it, unless only one of them is
			// nearer to the target than the peer. With these ids that one is never the wrong one.
			id := node.IDOf(peerID(t, rowKey(t, rowPrefix[[]int{0, 2, 3}[i]])))
			if i == 1 {
				id = r.nodes[0].ID()
				id[0] ^= 0b11 << 6
			}
			r.relays[i] = harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: relay, Listen: true}, ID: id, Hold: true})
			o.Bootstraps = append(o.Bootstraps, r.relays[i].URL())
		}
	}
	if signalled {
		o.Bootstraps = append(o.Bootstraps, third)
	}
	n, err := node.New(o)
	harness.Must(t, err)
	t.Cleanup(func() { n.Close() })
	r.nodes, r.heard = append(r.nodes, n), append(r.heard, log)
	for _, k := range []int{i - 1, i} {
		if relay := r.relays[k]; relay != nil {
			_, err := relay.Events().Wait(ctx, peers.IsPeer(n.ID()))
			harness.Must(t, err)
		}
	}
}

// linked reports whether each peer has the links that it shall have, and no other.
func (r *row) linked() bool {
	for i, n := range r.nodes {
		want := make(map[protocol.ID]protocol.LinkKind)
		for k, beyond := range map[int]int{i - 1: i - 1, i: i + 1} { // by the number of the link
			switch {
			case k < 0 || k >= len(r.links):
			case r.links[k] == rowJS:
				want[r.relays[k].ID()] = r.links[k].linkKind()
			default:
				want[r.nodes[beyond].ID()] = r.links[k].linkKind()
			}
		}
		have := make(map[protocol.ID]protocol.LinkKind)
		for _, l := range n.Router().Peers() {
			have[l.ID] = l.Kind
		}
		if fmt.Sprint(have) != fmt.Sprint(want) { // sorted
			return false
		}
	}
	return true
}

// play runs a script and returns what arrived: a line for each message, sorted.
func (r *row) play(t *testing.T, script []rowSend) (delivered []string) {
	t.Helper()
	ctx := harness.Context(t)
	due := make([]int, len(r.nodes)) // messages, by receiver
	for burst := range slices.Chunk(script, rowBurst) {
		for _, s := range burst {
			to := protocol.ID{1}
			if s.to < rowPeers {
				to = r.nodes[s.to].ID()
				due[s.to]++
			}
			harness.Must(t, r.nodes[s.from].Router().Send(to, s.form, s.payload))
		}
		for i, log := range r.heard {
			if _, err := log.WaitN(ctx, due[i], func(protocol.Message) bool { return true }); err != nil {
				t.Fatalf("%v%s", err, r.story())
			}
		}
	}
	if !r.linked() {
		t.Errorf("the links have changed:%s", r.story())
	}
	for i, log := range r.heard {
		for _, m := range log.All() {
			from := slices.IndexFunc(r.nodes, func(n *node.Node) bool { return n.ID() == m.From })
			proved := from%2 == 0 && m.Proved // an unsigned one is proved by a native link only
			delivered = append(delivered, fmt.Sprintf("%d to %d, proved %v, form %d: %q", from, i, proved, m.Form, m.Payload))
		}
	}
	slices.Sort(delivered)
	return delivered
}

// await waits for done to return true, and ends the test with the story of the row if it
// does not in time.
func (r *row) await(t *testing.T, ctx context.Context, what string, done func() bool) {
	t.Helper()
	if err := peers.Until(ctx, what, func() (bool, error) { return done(), nil }); err != nil {
		t.Fatalf("%v%s", err, r.story())
	}
}

// story reports what the peers did, for a failure.
func (r *row) story() (text string) {
	for i, n := range r.nodes {
		stats := n.Router().Stats()
		text += fmt.Sprintf("\npeer %d %v: delivered %d, forwarded %d, dropped %v, %d links opened, links", i, n.ID(), stats.Delivered, stats.Forwarded, stats.Dropped, stats.LinksOpened)
		for _, l := range n.Router().Peers() {
			text += fmt.Sprintf(" %v %v", l.Kind, l.ID)
		}
	}
	return text
}

func linkedTo(n *node.Node, id protocol.ID) bool {
	return slices.ContainsFunc(n.Router().Peers(), func(l protocol.LinkInfo) bool { return l.ID == id })
}

// rowKey makes a key whose id begins with two bits.
func rowKey(t *testing.T, prefix byte) crypto.PrivKey {
	t.Helper()
	for {
		key, err := node.NewKey()
		harness.Must(t, err)
		if p, err := peer.IDFromPrivateKey(key); err == nil && node.IDOf(p)[0]>>6 == prefix {
			return key
		}
	}
}

func peerID(t *testing.T, key crypto.PrivKey) peer.ID {
	t.Helper()
	p, err := peer.IDFromPrivateKey(key)
	harness.Must(t, err)
	return p
}

// A rowLegacy is the legacy transport of a peer in a row.
type rowLegacy struct{ *legacy.WebSocket }

// AcceptText implements node.LegacyTransport.
func (l rowLegacy) AcceptText(ctx context.Context, r *protocol.Router, c *node.TextConn) {
	l.WebSocket.AcceptText(ctx, r, c, c.First())
}

// A rowGater lets its node dial one peer over libp2p, so that no native link takes the
// place of a legacy one between two peers of a row.
type rowGater struct{ let peer.ID }

func (g *rowGater) InterceptPeerDial(p peer.ID) bool                 { return p == g.let }
func (g *rowGater) InterceptAddrDial(p peer.ID, _ ma.Multiaddr) bool { return p == g.let }
func (*rowGater) InterceptAccept(network.ConnMultiaddrs) bool        { return true }
func (*rowGater) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}
func (*rowGater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
