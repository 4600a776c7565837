package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/sctp"
	"github.com/pion/stun/v3"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	// MaxWebRTC is the bytes of text that one message on a data channel has at most,
	// in both directions. Above it Chromium throws, and Node closes the channel.
	MaxWebRTC = 262_144
	// channelBuffer is the bytes of buffer with which a link waits for a message.
	channelBuffer = 4 << 10
	// A channel takes no more messages while so many bytes are on their way, until
	// they are down to the lower number.
	channelHigh = 1 << 20
	channelLow  = 256 << 10
	// drainTimeout bounds the wait for the last messages to be acknowledged.
	drainTimeout = time.Second
	// lingerTime is how long a channel to a JS peer stays open after the last message: it
	// answers, and a process that writes to a channel that is closing dies of it.
	lingerTime = 200 * time.Millisecond
	// A peer from which nothing came for so long is gone. It is asked for a sign of
	// life after iceKeepAlive.
	iceDisconnected = 5 * time.Second
	iceFailed       = 10 * time.Second
	iceKeepAlive    = 2 * time.Second
)

// WebRTCOptions say how WebRTC links are made. The zero value makes them within the
// networks that this machine is in.
type WebRTCOptions struct {
	// Off makes none: handshakes answer wrtc: false.
	Off bool

	// ICEServers are STUN and TURN servers, which peers behind a NAT need to find each
	// other. There are none by default: a server learns who connects with whom.
	ICEServers []ICEServer

	// PortMin and PortMax bound the UDP ports that are used, 0 and 0: any that is free.
	// A connection takes one for each address of this machine.
	PortMin, PortMax uint16

	// Port is the one UDP port that all connections share instead, where a firewall has
	// to be opened for it: nil for none, 0 for any that is free. What ICEServers are
	// asked about are ports beside it.
	Port *int

	// Interfaces are the names of the network interfaces whose addresses are told and used.
	// Nil: all are. It does not bind what ICEServers are for: they are asked by whichever
	// interface the system chooses, and the address that they see is told.
	Interfaces []string

	// Loopback uses the loopback interface also. PeerRelay does so by itself if its
	// bootstraps are on this machine.
	Loopback bool

	// MayDial says whether a private or loopback address that a stranger gave may be
	// dialled. Nil: none may. PeerRelay sets it.
	MayDial func(netip.Addr) bool

	// Features are shown to peers that know the extensions: what
	// wire.ValidFeature accepts. Nil: none are, also not by PeerRelay.
	Features []string

	// Logger hears of attempts at debug level. Nil: nobody does. PeerRelay sets it.
	Logger *slog.Logger
}

// An ICEServer is a STUN or TURN server: stun:, stuns:, turn: and turns: URLs, and for
// TURN a user's name and password.
type ICEServer struct {
	URLs       []string
	Username   string
	Credential string
}

// A WebRTC makes legacy WebRTC links: it is the protocol.Signaller of one Router, and is
// to be closed after that. At the other end is simple-peer, or another of these.
//
//	the initiator   receives a handshake-answer; makes the data channel; sends an offer
//	the answerer    has sent it; sends an answer
//	both            send candidates while they are found, until the channel is open
//
// A link has no hello, the ids are those of the signals. It ends when nothing came
// from the peer for 5 s. What was written to it until then may be lost; later messages go
// by relays.
type WebRTC struct {
	// Fixed after NewWebRTC.
	api      *webrtc.API
	config   webrtc.Configuration
	features []string
	log      *slog.Logger
	ctx      context.Context // done when the transport closes
	stop     context.CancelFunc
	offers   chan struct{} // holds a token for each connection that is being made
	answers  chan struct{} // likewise, for those that others asked for
	links    chan struct{} // and for all of these, until they have ended
	loopback bool
	mayDial  func(netip.Addr) bool
	mux      *portMux      // nil: each connection has its own ports
	timeout  time.Duration // rtcTimeout, but for tests
	texts    textPool

	reach atomic.Pointer[reach] // as of the latest connection

	mu       sync.Mutex
	closed   bool
	tasks    sync.WaitGroup
	attempts map[protocol.ID]*attempt
	resting  map[protocol.ID]time.Time // until when no attempt of theirs is taken
}

