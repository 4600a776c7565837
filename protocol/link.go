package protocol

import "github.com/peer-relay/peer-relay/protocol/wire"

// A Link is a direct connection to one peer, made by a transport.
//
// ReadFrame is called by one goroutine, WriteFrame and Flush by another. Close may
// be called at any time, by any goroutine, more than once; it ends a blocked
// ReadFrame, WriteFrame or Flush at once.
//
// The frames of a legacy link are translated: a ping becomes a WebSocket ping and
// its pong a FramePong, a FrameBye the closing handshake, and the features of
// a peer that shows them late a FrameHello.
type Link interface {
	Info() LinkInfo

	// ReadFrame returns the next frame. An error that wraps ErrMalformed concerns this
	// frame only and the link goes on; any other ends the link, io.EOF in order.
	ReadFrame() (*wire.Frame, error)

	// WriteFrame writes or buffers a frame. After a FrameBye nothing is written. An
	// error that wraps ErrTooBig or ErrUnencodable concerns this frame only.
	WriteFrame(*wire.Frame) error

	// Flush sends what is buffered.
	Flush() error

	Close() error
}

// A PingReporter is a Link whose transport meets pings and pongs elsewhere than as
// frames. It hands them to the function that it was given, on the goroutine that called
// ReadFrame or WriteFrame, before that returns.
type PingReporter interface {
	OnPing(func(*wire.Frame))
}

// A LinkKind says what a link runs over. A greater kind is the better one of two links
// between the same two peers.
type LinkKind = wire.LinkKind

const (
	LinkWebRTC    LinkKind = wire.LinkWebRTC    // a legacy data channel
	LinkWebSocket LinkKind = wire.LinkWebSocket // a legacy WebSocket
	LinkNative    LinkKind = wire.LinkNative    // a /peer-relay/1 stream
)

// A LinkInfo describes a link at the moment it is handed to [Router.Serve]. It does not
// change afterwards.
//
//	ID         ID          the peer at the other end
//	Kind       LinkKind    what the link runs over
//	Proved     bool        the peer's libp2p key hashes to ID
//	Dialed     bool        this side opened the link
//	OverWebRTC bool        the transport is WebRTC, whatever the kind: a dead peer is noticed late there
//	Opener     string      with Value, orders two links of one kind between the same two peers:
//	Value      uint64      both ends keep the one with the lower Opener, then the lower Value
//	Role       Role        what the peer offers to others
//	Features   []string    from the peer's hello
//	Agent      string      name and version of the peer's program, for people
//	Addr       string      where the peer is, for people
//	Local      netip.Addr  this end's IP address; the zero Addr if it is not known
type LinkInfo = wire.LinkInfo

// A Contact is what is known of how to reach a peer.
//
//	ID     ID      the zero ID: any peer that answers
//	URL    string  a ws:// or wss:// URL, or a multiaddr
//	WebRTC bool    the peer can be signalled to
//	Record []byte  a signed libp2p peer record
type Contact = wire.Contact
