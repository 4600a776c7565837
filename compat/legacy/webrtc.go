package legacy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v3"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol"
)

// WebRTCOptions are the options of WebRTC links. The zero value makes links within the networks
// of this machine.
type WebRTCOptions struct {
	// ICEServers are STUN and TURN servers, which peers behind a NAT need to find each other.
	// There are none by default: a server learns which peers connect with each other.
	ICEServers []ICEServer

	// PortMin and PortMax are the limits of the UDP ports that are used. 0 and 0 mean any free
	// port. A connection takes one port for each address of this machine.
	PortMin, PortMax uint16

	// SharePort makes all connections share one UDP port, for firewalls that must open it. Port
	// is its number, 0 for any free one. Requests to ICEServers use other ports.
	SharePort bool
	Port      uint16

	// Interfaces are the names of the network interfaces whose addresses are sent and used. nil
	// means all. It does not bind requests to ICEServers. The system chooses the interface for
	// them, and the address that a server sees is sent to the peer.
	Interfaces []string

	// Loopback uses the loopback interface also. PeerRelay does so by itself if it has
	// bootstraps on this machine.
	Loopback bool

	// MayDial reports whether a private or loopback address that a stranger has named may be
	// dialled. nil means none. PeerRelay sets it.
	MayDial func(netip.Addr) bool

	// Logger gets a line for each attempt at debug level. nil discards it. PeerRelay sets it.
	Logger *slog.Logger
}

// An ICEServer is a STUN or TURN server: stun:, stuns:, turn: and turns: URLs, and for TURN a
// user name and a password.
type ICEServer struct {
	URLs       []string
	Username   string
	Credential string
}

// A WebRTC makes legacy WebRTC links. It is the protocol.Signaller of one Router. Close it
// after the Router. The other end is simple-peer, or another WebRTC of this package.
//
//	the initiator   receives a handshake-answer; makes the data channel; sends an offer
//	the answerer    has sent that handshake-answer; sends an answer
//	both            send candidates while they are found, until the channel is open
//
// A link has no hello; the ids are those of the signals. It ends when nothing has arrived from
// the peer for 5 s. Messages that were written to it until then may be lost, and later ones go
// by relays. If something arrives within another 25 s, there is a new link.
type WebRTC struct {
	// Fixed after NewWebRTC.
	api      *webrtc.API
	config   webrtc.Configuration
	log      *slog.Logger
	ctx      context.Context // done when the transport closes
	stop     context.CancelFunc
	offers   chan struct{} // holds a token for each connection being made
	answers  chan struct{} // holds a token for each connection being made for others
	links    chan struct{} // holds a token for each connection made for others, until it has ended
	waiting  chan struct{} // holds a token for each connection that waits for a silent peer
	loopback bool
	mayDial  func(netip.Addr) bool
	mux      *portMux      // nil means that each connection has its own ports
	timeout  time.Duration // rtcTimeout, except in tests
	texts    textPool

	home atomic.Pointer[home] // as of the latest connection

	mu       sync.Mutex
	closed   bool
	tasks    sync.WaitGroup
	attempts map[protocol.ID]*attempt
	resting  map[protocol.ID]time.Time // the time until which a peer's attempts are refused
}

// Check returns the first invalid option as an error. It opens nothing.
func (o *WebRTCOptions) Check() error {
	wrong := func(format string, args ...any) error { return fmt.Errorf("peer-relay: WebRTC: "+format, args...) }
	if (o.PortMin != 0 || o.PortMax != 0) && (o.PortMin == 0 || o.PortMin > o.PortMax) {
		return wrong("UDP ports %d to %d: want the lower one first, and at least 1", o.PortMin, o.PortMax)
	}
	if o.SharePort && o.PortMax != 0 {
		return wrong("one UDP port %d, and ports %d to %d: want one or the other", o.Port, o.PortMin, o.PortMax)
	}
	if !o.SharePort && o.Port != 0 {
		return wrong("UDP port %d: want SharePort as well", o.Port)
	}
	for _, name := range o.Interfaces {
		if _, err := net.InterfaceByName(name); err != nil {
			return wrong("network interface %q: %w", name, err)
		}
	}
	for _, server := range o.ICEServers {
		if len(server.URLs) == 0 {
			return wrong("an ICE server without a URL")
		}
		for _, url := range server.URLs {
			uri, err := stun.ParseURI(url)
			if err != nil {
				return wrong("ICE server %q: %w", url, err)
			}
			turn := uri.Scheme == stun.SchemeTypeTURN || uri.Scheme == stun.SchemeTypeTURNS
			if turn && (server.Username == "" || server.Credential == "") {
				return wrong("ICE server %q: want a user name and a password for TURN", url)
			}
		}
	}
	return nil
}

// ErrNoWebRTC means that this build makes no WebRTC links. It wraps errors.ErrUnsupported.
var ErrNoWebRTC = fmt.Errorf("peer-relay: WebRTC links in a build for js: %w", errors.ErrUnsupported)

// NewWebRTC returns a transport. The error names the invalid option, or matches
// syscall.EADDRINUSE if another program has the port. In a build for js it is always
// ErrNoWebRTC.
func NewWebRTC(o WebRTCOptions) (*WebRTC, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	w := &WebRTC{
		log: o.Logger, loopback: o.Loopback, mayDial: o.MayDial, timeout: rtcTimeout,
		offers: make(chan struct{}, maxOffers), answers: make(chan struct{}, maxAnswers), links: make(chan struct{}, maxRTCLinks), waiting: make(chan struct{}, maxWaiting),
		attempts: make(map[protocol.ID]*attempt), resting: make(map[protocol.ID]time.Time),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.home.Store(new(home)) // until there is a connection; MayDial may not be ready yet
	for _, server := range o.ICEServers {
		w.config.ICEServers = append(w.config.ICEServers, webrtc.ICEServer{URLs: server.URLs, Username: server.Username, Credential: server.Credential})
	}
	if err := w.newAPI(o); err != nil {
		return nil, err
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w, nil
}

// Close ends every connection and attempt, and waits for their goroutines.
func (w *WebRTC) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.stop()
	w.tasks.Wait()
	if w.mux != nil {
		return w.mux.Close()
	}
	return nil
}

// Port returns the UDP port that all connections share, or 0 if there is none.
func (w *WebRTC) Port() int {
	if w.mux == nil {
		return 0
	}
	return w.mux.port
}

// task runs f on a goroutine that ends soon after w.ctx is done. Close waits for it.
func (w *WebRTC) task(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.tasks.Go(f)
	return true
}
