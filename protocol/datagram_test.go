package protocol

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// notPorts are extras that begin as a datagram's and are none.
var notPorts = []string{`{"dgram":"`, `{"dgram":"1,2`, `{"dgram":"1,2"`, `{"dgram":"1,2":`, `{"dgram":"1"}`, `{"dgram":"1,"}`,
	`{"dgram":",1"}`, `{"dgram":"0,1"}`, `{"dgram":"1,0"}`, `{"dgram":"01,1"}`, `{"dgram":"1,65536"}`, `{"dgram":"1,2,3"}`,
	`{"dgram":"-1,1"}`, `{"dgram":"1, 2"}`}

// notDatagrams are extras of other messages.
var notDatagrams = []string{``, `{}`, `{"dgrams":"1,2"}`, `{"dgram":1}`, `{"x":1,"dgram":"1,2"}`}

func TestPorts(t *testing.T) {
	for _, extra := range []string{`{"dgram":"1,65535"}`, `{"dgram":"1,65535","later":{}}`} {
		if from, to, ok := parsePorts([]byte(extra)); from != 1 || to != 65535 || !ok {
			t.Errorf("%s: %d, %d, %v", extra, from, to, ok)
		}
	}
	for _, extra := range append(notPorts, notDatagrams...) {
		if _, _, ok := parsePorts([]byte(extra)); ok {
			t.Errorf("%s is taken", extra)
		}
	}
}

// The longest datagram that a socket sends passes for a message that every peer can
// take, signed or not.
func TestMaxDatagramFits(t *testing.T) {
	m := Outgoing{To: ID{1}, Form: FormRaw, Payload: make([]byte, MaxDatagram), Extra: appendPorts(nil, maxPort, maxPort)}
	if err := m.fits(); err != nil {
		t.Error(err)
	}
}

// A message that says it is a datagram never reaches OnMessage.
func TestNoDatagramIsAMessage(t *testing.T) {
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
		send := func(form Form, extra string) {
			t.Helper()
			if err := r.send(Outgoing{To: r.ID(), Form: form, Payload: []byte(`1`), Extra: []byte(extra)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, extra := range notPorts {
			send(FormRaw, extra)
		}
		send(FormJSON, `{"dgram":"1,2"}`)
		// No socket sends one that is larger, so that no reader has room for it.
		if err := r.send(Outgoing{To: r.ID(), Form: FormRaw, Payload: make([]byte, MaxDatagram+1), Extra: []byte(`{"dgram":"1,2"}`)}); err != nil {
			t.Fatal(err)
		}
		for _, extra := range notDatagrams {
			send(FormRaw, extra)
		}
		synctest.Wait()
		if fmt.Sprint(got) != fmt.Sprint(notDatagrams) {
			t.Errorf("OnMessage got %q", got)
		}
		if s := r.Stats(); s.Dropped[DropNoPort] != uint64(len(notPorts)+2) || s.Delivered != uint64(len(notDatagrams)) {
			t.Errorf("delivered %d, dropped %v", s.Delivered, s.Dropped)
		}
		if s := c.Stats(); s.Received != 0 {
			t.Errorf("the socket got %+v", s)
		}
	})
}

func FuzzParsePorts(f *testing.F) {
	f.Add([]byte(`{"dgram":"49152,53"}`))
	f.Add([]byte(`{"dgram":"1,65535","later":{}}`))
	for _, extra := range append(notPorts, notDatagrams...) {
		f.Add([]byte(extra))
	}
	f.Fuzz(func(t *testing.T, extra []byte) {
		from, to, ok := parsePorts(extra)
		if !ok {
			return
		}
		want := appendPorts(nil, from, to)
		if n := len(want) - 1; len(extra) <= n || string(extra[:n]) != string(want[:n]) {
			t.Errorf("%q is read as %s", extra, want)
		}
	})
}
