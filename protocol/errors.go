package protocol

import (
	"fmt"
	"net"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

var (
	// ErrClosed says that the router was closed. It wraps net.ErrClosed.
	ErrClosed = fmt.Errorf("peer-relay: closed: %w", net.ErrClosed)

	// ErrTooBig says that a message is larger than what every peer can take.
	ErrTooBig = wire.ErrTooBig

	// ErrQueueFull says that every queue that a message could go to is full.
	ErrQueueFull = core.ErrQueueFull

	// ErrSelf says that the peer at the other end is this one.
	ErrSelf = core.ErrSelf

	// ErrDuplicate says that there is a link to the peer already, and the new one
	// is not the one to keep.
	ErrDuplicate = core.ErrDuplicate

	// ErrMute says that the peer at the other end of a legacy link never wrote.
	ErrMute = core.ErrMute

	// ErrSilent says that the peer at the other end did not answer a ping.
	ErrSilent = core.ErrSilent

	// ErrUnwanted says that neither peer needs the link.
	ErrUnwanted = core.ErrUnwanted

	// ErrDisconnected says that the link was ended by Disconnect or by the peer.
	ErrDisconnected = core.ErrDisconnected

	// ErrOffences says that the peer sent too many malformed frames.
	ErrOffences = core.ErrOffences
)
