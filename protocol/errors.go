package protocol

import (
	"errors"
	"fmt"
	"net"
)

var (
	// ErrClosed says that the router was closed. It wraps net.ErrClosed.
	ErrClosed = fmt.Errorf("peer-relay: closed: %w", net.ErrClosed)

	// ErrTooBig says that a message is larger than what every peer can take.
	ErrTooBig = errors.New("peer-relay: message too big")

	// ErrUnencodable says that a message has no form on the link that it was to take.
	ErrUnencodable = errors.New("peer-relay: message cannot be encoded")

	// ErrPassedOn wraps ErrMalformed. It says of a message that the peer at the other
	// end of the link may have passed it on without seeing what is wrong with it: it
	// is counted and no offence of that peer's.
	ErrPassedOn = fmt.Errorf("%w that was passed on", ErrMalformed)

	// ErrQueueFull says that every queue that a message could go to is full.
	ErrQueueFull = errors.New("peer-relay: queue full")

	// ErrSelf says that the peer at the other end is this one.
	ErrSelf = errors.New("peer-relay: a link to oneself")

	// ErrDuplicate says that there is a link to the peer already, and the new one
	// is not the one to keep.
	ErrDuplicate = errors.New("peer-relay: the peer is linked already")

	// ErrMute says that the peer at the other end of a legacy link never wrote.
	ErrMute = errors.New("peer-relay: the peer is mute")

	// ErrSilent says that the peer at the other end did not answer a ping.
	ErrSilent = errors.New("peer-relay: the peer is silent")

	// ErrUnwanted says that neither peer needs the link.
	ErrUnwanted = errors.New("peer-relay: the link is not needed")

	// ErrDisconnected says that the link was ended by Disconnect or by the peer.
	ErrDisconnected = errors.New("peer-relay: disconnected")

	// ErrOffences says that the peer sent too many malformed frames.
	ErrOffences = errors.New("peer-relay: too many malformed frames")
)
