package overlay

import (
	"errors"
	"fmt"
)

// Errors that package protocol documents.
var (
	ErrQueueFull = errors.New("peer-relay: queue full")
	ErrIDInUse   = errors.New("peer-relay: the id of this peer is in use")

	errTaken = fmt.Errorf("%w: by another process with the same key, or by an earlier link of this peer whose end was not noticed yet", ErrIDInUse)
)
