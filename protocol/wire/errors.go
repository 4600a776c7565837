package wire

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed is wrapped by every error that says why bytes are not a frame. The
	// next frame of the stream can still be read.
	ErrMalformed = errors.New("peer-relay: malformed frame")

	// ErrPassedOn wraps ErrMalformed. The peer at the other end of the link may have
	// forwarded this message without being able to see what is wrong with it. So the
	// message is dropped and counted, and is no offence of that peer.
	ErrPassedOn = fmt.Errorf("%w that was passed on", ErrMalformed)

	// ErrFraming is wrapped by an error after which the start of the next frame is
	// unknown. The stream must end.
	ErrFraming = errors.New("peer-relay: malformed stream")

	// ErrTooBig means that a message exceeds the size that every peer accepts.
	ErrTooBig = errors.New("peer-relay: message too big")

	// ErrUnencodable means that the link's encoding has no form for a message.
	ErrUnencodable = errors.New("peer-relay: message cannot be encoded")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
