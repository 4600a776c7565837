package protocol_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// visit links a peer with r, and returns what ends the link.
func visit(r *protocol.Router, n uint64) (id protocol.ID, leave func()) {
	binary.BigEndian.PutUint64(id[:], n)
	atR, atPeer := protocoltest.Infos(r.ID(), id, n)
	a, b := protocoltest.Pipe(atR, atPeer, protocoltest.PipeOptions{})
	go r.Serve(context.Background(), a) // ends with the link
	synctest.Wait()
	return id, func() {
		b.Close()
		synctest.Wait()
	}
}

// TestSlowHandlerRefusesNobody checks that a handler that does not return keeps no peer from
// being linked, and holds up neither OnLinkUp nor OnLinkDown. When it returns, the events that
// follow tell which peers are linked, and what was left out is counted.
func TestSlowHandlerRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const visitors = 5000
		release := make(chan struct{})
		noted, told := make(map[protocol.ID]bool), make(map[protocol.ID]bool)
		calls := 0
		set := func(m map[protocol.ID]bool, id protocol.ID, up bool) {
			if m[id] == up {
				t.Errorf("peer %v is told twice, up %v", id, up)
			}
			if m[id] = up; !up {
				delete(m, id)
			}
		}
		o := quiet(1)
		o.OnLinkUp = func(i protocol.LinkInfo) { set(noted, i.ID, true) }
		o.OnLinkDown = func(id protocol.ID, _ error) { set(noted, id, false) }
		o.OnPeer = func(i protocol.LinkInfo) {
			if calls++; calls == 3 {
				<-release
			}
			set(told, i.ID, true)
		}
		o.OnPeerDown = func(id protocol.ID, _ error) {
			calls++
			set(told, id, false)
		}
		r := must(protocol.NewRouter(o))
		defer r.Close()
		_, leaves := visit(r, 1)
		back, comesBack := visit(r, 2)
		stays, _ := visit(r, 3) // its event is held up
		leaves()
		comesBack()
		visit(r, 2)
		for n := range uint64(visitors) {
			_, leave := visit(r, 100+n)
			leave()
		}
		late, _ := visit(r, 50)
		if n := r.Stats().LinksRefused; n > 0 {
			t.Errorf("%d links were refused", n)
		}
		want := []protocol.ID{back, stays, late}
		same := func(name string, got map[protocol.ID]bool) {
			if len(got) != len(want) {
				t.Errorf("%s tell of %d peers, want %d", name, len(got), len(want))
			}
			for _, id := range want {
				if !got[id] {
					t.Errorf("%s do not tell of %v", name, id)
				}
			}
		}
		same("OnLinkUp and OnLinkDown", noted)
		if len(r.Peers()) != len(want) {
			t.Errorf("%d peers are linked", len(r.Peers()))
		}
		close(release)
		synctest.Wait()
		same("OnPeer and OnPeerDown", told)
		missed := r.Stats().EventsMissed
		if missed == 0 || missed%2 != 0 || int(missed)+calls != 2*visitors+7 {
			t.Errorf("%d calls, %d events missed of %d", calls, missed, 2*visitors+7)
		}
	})
}

// A failingDialer fails at once.
type failingDialer struct{}

var errUnreachable = errors.New("unreachable")

func (failingDialer) CanDial(protocol.Contact) bool { return true }
func (failingDialer) Dial(context.Context, *protocol.Router, protocol.Contact) (protocol.Link, error) {
	return nil, errUnreachable
}

// TestSlowHandlerOfDialErrors checks that the errors of a bootstrap that never answers are
// bounded while a handler does not return, and that the last one is told.
func TestSlowHandlerOfDialErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		calls := 0
		o := quiet(1)
		o.Dialers = []protocol.Dialer{failingDialer{}}
		o.Bootstraps = []protocol.Contact{{URL: "ws://a"}}
		o.OnDialError = func(c protocol.Contact, err error) {
			if c.URL != "ws://a" || !errors.Is(err, errUnreachable) {
				t.Errorf("%v: %v", c, err)
			}
			if calls++; calls == 1 {
				<-release
			}
		}
		r := must(protocol.NewRouter(o))
		defer r.Close()
		time.Sleep(30 * 24 * time.Hour)
		missed := r.Stats().EventsMissed
		close(release)
		synctest.Wait()
		if calls < 2 || calls > 4097 || missed < 4096 {
			t.Errorf("%d calls, %d errors missed", calls, missed)
		}
	})
}

// TestHandlersMayBeNil checks that a router without handlers works.
func TestHandlersMayBeNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, links := range []bool{false, true} { // with OnLinkUp only, and without
			o := quiet(1)
			o.Dialers = []protocol.Dialer{failingDialer{}}
			o.Bootstraps = []protocol.Contact{{URL: "ws://a"}}
			if links {
				o.OnLinkUp = func(protocol.LinkInfo) {}
			}
			r := must(protocol.NewRouter(o))
			r.NetworkChanged(nil)
			_, leave := visit(r, 2)
			leave()
			if err := r.Send(r.ID(), protocol.FormRaw, nil); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			if m, err := r.Receive(t.Context()); err != nil || m.From != r.ID() {
				t.Errorf("%+v, %v", m, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
