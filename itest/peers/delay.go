package peers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/protocol/sim"
)

// Distant are hosts that are as far from each other as the peers of package sim. Each listens at an
// address of the loopback interface that tells its place, and the host that dials it delays all bytes.
type Distant struct{ places []sim.Place }

// NewDistant returns the places of some hosts, which the seed determines.
func NewDistant(hosts int, seed uint64) Distant {
	rng := rand.New(rand.NewPCG(seed, 0))
	var d Distant
	for i := range hosts {
		d.places = append(d.places, sim.NewPlace(i, rng))
	}
	return d
}

// Host makes the libp2p host of a place. It has TCP only.
func (d Distant) Host(index int) (host.Host, error) {
	dialer := func(to ma.Multiaddr) (tcp.ContextDialer, error) {
		at, err := placeOf(to)
		if err != nil || at >= len(d.places) {
			return nil, fmt.Errorf("itest: %v is the address of no place: %w", to, err)
		}
		return delayedDialer{d.places[index].Latency(d.places[at])}, nil
	}
	h, err := libp2p.New(libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport, tcp.WithDialerForAddr(dialer)), libp2p.ListenAddrStrings(placeAddr(index)),
		libp2p.Security(noise.ID, noise.New), libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.Ping(false),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return nil, fmt.Errorf("itest: host of place %d: %w", index, err)
	}
	return h, nil
}

// placeAddr returns where the host of a place listens.
func placeAddr(index int) string {
	return fmt.Sprintf("/ip4/127.77.%d.%d/tcp/0", index>>8, index&0xff)
}

// placeOf returns the place of the host that listens at an address.
func placeOf(a ma.Multiaddr) (index int, err error) {
	text, err := a.ValueForProtocol(ma.P_IP4)
	if err != nil {
		return 0, err
	}
	ip := net.ParseIP(text).To4()
	return int(ip[2])<<8 | int(ip[3]), nil
}

// A delayedDialer opens connections whose bytes take a time in both directions, and the first
// packets too.
type delayedDialer struct{ latency time.Duration }

// DialContext is for tcp.ContextDialer.
func (d delayedDialer) DialContext(ctx context.Context, over, address string) (net.Conn, error) {
	far, err := new(net.Dialer).DialContext(ctx, over, address)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(2 * d.latency):
	case <-ctx.Done():
		far.Close()
		return nil, ctx.Err()
	}
	near, middle := net.Pipe()
	// Both end with either connection.
	go carry(far, middle, d.latency)
	go carry(middle, far, d.latency)
	return delayedConn{near, far}, nil
}

// A delayedConn is the near end of a delayed connection, with the addresses of the far one.
type delayedConn struct {
	net.Conn
	far net.Conn
}

func (c delayedConn) LocalAddr() net.Addr  { return c.far.LocalAddr() }
func (c delayedConn) RemoteAddr() net.Addr { return c.far.RemoteAddr() }

const (
	delayedPiece  = 16 << 10 // bytes
	delayedPieces = 1 << 10  // on the way
)

// carry passes bytes on after a time, until one of the connections ends, and closes both then.
func carry(to, from net.Conn, latency time.Duration) {
	type piece struct {
		due   time.Time
		bytes []byte
	}
	pieces := make(chan piece, delayedPieces)
	go func() { // ends with from, which the loop below closes
		defer close(pieces)
		buf := make([]byte, delayedPiece)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				pieces <- piece{time.Now().Add(latency), append([]byte(nil), buf[:n]...)}
			}
			if err != nil {
				return
			}
		}
	}()
	var err error
	for p := range pieces {
		if err != nil {
			continue // the reader must not wait
		}
		time.Sleep(time.Until(p.due))
		if _, err = to.Write(p.bytes); err != nil {
			from.Close()
		}
	}
	from.Close()
	to.Close()
}
