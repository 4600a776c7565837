package node

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	libp2pwebrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	ma "github.com/multiformats/go-multiaddr"
)

// UDP serves peers that cannot take part over TCP: a page in a browser cannot dial ws://
// from https://, and needs a certificate for wss://. webrtc-direct needs none, as its
// addresses carry the hash of one (/certhash), which go-libp2p derives from the identity:
// an address stays what it is as long as the identity does.
//
// It costs most of all transports and notices last that a peer is gone, so it is an edge
// transport: dialled where there is no other, pinged when it is idle (protocol.LinkInfo's
// WebRTC), and limited in number.

// directName is how go-libp2p's connections name it.
const directName = "webrtc-direct"

// dialHeadStart is how long what costs less is dialled alone. A dial that fails starts the
// next at once.
const dialHeadStart = time.Second

// A directTransport is go-libp2p's webrtc-direct, within our limits.
type directTransport struct {
	*libp2pwebrtc.WebRTCTransport
	limits *directLimits
}

// newDirect is a constructor for libp2p.Transport. It runs before the host does.
func (h *ownHost) newDirect(key crypto.PrivKey, psk pnet.PSK, gater connmgr.ConnectionGater, rm network.ResourceManager, listen libp2pwebrtc.ListenUDPFn) (*directTransport, error) {
	limits := &directLimits{ResourceManager: rm, most: int64(max(1, h.opts.MaxConns/directShare))}
	t, err := libp2pwebrtc.New(key, psk, gater, limits, listen)
	if err != nil {
		return nil, err
	}
	h.direct = &directTransport{t, limits}
	for i, a := range h.announced { // nobody has asked for them yet
		h.announced[i] = h.direct.withCertHash(a)
	}
	return h.direct, nil
}

// withCertHash completes an address of webrtc-direct that was announced without the hash
// of the certificate, which nobody wants to type.
func (t *directTransport) withCertHash(a ma.Multiaddr) ma.Multiaddr {
	if direct, hashes := libp2pwebrtc.IsWebRTCDirectMultiaddr(a); !direct || hashes > 0 {
		return a
	}
	if full, ok := t.AddCertHashes(a); ok {
		return full
	}
	return a
}

// A directLimits lets no more inbound connections of webrtc-direct in than their share,
// before anything is made for one.
type directLimits struct {
	network.ResourceManager
	most int64
	open atomic.Int64
}

var errDirectLimit = errors.New("node: too many webrtc-direct connections")

func (l *directLimits) OpenConnection(dir network.Direction, usefd bool, endpoint ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir != network.DirInbound {
		return l.ResourceManager.OpenConnection(dir, usefd, endpoint)
	}
	if l.open.Add(1) > l.most {
		l.open.Add(-1)
		return nil, errDirectLimit
	}
	scope, err := l.ResourceManager.OpenConnection(dir, usefd, endpoint)
	if err != nil {
		l.open.Add(-1)
		return nil, err
	}
	return &directScope{ConnManagementScope: scope, limits: l}, nil
}

// A directScope gives its place back when it is done.
type directScope struct {
	network.ConnManagementScope
	limits *directLimits
	once   sync.Once
}

func (s *directScope) Done() {
	s.ConnManagementScope.Done()
	s.once.Do(func() { s.limits.open.Add(-1) })
}

// costOf orders transports by what a message over them costs: WebSocket, then QUIC (half as
// much again), then webrtc-direct (15 times as much).
func costOf(a ma.Multiaddr) int {
	for _, c := range a {
		switch c.Protocol().Code {
		case ma.P_TCP:
			return 0
		case ma.P_QUIC_V1:
			return 1
		}
	}
	return 2
}

// rankDials gives what costs less a head start. Among addresses of one transport go-libp2p's
// own order holds.
func rankDials(addrs []ma.Multiaddr) (ranked []network.AddrDelay) {
	addrs = slices.Clone(addrs)
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return costOf(a) - costOf(b) })
	var start time.Duration
	for len(addrs) > 0 {
		n := 1
		for n < len(addrs) && costOf(addrs[n]) == costOf(addrs[0]) {
			n++
		}
		group := swarm.DefaultDialRanker(addrs[:n:n])
		slices.SortStableFunc(group, func(a, b network.AddrDelay) int { return cmp.Compare(a.Delay, b.Delay) })
		first := group[0].Delay // not 0 for webrtc-direct, whatever else there is
		for i := range group {
			group[i].Delay += start - first
		}
		ranked = append(ranked, group...)
		start, addrs = ranked[len(ranked)-1].Delay+dialHeadStart, addrs[n:]
	}
	return ranked
}