// check finds what is wrong with the options. It starts nothing.
func (o *WebRTCOptions) check() error {
	wrong := func(format string, args ...any) error { return fmt.Errorf("peer-relay: WebRTC: "+format, args...) }
	if (o.PortMin != 0 || o.PortMax != 0) && (o.PortMin == 0 || o.PortMin > o.PortMax) {
		return wrong("UDP ports %d to %d: want the lower one first, and at least 1", o.PortMin, o.PortMax)
	}
	if o.Port != nil && (*o.Port < 0 || *o.Port > math.MaxUint16) {
		return wrong("UDP port %d: want 0 to %d", *o.Port, math.MaxUint16)
	}
	if o.Port != nil && o.PortMax != 0 {
		return wrong("one UDP port %d, and ports %d to %d: want one or the other", *o.Port, o.PortMin, o.PortMax)
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

// NewWebRTC gives a transport. The error says which option is wrong, or matches
// syscall.EADDRINUSE when another program has the port.
func NewWebRTC(o WebRTCOptions) (*WebRTC, error) {
	w := &WebRTC{
		features: o.Features, log: o.Logger, loopback: o.Loopback, mayDial: o.MayDial, timeout: rtcTimeout,
		offers: make(chan struct{}, maxOffers), answers: make(chan struct{}, maxAnswers), links: make(chan struct{}, maxRTCLinks),
		attempts: make(map[protocol.ID]*attempt), resting: make(map[protocol.ID]time.Time),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	w.reach.Store(new(reach)) // until there is a connection; MayDial may not be ready yet
	var s webrtc.SettingEngine
	s.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	s.DetachDataChannels()
	s.SetSCTPMaxMessageSize(MaxWebRTC)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeQueryOnly) // Chromium hides its addresses so
	s.SetPrflxAcceptanceMinWait(0)                          // pion would wait 1 s for a better one
	s.SetICETimeouts(iceDisconnected, iceFailed, iceKeepAlive)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.DisableActiveTCP(true)
	s.SetIncludeLoopbackCandidate(true) // the filter decides
	s.SetIPFilter(func(ip net.IP) bool {
		addr, ok := netip.AddrFromSlice(ip)
		return ok && w.reach.Load().has(addr)
	})
	var keep func(string) bool
	if o.Interfaces != nil {
		names := slices.Clone(o.Interfaces)
		keep = func(name string) bool { return slices.Contains(names, name) }
		s.SetInterfaceFilter(keep)
	}
	if o.PortMax != 0 {
		s.SetEphemeralUDPPortRange(o.PortMin, o.PortMax) // check has seen that they are in order
	}
	if o.Port != nil {
		var err error
		if w.mux, err = w.listenMux(*o.Port, keep, s.LoggerFactory); err != nil {
			return nil, err
		}
		s.SetICEUDPMux(w.mux)
	}
	for _, server := range o.ICEServers {
		w.config.ICEServers = append(w.config.ICEServers, webrtc.ICEServer{URLs: server.URLs, Username: server.Username, Credential: server.Credential})
	}
	w.api = webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(&webrtc.MediaEngine{}), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w, nil
}

// Close ends every connection and attempt, and waits for all that was started.
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

// Port gives the UDP port that all connections share, 0 if there is none.
func (w *WebRTC) Port() int {
	if w.mux == nil {
		return 0
	}
	return w.mux.port
}

// task runs f on a goroutine that ends soon after ctx is done; Close waits for it.
func (w *WebRTC) task(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.tasks.Go(f)
	return true
}

// --- connections

// An rtcConn is a PeerConnection and the one data channel that it is for.
type rtcConn struct {
	pc         *webrtc.PeerConnection
	opened     chan struct{}             // closed when the channel is open
	candidates chan *webrtc.ICECandidate // of this side
	low        chan struct{}             // holds a token when there may be room again
	ended      chan struct{}

	mu      sync.Mutex
	channel *webrtc.DataChannel
	raw     datachannel.ReadWriteCloserDeadliner // the channel once it is open
	err     error                                // why it ended; io.EOF: the peer closed it
}

var (
	errChannels = errors.New("the peer opened a second data channel")
	errLinks    = fmt.Errorf("there are %d connections that others wanted", maxRTCLinks)
	past        = time.Unix(1, 0)
)

// connection makes a PeerConnection. It lives until end. There is a bound of those that
// others wanted: each costs sockets, goroutines and the memory of its queues.
func (w *WebRTC) connection(wanted bool) (_ *rtcConn, err error) {
	leave := func() {}
	if wanted {
		select {
		case w.links <- struct{}{}:
			leave = func() { <-w.links }
		default:
			return nil, errLinks
		}
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	if err := w.look(); err != nil {
		return nil, err
	}
	pc, err := w.api.NewPeerConnection(w.config)
	if err != nil {
		return nil, err
	}
	c := &rtcConn{
		pc: pc, opened: make(chan struct{}), candidates: make(chan *webrtc.ICECandidate, maxCandidates),
		low: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		switch s {
		case webrtc.ICEConnectionStateDisconnected, webrtc.ICEConnectionStateFailed:
			c.end(fmt.Errorf("the connection is %v", s))
		}
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateFailed:
			c.end(errors.New("the connection failed"))
		case webrtc.PeerConnectionStateClosed:
			c.end(io.EOF)
		}
	})
	pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate == nil { // that was all, which must not be told
			return
		}
		select {
		case c.candidates <- candidate:
		default:
		}
	})
	pc.OnDataChannel(c.adopt)
	if !w.task(func() { // ends when the connection does
		select {
		case <-c.ended:
		case <-w.ctx.Done():
			c.end(protocol.ErrClosed)
		}
		pc.GracefulClose()
		leave()
	}) {
		pc.GracefulClose()
		return nil, protocol.ErrClosed
	}
	return c, nil
}

