package legacy

import (
	"strings"
	"sync"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// keepBuffer is the bytes of a buffer above which it is not used again.
const keepBuffer = 256 << 10

// A jsonLink is what legacy links have in common, whatever carries their messages.
type jsonLink struct {
	// Fixed before the link is served.
	self     protocol.ID
	info     protocol.LinkInfo
	features []string
	control  func(*wire.Frame)

	// Owned by the reader.
	next    *wire.Frame // to be given after the hello that it showed
	greeted bool

	// Owned by the writer.
	shown bool // pr.v was written
}

// Info implements protocol.Link.
func (l *jsonLink) Info() protocol.LinkInfo { return l.info }

// OnPing implements protocol.PingReporter.
func (l *jsonLink) OnPing(f func(*wire.Frame)) { l.control = f }

// tell reports a frame that is no message and came outside of ReadFrame.
func (l *jsonLink) tell(f *wire.Frame) {
	if l.control != nil {
		l.control(f)
	}
}

// held returns the frame that waits for its turn, if there is one.
func (l *jsonLink) held() *wire.Frame {
	f := l.next
	l.next = nil
	return f
}

// parse makes the frame of a message, or the hello that it shows, before it.
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

// hello returns the hello that a peer shows with its first findPeers, if this is it:
// from the peer itself, and not passed on.
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
		return nil // many long names: it is as if it had shown nothing
	}
	l.greeted = true
	return hello
}

// writeMessage writes a message frame by send, as text of at most most bytes.
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

// textBuffers are what reading one message takes.
type textBuffers struct{ text, scratch []byte }

// A textPool keeps what reading and writing messages takes.
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

// write hands the text that is appended to send, which must not keep it.
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
