package legacy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/sctp"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	// MaxWebRTC is the largest size in bytes of one message on a data channel, in both
	// directions. Above it Chromium throws, and Node closes the channel.
	MaxWebRTC = 262_144
	// channelBuffer is the size in bytes of the buffer with which a link waits for a message.
	channelBuffer = 4 << 10
	// channelHigh is the number of bytes in flight at which writing waits, until there are at
	// most channelLow.
	channelHigh = 1 << 20
	channelLow  = 256 << 10
	// drainTimeout is the time limit of waiting for the next acknowledgement of the last messages.
	drainTimeout = time.Second
	// drainEvery is the time between two looks at what is in flight.
	drainEvery = 20 * time.Millisecond
	// lingerTime is the time for which a channel to a JS peer stays open after the last
	// message, since the peer may answer it and expects an open channel.
	lingerTime = 200 * time.Millisecond
)

// An rtcLink is a link over a data channel. Each message on the channel is one message of the
// overlay, and is sent when it is written, so Flush does nothing.
type rtcLink struct {
	jsonLink

	// Fixed before the link is served.
	w       *WebRTC
	conn    *rtcConn
	channel *webrtc.DataChannel
	raw     datachannel.ReadWriteCloserDeadliner

	small []byte // owned by the reader

	written  atomic.Uint64 // bytes of the messages that were written
	acked    atomic.Uint64 // bytes of them that the peer had acknowledged at the last look
	received atomic.Uint64 // bytes of the messages that came
	unproved atomic.Bool   // it is not the first link of its connection, and brought no message yet

	gone chan struct{} // closed when the link is cut
	left bool          // Close was called; guarded by conn.mu

	mu      sync.Mutex
	byed    bool   // a bye was written
	drained bool   // the peer's system has all that was written before the bye
	read    bool   // a call of ReadFrame waits for a message
	why     error  // why the link was cut; nil means that it was not
	release func() // releases the claim
}

// newLink returns the next link over a connection.
func (w *WebRTC) newLink(c *rtcConn, r *protocol.Router, info protocol.LinkInfo, release func()) *rtcLink {
	l := &rtcLink{
		jsonLink: jsonLink{self: r.ID(), info: info},
		w:        w, conn: c, small: make([]byte, channelBuffer), gone: make(chan struct{}), release: release,
	}
	c.mu.Lock()
	l.channel, l.raw = c.channel, c.raw
	c.router, c.link = r, l
	if c.err == nil {
		l.raw.SetReadDeadline(time.Time{}) // the previous link's end had set it
	}
	c.mu.Unlock()
	if !c.alive() { // the connection fell silent, or ended, while the link was made
		l.cut(errSilent)
	}
	return l
}

var errSilent = errors.New("the connection is silent")

// cut ends the link, but not the connection.
func (l *rtcLink) cut(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why = why
		close(l.gone)
		l.raw.SetReadDeadline(past)
	}
}

// isCut reports whether the link was cut without a bye to its peer.
func (l *rtcLink) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why != nil && !l.byed
}

// isRead reports whether a call of ReadFrame may still read a message from the channel.
func (l *rtcLink) isRead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read
}

