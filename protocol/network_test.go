package protocol_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// A machine that moves to another network has links that lead nowhere: it need not wait until
// they have been idle, and been asked.
func TestRouterDialsAgainWhenTheNetworkChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		relay, other := n.Router(quiet(1)), n.Router(quiet(2))
		var told diary
		o := quiet(3)
		o.Bootstraps = []protocol.Contact{protocoltest.Contact(relay)}
		r := n.Router(told.options(o))
		time.Sleep(time.Second)
		n.Link(r, other)
		time.Sleep(time.Second)
		r.NetworkChanged(func(i protocol.LinkInfo) bool { return i.ID == relay.ID() })
		time.Sleep(time.Second)
		const want = "up 0100, up 0200, down 0100: this machine lost the address that the link ran from, up 0100"
		if got := told.all(); got != want {
			t.Errorf("it was told %q, want %q", got, want)
		}
		r.NetworkChanged(nil)
		time.Sleep(time.Minute)
		if got := told.all(); got != want {
			t.Errorf("links that live ended: %q", got)
		}
	})
}

// A deafDialer opens no link before its context ends.
type deafDialer struct{ told *diary }

func (d *deafDialer) CanDial(protocol.Contact) bool { return true }

func (d *deafDialer) Dial(ctx context.Context, _ *protocol.Router, _ protocol.Contact) (protocol.Link, error) {
	d.told.note("dial")
	<-ctx.Done()
	return nil, ctx.Err()
}

// A dial from an address that is gone is not waited for, and its end is nothing to tell.
func TestRouterEndsDialsWhenTheNetworkChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told diary
		o := quiet(1)
		o.Dialers, o.Bootstraps = []protocol.Dialer{&deafDialer{&told}}, []protocol.Contact{{URL: "x"}}
		o.OnDialError = func(_ protocol.Contact, err error) { told.note("%v", err) }
		r, err := protocol.NewRouter(o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		time.Sleep(5 * time.Second) // the first dial has 45 s
		r.NetworkChanged(nil)
		time.Sleep(time.Second)
		if got := told.all(); got != "dial, dial" {
			t.Errorf("%s", got)
		}
		time.Sleep(45 * time.Second)
		if got, want := told.all(), "dial, dial, context deadline exceeded"; !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// A change of the network is nothing to a router that is closed.
func TestNetworkChangesAfterClose(t *testing.T) {
	r, err := protocol.NewRouter(quiet(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.NetworkChanged(nil)
	if err := r.Send(id(2), protocol.FormRaw, nil); !errors.Is(err, protocol.ErrClosed) {
		t.Errorf("a send after that: %v", err)
	}
}
