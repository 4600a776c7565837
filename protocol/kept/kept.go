// Package kept is what a router needs to keep messages for peers that are offline: a [Store], which
// another package implements. Package node/mailbox has one on disk.
//
// The router verifies what it stores, and answers for the promise that a message is kept: its origin is
// told once Keep has returned nil for it. The Store bounds how much there is, and for how long.
package kept

import (
	"errors"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// MaxTime is the longest time for which an origin can have a message kept.
const MaxTime = 30 * 24 * time.Hour

// Why a message is not kept.
var (
	ErrQuota   = errors.New("the mailbox near it keeps too much of this sender, or for the receiver")
	ErrFull    = errors.New("the mailbox near it has no room")
	ErrRefused = errors.New("the mailbox near it does not keep the message")
)

// A Store keeps messages. One goroutine of a router calls it, and nothing else waits for it.
type Store interface {
	// Keep stores messages, and returns an error or nil for each. After nil the message is in lasting
	// storage. Keep lowers Until if it keeps the message for a shorter time. A message whose From and
	// E2E it has already is not stored again, and gets the Until of the first one. An error that
	// matches ErrQuota or ErrFull tells the origin so, and any other one ErrRefused.
	Keep(messages []*Message) []error

	// Next returns the messages for a peer whose Number is greater than after, in the order of their
	// numbers and without those whose time is over: at most count, and after the first one at most
	// size bytes of bodies. more reports that there are others.
	Next(to wire.ID, after uint64, count, size int) (messages []Message, more bool, err error)

	// Remove removes messages for a peer, by their Number.
	Remove(to wire.ID, numbers []uint64) error
}

// A Message is a message in a Store.
type Message struct {
	To, From wire.ID
	E2E      [wire.TokenSize]byte // with From it identifies the message
	Until    time.Time            // the message is of no use after that
	Number   uint64               // its place among those for To, from 1; set by the Store

	Body, Sig, Nonce []byte // of the frame
}
