package stream

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/quic-go/quic-go"
)

// network is the name of the network in the errors of streams.
const network = "peer-relay-stream"

// ErrWrongPeer is matched by the error of Dial when the peer that answers cannot prove the
// dialled id.
var ErrWrongPeer = errors.New("peer-relay: another peer answers")

var errNoKey = errors.New("peer-relay: streams need the private key of the host, which is not in its peerstore")

// errNoService is syscall.ECONNREFUSED with its reason.
var errNoService = fmt.Errorf("the peer has no listener for this service: %w", syscall.ECONNREFUSED)

// errSilent is syscall.ETIMEDOUT, which package net counts as a timeout.
var errSilent error = silentError{fmt.Errorf("the peer does not answer: %w", syscall.ETIMEDOUT)}

type silentError struct{ error }

func (e silentError) Unwrap() error { return e.error }
func (silentError) Timeout() bool   { return true }

// connError returns an error of quic-go in the terms of package net. Most of quic-go's
// errors match net.ErrClosed, which here means that this side closed the stream.
func connError(err error) error {
	var (
		app       *quic.ApplicationError
		stream    *quic.StreamError
		transport *quic.TransportError
		idle      *quic.IdleTimeoutError
		handshake *quic.HandshakeTimeoutError
	)
	switch {
	case errors.Is(err, ErrWrongPeer):
		return err
	case errors.As(err, &stream):
		switch {
		case stream.Remote && stream.ErrorCode == codeRefused:
			return syscall.ECONNREFUSED
		case stream.Remote && stream.ErrorCode == codeNoService:
			return errNoService
		}
	case errors.As(err, &transport) && transport.Remote && transport.ErrorCode == quic.ConnectionRefused:
		return syscall.ECONNREFUSED
	case errors.As(err, &idle), errors.As(err, &handshake):
		return errSilent
	case errors.As(err, &app) && !app.Remote && app.ErrorCode == codeDone, errors.Is(err, quic.ErrTransportClosed):
		return net.ErrClosed
	}
	return fmt.Errorf("%w (%v)", syscall.ECONNRESET, err)
}
