package wire

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed is wrapped by every error that says why bytes are not a frame. The
	// stream that they came from may go on.
	ErrMalformed = errors.New("peer-relay: malformed frame")

	// ErrPassedOn wraps ErrMalformed. It says of a message that the peer at the other
	// end of the link may have passed it on without seeing what is wrong with it. Such
	// a message is counted and is no offence of that peer.
	ErrPassedOn = fmt.Errorf("%w that was passed on", ErrMalformed)

	// ErrFraming is wrapped by an error that leaves unknown where the next frame of a
	// stream begins, so that the stream must end.
	ErrFraming = errors.New("peer-relay: malformed stream")

	// ErrTooBig says that a message is larger than what every peer can take.
	ErrTooBig = errors.New("peer-relay: message too big")

	// ErrUnencodable says that a message has no form on the link that it was to take.
	ErrUnencodable = errors.New("peer-relay: message cannot be encoded")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
