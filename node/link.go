package node

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/peer-relay/peer-relay/node/internal/netif"
	"github.com/peer-relay/peer-relay/node/internal/port"
	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// StreamProtocol is the name under which libp2p hosts find the protocol.
const StreamProtocol libp2pprotocol.ID = "/peer-relay/1"

const (
	// helloTimeout is the time limit of exchanging HELLOs on a new stream.
	helloTimeout = 10 * time.Second

	// leastMaxFrame is the least limit in bytes on the frames to a peer, even if the peer asks
	// for less. Every message of the overlay fits.
	leastMaxFrame = 8192

	linkReadBuffer  = 16 << 10 // bytes
	linkWriteBuffer = 32 << 10 // bytes
)

// A streamLink is a link on a /peer-relay/1 stream. Either side opens it, and both send their
// HELLO at once. If one side waited for the other's HELLO, it would wait for ever on a stream
// that libp2p negotiates lazily, with its first bytes.
type streamLink struct {
	stream *countedStream
	info   protocol.LinkInfo
	r      *bufio.Reader // owned by the reading goroutine
	w      *bufio.Writer // owned by the writing goroutine
	bye    bool          // owned by the writing goroutine; nothing is written after a bye
	most   int           // bytes of the largest frame that the peer accepts

	saidBye, heardBye atomic.Bool // whether the bye was sent, and the peer's received
	closing           sync.Once
	release           func() // ends the protection of the connection
}

// openStream makes a link of a new stream, which it owns from the call on. The link protects
// its connection from being closed to make room for others.
func (n *Node) openStream(ctx context.Context, r *protocol.Router, s network.Stream) (*streamLink, error) {
	// The other side may have its link, and report this peer to others, before this side has
	// its own.
	ended := r.Expect(IDOf(s.Conn().RemotePeer()))
	l, err := greet(ctx, s, n.hello(r))
	if err != nil {
		ended()
		if errors.Is(err, errNoAnswer) && n.own != nil {
			s.Conn().Close() // it may be dead in one direction, and libp2p would use it for the next stream
		}
		return nil, err
	}
	n.prove(l.info.ID)
	manager, remote, tag := n.host.ConnManager(), s.Conn().RemotePeer(), string(StreamProtocol)+" "+s.ID()
	manager.Protect(remote, tag)
	l.release = func() {
		ended()
		manager.Unprotect(remote, tag)
		n.tidy(remote, true)
	}
	return l, nil
}

// hello returns the first frame of a new stream.
func (n *Node) hello(r *protocol.Router) wire.Hello {
	var value [8]byte
	rand.Read(value[:])
	return wire.Hello{Features: r.Features(), Role: n.opts.Role, Link: binary.LittleEndian.Uint64(value[:]), Agent: n.agent()}
}

// errNoAnswer is the error of a handshake in which the peer sent nothing in time.
var errNoAnswer = errors.New("no answer in time")

