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
	if err := w.findHome(); err != nil {
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
		closeConn(pc)
		leave()
	}) {
		closeConn(pc)
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
