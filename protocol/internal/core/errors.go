package core

import (
	"errors"
	"fmt"

	"github.com/peer-relay/peer-relay/protocol/internal/overlay"
)

// Reasons why a message is lost at once, and why a link was refused or ended. Package protocol
// documents each.
var (
	ErrQueueFull    = overlay.ErrQueueFull
	ErrNoRoute      = errors.New("peer-relay: no peer has the id")
	ErrSelf         = errors.New("peer-relay: a link to this peer itself")
	ErrDuplicate    = errors.New("peer-relay: the peer is linked already")
	ErrIDInUse      = overlay.ErrIDInUse
	ErrMute         = errors.New("peer-relay: the peer is mute")
	ErrSilent       = errors.New("peer-relay: the peer is silent")
	ErrUnwanted     = errors.New("peer-relay: the link is not needed")
	ErrDisconnected = errors.New("peer-relay: disconnected")
	ErrOffences     = errors.New("peer-relay: too many malformed frames")

	errUnanswered = fmt.Errorf("%w: the receiver does not answer those that are linked with it", ErrSilent)
)
