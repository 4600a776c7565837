package packet_test

import (
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/protocol/packet"
)

func TestAddr(t *testing.T) {
	a := packet.Addr{ID: id(0xab), Port: 53}
	text := "ab" + strings.Repeat("00", 19) + ":53"
	if a.String() != text || a.Network() != "peer-relay" {
		t.Errorf("%s %s", a.Network(), a)
	}
	if b, err := a.MarshalText(); string(b) != text || err != nil {
		t.Errorf("%s: %v", b, err)
	}
	var b packet.Addr
	if err := b.UnmarshalText([]byte(strings.ToUpper(text))); err != nil || b != a {
		t.Errorf("%v: %v", b, err)
	}
	for _, invalid := range []string{"", ":", text[:40], text[1:], "[" + text[:40] + "]:53", text + " ", text[:41], text[:41] + "053",
		text[:41] + "-1", text[:41] + "+1", text[:41] + "65536", text[:41] + "99999999999999999999", text + ":53", strings.Repeat("9", 1000)} {
		if got, err := packet.ParseAddr(invalid); err == nil || len(err.Error()) > 300 {
			t.Errorf("%.100q is %v: %v", invalid, got, err)
		}
		if err := b.UnmarshalText([]byte(invalid)); err == nil || b != a {
			t.Errorf("%.100q: %v", invalid, err)
		}
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{strings.Repeat("0a", 20) + ":0", strings.Repeat("A0", 20) + ":65535", "", ":1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := packet.ParseAddr(s)
		if err != nil {
			return
		}
		if a.String() != strings.ToLower(s) {
			t.Errorf("%q is read as %v", s, a)
		}
	})
}
