package dht

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The timer of a read deadline that libp2p sets, for identify and ping, on a stream of
		// webrtc-direct: it runs out although the connection was closed before.
		goleak.IgnoreTopFunction("github.com/pion/sctp.(*Stream).SetReadDeadline.func1"))
}
