package legacy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	// maxMessage is the size in bytes of a message that ends the connection, as in JS. One of
	// more than maxText is only skipped, since a JS peer may have forwarded it.
	maxMessage = 100 << 20
	// writeTimeout is the time limit of writing one message to a peer that does not read. The
	// largest message takes a line of 64 kbit/s a good part of it.
	writeTimeout = 2 * time.Minute
)

// A wsLink is a link over a legacy WebSocket. Each text frame is one message. It is sent when it
// is written, unless the connection holds it until Flush.
type wsLink struct {
	jsonLink

	// Fixed before the link is served.
	w    *WebSocket
	conn Conn
	ws   *websocket.Conn

	holder holder // nil means that the connection holds nothing

	message countingReader // the message that is read; it counts the bytes of all

	mu      sync.Mutex
	ping    []byte // payload of the last ping that arrived, for the pong
	pings   uint64 // number of pings that arrived
	byed    bool   // a bye was written
	release func() // releases the claim; nil means none
	closed  bool
}

func (w *WebSocket) newLink(c Conn, self protocol.ID, info protocol.LinkInfo) *wsLink {
	ws := c.WebSocket()
	if local, err := netip.ParseAddrPort(ws.LocalAddr().String()); err == nil {
		info.Local = local.Addr().Unmap().WithZone("")
	}
	l := &wsLink{jsonLink: jsonLink{self: self, info: info, features: w.features}, w: w, conn: c, ws: ws}
	l.holder, _ = c.(holder)
	ws.SetReadLimit(maxMessage)
	ws.SetPingHandler(l.onPing)
	ws.SetPongHandler(l.onPong)
	// ReadFrame returns the peer's close frame as a bye, and the writer answers it after what
	// is queued. gorilla would answer at once, and write nothing after that.
	ws.SetCloseHandler(func(int, string) error { return nil })
	return l
}

// Close implements protocol.Link.
func (l *wsLink) Close() error { return l.closeWith(websocket.CloseNormalClosure, "") }

func (l *wsLink) closeWith(code int, reason string) error {
	err := l.conn.CloseWith(code, reason)
	l.mu.Lock()
	release := l.release
	l.closed, l.release = true, nil
	l.mu.Unlock()
	if release != nil {
		release()
	}
	return err
}

// --- reading

// ReadFrame implements protocol.Link.
func (l *wsLink) ReadFrame() (*wire.Frame, error) {
	if f := l.held(); f != nil {
		return f, nil
	}
	_, r, err := l.ws.NextReader()
	if err != nil {
		return l.ended(err)
	}
	b := l.w.texts.get()
	defer l.w.texts.put(b)
	l.message.Reader = r
	if b.text, err = readText(b.text[:0], &l.message); err != nil {
		if errors.Is(err, wire.ErrMalformed) {
			return nil, err
		}
		return l.ended(err)
	}
	return l.parse(b.text, &b.scratch)
}

// A countingReader counts the bytes that are read.
type countingReader struct {
	io.Reader
	count atomic.Uint64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.count.Add(uint64(n))
	return n, err
}

// Progress implements protocol.ProgressReporter.
func (l *wsLink) Progress() protocol.Progress {
	var p protocol.Progress
	if l.w.TCPProgress != nil {
		p = l.w.TCPProgress(l.ws.LocalAddr(), l.ws.RemoteAddr())
	}
	p.Received = l.message.count.Load()
	return p
}

// readText returns a message of at most maxText bytes. gorilla skips the rest of a longer one
// when the next message is read.
func readText(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(len(b), maxText+1-len(b)))
		}
		n, err := r.Read(b[len(b):min(cap(b), maxText+1)])
		b = b[:len(b)+n]
		switch {
		case len(b) > maxText:
			return b, passedOn("more than %d bytes of text", maxText)
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

// ended returns the end of the connection as a bye or an error.
func (l *wsLink) ended(err error) (*wire.Frame, error) {
	var c *websocket.CloseError
	if errors.As(err, &c) {
		switch c.Code {
		case websocket.CloseNormalClosure, websocket.CloseNoStatusReceived:
			l.mu.Lock()
			byed := l.byed
			l.mu.Unlock()
			bye := wire.NewBye(byeReason(c.Text))
			if byed && bye.Bye != wire.ByeDuplicate { // otherwise it is no answer, but crossed ours
				return nil, io.EOF
			}
			return bye, nil
		case websocket.CloseGoingAway:
			return wire.NewBye(wire.ByeShutdown), nil
		}
	}
	return nil, fmt.Errorf("read from %s: %w", l.info.Addr, err)
}

// onPing stores a ping and reports it. Only the last one must be answered (RFC 6455, 5.5.3).
func (l *wsLink) onPing(payload string) error {
	l.mu.Lock()
	l.ping = append(l.ping[:0], payload...)
	l.pings++
	token := l.pings
	l.mu.Unlock()
	l.tell(wire.NewPing(token))
	return nil
}

func (l *wsLink) onPong(payload string) error {
	var token uint64
	if len(payload) == 8 {
		token = binary.BigEndian.Uint64([]byte(payload))
	}
	l.tell(wire.NewPong(token))
	return nil
}

// --- writing

// WriteFrame implements protocol.Link.
func (l *wsLink) WriteFrame(f *wire.Frame) error {
	if l.byed { // only the writer sets it
		return nil
	}
	switch f.Type {
	case wire.FrameMessage:
		if l.holder != nil {
			l.holder.HoldWrites()
		}
		return l.writeMessage(f, maxText, l.writeText)
	case wire.FramePing:
		return l.writeControl(websocket.PingMessage, binary.BigEndian.AppendUint64(nil, f.Num))
	case wire.FramePong:
		l.mu.Lock()
		var payload []byte
		last := f.Num == l.pings
		if last {
			payload = slices.Clone(l.ping)
		}
		l.mu.Unlock()
		if !last {
			return nil
		}
		return l.writeControl(websocket.PongMessage, payload)
	case wire.FrameBye:
		return l.writeBye(f.Bye)
	default:
		return unencodable("a " + f.Type.String() + " has no legacy form")
	}
}

// speak sends this peer's hello.
func (l *wsLink) speak() error {
	return l.writeText(func(b []byte) ([]byte, error) { return rawjson.AppendID(b, l.self), nil })
}

// writeText sends the text that appendText appends as one message.
func (l *wsLink) writeText(appendText func([]byte) ([]byte, error)) error {
	return l.w.texts.write(appendText, func(text []byte) error {
		l.ws.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := l.ws.WriteMessage(websocket.TextMessage, text); err != nil {
			return l.writeFailed(err)
		}
		return nil
	})
}

func (l *wsLink) writeControl(kind int, payload []byte) error {
	return l.ws.WriteControl(kind, payload, time.Now().Add(writeTimeout))
}

// writeBye sends the close frame. gorilla sends nothing after it.
func (l *wsLink) writeBye(reason wire.ByeReason) error {
	l.mu.Lock()
	l.byed = true
	l.mu.Unlock()
	err := l.writeControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, closeText(reason)))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil // the peer's close frame was answered before
	}
	return err
}

// Flush implements protocol.Link.
func (l *wsLink) Flush() error {
	if l.holder == nil {
		return nil
	}
	if err := l.holder.FlushWrites(); err != nil {
		return l.writeFailed(err)
	}
	return nil
}

func (l *wsLink) writeFailed(err error) error { return fmt.Errorf("write to %s: %w", l.info.Addr, err) }
