package node

import (
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/node/internal/port"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestTheLastFramesArriveAlthoughTheLinkIsClosed checks transports on which data is in flight
// for a while, and which drop it after a reset.
func TestTheLastFramesArriveAlthoughTheLinkIsClosed(t *testing.T) {
	for _, code := range []int{ma.P_QUIC_V1, ma.P_WEBRTC_DIRECT, ma.P_WS} {
		t.Run(ma.ProtocolWithCode(code).Name, func(t *testing.T) {
			h := startHost(t)
			b, a := linkPair(t, newTestHost(t), h, nodetest.AddrOf(t, h.PortAddrs(), code))

			// a sends a bye. b reads it while it has much to send, sends that, and closes.
			write := func(l *streamLink, frames ...*wire.Frame) {
				t.Helper()
				for _, f := range frames {
					if err := l.WriteFrame(f); err != nil {
						t.Error(err)
					}
				}
				if err := l.Flush(); err != nil {
					t.Error(err)
				}
			}
			write(a, wire.NewBye(wire.ByeNormal))
			if f, err := b.ReadFrame(); err != nil || f.Type != wire.FrameBye {
				t.Fatalf("b read %v, %v; want the bye", f, err)
			}
			const count = 5
			big := bigMessage(t)
			a.stream.SetDeadline(time.Now().Add(nodetest.Patience))
			b.stream.SetDeadline(time.Now().Add(nodetest.Patience))
			sent := make(chan struct{})
			go func() { // ends when all is written, which a reads
				defer close(sent)
				for range count {
					write(b, big)
				}
				write(b, wire.NewBye(wire.ByeNormal))
				b.Close()
			}()
			for range count {
				if f, err := a.ReadFrame(); err != nil || f.Type != wire.FrameMessage {
					t.Fatalf("a read %v, %v; want a message", f, err)
				}
			}
			if f, err := a.ReadFrame(); err != nil || f.Type != wire.FrameBye {
				t.Errorf("a read %v, %v; want the bye", f, err)
			}
			a.Close()
			nodetest.Receive(t, "all is sent", sent)
		})
	}
}

// linkPair returns the two ends of one link, first that of the host that dialled.
func linkPair(t *testing.T, from, to host.Host, at ma.Multiaddr) (dialled, accepted *streamLink) {
	t.Helper()
	streams := make(chan network.Stream, 1)
	to.SetStreamHandler(StreamProtocol, func(s network.Stream) { streams <- s })
	nodetest.Connect(t, from, peer.AddrInfo{ID: to.ID(), Addrs: []ma.Multiaddr{at}})
	out, err := from.NewStream(t.Context(), to.ID(), StreamProtocol)
	if err != nil {
		t.Fatal(err)
	}
	greeted := make(chan *streamLink, 1)
	go func() { // ends when both sides have said hello
		l, err := greet(t.Context(), nodetest.Receive(t, "stream", streams), wire.Hello{Link: 1})
		if err != nil {
			t.Error(err)
		}
		greeted <- l
	}()
	dialled, err = greet(t.Context(), out, wire.Hello{Link: 2})
	if err != nil {
		t.Fatal(err)
	}
	return dialled, nodetest.Receive(t, "hello", greeted)
}

// newTestHost returns a host with all transports, which does not listen yet.
func newTestHost(t *testing.T) *port.Host {
	t.Helper()
	h, err := port.New(port.Options{QUIC: true, Listen: true, ListenHost: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// startHost returns a host that listens over all transports.
func startHost(t *testing.T) *port.Host {
	t.Helper()
	h := newTestHost(t)
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	return h
}

func bigMessage(t *testing.T) *wire.Frame {
	t.Helper()
	body := wire.Body{To: protocol.ID{1}, From: protocol.ID{2}, Form: wire.FormRaw, Payload: make([]byte, 200_000)}
	if err := body.Encode(); err != nil {
		t.Fatal(err)
	}
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: body, Path: []protocol.ID{{2}}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A connection over which there is no link any more is closed, unless it is used again.
func TestIdleConnectionsAreClosed(t *testing.T) {
	relay := start(t, local(Options{}))
	relay.Host().SetStreamHandler("/test", func(s network.Stream) { io.Copy(io.Discard, s) })
	for _, used := range []bool{false, true} {
		o, _, peers := inboxOf(Options{})
		n := start(t, o)
		if err := n.Host().Connect(t.Context(), peer.AddrInfo{ID: relay.Host().ID(), Addrs: relay.Host().Addrs()}); err != nil {
			t.Fatal(err)
		}
		nodetest.Receive(t, "link", peers)
		n.idleConn = 200 * time.Millisecond
		conn := n.Host().Network().ConnsToPeer(relay.Host().ID())[0]
		var stream network.Stream
		if used {
			s, err := n.Host().NewStream(t.Context(), relay.Host().ID(), "/test")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			stream = s
		}
		n.Router().Disconnect(relay.ID())
		if !used {
			nodetest.Eventually(t, "the connection is closed", conn.IsClosed)
			continue
		}
		nodetest.Eventually(t, "the link is gone", func() bool { return len(n.Router().Peers()) == 0 })
		time.Sleep(3 * n.idleConn)
		if conn.IsClosed() {
			t.Error("a connection with a stream was closed")
		}
		stream.Reset()
		nodetest.Eventually(t, "the connection is closed after its last stream", conn.IsClosed)
	}
}

// A farStream is a stream whose peer seems to be elsewhere.
type farStream struct {
	network.Stream
	addr    string
	limited bool
}

func (s farStream) Conn() network.Conn { return farConn{s.Stream.Conn(), s} }

type farConn struct {
	network.Conn
	s farStream
}

func (c farConn) RemoteMultiaddr() ma.Multiaddr { return ma.StringCast(c.s.addr) }

func (c farConn) Stat() network.ConnStats {
	stat := c.Conn.Stat()
	stat.Limited = c.s.limited
	return stat
}

// TestLinkSubnet checks that the router learns in which part of the internet a peer is.
func TestLinkSubnet(t *testing.T) {
	a, b := newTestHost(t), startHost(t)
	b.SetStreamHandler(StreamProtocol, func(s network.Stream) { greet(t.Context(), s, wire.Hello{}) })
	nodetest.Connect(t, a, peer.AddrInfo{ID: b.ID(), Addrs: []ma.Multiaddr{nodetest.AddrOf(t, b.PortAddrs(), ma.P_WS)}})
	for _, test := range []struct {
		addr    string
		limited bool
		want    string
	}{
		{"/ip4/203.0.113.7/tcp/8001/ws", false, "203.0.113.0/24"},
		{"/ip4/203.0.113.7/tcp/8001/ws", true, "invalid Prefix"}, // of a libp2p relay
		{"/ip4/127.0.0.1/tcp/8001/ws", false, "invalid Prefix"},
	} {
		s, err := a.NewStream(t.Context(), b.ID(), StreamProtocol)
		if err != nil {
			t.Fatal(err)
		}
		l, err := greet(t.Context(), farStream{s, test.addr, test.limited}, wire.Hello{})
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Info().Subnet.String(); got != test.want {
			t.Errorf("a link to %s, limited %v, is to subnet %s, want %s", test.addr, test.limited, got, test.want)
		}
		l.Close()
	}
}
