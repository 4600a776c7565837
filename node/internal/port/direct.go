package port

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/pnet"
	libp2pwebrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	ma "github.com/multiformats/go-multiaddr"
)

// UDP serves peers that cannot use TCP: a page in a browser cannot dial ws:// from https://,
// and needs a certificate for wss://. webrtc-direct needs none. Its addresses hold the hash of
// a certificate (/certhash), which go-libp2p derives from the identity. So an address stays the
// same as long as the identity does.
//
// webrtc-direct costs most of all transports and is the last to notice that a peer is gone. So
// it is dialled only if there is no other, pinged when it is idle, and limited in number.

// DirectName is the name of webrtc-direct in the state of a connection.
const DirectName = "webrtc-direct"

// A directTransport is go-libp2p's webrtc-direct, with directLimits.
type directTransport struct {
	*libp2pwebrtc.WebRTCTransport
	host   *Host
	limits *directLimits
}

// newDirect is a constructor for libp2p.Transport. It runs before the host exists.
func (h *Host) newDirect(key crypto.PrivKey, psk pnet.PSK, gater connmgr.ConnectionGater, rm network.ResourceManager, listen libp2pwebrtc.ListenUDPFn) (*directTransport, error) {
	limits := &directLimits{ResourceManager: rm, most: int64(max(1, h.opts.MaxConns/directShare)), refused: h.front.refused}
	t, err := libp2pwebrtc.New(key, psk, gater, limits, listen)
	if err != nil {
		return nil, err
	}
	h.direct = &directTransport{t, h, limits}
	for i, a := range h.announced { // not in use yet
		h.announced[i] = h.direct.withCertHash(a)
	}
	return h.direct, nil
}

// withCertHash adds the hash of the certificate to an announced webrtc-direct address that
// lacks it.
func (t *directTransport) withCertHash(a ma.Multiaddr) ma.Multiaddr {
	if direct, hashes := libp2pwebrtc.IsWebRTCDirectMultiaddr(a); !direct || hashes > 0 {
		return a
	}
	if full, ok := t.AddCertHashes(a); ok {
		return full
	}
	return a
}

// A directLimits admits inbound webrtc-direct connections up to their share, before anything is
// made for one.
type directLimits struct {
	network.ResourceManager
	most    int64
	refused *refusals
	open    atomic.Int64
}

var errDirectLimit = errors.New("node: too many webrtc-direct connections")

func (l *directLimits) OpenConnection(dir network.Direction, usefd bool, endpoint ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir != network.DirInbound {
		return l.ResourceManager.OpenConnection(dir, usefd, endpoint)
	}
	if l.open.Add(1) > l.most {
		l.open.Add(-1)
		l.refused.note(limitDirect)
		return nil, errDirectLimit
	}
	scope, err := l.ResourceManager.OpenConnection(dir, usefd, endpoint)
	if err != nil {
		l.open.Add(-1)
		return nil, err
	}
	return &directScope{ConnManagementScope: scope, limits: l}, nil
}

// A directScope frees its place in Done.
type directScope struct {
	network.ConnManagementScope
	limits *directLimits
	once   sync.Once
}

func (s *directScope) Done() {
	s.ConnManagementScope.Done()
	s.once.Do(func() { s.limits.open.Add(-1) })
}
