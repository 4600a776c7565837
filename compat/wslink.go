package compat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
)

const (
	// maxMessage is the bytes at which a message ends the connection, as it does in
	// JS. One of more than maxText is skipped: a JS peer may have passed it on.
	maxMessage = 100 << 20
	// flushAt is the bytes of written frames at which they are sent without a Flush.
	flushAt = 64 << 10
	// keepBuffer is the bytes of a buffer above which it is not used again.
	keepBuffer = 256 << 10
	// writeTimeout bounds one write, of flushAt bytes and a message at most, to a peer
	// that does not read.
	writeTimeout = 30 * time.Second
)

// A wsLink is a link over a legacy WebSocket. Each text frame is a message.
//
// gorilla reads. It could write, too, but a write for each message costs twice the
// CPU of one for many, so frames are laid out here and sent when the router flushes;
// every write is one call of the connection's Write, which is atomic, and so gorilla
// may put its close frames in between.
type wsLink struct {
	// Fixed before the link is served.
	w       *WebSocket
	conn    Conn
	ws      *websocket.Conn
	net     net.Conn // under ws
	self    protocol.ID
	info    protocol.LinkInfo
	client  bool // this side masks what it sends
	deflate bool
	control func(*protocol.Frame)

	// Owned by the reader.
	next    *protocol.Frame // to be given after the hello that it showed
	greeted bool

	// Owned by the writer.
	out   *[]byte // frames to be flushed, or nil
	shown bool    // pr.v was written

	mu      sync.Mutex
	ping    []byte // of the last ping that came, for the pong
	pings   uint64 // that came
	byed    bool   // a bye was written
	release func() // gives the claim back, if there is one
	closed  bool
}

// textBuffers are what reading one message takes.
type textBuffers struct{ text, scratch []byte }

func (w *WebSocket) newLink(c Conn, self protocol.ID, info protocol.LinkInfo) *wsLink {
	ws := c.WebSocket()
	l := &wsLink{w: w, conn: c, ws: ws, net: ws.NetConn(), self: self, info: info}
	ws.SetReadLimit(maxMessage)
	ws.SetPingHandler(l.onPing)
	ws.SetPongHandler(l.onPong)
	return l
}

// Info implements protocol.Link.
func (l *wsLink) Info() protocol.LinkInfo { return l.info }

// OnControl implements protocol.ControlReader.
func (l *wsLink) OnControl(f func(*protocol.Frame)) { l.control = f }

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
func (l *wsLink) ReadFrame() (*protocol.Frame, error) {
	if f := l.next; f != nil {
		l.next = nil
		return f, nil
	}
	_, r, err := l.ws.NextReader()
	if err != nil {
		return l.ended(err)
	}
	b, _ := l.w.texts.Get().(*textBuffers)
	if b == nil {
		b = &textBuffers{text: make([]byte, 0, readBuffer)}
	}
	defer func() {
		if cap(b.text)+cap(b.scratch) <= keepBuffer {
			l.w.texts.Put(b)
		}
	}()
	if b.text, err = readText(b.text[:0], r); err != nil {
		if errors.Is(err, protocol.ErrMalformed) {
			return nil, err
		}
		return l.ended(err)
	}
	f, shown, err := parseMessage(b.text, l.self, &b.scratch)
	if err != nil {
		return nil, err
	}
	if hello := l.hello(f, shown); hello != nil {
		l.next = f
		return hello, nil
	}
	return f, nil
}

// readText reads a message of at most maxText bytes. Of a longer one gorilla skips
// the rest when the next is read.
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

// hello gives the hello that a peer shows with its first findPeers, if this is it:
// from the peer itself, and not passed on.
func (l *wsLink) hello(f *protocol.Frame, shown []byte) *protocol.Frame {
	if shown == nil || l.greeted || f.Body.Kind != protocol.KindFind || f.Body.From != l.info.ID || f.PathLen() != 1 || f.PathAt(0) != l.info.ID {
		return nil
	}
	features, ok := parseShown(shown)
	if !ok {
		return nil
	}
	hello, err := protocol.NewHello(protocol.Hello{Features: features})
	if err != nil {
		return nil // many long names: it is as if it had shown nothing
	}
	l.greeted = true
	return hello
}

// ended says how the connection ended.
func (l *wsLink) ended(err error) (*protocol.Frame, error) {
	var c *websocket.CloseError
	if errors.As(err, &c) {
		switch c.Code {
		case websocket.CloseNormalClosure, websocket.CloseNoStatusReceived:
			l.mu.Lock()
			byed := l.byed
			l.mu.Unlock()
			if byed {
				return nil, io.EOF
			}
			return protocol.NewBye(byeReason(c.Text)), nil
		case websocket.CloseGoingAway:
			return protocol.NewBye(protocol.ByeShutdown), nil
		}
	}
	return nil, fmt.Errorf("read from %s: %w", l.info.Addr, err)
}

// onPing notes a ping and tells of it. Only the last one need be answered (RFC 6455,
// 5.5.3).
func (l *wsLink) onPing(payload string) error {
	l.mu.Lock()
	l.ping = append(l.ping[:0], payload...)
	l.pings++
	token := l.pings
	l.mu.Unlock()
	if l.control != nil {
		l.control(protocol.NewPing(token))
	}
	return nil
}

func (l *wsLink) onPong(payload string) error {
	var token uint64
	if len(payload) == 8 {
		token = binary.BigEndian.Uint64([]byte(payload))
	}
	if l.control != nil {
		l.control(protocol.NewPong(token))
	}
	return nil
}

