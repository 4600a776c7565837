package protocol

import "context"

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

// A LinkInfo describes a link at the moment it is handed to Router.Serve. It does
// not change afterwards.
type LinkInfo struct {
	ID     ID       // of the peer at the other end
	Kind   LinkKind //
	Proved bool     // the peer's libp2p key hashes to ID
	Dialed bool     // this side opened the link
	WebRTC bool     // it runs over WebRTC, of whatever kind: a dead peer is noticed late there

	// Opener and Value order two links of the same kind between the same two
	// peers: both ends keep the one with the lower Opener, then the lower Value.
	// Opener is the opener's libp2p peer id on native links and its id on legacy
	// ones; it is empty if the other end does not know this rule (a JS peer).
	Opener string
	Value  uint64

	Role     Role
	Features []string // from the peer's hello
	Agent    string
	Addr     string // where the peer is, for people
}

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

	// ReadFrame gives the next frame. An error that wraps ErrMalformed concerns this
	// frame alone and the link goes on; any other ends the link, io.EOF in order.
	ReadFrame() (*Frame, error)

	// WriteFrame writes or buffers a frame. After a FrameBye nothing is written. An
	// error that wraps ErrTooBig or ErrUnencodable concerns this frame alone.
	WriteFrame(*Frame) error

	// Flush sends what is buffered.
	Flush() error

	Close() error
}

// A ControlReader is a Link whose transport meets pings and pongs elsewhere than as
// frames. It hands them to the function that it was given, on the goroutine that called
// ReadFrame or WriteFrame, before that returns.
type ControlReader interface {
	OnControl(func(*Frame))
}

// A Contact is what is known of how to reach a peer.
type Contact struct {
	ID     ID     // the zero ID: whoever answers
	URL    string // a ws:// or wss:// URL, or a multiaddr
	WebRTC bool   // the peer can be signalled to
	Record []byte // a signed libp2p peer record
}

// A Dialer opens links to one kind of contact. A Router tries its dialers in
// their order.
type Dialer interface {
	// CanDial reports whether Dial may be tried.
	CanDial(Contact) bool

	// Dial opens a link for the router, which it may ask for a Claim, and does not
	// serve it. A nil link without an error means that the link will come in
	// another way.
	Dial(context.Context, *Router, Contact) (Link, error)
}

// A Signal is what another peer says about a WebRTC connection that is to be made.
type Signal struct {
	From    ID
	Payload []byte // JSON text
	Proved  bool   // From has been proved to be who sent it, so it knows the extensions
}

// A Signaller is a Dialer whose links are agreed on by signals, which go over the
// overlay like other messages.
type Signaller interface {
	Dialer

	// Signal takes a signal of a peer that shakes hands with this one and is not
	// linked. It must not block and must not keep the router from being closed. It
	// sends its own signals by Router.Signal, and serves itself the links that it did
	// not dial.
	Signal(*Router, Signal)
}