// adopt makes a data channel the one of the connection.
func (c *rtcConn) adopt(channel *webrtc.DataChannel) {
	c.mu.Lock()
	second := c.channel != nil
	if !second {
		c.channel = channel
	}
	c.mu.Unlock()
	if second {
		c.end(errChannels)
		return
	}
	channel.SetBufferedAmountLowThreshold(channelLow)
	channel.OnBufferedAmountLow(func() {
		select {
		case c.low <- struct{}{}:
		default:
		}
	})
	channel.OnOpen(func() {
		raw, err := channel.DetachWithDeadline()
		if err != nil {
			c.end(err)
			return
		}
		c.mu.Lock()
		c.raw = raw
		c.mu.Unlock()
		close(c.opened)
	})
}

// end ends the connection, and what waits for it at once; only the first call counts.
func (c *rtcConn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.ended)
	if c.raw != nil {
		c.raw.SetReadDeadline(past)
	}
}

func (c *rtcConn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// remote gives the address at the other end.
func (c *rtcConn) remote() string {
	pair, err := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return "webrtc"
	}
	return net.JoinHostPort(pair.Remote.Address, strconv.Itoa(int(pair.Remote.Port)))
}

// alive reports whether the peer gave signs of life in the last seconds.
func (c *rtcConn) alive() bool {
	switch c.pc.ICEConnectionState() {
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
		return c.why() == nil
	}
	return false
}

// --- links

// An rtcLink is a link over a data channel. Each message on it is one of the overlay,
// and is sent as it is written: Flush has nothing to do.
type rtcLink struct {
	jsonLink

	// Fixed before the link is served.
	w       *WebRTC
	conn    *rtcConn
	channel *webrtc.DataChannel
	raw     datachannel.ReadWriteCloserDeadliner

	small []byte // owned by the reader

	mu      sync.Mutex
	byed    bool   // a bye was written
	release func() // gives the claim back
}

func (w *WebRTC) newLink(c *rtcConn, self protocol.ID, info protocol.LinkInfo, release func()) *rtcLink {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &rtcLink{
		jsonLink: jsonLink{self: self, info: info, features: w.features},
		w:        w, conn: c, channel: c.channel, raw: c.raw, small: make([]byte, channelBuffer), release: release,
	}
}

// Close implements protocol.Link.
func (l *rtcLink) Close() error {
	l.conn.end(net.ErrClosed)
	l.mu.Lock()
	release := l.release
	l.release = nil
	l.mu.Unlock()
	if release != nil {
		release()
	}
	return nil
}