// --- writing

// WriteFrame implements protocol.Link.
func (l *wsLink) WriteFrame(f *protocol.Frame) error {
	if l.byed { // only the writer sets it
		return nil
	}
	switch f.Type {
	case protocol.FrameMessage:
		return l.writeMessage(f)
	case protocol.FramePing:
		return l.writeControl(websocket.PingMessage, binary.BigEndian.AppendUint64(nil, f.Num))
	case protocol.FramePong:
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
	case protocol.FrameBye:
		return l.writeBye(f.Bye)
	default:
		return unencodable("a " + f.Type.String() + " has no legacy form")
	}
}

func (l *wsLink) writeMessage(f *protocol.Frame) error {
	shown := ""
	if !l.shown && f.Body.Kind == protocol.KindFind && f.Body.To == l.info.ID && f.PathLen() == 1 && f.PathAt(0) == l.self {
		shown = strings.Join(append([]string{shownVersion}, l.w.Features...), ",")
	}
	err := l.writeText(func(b []byte) ([]byte, error) { return appendMessage(b, f, shown, maxText) })
	if err == nil && shown != "" {
		l.shown = true
	}
	return err
}

// speak sends this side's hello.
func (l *wsLink) speak() error {
	err := l.writeText(func(b []byte) ([]byte, error) { return rawjson.AppendID(b, l.self), nil })
	if err == nil {
		err = l.Flush()
	}
	return err
}

// writeText writes the text that is appended as one message.
func (l *wsLink) writeText(appendText func([]byte) ([]byte, error)) error {
	b := l.buffer()
	start := len(*b)
	if l.deflate {
		text, err := appendText(*b)
		if err != nil {
			return err
		}
		*b = text[:start]
		l.ws.SetWriteDeadline(time.Now().Add(writeTimeout))
		return l.ws.WriteMessage(websocket.TextMessage, text[start:])
	}
	withRoom := append(*b, make([]byte, l.usualHead())...)
	text, err := appendText(withRoom)
	if err != nil {
		*b = text[:start]
		return err
	}
	*b = l.finishFrame(text, start, websocket.TextMessage)
	if len(*b) >= flushAt {
		return l.Flush()
	}
	return nil
}

func (l *wsLink) writeControl(kind int, payload []byte) error {
	b := l.buffer()
	start := len(*b)
	*b = append(append(*b, make([]byte, l.usualHead())...), payload...)
	*b = l.finishFrame(*b, start, kind)
	return nil
}

// writeBye sends what is buffered and then the close frame, after which gorilla sends
// no other.
func (l *wsLink) writeBye(reason protocol.ByeReason) error {
	l.mu.Lock()
	l.byed = true
	l.mu.Unlock()
	if err := l.Flush(); err != nil {
		return err
	}
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, closeText(reason))
	err := l.ws.WriteControl(websocket.CloseMessage, message, time.Now().Add(writeTimeout))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil // the answer to the peer's own
	}
	return err
}

// Flush implements protocol.Link.
func (l *wsLink) Flush() error {
	b := l.out
	if b == nil {
		return nil
	}
	var err error
	if len(*b) > 0 {
		l.net.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err = l.net.Write(*b)
	}
	l.out = nil
	if *b = (*b)[:0]; cap(*b) <= keepBuffer {
		l.w.outs.Put(b)
	}
	if err != nil {
		return fmt.Errorf("write to %s: %w", l.info.Addr, err)
	}
	return nil
}

func (l *wsLink) buffer() *[]byte {
	if l.out == nil {
		if l.out, _ = l.w.outs.Get().(*[]byte); l.out == nil {
			l.out = new([]byte)
		}
	}
	return l.out
}

// The head of a frame (RFC 6455, 5.2): flags and kind; mask flag and length, which is
// in the 2 or 8 bytes that follow if it is longer than 125 or 65535; the key of the
// mask, if there is one.
const (
	finalFlag = 0x80
	maskFlag  = 0x80
	length16  = 126
	length64  = 127
	maskKey   = 4
)

// usualHead is the size of the head of nearly every message: no JSON one is shorter
// than 126 bytes, and few are longer than 65535.
func (l *wsLink) usualHead() int {
	if l.client {
		return 4 + maskKey
	}
	return 4
}

// finishFrame makes a frame of b[start:], where the usual head is to stand before the
// payload.
func (l *wsLink) finishFrame(b []byte, start, kind int) []byte {
	usual := l.usualHead()
	size := len(b) - start - usual
	head := usual
	switch {
	case size < length16:
		head -= 2
	case size > 0xffff:
		head += 6
	}
	if head != usual { // move the payload
		b = slices.Grow(b, max(0, head-usual))[:len(b)+head-usual]
		copy(b[start+head:], b[start+usual:start+usual+size])
	}
	h := b[start : start+head]
	payload := b[start+head : start+head+size]
	h[0] = finalFlag | byte(kind)
	switch {
	case size < length16:
		h[1] = byte(size)
	case size <= 0xffff:
		h[1] = length16
		binary.BigEndian.PutUint16(h[2:], uint16(size))
	default:
		h[1] = length64
		binary.BigEndian.PutUint64(h[2:], uint64(size))
	}
	if l.client {
		h[1] |= maskFlag
		key := rand.Uint32() // of ChaCha8, which nobody foresees
		binary.LittleEndian.PutUint32(h[head-maskKey:], key)
		mask(payload, key)
	}
	return b
}

func mask(b []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i % 4)))
	}
}
