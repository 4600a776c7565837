package compat

import (
	"errors"

	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node"
)

// Options are the options of a node, and of WebRTC links. The zero value is a peer without a
// port that knows no other peer.
//
//	var o compat.Options
//	o.Listen, o.Port = true, 8001                       // the npm package's port
//	o.Bootstraps = []string{"ws://localhost:8002"}      // its bootstrap
//	p, err := compat.New(o)
type Options struct {
	// Options are those of the node under the peer: its port, its bootstraps, its identity, its
	// limits. Its handlers are called before the peer's own. Legacy and WebRTC must be nil,
	// since the peer makes its own.
	node.Options

	// NoWebRTC turns WebRTC links to legacy peers off: handshakes answer wrtc: false.
	NoWebRTC bool

	// WRTC sets how WebRTC links are made to pages in browsers and to other peers without a
	// port. The zero value makes them with the defaults. A nil Logger or MayDial means the
	// node's own.
	WRTC legacy.WebRTCOptions
}

// An optionError is an error that matches node.ErrOptions.
type optionError struct{ error }

func (e optionError) Unwrap() error        { return e.error }
func (e optionError) Is(target error) bool { return target == node.ErrOptions }

// check returns the first mistake in the options that the node does not check.
func (o *Options) check() error {
	switch {
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
