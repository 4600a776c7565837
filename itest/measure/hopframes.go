package measure

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	hopLinesProtocol = "/itest/hop/1"

	hopBuffer   = 64 << 10 // bytes to read at once, and to write
	hopAckEvery = 256      // messages, and hopAckBytes
	hopAckBytes = 512 << 10
	hopAckWait  = 10 * time.Millisecond // half of what a receiver may take
)

// newHopHost makes a bare host. Its connections are encrypted as ours are.
func newHopHost(listen ...string) (host.Host, error) {
	return libp2p.New(libp2p.ListenAddrStrings(listen...), libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.Security(noise.ID, noise.New),
		libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableRelay())
}

// openHopStream opens a stream from a host of its own.
func openHopStream(relay, protocol string) (_ network.Stream, end func() error, err error) {
	to, err := peer.AddrInfoFromString(relay)
	if err != nil {
		return nil, nil, err
	}
	h, err := newHopHost()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), hopPatience)
	defer cancel()
	err = h.Connect(ctx, *to)
	if err == nil {
		var s network.Stream
		if s, err = h.NewStream(ctx, to.ID, libp2pprotocol.ID(protocol)); err == nil {
			return s, h.Close, nil
		}
	}
	return nil, nil, errors.Join(err, h.Close())
}

// A hopFrameEnd is an end of /peer-relay/1 that has one link and no router. It acknowledges what it
// reads, answers pings, and does nothing else that the relay wants.
type hopFrameEnd struct {
	id     protocol.ID
	stream network.Stream
	end    func() error
	r      *bufio.Reader

	mu sync.Mutex // guards w
	w  *bufio.Writer

	read  atomic.Uint64 // message frames
	acked uint64        // guarded by mu
	bytes int           // of the messages since the last acknowledgement; owned by the reading goroutine
	done  chan struct{}
}

func openHopFrameEnd(relay string) (_ *hopFrameEnd, err error) {
	s, end, err := openHopStream(relay, string(node.StreamProtocol))
	if err != nil {
		return nil, err
	}
	e := &hopFrameEnd{id: node.IDOf(s.Conn().LocalPeer()), stream: s, end: end, done: make(chan struct{}),
		r: bufio.NewReaderSize(s, hopBuffer), w: bufio.NewWriterSize(s, hopBuffer)}
	hello, err := wire.NewHello(wire.Hello{Features: []string{"custody"}, Role: wire.RoleLeaf, Link: rand.Uint64(), Agent: "hop"})
	if err == nil {
		err = e.write(hello)
	}
	var theirs *wire.Frame
	if err == nil {
		theirs, err = wire.ReadFrame(e.r, wire.MaxHello)
	}
	if err == nil && theirs.Type != wire.FrameHello {
		err = fmt.Errorf("the first frame is a %v", theirs.Type)
	}
	if err != nil {
		return nil, errors.Join(err, end())
	}
	go e.ackInTime() // ends with Close
	return e, nil
}

// write writes and flushes a frame.
func (e *hopFrameEnd) write(f *wire.Frame) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := f.WriteTo(e.w); err != nil {
		return err
	}
	return e.w.Flush()
}

// ack acknowledges what was read, if that is more than least messages since the last time.
func (e *hopFrameEnd) ack(least uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.read.Load()
	if n-e.acked <= least {
		return nil
	}
	e.acked = n
	if _, err := wire.NewAck(n).WriteTo(e.w); err != nil {
		return err
	}
	return e.w.Flush()
}

func (e *hopFrameEnd) ackInTime() {
	tick := time.NewTicker(hopAckWait)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.ack(0) // an error shows where the end reads
		case <-e.done:
			return
		}
	}
}

