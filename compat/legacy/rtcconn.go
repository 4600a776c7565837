package legacy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol"
)

// An rtcConn is a PeerConnection with one data channel. It outlives its link. When its peer
// falls silent, the link ends at once, so that messages take other ways, and the connection
// waits until ICE has failed. If the peer answers before that, there is a new link. A JS peer
// needs that: it keeps a closed channel among its links for ever, sends all messages for this
// peer into it, and accepts no other link.
type rtcConn struct {
	// Fixed from the start.
	w          *WebRTC
	pc         *webrtc.PeerConnection
	opened     chan struct{}             // closed when the channel is open
	candidates chan *webrtc.ICECandidate // of this side
	low        chan struct{}             // holds a token when there may be room in the channel
	ended      chan struct{}

	mu      sync.Mutex
	channel *webrtc.DataChannel
	raw     datachannel.ReadWriteCloserDeadliner // the channel once it is open
	router  *protocol.Router                     // router of the links; nil until the first link
	link    *rtcLink                             // the latest link
	waits   bool                                 // the connection waits for its peer after link; it has a place in w.waiting
	asks    bool                                 // awaitAnswer runs
	answers uint64                               // answers of the peer's ICE until the link was cut
	err     error                                // why it ended; io.EOF means that the peer closed it
}

// answerEvery is the time between two looks for an answer of the peer's ICE.
const answerEvery = 100 * time.Millisecond

var (
	errChannels = errors.New("the peer opened a second data channel")
	errLinks    = fmt.Errorf("others have already made %d connections", maxRTCLinks)
	past        = time.Unix(1, 0)
)

// connection makes a PeerConnection, which lives until end. wanted means that another peer
// wants it. The number of those is bounded, since each costs sockets, goroutines and the memory
// of its queues.
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
	if err := w.findHome(); err != nil {
		return nil, err
	}
	pc, err := w.api.NewPeerConnection(w.config)
	if err != nil {
		return nil, err
	}
	c := &rtcConn{
		w: w, pc: pc, opened: make(chan struct{}), candidates: make(chan *webrtc.ICECandidate, maxCandidates),
		low: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	// The handlers do nothing that waits for pion: while it closes a connection, it holds its locks and
	// waits for them.
	pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		switch why := fmt.Errorf("the connection is %v", s); s {
		case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
			w.task(c.resume) // ends at once, and so does the next
		case webrtc.ICEConnectionStateDisconnected:
			w.task(func() { c.fallSilent(why) })
		case webrtc.ICEConnectionStateFailed:
			c.end(why)
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
		if candidate == nil { // the end of the candidates, which must not be sent
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
		closeConn(pc)
		leave()
	}) {
		closeConn(pc)
		return nil, protocol.ErrClosed
	}
	return c, nil
}

// adopt makes a data channel the channel of the connection.
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
		raw, err := detach(channel)
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

// end ends the connection and all waiting calls. Only the first call has an effect.
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
	c.stopWaiting()
}

// fallSilent handles the silence of the peer: it cuts the link. Without a link yet, it ends the
// connection.
func (c *rtcConn) fallSilent(why error) {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l == nil {
		c.end(why)
	} else {
		c.silence(l, why)
	}
}

// silence cuts a link. A new one is made when the peer answers from now on.
func (c *rtcConn) silence(l *rtcLink, why error) {
	answers, _ := c.answered()
	c.mu.Lock()
	c.answers = answers
	c.mu.Unlock()
	l.cut(why)
}

// leave handles the end of a link. It ends the connection too, unless the link was cut and
// there is room to wait for the peer.
func (c *rtcConn) leave(l *rtcLink) {
	c.mu.Lock()
	if l.left {
		c.mu.Unlock()
		return
	}
	l.left = true
	if c.err == nil && l.isCut() {
		select {
		case c.w.waiting <- struct{}{}:
			c.waits = true
		default:
		}
	}
	waits := c.waits
	c.mu.Unlock()
	if waits {
		c.resume() // the peer may have answered already
	} else {
		c.end(net.ErrClosed)
	}
}

// stopWaiting frees the connection's place in w.waiting. c.mu is held.
func (c *rtcConn) stopWaiting() {
	if c.waits {
		c.waits = false
		<-c.w.waiting
	}
}

// resume makes a new link if the connection waits for its peer, the peer answers, and no call
// reads from the previous link. ICE counts all that arrives as a sign of the peer. But after this
// process was stopped, what arrives first may be old, and the peer gone.
func (c *rtcConn) resume() {
	connected, answered := c.isConnected(), c.hasAnswered()
	c.mu.Lock()
	ready := connected && c.waits && !c.link.isRead()
	again := ready && answered
	asks := ready && !again && !c.asks
	c.asks = c.asks || asks
	if again {
		c.stopWaiting()
	}
	c.mu.Unlock()
	switch {
	case again && !c.w.task(c.relink), // ends with the link
		asks && !c.w.task(c.awaitAnswer): // ends with the first answer, or the connection
		c.end(protocol.ErrClosed)
	}
}

// awaitAnswer waits for an answer of the peer's ICE, which is asked every 2 s.
func (c *rtcConn) awaitAnswer() {
	look := time.NewTicker(answerEvery)
	defer look.Stop()
	for c.isConnected() && !c.hasAnswered() {
		select {
		case <-look.C:
			continue
		case <-c.ended:
		case <-c.w.ctx.Done():
		}
		break
	}
	c.mu.Lock()
	c.asks = false
	c.mu.Unlock()
	c.resume() // also without an answer: ICE may have found the peer again since the last look
}

// hasAnswered reports whether the peer's ICE has answered since the link was cut.
func (c *rtcConn) hasAnswered() bool {
	answers, fresh := c.answered()
	c.mu.Lock()
	defer c.mu.Unlock()
	return fresh && answers > c.answers
}

// relink serves a new link like the previous one.
func (c *rtcConn) relink() {
	c.mu.Lock()
	r, info := c.router, c.link.info
	c.mu.Unlock()
	info.Addr = c.remote()
	release, err := r.Claim(c.w.ctx, info)
	if err != nil {
		c.w.log.Debug("no new WebRTC link", "peer", info.ID.Short(), "err", err)
		c.end(err)
		return
	}
	l := c.w.newLink(c, r, info, release)
	l.unproved.Store(true)
	r.Serve(c.w.ctx, l) // it logs why the link ended
}

func (c *rtcConn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// remote returns the address of the other end.
func (c *rtcConn) remote() string {
	pair, err := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return "webrtc"
	}
	return net.JoinHostPort(pair.Remote.Address, strconv.Itoa(int(pair.Remote.Port)))
}

// alive reports whether something arrived from the peer in the last seconds.
func (c *rtcConn) alive() bool { return c.isConnected() && c.why() == nil }

func (c *rtcConn) isConnected() bool {
	switch c.pc.ICEConnectionState() {
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
		return true
	}
	return false
}
