package compat

import (
	"errors"
	"fmt"

	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node"
)

// Options are those of a node, and how WebRTC links are made. The zero value is a peer
// without a port that knows no other.
//
//	var o compat.Options
//	o.Listen, o.Port = true, 8001                       // the npm package's port
//	o.Bootstraps = []string{"ws://localhost:8002"}      // its bootstrap
//	p, err := compat.New(o)
type Options struct {
	// Options are those of the node under the peer: its port, its bootstraps, its identity,
	// its limits. Its handlers are called beside those of the peer, and before them. Legacy
	// and WebRTC must be nil, since the peer makes its own.
	node.Options

	// NoWebRTC makes no WebRTC links to legacy peers: handshakes answer wrtc: false.
	NoWebRTC bool

	// WRTC says how WebRTC links are made, to pages in browsers and to other peers that
	// have no port. Its zero value makes them. A nil Logger or MayDial is the node's
	// own.
	WRTC legacy.WebRTCOptions
}

// optionError makes an error one that matches node.ErrOptions.
type optionError struct{ error }

func (e optionError) Unwrap() error        { return e.error }
func (e optionError) Is(target error) bool { return target == node.ErrOptions }

// check returns the first thing that is wrong with what the node does not check.
func (o *Options) check() error {
	switch {
	case o.Port != 0 && !o.Listen:
		return optionError{fmt.Errorf("peer-relay: port %d: want Listen as well", o.Port)}
	case o.Legacy != nil || o.WebRTC != nil:
		return optionError{errors.New("peer-relay: Legacy and WebRTC: a PeerRelay makes its own; node.New takes others")}
	case o.NoWebRTC:
		return nil
	}
	if err := o.WRTC.Check(); err != nil {
		return optionError{err}
	}
	return nil
}
