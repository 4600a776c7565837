package wire

import (
	"fmt"
	"net/netip"
	"time"
)

// A LinkKind is what a link runs over. A link of a greater kind is preferred.
type LinkKind uint8

const (
	LinkWebRTC    LinkKind = iota // a legacy data channel
	LinkWebSocket                 // a legacy WebSocket
	LinkNative                    // a /peer-relay/1 stream
)

func (k LinkKind) String() string {
	names := [...]string{"webrtc", "websocket", "native"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// A LinkInfo describes a link at the moment when the router gets it. It does not change
// later.
type LinkInfo struct {
	ID         ID // the peer at the other end
	Kind       LinkKind
	Proved     bool // the peer's libp2p key hashes to ID
	Dialed     bool // this side opened the link
	OverWebRTC bool // the transport of any kind of link is WebRTC, which notices a dead peer late

	// Opener and Value order two links of the same kind between the same two
	// peers. Both ends keep the one with the lower Opener and, if those are equal,
	// the lower Value. Opener is the opener's libp2p peer id on native links and
	// its id on legacy links. It is empty if the other end, like a JS peer, does not
	// know this rule.
	Opener string
	Value  uint64

	Role     Role
	Features []string // from the peer's hello
	Agent    string
	Addr     string     // the peer's address, for people
	Local    netip.Addr // this end's IP address; the zero Addr if it is not known

	// Subnet is the part of the internet that the peer is in, and of which one party may well own all
	// addresses. It is the zero Prefix if that is not known, and in a private network.
	Subnet netip.Prefix

	RTT time.Duration // of a round trip in the handshake; 0 if it is not known
}

// A Progress holds the figures of a link's transport. They show whether a peer that is silent
// takes what is sent to it.
type Progress struct {
	Received uint64 // bytes that arrived, those of a frame that is not complete too
	Known    bool   // whether the next three are known
	Acked    uint64 // bytes that the other end has acknowledged
	Pending  uint64 // bytes that were written and are not acknowledged, at most
	Moves    uint64 // grows with every packet of the other end: an acknowledgement of bytes behind a gap too

	RTT time.Duration // smoothed round trip time of the transport; 0 if it is not known
}

// A Contact is what is known about how to reach a peer.
type Contact struct {
	ID     ID     // the zero ID means any peer that answers
	URL    string // a ws:// or wss:// URL, or a multiaddr
	WebRTC bool   // the peer can be signalled to
	Record []byte // a signed libp2p peer record
}
