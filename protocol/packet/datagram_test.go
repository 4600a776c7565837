package packet

import (
	"math/rand/v2"
	"testing"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// notPorts are invalid extras that begin like that of a datagram.
var notPorts = []string{`{"dgram":"`, `{"dgram":"1,2`, `{"dgram":"1,2"`, `{"dgram":"1,2":`, `{"dgram":"1"}`, `{"dgram":"1,"}`,
	`{"dgram":",1"}`, `{"dgram":"0,1"}`, `{"dgram":"1,0"}`, `{"dgram":"01,1"}`, `{"dgram":"1,65536"}`, `{"dgram":"1,2,3"}`,
	`{"dgram":"-1,1"}`, `{"dgram":"1, 2"}`}

// notDatagrams are extras of other messages.
var notDatagrams = []string{``, `{}`, `{"dgrams":"1,2"}`, `{"dgram":1}`, `{"x":1,"dgram":"1,2"}`}

func TestPorts(t *testing.T) {
	if extra := string(appendPorts(nil, 49152, 53)); extra != `{"dgram":"49152,53"}` { // as in the example of SPEC.md
		t.Errorf("ports 49152 and 53 are written as %s", extra)
	}
	for _, extra := range []string{`{"dgram":"1,65535"}`, `{"dgram":"1,65535","later":{}}`} {
		if from, to, ok := parsePorts([]byte(extra)); from != 1 || to != 65535 || !ok {
			t.Errorf("%s: %d, %d, %v", extra, from, to, ok)
		}
	}
	for _, extra := range append(notPorts, notDatagrams...) {
		if _, _, ok := parsePorts([]byte(extra)); ok {
			t.Errorf("parsePorts accepts %s", extra)
		}
	}
}

// TestMaxDatagramFits checks that the longest datagram of a socket is a message that every peer
// can take.
func TestMaxDatagramFits(t *testing.T) {
	c := core.NewCore(core.CoreConfig{Self: wire.ID{2}, Rand: rand.NewPCG(1, 1)})
	m := core.Outgoing{To: wire.ID{1}, Form: wire.FormRaw, Payload: make([]byte, MaxDatagram), Extra: appendPorts(nil, maxPort, maxPort)}
	if _, err := c.NewFrame(m, c.Draw()); err != nil {
		t.Error(err)
	}
}

// TestDeliver checks that a message whose extra begins like that of a datagram is a datagram,
// and that it reaches no socket if its ports are invalid.
func TestDeliver(t *testing.T) {
	s := NewSockets(wire.ID{2}, nil)
	c, err := s.Listen(2)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	frame := func(extra string) *wire.Frame {
		f, err := wire.EncodeMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Path: []wire.ID{{1}},
			Body: wire.Body{To: wire.ID{2}, From: wire.ID{1}, Form: wire.FormRaw, Extra: []byte(extra), Payload: []byte("1")}})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, extra := range notPorts {
		f := frame(extra)
		if taken, _ := s.Deliver(f, false); taken || !IsDatagram(&f.Body) {
			t.Errorf("%s: taken %v, a datagram %v", extra, taken, IsDatagram(&f.Body))
		}
	}
	for _, extra := range notDatagrams {
		if IsDatagram(&frame(extra).Body) {
			t.Errorf("%s is a datagram", extra)
		}
	}
	if taken, evicted := s.Deliver(frame(`{"dgram":"1,2"}`), false); !taken || evicted != 0 || c.Stats().Received != 1 {
		t.Errorf("taken %v, %d evicted, the socket got %+v", taken, evicted, c.Stats())
	}
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
