package legacy

import (
	"strings"
	"sync"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// keepBuffer is the size in bytes above which a buffer is not used again.
const keepBuffer = 256 << 10

// A jsonLink is the common part of legacy links, over WebSockets and data channels.
type jsonLink struct {
	// Fixed before the link is served.
	self     protocol.ID
	info     protocol.LinkInfo
	features []string
	control  func(*wire.Frame)

	// Owned by the reader.
	next    *wire.Frame // returned after the hello that it carried
	greeted bool

	// Owned by the writer.
	shown bool // pr.v was written
}

// Info implements protocol.Link.
func (l *jsonLink) Info() protocol.LinkInfo { return l.info }

// OnPing sets the function that gets pings and pongs. See protocol.Link.
func (l *jsonLink) OnPing(f func(*wire.Frame)) { l.control = f }

// tell reports a ping or pong, which arrives outside of ReadFrame.
func (l *jsonLink) tell(f *wire.Frame) {
	if l.control != nil {
		l.control(f)
	}
}

// held removes and returns the frame that waits for the next ReadFrame, or nil.
func (l *jsonLink) held() *wire.Frame {
	f := l.next
	l.next = nil
	return f
}

// parse returns the frame of a message. If the message carries a hello, it returns the hello
// first.
func (l *jsonLink) parse(text []byte, scratch *[]byte) (*wire.Frame, error) {
	f, shown, err := parseMessage(text, l.self, scratch)
	if err != nil {
		return nil, err
	}
	if hello := l.hello(f, shown); hello != nil {
		l.next = f
		return hello, nil
	}
	return f, nil
}

// hello returns the hello that a peer sends in its first findPeers. It returns nil for other
// messages, and for those that the peer has only forwarded.
func (l *jsonLink) hello(f *wire.Frame, shown []byte) *wire.Frame {
	if shown == nil || l.greeted || f.Body.Kind != wire.KindFind || f.Body.From != l.info.ID || f.PathLen() != 1 || f.PathAt(0) != l.info.ID {
		return nil
	}
	features, ok := parseShown(shown)
	if !ok {
		return nil
	}
	hello, err := wire.NewHello(wire.Hello{Features: features})
	if err != nil {
		return nil // too many long names: treated as no hello
	}
	l.greeted = true
	return hello
}

// writeMessage writes a message frame with send, as text of at most most bytes.
func (l *jsonLink) writeMessage(f *wire.Frame, most int, send func(func([]byte) ([]byte, error)) error) error {
	shown := ""
	if !l.shown && f.Body.Kind == wire.KindFind && f.Body.To == l.info.ID && f.PathLen() == 1 && f.PathAt(0) == l.self {
		shown = strings.Join(append([]string{shownVersion}, l.features...), ",")
	}
	err := send(func(b []byte) ([]byte, error) { return appendMessage(b, f, shown, most) })
	if err == nil && shown != "" {
		l.shown = true
	}
	return err
}

// A textBuffers holds the buffers for reading one message.
type textBuffers struct{ text, scratch []byte }

// A textPool keeps buffers for reading and writing messages.
type textPool struct{ in, out sync.Pool }

func (p *textPool) get() *textBuffers {
	if b, ok := p.in.Get().(*textBuffers); ok {
		return b
	}
	return &textBuffers{text: make([]byte, 0, readBuffer)}
}

func (p *textPool) put(b *textBuffers) {
	if cap(b.text)+cap(b.scratch) <= keepBuffer {
		p.in.Put(b)
	}
}

// write passes the text that appendText appends to send, which must not keep it.
func (p *textPool) write(appendText func([]byte) ([]byte, error), send func([]byte) error) error {
	b, _ := p.out.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	text, err := appendText((*b)[:0])
	if *b = text; cap(text) <= keepBuffer {
		defer p.out.Put(b)
	}
	if err != nil {
		return err
	}
	return send(text)
}
