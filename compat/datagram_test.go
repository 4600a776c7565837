package compat

import (
	"bytes"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// jsDatagram is the text that a socket of the npm package makes of the bytes 0, 200 and 255.
// TestSockets of itest checks that.
const jsDatagram = `{"buffer":{"type":"Buffer","data":[0,200,255]},"address":"0b00000000000000000000000000000000000000","port":6881}`

func TestDatagramIsWrittenAsJSDoes(t *testing.T) {
	if text := appendDatagram(nil, []byte{0, 200, 255}, protocol.ID{11}, 6881); string(text) != jsDatagram {
		t.Errorf("written %s", text)
	}
	largest := appendDatagram(nil, bytes.Repeat([]byte{255}, MaxDatagram), protocol.ID{11}, 65535)
	if len(largest) > wire.MaxText {
		t.Errorf("the largest datagram has %d bytes of text, a message at most %d", len(largest), wire.MaxText)
	}
	if !rawjson.IsFixedPoint(largest) {
		t.Error("a JS relay would write it differently")
	}
}

func TestParseDatagram(t *testing.T) {
	for _, test := range []struct {
		text string
		want string
		port int
	}{
		{jsDatagram, "\x00\xc8\xff", 6881},
		{`{"buffer":{"type":"Buffer","data":[]},"address":"localhost","port":0}`, "", 0},
		{`{"port":65535,"more":1,"buffer":{"type":"Buffer","data":[1]}}`, "\x01", 65535},
		{`{"buffer":"ü\n","port":"53"}`, "ü\n", 53},
		{`{"buffer":[1,2],"port":1}`, "\x01\x02", 1},
		{`{"port":1,"buffer":[1],"buffer":[2],"port":2}`, "\x02", 2},
		{`{"buffer":"\ud800","port":1}`, "\ufffd", 1},
		{`{"buffer":{"data":[97,98],"type":"Buffer"},"port":1}`, "ab", 1},
		{`{"buffer":{"type":"Buffer","data":[97],"more":1},"port":1}`, "a", 1},
		{`{"buffer":{"type":"Buffer","data":[0],"data":[97]},"port":1}`, "a", 1},
		{`{"buffer": { "type": "Buffer", "data": [ 97, 98 ] }, "port": 1}`, "ab", 1},
		{`{"buffer":{"type":"Buffer","data":[256,353,-159,97.9,-158.5,null,1e300]},"port":1}`, "\x00aaab\x00\x00", 1},
		{`{"buffer":[256,-1],"port":1}`, "\x00\xff", 1},
	} {
		if buffer, port, ok := parseDatagram([]byte(test.text)); !ok || string(buffer) != test.want || port != test.port || buffer == nil {
			t.Errorf("%s: %q, %d, %v", test.text, buffer, port, ok)
		}
	}
	for _, text := range []string{
		``, `null`, `1`, `"x"`, `[]`, `{}`, `{"port":1}`, `{"buffer":"x"}`, `{"buffer":null,"port":1}`, `{"buffer":{},"port":1}`,
		`{"buffer":1,"port":1}`, `{"buffer":true,"port":1}`, `{"buffer":{"0":97},"port":1}`, `{"buffer":{"type":"Buffer"},"port":1}`,
		`{"buffer":{"type":"Buffer","data":"a"},"port":1}`, `{"buffer":{"type":"Buffer","data":null},"port":1}`, `{"buffer":{"type":"buffer","data":[97]},"port":1}`,
		`{"buffer":{"type":["Buffer"],"data":[97]},"port":1}`, `{"buffer":[[97]],"port":1}`, `{"buffer":["a"],"port":1}`, `{"buffer":[1e400],"port":1}`,
		`{"buffer":[{"type":"Buffer","data":[97]}],"port":1}`, `{"buffer":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `,"port":1}`,
		`{"buffer":"x","port":"-1"}`, `{"buffer":"x","port":" 1"}`, `{"buffer":"x","port":"0x10"}`, `{"buffer":"x","port":99999999999999999999}`,
		`{"buffer":"x","port":-1}`, `{"buffer":"x","port":65536}`, `{"buffer":"x","port":1.5}`, `{"buffer":"x","port":null}`,
		`{"buffer":"x","port":""}`, `{"buffer":"x","port":[1]}`, `{"buffer":"x","port":1}x`,
	} {
		if buffer, port, ok := parseDatagram([]byte(text)); ok {
			t.Errorf("%s is a datagram: %q, %d", text, buffer, port)
		}
	}
}

// FuzzDatagram checks that an accepted datagram reads the same after it is written again.
func FuzzDatagram(f *testing.F) {
	for _, text := range []string{jsDatagram, `{"buffer":"\ud800","port":"1"}`, `{"buffer":[1,null],"port":1}`, `{"port":1,"port":2}`, strings.Repeat("[", 2000)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		buffer, port, ok := parseDatagram(text)
		if !bytes.Equal(text, before) {
			t.Fatal("the text was written to")
		}
		if !ok {
			return
		}
		again, port2, ok := parseDatagram(appendDatagram(nil, buffer, protocol.ID{1}, port))
		if !ok || !bytes.Equal(again, buffer) || port2 != port {
			t.Fatalf("%q and %d came back as %q and %d, %v", buffer, port, again, port2, ok)
		}
	})
}
