package peers

import (
	"context"
	"fmt"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// DialOnly is the legacy transport of a node that has no port.
type DialOnly struct{ *legacy.WebSocket }

// AcceptText implements node.LegacyTransport.
func (DialOnly) AcceptText(_ context.Context, _ *protocol.Router, c *node.TextConn) {
	c.CloseWith(websocket.CloseGoingAway, "")
}

// AddrOver returns the first multiaddr over a transport, by its name there: "ws",
// "webrtc-direct", "quic-v1", and "tcp" for plain TCP. "" if there is none.
func AddrOver[A fmt.Stringer](addrs []A, transport string) string {
	for _, a := range addrs {
		if isOver(a.String(), transport) {
			return a.String()
		}
	}
	return ""
}

func isOver(addr, transport string) bool {
	return strings.Contains(addr+"/", "/"+transport+"/") && (transport != "tcp" || !isOver(addr, "ws"))
}

// Loopback is the address at which everything here listens.
const Loopback = "127.0.0.1"
