package protocol

import (
	"fmt"
	"net"
	"os"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

var (
	// ErrClosed means that the router was closed. It wraps net.ErrClosed.
	ErrClosed = fmt.Errorf("peer-relay: closed: %w", net.ErrClosed)

	// ErrHandlerRuns means that a handler of the application was still running when Close had
	// waited for it. It wraps os.ErrDeadlineExceeded.
	ErrHandlerRuns = fmt.Errorf("peer-relay: close: a handler still runs: %w", os.ErrDeadlineExceeded)

	// ErrTooBig means that a message exceeds the size that every peer accepts.
	ErrTooBig = wire.ErrTooBig

	// ErrQueueFull means that every queue for a message is full.
	ErrQueueFull = core.ErrQueueFull

	// ErrNoRoute means that no peer has an id, as several peers near it say.
	ErrNoRoute = core.ErrNoRoute

	// ErrSelf means that the peer at the other end is this one.
	ErrSelf = core.ErrSelf

	// ErrDuplicate means that there is another link to the peer, which is kept.
	ErrDuplicate = core.ErrDuplicate

	// ErrIDInUse means that a bootstrap is linked with this peer's id, but not with this peer:
	// with another process that has the same key, or by an earlier link that is dead, which the
	// bootstrap finds out in a few seconds. OnDialError gets it once for each bootstrap, until a
	// link to it has lasted.
	ErrIDInUse = core.ErrIDInUse

	// ErrMute means that a legacy link brought no message.
	ErrMute = core.ErrMute

	// ErrSilent means that the peer at the other end did not answer a ping. A reliable message ends with
	// it if the receiver answers none of the peers that are linked with it.
	ErrSilent = core.ErrSilent

	// ErrUnwanted means that neither peer needs the link.
	ErrUnwanted = core.ErrUnwanted

	// ErrDisconnected means that Disconnect or the peer ended the link.
	ErrDisconnected = core.ErrDisconnected

	// ErrOffences means that the peer sent too many malformed frames.
	ErrOffences = core.ErrOffences
)
