package itest

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

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

			if got, err := toldURL(t, b, "ws://192.168.5.1:8001", node.ID(), harness.Patience); got != "ws://192.168.5.2:8002" {
				t.Errorf("it is told %q, %v", got, err)
			}
		})
	}
}

// TestLegacyPeerIsToldTheNewAddress has a node whose machine moves to another address.
func TestLegacyPeerIsToldTheNewAddress(t *testing.T) {
	ctx, lan := harness.Context(t), harness.LAN(t)
	r, a, b := harness.LANHost(t, lan, "192.168.5.1/24"), harness.LANHost(t, lan, "192.168.5.2/24"), harness.LANHost(t, lan, "192.168.5.3/24")
	relay := harness.GoPeer(t, peers.Spec{Name: "relay", Listen: true, Port: 8001, On: r})
	node := harness.GoPeer(t, peers.Spec{Name: "node", Listen: true, Port: 8002, On: a, Bootstrap: []string{"ws://192.168.5.1:8001"}})
	_, err := node.Events().Wait(ctx, peers.IsPeer(relay.ID()))
	harness.Must(t, err)
	harness.Must(t, a.DelAddr(ctx, "192.168.5.2/24"))
	harness.Must(t, a.AddAddr(ctx, "192.168.5.102/24"))
	// The old link may be dead, or another one from the new address may have taken its place: the
	// node is not linked a second time then.
	for {
		got, err := toldURL(t, b, "ws://192.168.5.1:8001", node.ID(), soon)
		if err == nil && got == "ws://192.168.5.102:8002" {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("it is told %q, %v", got, err)
		}
	}
}

// toldURL has a legacy peer on a host join at a relay and offer a peer a handshake. It returns
// the URL in the answer, which it awaits for some time.
func toldURL(t *testing.T, on *peers.LANHost, relay string, to protocol.ID, patience time.Duration) (string, error) {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: on.Dial}
	ws, _, err := dialer.DialContext(harness.Context(t), relay, nil)
	harness.Must(t, err)
	defer ws.Close()
	self := protocol.ID{1}
	rand.Read(self[1:])
	offer := fmt.Sprintf(`{"to":"%v","from":"%v","path":["%[2]v"],"nonce":"1","data":{"type":"handshake-offer"}}`, to, self)
	for _, text := range []string{peers.HelloText(self), offer} {
		harness.Must(t, ws.WriteMessage(websocket.TextMessage, []byte(text)))
	}
	harness.Must(t, ws.SetReadDeadline(time.Now().Add(patience)))
	for {
		_, text, err := ws.ReadMessage()
		if err != nil {
			return "", err
		}
		var m struct {
			Data struct {
				Type string
				Data struct{ WS string }
			}
		}
		if json.Unmarshal(text, &m) == nil && m.Data.Type == "handshake-answer" {
			return m.Data.Data.WS, nil
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
	_, lines := startPart(t, on, partAttached, bootstrap)
	first, err := lines.Wait(harness.Context(t), func(line string) bool { return strings.HasPrefix(line, "id ") })
	harness.Must(t, err)
	id, err := protocol.ParseID(strings.TrimPrefix(first, "id "))
	harness.Must(t, err)
	return id, func() int { return lines.Count(func(line string) bool { return line == "message" }) }
}

// TestUDPIsDialledAfterALongAbsence has a peer without a network dial a public address of UDP
// again and again. libp2p by itself takes such a network for one that blocks UDP, and refuses
// most dials after a hundred.
func TestUDPIsDialledAfterALongAbsence(t *testing.T) {
	lan := harness.LAN(t)
	relay := harness.GoPeer(t, peers.Spec{Name: "relay", Listen: true, Port: 8001, On: harness.LANHost(t, lan, "11.0.0.1/24")}, "--quic")
	host := harness.LANHost(t, lan)
	addr, err := relay.AddrWith("/ip4/11.0.0.1/udp/8001/quic-v1")
	harness.Must(t, err)
	p, lines := startPart(t, host, partDialler, addr)
	_, err = lines.Wait(harness.Context(t), func(line string) bool { return line == "failed" })
	harness.Must(t, err)
	harness.Must(t, host.AddAddr(harness.Context(t), "11.0.0.2/24"))
	harness.Must(t, p.WriteLine(nil))
	result, err := lines.WaitN(harness.Context(t), 2, func(string) bool { return true })
	harness.Must(t, err)
	if result[1] != "connected" {
		t.Error(result[1])
	}
}

// partDialler is a peer that dials an address until it has failed often, and once more when it
// is told to.
const partDialler = "dialler"

func playDialler(spec []byte) error {
	var addr string
	if err := json.Unmarshal(spec, &addr); err != nil {
		return err
	}
	to, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	n, err := node.New(node.Options{QUIC: true})
	if err != nil {
		return err
	}
	defer n.Close()
	dial := func() error {
		if s, ok := n.Host().Network().(*swarm.Swarm); ok {
			s.Backoff().Clear(to.ID) // as the node does
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return n.Host().Connect(ctx, *to)
	}
	for range 120 {
		if dial() == nil {
			return errors.New("connected without an address")
		}
	}
	fmt.Println("failed")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	if err := dial(); err != nil {
		fmt.Printf("%q\n", err)
	} else {
		fmt.Println("connected")
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// startPart starts this program on a host to play a part. It returns the process, and the lines
// that it prints.
func startPart(t *testing.T, on *peers.LANHost, part string, spec any) (*peers.Process, *peers.Log[string]) {
	t.Helper()
	self, err := peers.SelfAs(part, spec)
	harness.Must(t, err)
	cmd := on.Command(self.Path)
	cmd.Env = self.Env
	lines := peers.NewLog[string](part)
	p, err := peers.StartProcess(part, cmd, func(line []byte) { lines.Add(string(line)) }, lines.End)
	harness.Must(t, err)
	t.Cleanup(func() { harness.Must(t, p.Close()) })
	return p, lines
}
