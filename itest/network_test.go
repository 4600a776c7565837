package itest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestLegacyPeerIsToldTheLANAddress has a node with a second network that its peers are not in.
// A legacy peer offers it a handshake, and is told the one URL at which it can be dialled.
func TestLegacyPeerIsToldTheLANAddress(t *testing.T) {
	for name, second := range map[string]string{
		"none": "", "docker0": "172.17.0.1/16", "VPN": "10.8.0.6/24", "link-local": "169.254.7.7/16",
		"shared": "100.101.102.103/32", "another LAN": "192.168.0.2/24",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, lan := harness.Context(t), harness.LAN(t)
			r, a, b := harness.LANHost(t, lan, "192.168.5.1/24"), harness.LANHost(t, lan, "192.168.5.2/24"), harness.LANHost(t, lan, "192.168.5.3/24")
			if second != "" {
				harness.Must(t, a.IP(ctx, "link", "add", "x0", "type", "bridge"))
				harness.Must(t, a.IP(ctx, "addr", "add", second, "dev", "x0"))
				harness.Must(t, a.IP(ctx, "link", "set", "x0", "up"))
			}
			relay := harness.GoPeer(t, peers.Spec{Name: "relay", Listen: true, Port: 8001, On: r})
			node := harness.GoPeer(t, peers.Spec{Name: "node", Listen: true, Port: 8002, On: a, Bootstrap: []string{"ws://192.168.5.1:8001"}})
			_, err := node.Events().Wait(ctx, peers.IsPeer(relay.ID()))
			harness.Must(t, err)

			if got := toldURL(t, b, "ws://192.168.5.1:8001", node.ID()); got != "ws://192.168.5.2:8002" {
				t.Errorf("it is told %q", got)
			}
		})
	}
}

// toldURL has a legacy peer on a host join at a relay and offer a peer a handshake. It returns
// the URL in the answer.
func toldURL(t *testing.T, on *peers.LANHost, relay string, to protocol.ID) string {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: on.Dial}
	ws, _, err := dialer.DialContext(harness.Context(t), relay, nil)
	harness.Must(t, err)
	defer ws.Close()
	self := protocol.ID{1}
	offer := fmt.Sprintf(`{"to":"%v","from":"%v","path":["%[2]v"],"nonce":"1","data":{"type":"handshake-offer"}}`, to, self)
	for _, text := range []string{peers.HelloText(self), offer} {
		harness.Must(t, ws.WriteMessage(websocket.TextMessage, []byte(text)))
	}
	harness.Must(t, ws.SetReadDeadline(time.Now().Add(harness.Patience)))
	for {
		_, text, err := ws.ReadMessage()
		harness.Must(t, err)
		var m struct {
			Data struct {
				Type string
				Data struct{ WS string }
			}
		}
		if json.Unmarshal(text, &m) == nil && m.Data.Type == "handshake-answer" {
			return m.Data.Data.WS
		}
	}
}

// soon is how long a peer may be unreachable after the addresses of its machine changed. A relay
// that has not noticed needs 3 s of it to find that the old link is dead.
const soon = 8 * time.Second

// TestReachedAgainAtAnotherAddress has a peer whose machine moves to another address.
func TestReachedAgainAtAnotherAddress(t *testing.T) {
	const relayURL = "ws://10.77.0.1:8001"
	for _, test := range []struct {
		name      string
		multiaddr bool // the bootstrap is one
		attached  bool // the peer is attached to a libp2p host
	}{{"by URL", false, false}, {"by multiaddr", true, false}, {"attached", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lan := harness.LAN(t)
			relay := harness.GoPeer(t, peers.Spec{Name: "relay", Listen: true, Port: 8001, On: harness.LANHost(t, lan, "10.77.0.1/24")})
			bootstrap := relayURL
			if test.multiaddr {
				var err error
				bootstrap, err = relay.AddrWith("/ip4/10.77.0.1/tcp/")
				harness.Must(t, err)
			}
			sender := harness.GoPeer(t, peers.Spec{Name: "sender", Bootstrap: []string{relayURL}, On: harness.LANHost(t, lan, "10.77.0.2/24")}, "--no-webrtc")
			host := harness.LANHost(t, lan, "10.77.0.3/24")
			var to protocol.ID
			var received func() int
			if test.attached {
				to, received = startAttached(t, host, bootstrap)
			} else {
				p := harness.GoPeer(t, peers.Spec{Name: "peer", Bootstrap: []string{bootstrap}, On: host}, "--no-webrtc")
				to, received = p.ID(), func() int { return p.Events().Count(peers.IsKind(peers.EventMessage)) }
			}
			reach(t, sender, to, received, harness.Patience)
			harness.Must(t, host.DelAddr(harness.Context(t), "10.77.0.3/24"))
			harness.Must(t, host.AddAddr(harness.Context(t), "10.77.0.103/24"))
			t.Logf("reached again after %v", reach(t, sender, to, received, soon))
		})
	}
}

// reach sends messages to a peer until one more has arrived, and returns how long that took.
func reach(t *testing.T, from *peers.GoPeer, to protocol.ID, received func() int, most time.Duration) time.Duration {
	t.Helper()
	begun, before := time.Now(), received()
	for received() == before {
		if time.Since(begun) > most {
			t.Fatalf("not reached within %v", most)
		}
		harness.Must(t, from.Send(harness.Context(t), to, "hello"))
		time.Sleep(200 * time.Millisecond)
	}
	return time.Since(begun)
}

// partAttached is a peer that is attached to a stock libp2p host. It prints its id, and a line
// for each message.
const partAttached = "attached"

func playAttached(spec []byte) error {
	var bootstrap string
	if err := json.Unmarshal(spec, &bootstrap); err != nil {
		return err
	}
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		return err
	}
	defer h.Close()
	n, err := node.Attach(h, node.Options{Bootstraps: []string{bootstrap}, OnMessage: func(protocol.Message) { fmt.Println("message") }})
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Println("id", n.ID())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startAttached starts an attached peer on a host. It returns its id, and a function that counts
// the messages that it received.
func startAttached(t *testing.T, on *peers.LANHost, bootstrap string) (protocol.ID, func() int) {
	t.Helper()
	self, err := peers.SelfAs(partAttached, bootstrap)
	harness.Must(t, err)
	cmd := on.Command(self.Path)
	cmd.Env = self.Env
	lines := peers.NewLog[string]("an attached peer")
	p, err := peers.StartProcess("an attached peer", cmd, func(line []byte) { lines.Add(string(line)) }, lines.End)
	harness.Must(t, err)
	t.Cleanup(func() { harness.Must(t, p.Close()) })
	first, err := lines.Wait(harness.Context(t), func(line string) bool { return strings.HasPrefix(line, "id ") })
	harness.Must(t, err)
	id, err := protocol.ParseID(strings.TrimPrefix(first, "id "))
	harness.Must(t, err)
	return id, func() int { return lines.Count(func(line string) bool { return line == "message" }) }
}