// serve reads frames until the link ends, and calls take with each message for this end.
func (e *hopFrameEnd) serve(take HopTake) error {
	for {
		size, err := binary.ReadUvarint(e.r)
		if err != nil {
			return err
		}
		frame, err := e.r.Peek(int(size))
		if err != nil {
			return err
		}
		f, err := hopParse(frame)
		if err != nil {
			return err
		}
		switch f.kind {
		case wire.FrameMessage:
			e.read.Add(1)
			if f.payload != nil && f.to == e.id {
				e.r.Discard(int(size)) // the bytes stay until the next read
				take(f.payload, wire.HasFrame(e.r))
				size = 0
			}
			if e.bytes += len(frame); e.bytes >= hopAckBytes {
				err, e.bytes = e.ack(0), 0
			} else {
				err = e.ack(hopAckEvery - 1)
			}
		case wire.FramePing:
			err = e.write(wire.NewPong(f.token))
		case wire.FrameNack:
			err = fmt.Errorf("the relay returns a message: %v", f.reason)
		case wire.FrameBye:
			err = errors.New("the relay says bye")
		}
		if err != nil {
			return err
		}
		e.r.Discard(int(size))
	}
}

func (e *hopFrameEnd) close() error {
	close(e.done)
	e.stream.Reset()
	return e.end()
}

// A hopFrame is what an end wants to know of a frame.
type hopFrame struct {
	kind    wire.FrameType
	token   uint64 // of a ping
	reason  wire.NackReason
	to      protocol.ID
	payload []byte // of a user's message; nil for others
}

// hopMessageTag begins the messages that the reference writes: its field hop.
const hopMessageTag = 8<<3 | 5

// hopParse reads a frame. Of a message as the reference writes it, it reads no more than it needs.
func hopParse(b []byte) (f hopFrame, err error) {
	if len(b) > 0 && b[0] == hopMessageTag {
		if f, ok := hopMessage(b); ok {
			return f, nil
		}
	}
	parsed, err := wire.ParseFrame(b)
	if err != nil {
		return f, err
	}
	f = hopFrame{kind: parsed.Type, token: parsed.Num}
	if parsed.Nack != nil {
		f.reason = parsed.Nack.Reason
	}
	return f, nil
}

// hopMessage reads a message that has hop, nonce, body and path, and a body of to, from, form and
// payload.
func hopMessage(b []byte) (f hopFrame, ok bool) {
	rest, ok := bytes.CutPrefix(b[5:], []byte{9<<3 | 2})
	if !ok || len(rest) < 2 || len(rest) < 2+int(rest[0]) {
		return f, false
	}
	rest = rest[1+rest[0]:]
	if rest[0] != 10<<3|2 {
		return f, false
	}
	size, n := binary.Uvarint(rest[1:])
	if n <= 0 || uint64(len(rest)-1-n) < size || size < 2+20+2+20+2 {
		return f, false
	}
	body := rest[1+n:][:size]
	if body[0] != 1<<3|2 || body[1] != wire.IDSize || body[22] != 2<<3|2 {
		return f, false
	}
	f.kind, f.to = wire.FrameMessage, protocol.ID(body[2:])
	rest = body[44:]
	if rest[0] != 4<<3 || len(rest) < 4 || rest[2]&7 != 2 { // a form, and then the payload
		return f, true
	}
	size, n = binary.Uvarint(rest[3:])
	if n <= 0 || uint64(len(rest)-3-n) != size {
		return f, true
	}
	f.payload = rest[3+n:]
	return f, true
}

// A hopFrameSender sends from one hopFrameEnd to another.
type hopFrameSender struct {
	from, to *hopFrameEnd
	serving  sync.WaitGroup
	sent     int
	frame    []byte // the last message, of whose bytes only the two numbers change
	size     int
	nonce    []byte // within frame
	payload  []byte
}

func openHopFrames(relay string, take HopTake, failed func(error)) (HopSender, error) {
	var err error
	s := &hopFrameSender{}
	if s.to, err = openHopFrameEnd(relay); err != nil {
		return nil, err
	}
	if s.from, err = openHopFrameEnd(relay); err != nil {
		return nil, errors.Join(err, s.to.close())
	}
	s.serving.Go(func() { failed(s.to.serve(take)) })
	s.serving.Go(func() { failed(s.from.serve(func([]byte, bool) {})) })
	return s, nil
}

// Write implements HopSender.
func (s *hopFrameSender) Write(message []byte) error {
	s.sent++
	if len(message) != s.size {
		if err := s.layOut(message); err != nil {
			return err
		}
	}
	copy(s.payload, message)
	digits(s.nonce, s.sent)
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	_, err := s.from.w.Write(s.frame)
	return err
}