// Close implements protocol.Link.
func (l *rtcLink) Close() error {
	l.conn.leave(l)
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
	if !l.beginRead() {
		return l.ended()
	}
	defer l.endRead()
	n, err := l.receive(l.small)
	if err == nil {
		b := l.w.texts.get()
		defer l.w.texts.put(b)
		return l.frame(l.small[:n], b)
	}
	if !errors.Is(err, io.ErrShortBuffer) {
		return l.ended()
	}
	b := l.w.texts.get() // the whole message has arrived, so the next reads do not wait
	defer l.w.texts.put(b)
	for size := max(cap(b.text), 4*channelBuffer); ; size *= 4 {
		if size = min(size, MaxWebRTC); cap(b.text) < size {
			b.text = make([]byte, size)
		}
		n, err = l.receive(b.text[:size])
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

// receive reads one message. The deadline that ended the link before can come late, and is
// none of this link's.
func (l *rtcLink) receive(b []byte) (n int, err error) {
	for {
		n, _, err = l.raw.ReadDataChannel(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !l.clearDeadline() {
			break
		}
	}
	if err == nil {
		l.received.Add(uint64(n))
		l.unproved.Store(false)
	}
	return n, err
}

// clearDeadline takes a deadline back that neither the link nor its connection has set.
func (l *rtcLink) clearDeadline() bool {
	l.conn.mu.Lock()
	defer l.conn.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn.err != nil || l.why != nil {
		return false
	}
	l.raw.SetReadDeadline(time.Time{})
	return true
}

// beginRead reports whether a message may be read, and marks the read.
func (l *rtcLink) beginRead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = l.why == nil
	return l.read
}

func (l *rtcLink) endRead() {
	l.mu.Lock()
	l.read = false
	wasCut := l.why != nil
	l.mu.Unlock()
	if wasCut {
		l.conn.resume() // it waits for this reader
	}
}

// frame returns the frame of a message.
func (l *rtcLink) frame(text []byte, b *textBuffers) (*wire.Frame, error) {
	if l.info.Opener != "" && strings.HasPrefix(string(text[:min(len(text), len(byeText))]), byeText) {
		return wire.NewBye(byeReason(string(text))), nil
	}
	return l.parse(text, &b.scratch)
}

// ended returns the end of the connection as a bye or an error. If this side did not end it,
// the peer has closed the channel or the connection, which is its bye. After our bye the peer may
// close the connection in any way.
func (l *rtcLink) ended() (*wire.Frame, error) {
	err := l.conn.why()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && err != io.EOF && !l.drained {
		return nil, fmt.Errorf("read from %s: %w", l.info.Addr, err)
	}
	switch {
	case l.byed:
		return nil, io.EOF
	case l.why != nil:
		return nil, fmt.Errorf("read from %s: %w", l.info.Addr, l.why)
	}
	return wire.NewBye(wire.ByeNormal), nil
}

// WriteFrame implements protocol.Link. A data channel has no pings. The next sign of the peer
// replaces the answer.
func (l *rtcLink) WriteFrame(f *wire.Frame) error {
	if l.byed { // only the writer sets it
		return nil
	}
	switch f.Type {
	case wire.FrameMessage:
		return l.writeMessage(f, MaxWebRTC, l.writeText)
	case wire.FramePing:
		answers, _ := l.conn.answered()
		acked := l.Progress().Acked
		l.w.task(func() { l.pong(f.Num, answers, acked) }) // ends with the sign, or the link
		return nil
	case wire.FrameBye:
		if f.Bye == wire.ByeSilent && (l.unproved.Load() || l.received.Load() > 0) {
			l.conn.silence(l, errSilent) // the peer may only be slow, or come back
			return nil
		}
		return l.writeBye(f.Bye)
	default:
		return unencodable("a " + f.Type.String() + " has no legacy form")
	}
}

// pong answers a ping when the peer's ICE, which is asked every 2 s, has given more than these
// answers, or its SCTP has acknowledged more than these bytes. The state of ICE is no sign: it
// changes 5 s after the peer fell silent.
func (l *rtcLink) pong(token, answers, acked uint64) {
	look := time.NewTicker(answerEvery)
	defer look.Stop()
	for l.Progress().Acked <= acked {
		if now, fresh := l.conn.answered(); fresh && now != answers {
			break
		}
		select {
		case <-look.C:
		case <-l.gone:
			return
		case <-l.conn.ended:
			return
		case <-l.w.ctx.Done():
			return
		}
	}
	l.tell(wire.NewPong(token))
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
			return fmt.Errorf("%w: %d bytes of JSON: %w", protocol.ErrTooBig, len(text), err) // the peer has a lower limit
		} else if err != nil {
			l.drain() // the peer has closed the channel, and acknowledges the last messages within 200 ms
			return fmt.Errorf("write to %s: %w", l.info.Addr, err)
		}
		l.written.Add(uint64(len(text)))
		return nil
	})
}

// Progress implements protocol.ProgressReporter. If the peer has ended the connection, its last
// acknowledgement may be lost, so what has arrived is unknown.
func (l *rtcLink) Progress() protocol.Progress {
	p := protocol.Progress{Received: l.received.Load()}
	written := l.written.Load()
	if _, err := l.inFlight(); err != nil && !errors.Is(err, net.ErrClosed) {
		return p
	}
	p.Known, p.Acked = true, l.acked.Load()
	p.Pending, p.Moves = written-min(p.Acked, written), p.Acked
	return p
}

// raise makes a counter at least n.
func raise(counter *atomic.Uint64, n uint64) {
	for {
		old := counter.Load()
		if n <= old || counter.CompareAndSwap(old, n) {
			return
		}
	}
}

// inFlight returns the number of bytes that the peer has not acknowledged, and keeps in acked that it
// has the others, or returns why the connection has ended. It is the number of the connection, which
// has one channel: once the peer has reset its side of the channel, pion's number for the channel
// stays as it is.
func (l *rtcLink) inFlight() (bytes uint64, err error) {
	written := l.written.Load()
	bytes = inFlight(l.conn.pc, l.channel)
	if err = l.conn.why(); err == nil { // after the number, which is 0 for a connection that has ended
		raise(&l.acked, written-min(bytes, written))
	}
	return bytes, err
}

// errStalled means that a peer reads nothing.
var errStalled = errors.New("the peer reads no messages")

// await waits until at most most bytes are in flight.
func (l *rtcLink) await(most uint64, patience time.Duration) error {
	timer, look := time.NewTimer(patience), time.NewTicker(drainEvery)
	defer timer.Stop()
	defer look.Stop()
	for {
		if bytes, err := l.inFlight(); err != nil || bytes <= most {
			return err
		}
		select {
		case <-l.conn.low:
		case <-look.C: // there is no token once the peer has reset its side
		case <-l.conn.ended:
			return l.conn.why()
		case <-l.gone:
			return errSilent
		case <-timer.C:
			return errStalled
		}
	}
}

// drain waits until nothing is in flight, as long as the peer acknowledges something.
func (l *rtcLink) drain() error {
	for {
		before, _ := l.inFlight()
		err := l.await(0, drainTimeout)
		if now, _ := l.inFlight(); err != errStalled || now >= before {
			return err
		}
	}
}

// writeBye closes the channel once the peer has all that was sent. A Go peer gets the reason.
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
	err := l.drain()
	if err != nil && err != errStalled {
		return err
	}
	l.mu.Lock()
	l.drained = err == nil // if not, the router decides how long it waits
	l.mu.Unlock()
	if js {
		linger := time.NewTimer(lingerTime)
		defer linger.Stop()
		select {
		case <-linger.C:
		case <-l.gone:
		case <-l.conn.ended:
		}
	}
	return l.raw.Close()
}

// Flush implements protocol.Link.
func (l *rtcLink) Flush() error { return nil }
