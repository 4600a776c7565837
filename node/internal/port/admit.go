package port

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// maxFirstMessage is the most bytes of a legacy peer's hello. A real one has about 110.
	maxFirstMessage = 4 << 10
	// maxTextMessage is the read limit that a TextConn starts with, in bytes.
	maxTextMessage = 1 << 20
	// refuseLinger bounds the wait for a refused peer to answer the close frame. To close a
	// socket with unread bytes in it resets the connection, and the peer would not learn why.
	refuseLinger = time.Second
)

// A refusal is the reason why a text connection is turned away.
type refusal struct {
	code   int // WebSocket close code, RFC 6455, 7.4.1
	reason string
	count  func(*counters) *atomic.Uint64
}

func (r *refusal) Error() string { return r.reason }

var (
	errNoText = &refusal{websocket.CloseUnsupportedData, "this port takes no text messages",
		func(c *counters) *atomic.Uint64 { return &c.noText }}
	errSilent = &refusal{websocket.ClosePolicyViolation, "no message in time",
		func(c *counters) *atomic.Uint64 { return &c.silent }}
	errTooBig = &refusal{websocket.CloseMessageTooBig, "first message too big",
		func(c *counters) *atomic.Uint64 { return &c.tooBig }}
	errNotJSON = &refusal{websocket.CloseProtocolError, "first message is not JSON",
		func(c *counters) *atomic.Uint64 { return &c.notJSON }}
	errLimit = &refusal{websocket.CloseTryAgainLater, "not now",
		func(c *counters) *atomic.Uint64 { return &c.limit }}
)

// admit reads the first text message and moves the connection out of the transient
// scope. On success c is ready for AcceptText.
func (f *front) admit(c *TextConn, r io.Reader) error {
	if f.opts.AcceptText == nil {
		return errNoText
	}
	// Not gorilla's read limit: that one sends a close frame of its own.
	first, err := io.ReadAll(io.LimitReader(r, maxFirstMessage+1))
	switch {
	case err != nil:
		return err
	case len(first) > maxFirstMessage:
		return errTooBig
	case !json.Valid(first):
		return errNotJSON
	}
	// A legacy peer proves no key. But the resource manager counts by peer id, and allows one
	// peer 8 inbound connections: so each gets an id of its own.
	id := pseudoPeer(f.count.pseudo.Add(1))
	if f.opts.Gater != nil && !f.opts.Gater.InterceptSecured(network.DirInbound, id, c.conn) {
		return errLimit
	}
	if err := c.scope.SetPeer(id); err != nil {
		return errLimit
	}
	c.first = first
	c.conn.SetReadDeadline(time.Time{})
	c.conn.SetReadLimit(maxTextMessage)
	return nil
}

// refuse counts the reason, tells it to the peer and closes the connection.
func (f *front) refuse(c *TextConn, err error) {
	// gorilla hides os.ErrDeadlineExceeded from errors.Is.
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = errSilent
	}
	var why *refusal
	if !errors.As(err, &why) {
		// It left, or broke WebSocket's own rules, which gorilla has told it.
		f.count.left.Add(1)
		c.Close()
		return
	}
	why.count(&f.count).Add(1)
	c.writeClose(why.code, why.reason)
	c.conn.SetReadDeadline(time.Now().Add(refuseLinger))
	for {
		if _, _, err := c.conn.NextReader(); err != nil {
			break // the peer's close frame, or its silence
		}
	}
	c.Close()
}

// pseudoPeer returns the peer id under which the resource manager counts the n-th legacy
// connection. It is an identity multihash of a length that no key of a supported type has.
func pseudoPeer(n uint64) peer.ID {
	const size = 8
	return peer.ID(binary.BigEndian.AppendUint64([]byte{0x00, size}, n))
}

// The counters count what came in at the port since the host was made.
type counters struct {
	pseudo atomic.Uint64 // the last number that pseudoPeer was given

	libp2p, text, http                           atomic.Uint64
	noText, silent, tooBig, notJSON, limit, left atomic.Uint64
}

// Stats are the counts of what came in at the port since the host was made.
type Stats struct {
	LibP2P uint64 // WebSockets passed on to libp2p
	Text   uint64 // WebSockets passed on to AcceptText
	HTTP   uint64 // plain HTTP requests

	// WebSockets that were closed, by reason.
	RefusedNoText  uint64 // text, and there is no AcceptText (1003)
	RefusedSilent  uint64 // no first message within 10 s (1008)
	RefusedTooBig  uint64 // first text message over 4 KiB (1009)
	RefusedNotJSON uint64 // first text message is not JSON (1002)
	RefusedLimit   uint64 // the resource manager or the connection gater says no (1013)
	Left           uint64 // the client left, or broke WebSocket's rules, before its first message
}

// Map returns the counts by their names.
func (s Stats) Map() map[string]uint64 {
	return map[string]uint64{
		"libp2p": s.LibP2P, "text": s.Text, "http": s.HTTP,
		"refused_no_text": s.RefusedNoText, "refused_silent": s.RefusedSilent, "refused_too_big": s.RefusedTooBig,
		"refused_not_json": s.RefusedNotJSON, "refused_limit": s.RefusedLimit, "left": s.Left,
	}
}

// Stats returns the counts.
func (h *Host) Stats() Stats {
	c := &h.front.count
	return Stats{
		LibP2P:         c.libp2p.Load(),
		Text:           c.text.Load(),
		HTTP:           c.http.Load(),
		RefusedNoText:  c.noText.Load(),
		RefusedSilent:  c.silent.Load(),
		RefusedTooBig:  c.tooBig.Load(),
		RefusedNotJSON: c.notJSON.Load(),
		RefusedLimit:   c.limit.Load(),
		Left:           c.left.Load(),
	}
}
