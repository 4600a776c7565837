package core

import (
	"errors"
	"fmt"
)

// Reasons why a message is lost at once, and why a link was refused or ended. Package protocol
// documents each.
var (
	ErrQueueFull    = errors.New("peer-relay: queue full")
	ErrNoRoute      = errors.New("peer-relay: no peer has the id")
	ErrSelf         = errors.New("peer-relay: a link to this peer itself")
	ErrDuplicate    = errors.New("peer-relay: the peer is linked already")
	ErrIDInUse      = errors.New("peer-relay: the id of this peer is in use")
	ErrMute         = errors.New("peer-relay: the peer is mute")
	ErrSilent       = errors.New("peer-relay: the peer is silent")
	ErrUnwanted     = errors.New("peer-relay: the link is not needed")
	ErrDisconnected = errors.New("peer-relay: disconnected")
	ErrOffences     = errors.New("peer-relay: too many malformed frames")

	errTaken = fmt.Errorf("%w: by another process with the same key, or by an earlier link of this peer whose end was not noticed yet", ErrIDInUse)
)
