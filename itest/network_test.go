package itest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
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
