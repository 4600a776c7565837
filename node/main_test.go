package node

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The timer of a read deadline that libp2p sets, for identify and ping, on a stream of
		// webrtc-direct: it runs out although the connection was closed before.
		goleak.IgnoreTopFunction("github.com/pion/sctp.(*Stream).SetReadDeadline.func1"))
}

// patience is how long a test waits for what must happen. Only a failing test waits
// that long.
const patience = 30 * time.Second

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// receive waits for a value on c.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("never happened: %s", what)
		panic("unreachable")
	}
}
