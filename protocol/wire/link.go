package wire

// A LinkKind says what a link runs over. A greater kind is the better one of two
// links between the same two peers.
type LinkKind uint8

const (
	LinkWebRTC    LinkKind = iota // a legacy data channel
	LinkWebSocket                 // a legacy WebSocket
	LinkNative                    // a /peer-relay/1 stream
)

func (k LinkKind) String() string {
	return [...]string{"webrtc", "websocket", "native"}[k]
}

// A LinkInfo describes a link at the moment a router is handed it. It does
// not change afterwards.
type LinkInfo struct {
	ID         ID       // the peer at the other end
	Kind       LinkKind // what the link runs over
	Proved     bool     // the peer's libp2p key hashes to ID
	Dialed     bool     // this side opened the link
	OverWebRTC bool     // the transport is WebRTC, whatever the kind: a dead peer is noticed late there

	// Opener and Value order two links of the same kind between the same two
	// peers: both ends keep the one with the lower Opener, then the lower Value.
	// Opener is the opener's libp2p peer id on native links and its id on legacy
	// ones. It is empty if the other end does not know this rule, as a JS peer.
	Opener string
	Value  uint64

	Role     Role
	Features []string // from the peer's hello
	Agent    string
	Addr     string // where the peer is, for people
}

// A Contact is what is known of how to reach a peer.
type Contact struct {
	ID     ID     // the zero ID: any peer that answers
	URL    string // a ws:// or wss:// URL, or a multiaddr
	WebRTC bool   // the peer can be signalled to
	Record []byte // a signed libp2p peer record
}
