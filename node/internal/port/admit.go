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
	// maxFirstMessage is the largest size in bytes of a legacy peer's hello. A real one has about 110.
	maxFirstMessage = 4 << 10
	// maxTextMessage is the first read limit of a TextConn, in bytes.
	maxTextMessage = 1 << 20
	// refuseLinger is the time limit of waiting for a refused peer to answer the close frame.
	// Closing a socket with unread bytes resets the connection, and the peer would not learn
	// the reason.
	refuseLinger = time.Second
)

// A refusal is the reason why a text connection is refused.
type refusal struct {
	code   int // WebSocket close code, RFC 6455, 7.4.1
	reason string
	count  func(*counters) *atomic.Uint64
}

func (r *refusal) Error() string { return r.reason }

var (
	errNoText = &refusal{websocket.CloseUnsupportedData, "this port accepts no text messages",
		func(c *counters) *atomic.Uint64 { return &c.noText }}
	errSilent = &refusal{websocket.ClosePolicyViolation, "no message in time",
		func(c *counters) *atomic.Uint64 { return &c.silent }}
	errTooBig = &refusal{websocket.CloseMessageTooBig, "first message too big",
		func(c *counters) *atomic.Uint64 { return &c.tooBig }}
	errNotJSON = &refusal{websocket.CloseProtocolError, "first message is not JSON",
		func(c *counters) *atomic.Uint64 { return &c.notJSON }}
	errLimit = &refusal{websocket.CloseTryAgainLater, "try again later",
		func(c *counters) *atomic.Uint64 { return &c.limit }}
)

// admit reads the first text message and moves the connection out of the transient scope. If it
// succeeds, c is ready for AcceptText.
func (f *front) admit(c *TextConn, r io.Reader) error {
	if f.opts.AcceptText == nil {
		return errNoText
	}
	// Not with gorilla's read limit, which sends its own close frame.
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
	// peer 8 inbound connections. So each connection gets its own id.
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

// refuse counts the reason, sends it to the peer and closes the connection.
func (f *front) refuse(c *TextConn, err error) {
	// gorilla hides os.ErrDeadlineExceeded from errors.Is.
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = errSilent
	}
	var why *refusal
	if !errors.As(err, &why) {
		// It closed the connection, or broke the rules of WebSocket and got gorilla's answer.
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
// connection. It is an identity multihash with a length that no key of a supported type has.
func pseudoPeer(n uint64) peer.ID {
	const size = 8
	return peer.ID(binary.BigEndian.AppendUint64([]byte{0x00, size}, n))
}

// The counters count the clients of the port since the host was made.
type counters struct {
	pseudo atomic.Uint64 // the last number passed to pseudoPeer

	libp2p, text, http, gated                    atomic.Uint64
	noText, silent, tooBig, notJSON, limit, left atomic.Uint64
}

// Stats are the counts of the clients of the port since the host was made.
type Stats struct {
	LibP2P uint64 // WebSockets and TCP connections passed on to libp2p
	Text   uint64 // WebSockets passed on to AcceptText
	HTTP   uint64 // plain HTTP requests

	// WebSockets that were closed, by reason.
	RefusedNoText  uint64 // text without an AcceptText (1003)
	RefusedSilent  uint64 // no first message within 10 s (1008)
	RefusedTooBig  uint64 // first text message over 4 KiB (1009)
	RefusedNotJSON uint64 // first text message is not JSON (1002)
	RefusedLimit   uint64 // the resource manager or the connection gater refused it (1013)
	Left           uint64 // the client closed, or broke the rules of WebSocket, before its first message

	// TCP and UDP connections that were closed earlier than that.
	RefusedGated uint64            // the connection gater refused it
	RefusedFor   [numLimits]uint64 // by limit
}

// Map returns the counts by their names.
func (s Stats) Map() map[string]uint64 {
	m := map[string]uint64{
		"libp2p": s.LibP2P, "text": s.Text, "http": s.HTTP,
		"refused_no_text": s.RefusedNoText, "refused_silent": s.RefusedSilent, "refused_too_big": s.RefusedTooBig,
		"refused_not_json": s.RefusedNotJSON, "refused_limit": s.RefusedLimit, "left": s.Left, "refused_gated": s.RefusedGated,
	}
	for l, n := range s.RefusedFor {
		m["refused_"+limit(l).String()] = n
	}
	return m
}

// Stats returns the counts.
func (h *Host) Stats() Stats {
	c := &h.front.count
	s := Stats{
		LibP2P:         c.libp2p.Load(),
		Text:           c.text.Load(),
		HTTP:           c.http.Load(),
		RefusedNoText:  c.noText.Load(),
		RefusedSilent:  c.silent.Load(),
		RefusedTooBig:  c.tooBig.Load(),
		RefusedNotJSON: c.notJSON.Load(),
		RefusedLimit:   c.limit.Load(),
		Left:           c.left.Load(),
		RefusedGated:   c.gated.Load(),
	}
	for l := range s.RefusedFor {
		s.RefusedFor[l] = h.front.refused.count[l].Load()
	}
	return s
}
