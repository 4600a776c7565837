package port

import (
	"context"
	"net"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	libp2ptcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A tcpTransport dials libp2p connections over plain TCP, which cost less than over a WebSocket. The
// WebSocket listener serves them on its port.
//
// It is go-libp2p's, whose dials have the system discard at the end of a connection what the other end has
// not acknowledged. The last of that is a bye.
type tcpTransport struct {
	*libp2ptcp.TcpTransport
	upgrader  transport.Upgrader
	resources network.ResourceManager
}

// newTCP is a constructor for libp2p.Transport.
func newTCP(u transport.Upgrader, rc network.ResourceManager) (*tcpTransport, error) {
	t, err := libp2ptcp.NewTCPTransport(u, rc, nil)
	return &tcpTransport{t, u, rc}, err
}

// Dial implements transport.Transport.
func (t *tcpTransport) Dial(ctx context.Context, a ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	return t.DialWithUpdates(ctx, a, p, nil)
}

// DialWithUpdates implements transport.DialUpdater. The time limit of connecting does not hold for the
// handshakes after it.
func (t *tcpTransport) DialWithUpdates(ctx context.Context, a ma.Multiaddr, p peer.ID, updates chan<- transport.DialUpdate) (transport.CapableConn, error) {
	scope, err := t.resources.OpenConnection(network.DirOutbound, true, a)
	if err != nil {
		return nil, err
	}
	c, err := t.dial(ctx, a, p, scope, updates)
	if err != nil {
		scope.Done()
		return nil, err
	}
	return c, nil
}

func (t *tcpTransport) dial(ctx context.Context, a ma.Multiaddr, p peer.ID, scope network.ConnManagementScope, updates chan<- transport.DialUpdate) (transport.CapableConn, error) {
	if err := scope.SetPeer(p); err != nil {
		return nil, err
	}
	d := manet.Dialer{Dialer: net.Dialer{Timeout: connectTime(a)}}
	c, err := d.DialContext(ctx, a)
	if err != nil {
		return nil, err
	}
	select {
	case updates <- transport.DialUpdate{Kind: transport.UpdateKindHandshakeProgressed, Addr: a}:
	default: // no caller waits for it
	}
	return t.upgrader.Upgrade(ctx, t, c, network.DirOutbound, p, scope)
}
