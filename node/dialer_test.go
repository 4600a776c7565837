package node

import (
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
)

// TestDialBeforeTheNodeHasItsRouter dials as a router does that was just made.
func TestDialBeforeTheNodeHasItsRouter(t *testing.T) {
	to := start(t, local(Options{Listen: true}))
	n := newNode(Options{})
	defer n.stop()
	n.host = newTestHost(t)
	r, err := protocol.NewRouter(protocol.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	link, err := nativeDialer{n}.Dial(t.Context(), r, protocol.Contact{URL: to.Addrs()[0].String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Close(); err != nil {
		t.Error(err)
	}
}
