package protocol

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestNoDatagramIsAMessage checks that no datagram reaches OnMessage, even an invalid one.
func TestNoDatagramIsAMessage(t *testing.T) {
	malformed := []string{`{"dgram":"`, `{"dgram":"1,2"`, `{"dgram":"0,1"}`}
	others := []string{``, `{}`, `{"dgrams":"1,2"}`, `{"dgram":1}`, `{"x":1,"dgram":"1,2"}`}
	synctest.Test(t, func(t *testing.T) {
		var got []string
		r, err := NewRouter(Options{OnMessage: func(m Message) { got = append(got, string(m.Extra)) }})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c, err := r.ListenPacket(2)
		if err != nil {
			t.Fatal(err)
		}
		send := func(form wire.Form, extra string) {
			t.Helper()
			if err := r.send(core.Outgoing{To: r.ID(), Form: form, Payload: []byte(`1`), Extra: []byte(extra)}, core.OwnMessage); err != nil {
				t.Fatal(err)
			}
		}
		for _, extra := range malformed {
			send(wire.FormRaw, extra)
		}
		send(wire.FormJSON, `{"dgram":"1,2"}`)
		// No socket sends a larger datagram, so no reader has room for it.
		if err := r.send(core.Outgoing{To: r.ID(), Form: wire.FormRaw, Payload: make([]byte, packet.MaxDatagram+1), Extra: []byte(`{"dgram":"1,2"}`)}, core.OwnMessage); err != nil {
			t.Fatal(err)
		}
		for _, extra := range others {
			send(wire.FormRaw, extra)
		}
		synctest.Wait()
		if fmt.Sprint(got) != fmt.Sprint(others) {
			t.Errorf("OnMessage got %q", got)
		}
		if s := r.Stats(); s.Dropped[DropNoPort] != uint64(len(malformed)+2) || s.Delivered != uint64(len(others)) {
			t.Errorf("delivered %d, dropped %v", s.Delivered, s.Dropped)
		}
		if s := c.Stats(); s.Received != 0 {
			t.Errorf("the socket got %+v", s)
		}
	})
}
