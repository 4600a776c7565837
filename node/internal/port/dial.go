package port

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	libp2pyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// connectNear and connectFar are the time limits of a TCP connection, or of all of
	// webrtc-direct, to a private address and to others. They are short, since a network that
	// comes back is noticed by the next dial.
	connectNear = 5 * time.Second
	connectFar  = 15 * time.Second

	// upgradeTimeout is the time limit of TCP, TLS and the upgrade of a dial together, and
	// dialTimeout that of the whole dial. The handshakes take five round trips, and a round trip
	// over a long line takes up to 6 s.
	upgradeTimeout = 20 * time.Second
	dialTimeout    = 40 * time.Second

	// stallTimeout is the time limit of writing a piece of 64 KiB or less. A line of 64 kbit/s
	// with full buffers needs most of it.
	stallTimeout = 2 * time.Minute
)

// connectTime returns the time limit of connecting to an address.
func connectTime(a ma.Multiaddr) time.Duration {
	if manet.IsPrivateAddr(a) {
		return connectNear
	}
	return connectFar
}

// Dial implements transport.Transport. The time limit of connecting does not hold for the
// handshakes after it.
func (t *webSocket) Dial(ctx context.Context, a ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := fmt.Errorf("no connection within %v: %w", connectTime(a), os.ErrDeadlineExceeded)
	timer := time.AfterFunc(connectTime(a), func() { cancel(late) })
	defer timer.Stop()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { timer.Stop() }})
	c, err := t.WebsocketTransport.Dial(ctx, a, p)
	if err != nil && context.Cause(ctx) == late {
		err = late
	}
	return c, err
}

// errConnected is the error of a dial of a peer with which the host has a connection.
var errConnected = errors.New("node: the peer was reached over another transport")

// Dial implements transport.Transport. libp2p also calls it after a cheaper transport has connected,
// as long as an older dial of the peer waits for an address that does not answer.
func (t *directTransport) Dial(ctx context.Context, a ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	if t.host.Network().Connectedness(p) == network.Connected {
		return nil, errConnected
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime(a))
	defer cancel()
	return t.WebRTCTransport.Dial(ctx, a, p)
}

// muxer returns go-libp2p's yamux without its own pings. Those wait 10 s for an answer, and so
// end a connection whose line is slow. The router's pings find out that a peer is gone.
func muxer() *libp2pyamux.Transport {
	t := *libp2pyamux.DefaultTransport
	t.EnableKeepAlive = false
	t.ConnectionWriteTimeout = stallTimeout
	return &t
}