// ReadFrame implements protocol.Link.
func (l *rtcLink) ReadFrame() (*wire.Frame, error) {
	if f := l.held(); f != nil {
		return f, nil
	}
	n, _, err := l.raw.ReadDataChannel(l.small)
	if err == nil {
		b := l.w.texts.get()
		defer l.w.texts.put(b)
		return l.frame(l.small[:n], b)
	}
	if !errors.Is(err, io.ErrShortBuffer) {
		return l.ended()
	}
	b := l.w.texts.get() // the whole message is there: what follows does not wait
	defer l.w.texts.put(b)
	for size := max(cap(b.text), 4*channelBuffer); ; size *= 4 {
		if size = min(size, MaxWebRTC); cap(b.text) < size {
			b.text = make([]byte, size)
		}
		n, _, err = l.raw.ReadDataChannel(b.text[:size])
		switch {
		case err == nil:
			return l.frame(b.text[:n], b)
		case !errors.Is(err, io.ErrShortBuffer):
			return l.ended()
		case size == MaxWebRTC:
			return nil, fmt.Errorf("read from %s: a message of more than %d bytes", l.info.Addr, MaxWebRTC)
		}
	}
}

// frame makes the frame of a message.
func (l *rtcLink) frame(text []byte, b *textBuffers) (*wire.Frame, error) {
	if l.info.Opener != "" && strings.HasPrefix(string(text[:min(len(text), len(byeText))]), byeText) {
		return wire.NewBye(byeReason(string(text))), nil
	}
	return l.parse(text, &b.scratch)
}

// ended says how the connection ended. If it was not this side that ended it, the peer
// did: by closing the channel or the connection, which is its goodbye.
func (l *rtcLink) ended() (*wire.Frame, error) {
	if err := l.conn.why(); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read from %s: %w", l.info.Addr, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byed {
		return nil, io.EOF
	}
	return wire.NewBye(wire.ByeNormal), nil
}

// WriteFrame implements protocol.Link. A data channel has no pings. What ICE knows
// stands in for the answer: it asks the peer every 2 s.
func (l *rtcLink) WriteFrame(f *wire.Frame) error {
	if l.byed { // only the writer sets it
		return nil
	}
	switch f.Type {
	case wire.FrameMessage:
		return l.writeMessage(f, MaxWebRTC, l.writeText)
	case wire.FramePing:
		if l.conn.alive() {
			l.tell(wire.NewPong(f.Num))
		}
		return nil
	case wire.FrameBye:
		return l.writeBye(f.Bye)
	default:
		return unencodable("a " + f.Type.String() + " has no legacy form")
	}
}

func (l *rtcLink) writeText(appendText func([]byte) ([]byte, error)) error {
	return l.w.texts.write(appendText, func(text []byte) error {
		if l.channel.BufferedAmount() >= channelHigh {
			if err := l.await(channelHigh-1, writeTimeout); err != nil {
				return fmt.Errorf("write to %s: %w", l.info.Addr, err)
			}
		}
		_, err := l.raw.WriteDataChannel(text, true)
		if errors.Is(err, sctp.ErrOutboundPacketTooLarge) {
			return fmt.Errorf("%w: %d bytes of JSON: %w", protocol.ErrTooBig, len(text), err) // the peer named a lower limit
		} else if err != nil {
			return fmt.Errorf("write to %s: %w", l.info.Addr, err)
		}
		return nil
	})
}

// errStalled says that a peer takes nothing.
var errStalled = errors.New("the peer takes no messages")

// await waits until at most so many bytes are on their way.
func (l *rtcLink) await(most uint64, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for l.channel.BufferedAmount() > most {
		select {
		case <-l.conn.low:
		case <-l.conn.ended:
			return l.conn.why()
		case <-timer.C:
			return errStalled
		}
	}
	return nil
}

// writeBye closes the channel once the peer has all that was sent. One of ours is told
// why.
func (l *rtcLink) writeBye(reason wire.ByeReason) error {
	l.mu.Lock()
	l.byed = true
	l.mu.Unlock()
	js := l.info.Opener == ""
	if text := closeText(reason); text != "" && !js {
		if _, err := l.raw.WriteDataChannel([]byte(text), true); err != nil {
			return err
		}
	}
	l.channel.SetBufferedAmountLowThreshold(0)
	if err := l.await(0, drainTimeout); err != nil {
		return err
	}
	if js {
		linger := time.NewTimer(lingerTime)
		defer linger.Stop()
		select {
		case <-linger.C:
		case <-l.conn.ended:
		}
	}
	return l.raw.Close()
}

// Flush implements protocol.Link.
func (l *rtcLink) Flush() error { return nil }
