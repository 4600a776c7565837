package protocol

import "github.com/peer-relay/peer-relay/protocol/wire"

// A Link is a direct connection to one peer, made by a transport.
//
// One goroutine calls ReadFrame, another one WriteFrame and Flush. Any goroutine may call
// Close at any time and more than once. Close ends a blocked ReadFrame, WriteFrame or Flush
// at once.
//
// The frames of a link with a method HasFrame() bool are processed in batches, which costs less
// for each. HasFrame reports whether ReadFrame would return at once. The goroutine that calls
// ReadFrame calls it.
//
// A link with a method WriteBytes(frame []byte) error gets messages of other peers as the bytes of their frames,
// without a length, which costs less than frames. It is WriteFrame for them, and does not keep the bytes.
//
// A link whose transport receives pings and pongs outside ReadFrame has a method
// OnPing(func(*wire.Frame)). It passes them to the function as frames, on any goroutine.
//
// A legacy link translates frames. A FramePing becomes a WebSocket ping, and the WebSocket's
// pong a FramePong. A FrameBye becomes the closing handshake. The features that a peer shows
// after its hello become a FrameHello.
type Link interface {
	Info() LinkInfo

	// ReadFrame returns the next frame. An error that wraps wire.ErrMalformed concerns
	// only this frame. Any other error ends the link, and io.EOF means an orderly end.
	ReadFrame() (*wire.Frame, error)

	// WriteFrame writes or buffers a frame. Nothing is written after a FrameBye. An error
	// that wraps wire.ErrTooBig or wire.ErrUnencodable concerns only this frame.
	WriteFrame(*wire.Frame) error

	// Flush sends the buffered frames.
	Flush() error

	Close() error
}

// A ProgressReporter is a Link that knows more of its transport than the frames show. Without
// it, a peer at the other end of a slow line may seem to be gone. Any goroutine may call
// Progress at any time. It must not block.
type ProgressReporter interface {
	Progress() Progress
}

// A Progress holds the figures of a link's transport. They only grow, except for Pending.
//
//	Received uint64 bytes that arrived, those of a frame that is not complete too
//	Known    bool   whether the next three are known
//	Acked    uint64 bytes that the other end's transport has acknowledged
//	Pending  uint64 bytes that were written and are not acknowledged, at most
//	Moves    uint64 grows with every packet of the other end: an acknowledgement of bytes behind a gap too
//	RTT      time.Duration smoothed round trip time of the transport; 0 means unknown
type Progress = wire.Progress

// A LinkKind is what a link runs over. A link of a greater kind is preferred.
type LinkKind = wire.LinkKind

const (
	LinkWebRTC    LinkKind = wire.LinkWebRTC    // a legacy data channel
	LinkWebSocket LinkKind = wire.LinkWebSocket // a legacy WebSocket
	LinkNative    LinkKind = wire.LinkNative    // a /peer-relay/1 stream
)

// A LinkInfo describes a link at the moment when [Router.Serve] gets it. It does not change
// later.
//
//	ID         ID        the peer at the other end
//	Kind       LinkKind  what the link runs over
//	Proved     bool      the peer's libp2p key hashes to ID
//	Dialed     bool      this side opened the link
//	OverWebRTC bool      the transport of any kind of link is WebRTC, which notices a dead peer late
//	Opener     string    with Value, orders two links of one kind between the same two peers:
//	Value      uint64    both ends keep the one with the lower Opener, then the lower Value
//	Role       Role      what the peer offers to others
//	Features   []string  from the peer's hello
//	Agent      string    name and version of the peer's program, for people
//	Addr       string    the peer's address, for people
//	Local      netip.Addr this end's IP address; the zero Addr means unknown
//	Subnet     netip.Prefix the part of the internet that the peer is in, of which one party may own all
//	                        addresses; zero if it is not known, and in a private network
//	RTT        time.Duration duration of a round trip in the handshake; 0 means unknown
type LinkInfo = wire.LinkInfo

// A Contact is what is known about how to reach a peer.
//
//	ID     ID      the zero ID means any peer that answers
//	URL    string  a ws:// or wss:// URL, or a multiaddr
//	WebRTC bool    the peer can be signalled to
//	Record []byte  a signed libp2p peer record
type Contact = wire.Contact
