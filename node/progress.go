package node

import (
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-yamux/v5"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/pion/webrtc/v4"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/node/internal/netif"
	"github.com/peer-relay/peer-relay/node/internal/tcpinfo"
	"github.com/peer-relay/peer-relay/protocol"
)

// TCPProgress returns what the other end of a TCP connection has acknowledged. It leaves
// Received to its caller. Only Linux tells these figures, so on other systems they are not known.
func TCPProgress(local, remote net.Addr) protocol.Progress {
	from, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return protocol.Progress{}
	}
	to, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return protocol.Progress{}
	}
	p, _ := tcpProgress(from, to)
	return p
}

// tcpProgress returns the same for a socket, and whether a part of what was written waits to be
// sent.
func tcpProgress(local, remote netip.AddrPort) (p protocol.Progress, waits bool) {
	info, ok := tcpinfo.Of(local, remote)
	return protocol.Progress{Known: ok, Acked: info.Acked, Pending: info.Pending, Moves: info.Moves, RTT: info.RTT}, info.Unsent > 0
}

// muxerQueue is the most bytes that yamux holds in front of a line that is busy: 64 pieces of
// 64 KiB.
const muxerQueue = 64 * 64 << 10

// A countedStream counts the bytes that are read and written.
type countedStream struct {
	network.Stream
	read, written atomic.Uint64
}

func (s *countedStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	s.read.Add(uint64(n))
	return n, err
}

func (s *countedStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	s.written.Add(uint64(n))
	return n, err
}

// Progress implements protocol.ProgressReporter.
func (l *streamLink) Progress() protocol.Progress {
	conn := l.stream.Conn()
	var p protocol.Progress
	var session *quic.Conn
	var direct *webrtc.PeerConnection
	switch {
	case conn.As(&session):
		// The peer's process acknowledges itself, so its packets are as good as an answer.
		s := session.ConnectionStats()
		return protocol.Progress{Received: s.BytesReceived, Known: true, RTT: s.SmoothedRTT}
	case conn.As(&direct):
		p.Pending = uint64(direct.SCTP().BufferedAmount())
		written := l.stream.written.Load()
		p.Acked, p.Known = written-min(written, p.Pending), true
		p.Moves = p.Acked
	default:
		var waits bool
		if p, waits = tcpProgress(tcpAddr(conn.LocalMultiaddr()), tcpAddr(conn.RemoteMultiaddr())); waits {
			p.Pending += muxerQueue // yamux may hold data too
		}
	}
	p.Received = l.stream.read.Load()
	return p
}

// tcpAddr returns the address of a TCP socket in a multiaddr, the zero AddrPort if it has none.
func tcpAddr(a ma.Multiaddr) netip.AddrPort {
	text, err := a.ValueForProtocol(ma.P_TCP)
	if err != nil {
		return netip.AddrPort{}
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netif.OfMultiaddr(a), uint16(number))
}

// roundTrip returns the time of a round trip as libp2p has measured it; 0 means that it is not
// known.
func roundTrip(conn network.Conn) time.Duration {
	var session *quic.Conn
	var mux *yamux.Session
	switch {
	case conn.As(&session):
		return session.ConnectionStats().SmoothedRTT
	case conn.As(&mux):
		return mux.RTT()
	}
	return 0
}