// greet exchanges HELLOs on a new stream.
func greet(ctx context.Context, s network.Stream, hello wire.Hello) (*streamLink, error) {
	counted := &countedStream{Stream: s}
	l := &streamLink{
		stream: counted,
		r:      bufio.NewReaderSize(counted, linkReadBuffer),
		w:      bufio.NewWriterSize(counted, linkWriteBuffer),
		most:   wire.MaxFrame, release: func() {},
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	begun := time.Now()
	s.SetDeadline(begun.Add(helloTimeout))
	theirs, err := l.exchange(hello)
	took := time.Since(begun)
	s.SetDeadline(time.Time{}) // also after an error: over WebRTC its timer would outlive the stream
	if err != nil {
		s.Reset()
		switch {
		case ctx.Err() != nil:
			err = ctx.Err()
		case took >= helloTimeout && counted.read.Load() == 0:
			err = fmt.Errorf("%w: %w", errNoAnswer, err)
		}
		return nil, fmt.Errorf("node: hello with %v: %w", s.Conn().RemotePeer(), err)
	}
	if theirs.MaxFrame != 0 {
		l.most = int(min(max(theirs.MaxFrame, leastMaxFrame), wire.MaxFrame))
	}
	conn := s.Conn()
	l.info = protocol.LinkInfo{
		ID:         IDOf(conn.RemotePeer()),
		Kind:       protocol.LinkNative,
		Proved:     true, // noise proved the key, and the id is its hash
		Dialed:     s.Stat().Direction == network.DirOutbound,
		Role:       theirs.Role,
		Features:   theirs.Features,
		Agent:      theirs.Agent,
		Addr:       conn.RemoteMultiaddr().String(),
		OverWebRTC: conn.ConnState().Transport == port.DirectName,
		Local:      localIP(conn),
		Subnet:     subnet(conn),
		RTT:        roundTrip(conn),
	}
	if l.info.RTT == 0 && l.info.Dialed { // both sides sent their HELLO at once
		l.info.RTT = took
	}
	if l.info.Dialed {
		l.info.Opener, l.info.Value = string(conn.LocalPeer()), hello.Link
	} else {
		l.info.Opener, l.info.Value = string(conn.RemotePeer()), theirs.Link
	}
	return l, nil
}

// localIP returns the IP address of this end of a connection. A socket of UDP may not tell it:
// then it is the one from which this machine reaches the other end now.
func localIP(conn network.Conn) netip.Addr {
	if ip := netif.OfMultiaddr(conn.LocalMultiaddr()); ip.IsValid() {
		return ip
	}
	return netif.Toward(netif.OfMultiaddr(conn.RemoteMultiaddr()))
}

// subnet returns the part of the internet that the peer is in. A connection over a libp2p relay has that
// relay's address.
func subnet(conn network.Conn) netip.Prefix {
	if conn.Stat().Limited {
		return netip.Prefix{}
	}
	return scope.Subnet(netif.OfMultiaddr(conn.RemoteMultiaddr()))
}

func (l *streamLink) exchange(hello wire.Hello) (*wire.Hello, error) {
	mine, err := wire.NewHello(hello)
	if err != nil {
		return nil, err
	}
	if err := l.WriteFrame(mine); err != nil {
		return nil, err
	}
	if err := l.Flush(); err != nil {
		return nil, err
	}
	theirs, err := wire.ReadFrame(l.r, wire.MaxHello)
	if err != nil {
		return nil, err
	}
	if theirs.Type != wire.FrameHello {
		return nil, fmt.Errorf("%w: the first frame is a %v", wire.ErrMalformed, theirs.Type)
	}
	return theirs.Hello, nil
}

func (l *streamLink) Info() protocol.LinkInfo { return l.info }

func (l *streamLink) ReadFrame() (*wire.Frame, error) {
	f, err := wire.ReadFrame(l.r, wire.MaxFrame)
	if errors.Is(err, network.ErrReset) {
		return nil, io.ErrUnexpectedEOF // the peer crashed, or ended the link without a bye
	}
	if err != nil {
		return nil, err
	}
	switch f.Type {
	case wire.FrameHello:
		return nil, fmt.Errorf("%w: a second hello", wire.ErrMalformed)
	case wire.FrameBye:
		l.heardBye.Store(true)
	}
	return f, nil
}

// HasFrame is for protocol.Link.
func (l *streamLink) HasFrame() bool { return wire.HasFrame(l.r) }

func (l *streamLink) WriteFrame(f *wire.Frame) error {
	if l.bye {
		return nil
	}
	if size := f.Size(); size > l.most {
		return fmt.Errorf("%w: a frame of %d bytes, the peer accepts at most %d", protocol.ErrTooBig, size, l.most)
	}
	l.bye = f.Type == wire.FrameBye
	_, err := f.WriteTo(l.w)
	return err
}

// WriteBytes is for protocol.Link.
func (l *streamLink) WriteBytes(frame []byte) error {
	if l.bye {
		return nil
	}
	if len(frame) > l.most {
		return fmt.Errorf("%w: a frame of %d bytes, the peer accepts at most %d", protocol.ErrTooBig, len(frame), l.most)
	}
	l.w.Write(binary.AppendUvarint(l.w.AvailableBuffer(), uint64(len(frame)))) // an error comes again with the next write
	_, err := l.w.Write(frame)
	return err
}

func (l *streamLink) Flush() error {
	if err := l.w.Flush(); err != nil {
		return err
	}
	if l.bye {
		l.saidBye.Store(true)
		// If the peer has sent a bye too, it may have read ours and closed. QUIC then returns
		// an error.
		if err := l.stream.CloseWrite(); err != nil && !l.heardBye.Load() {
			return err
		}
	}
	return nil
}

// Close ends the stream at once in both directions. After both byes it does not reset the
// stream. A reset could overtake our bye: js-libp2p drops data that its application has not
// read yet.
func (l *streamLink) Close() error {
	l.closing.Do(func() {
		if l.saidBye.Load() && l.heardBye.Load() {
			l.stream.Close()
		} else {
			l.stream.Reset()
		}
		l.release()
	})
	return nil
}
