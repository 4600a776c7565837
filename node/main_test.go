package node

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The timer of a read deadline that libp2p sets, for identify and ping, on a
		// webrtc-direct stream. It still runs after the connection was closed.
		goleak.IgnoreTopFunction("github.com/pion/sctp.(*Stream).SetReadDeadline.func1"))
}