// layOut makes a frame with our own codec, and finds in it what changes.
func (s *hopFrameSender) layOut(message []byte) error {
	nonce := bytes.Repeat([]byte("n"), costDigits)
	f, err := wire.EncodeMessageFrame(wire.MessageFields{
		Hop: wire.NewHop(), Nonce: nonce, Path: []protocol.ID{s.from.id},
		Body: wire.Body{To: s.to.id, From: s.from.id, Form: wire.FormJSON, Payload: message},
	})
	if err != nil {
		return err
	}
	if s.frame, err = f.AppendTo(nil); err != nil {
		return err
	}
	s.size = len(message)
	s.nonce = s.frame[bytes.Index(s.frame, nonce):][:costDigits]
	s.payload = s.frame[bytes.LastIndex(s.frame, message):][:len(message)]
	return nil
}

// Flush implements HopSender.
func (s *hopFrameSender) Flush() error {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	return s.from.w.Flush()
}

// Close implements HopSender.
func (s *hopFrameSender) Close() error {
	err := errors.Join(s.from.close(), s.to.close())
	s.serving.Wait()
	return err
}

// A hopNodeSender sends by our own ends.
type hopNodeSender struct {
	from, to *node.Node
	target   protocol.ID
}

func openHopNode(relay string, take HopTake, failed func(error)) (HopSender, error) {
	o := node.Options{Bootstraps: []string{relay}, NoOverlay: true, NoDiscovery: true,
		OnMessage: func(m protocol.Message) { take(m.Payload, false) }}
	to, err := node.New(o)
	if err != nil {
		return nil, err
	}
	o.OnMessage = nil
	from, err := node.New(o)
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	return &hopNodeSender{from: from, to: to, target: to.ID()}, nil
}

// Write implements HopSender.
func (s *hopNodeSender) Write(message []byte) error {
	return s.from.Router().Send(s.target, protocol.FormJSON, message)
}

// Flush implements HopSender. Send is not buffered.
func (s *hopNodeSender) Flush() error { return nil }

// Close implements HopSender.
func (s *hopNodeSender) Close() error { return errors.Join(s.from.Close(), s.to.Close()) }

// A bare forwarder reads lines: a length, the 20 bytes of the receiver, and the message. Each stream
// begins with the 20 bytes of its own end. So it does what any relay over libp2p must do, and no more:
// look up the receiver, a queue, a writer that flushes when the queue is empty.

// openHopLines opens the ends of a bare forwarder.
func openHopLines(relay string, take HopTake, failed func(error)) (HopSender, error) {
	var ids [2]protocol.ID
	var streams [2]network.Stream
	s := &hopLineSender{}
	for i := range ids {
		ids[i][0] = byte(i + 1)
		stream, end, err := openHopStream(relay, hopLinesProtocol)
		if err != nil {
			return nil, errors.Join(err, s.closers.Close())
		}
		s.closers.Add(end)
		if _, err := stream.Write(ids[i][:]); err != nil {
			return nil, errors.Join(err, s.closers.Close())
		}
		streams[i] = stream
	}
	s.w, s.to = bufio.NewWriterSize(streams[0], hopBuffer), ids[1]
	s.serving.Go(func() { failed(readHopLines(streams[1], take)) })
	return s, nil
}

type hopLineSender struct {
	w       *bufio.Writer
	to      protocol.ID
	head    []byte
	serving sync.WaitGroup
	closers peers.Closers
}

// Write implements HopSender.
func (s *hopLineSender) Write(message []byte) error {
	s.head = append(binary.AppendUvarint(s.head[:0], uint64(len(message)+len(s.to))), s.to[:]...)
	s.w.Write(s.head)
	_, err := s.w.Write(message)
	return err
}

// Flush implements HopSender.
func (s *hopLineSender) Flush() error { return s.w.Flush() }

// Close implements HopSender.
func (s *hopLineSender) Close() error {
	err := s.closers.Close()
	s.serving.Wait()
	return err
}

func readHopLines(stream io.Reader, take HopTake) error {
	r := bufio.NewReaderSize(stream, hopBuffer)
	for {
		size, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		line, err := r.Peek(int(size))
		if err != nil {
			return err
		}
		r.Discard(int(size)) // the bytes stay until the next read
		take(line[wire.IDSize:], r.Buffered() >= int(size))
	}
}
