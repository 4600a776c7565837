package plays

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A vector is a frame that the npm package wrote, verbatim, and how it was made.
// compat/legacy/testdata/legacy holds them, one JSON object a line.
type vector struct {
	// File is the file without its ending.
	File string `json:"-"`

	// Name is unique in the file.
	Name string `json:"name"`

	// Writer and Reader are the ends of the link: c1 or c3, which dialled c2, or c2.
	Writer string `json:"writer"`
	Reader string `json:"reader"`

	// Value is the JavaScript expression that was given to send, in a user message.
	Value string `json:"value,omitempty"`

	// Sent is the frame that the relay had received, when that was none of the package's own.
	Sent string `json:"sent,omitempty"`

	// Frame is what was written.
	Frame string `json:"frame"`

	// Received is what the final receiver's message event held, as its JSON.stringify
	// writes it. It is left out for undefined and for what is no user message.
	Received *string `json:"received,omitempty"`
}

// vectorValues are the values that user messages are recorded with, as JavaScript.
var vectorValues = []struct{ name, js string }{
	{"string", `"TEST"`},
	{"empty string", `""`},
	{"string beyond ASCII", `"ü€😀 \u2028\u2029\u0000\u007f\u0080"`},
	{"string with a lone surrogate", `"a\ud800b\udc00"`},
	{"string of HTML", `"<script>&amp;</script>"`},
	{"string with escapes", `"\"\\/\b\f\n\r\t\v"`},
	{"string like a number", `"1e400"`},
	{"zero", `0`},
	{"negative zero", `-0`},
	{"fraction", `1.5`},
	{"smallest number", `5e-324`},
	{"largest number", `Number.MAX_VALUE`},
	{"1e21", `1e21`},
	{"1e20", `1e20`},
	{"20 digits", `12345678901234567890`},
	{"1e-7", `1e-7`},
	{"not a number", `NaN`},
	{"infinity", `-Infinity`},
	{"true", `true`},
	{"false", `false`},
	{"null", `null`},
	{"undefined", `undefined`},
	{"function", `() => 1`},
	{"empty object", `{}`},
	{"empty array", `[]`},
	{"object", `{a: 1, b: "two", c: [true, null, {d: {}}]}`},
	{"object with undefined", `{a: undefined, b: 1}`},
	{"array with undefined", `[undefined, 1, , () => 1]`},
	{"integer-like keys", `{b: 1, 2: 2, a: 3, 1: 4, "-1": 5, "01": 6}`},
	{"own __proto__", `JSON.parse('{"__proto__":{"x":1},"constructor":1,"toString":2}')`},
	{"empty key", `{"": 1}`},
	{"Buffer", `Buffer.from([0, 1, 127, 128, 254, 255])`},
	{"empty Buffer", `Buffer.alloc(0)`},
	{"nested Buffer", `{a: [Buffer.from("hi")], type: "user"}`},
	{"like a Buffer", `{data: [1, 2], type: "Buffer"}`},
	{"Uint8Array", `new Uint8Array([1, 2])`},
	{"Date", `new Date(0)`},
	{"boxed", `[new String("s"), new Number(1), new Boolean(false)]`},
	{"toJSON", `{toJSON() { return {x: 1} }}`},
	{"like a control message", `{type: "findPeers", data: "x"}`},
	{"datagram of Socket", `{buffer: Buffer.from([1, 2, 3]), address: "00", port: 7}`},
}

// carried are messages that no JavaScript peer writes, put on a link to a JavaScript relay.
// The vectors record what it makes of them. $to and $from are ids; $TO, $bto and so on
// their other forms, and $head is the head of a receipt between them.
var carried = []struct{ name, frame string }{
	{"a user message of its own", `{"to":"$to","from":"$from","path":["$from"],"nonce":"1","data":{"type":"user","data":"x"}}`},
	{"pr", `{"to":"$to","from":"$from","path":["$from"],"nonce":"2","data":{"type":"user","data":"x"},"pr":{"h":"AAECAw","s":"_-8","r":["$to"],"t":"2800ffee"}}`},
	{"pr before data", `{"pr":{"v":"1,a,b"},"to":"$to","from":"$from","path":["$from"],"nonce":"3","data":{"type":"user","data":"x"}}`},
	{"unknown fields of every type", `{"to":"$to","from":"$from","path":["$from"],"nonce":"4","data":{"type":"user","data":"x"},"s":"ü","n":1,"b":true,"z":null,"a":[{}],"o":{"p":[]}}`},
	{"other order of keys", `{"data":{"data":"x","type":"user"},"nonce":"5","path":["$from"],"from":"$from","to":"$to"}`},
	{"white space", " {\t\"to\" : \"$to\",\n\"from\":\"$from\",\"path\":[ \"$from\" ],\"nonce\":\"6\",\"data\":{\"type\":\"user\", \"data\":[ 1 , 2 ]}}\r\n"},
	{"numbers", `{"to":"$to","from":"$from","path":["$from"],"nonce":"7","data":{"type":"user","data":[1.0,-0,1e400,12345678901234567890,1E2,0.10,123456789012345680000,1e21]}}`},
	{"strings", `{"to":"$to","from":"$from","path":["$from"],"nonce":"8","data":{"type":"user","data":["\u0041\/\u00fc\ud83d\ude00\ud800\u2028\u003c<&>"]}}`},
	{"keys", `{"to":"$to","from":"$from","path":["$from"],"nonce":"9","data":{"type":"user","data":{"b":1,"2":2,"1":3,"b":4,"__proto__":5}}}`},
	{"more fields in data", `{"to":"$to","from":"$from","path":["$from"],"nonce":"10","data":{"type":"user","data":"x","more":[1]}}`},
	{"no value", `{"to":"$to","from":"$from","path":["$from"],"nonce":"11","data":{"type":"user"}}`},
	{"unknown type", `{"to":"$to","from":"$from","path":["$from"],"nonce":"12","data":{"type":"pr","data":{"x":1}}}`},
	{"data no object", `{"to":"$to","from":"$from","path":["$from"],"nonce":"13","data":"just a string"}`},
	{"data an array", `{"to":"$to","from":"$from","path":["$from"],"nonce":"14","data":[1,{"type":"user"}]}`},
	{"ids in upper case", `{"to":"$TO","from":"$FROM","path":["$from"],"nonce":"15","data":{"type":"user","data":"x"}}`},
	{"ids as Buffers", `{"to":$bto,"from":$bfrom,"path":["$from"],"nonce":"16","data":{"type":"user","data":"x"}}`},
	{"ids as arrays", `{"to":$ato,"from":$afrom,"path":["$from"],"nonce":"17","data":{"type":"user","data":"x"}}`},
	{"a nonce that is no number", `{"to":"$to","from":"$from","path":["$from"],"nonce":"~ nonce 18","data":{"type":"user","data":"x"}}`},
	{"a longer path", `{"to":"$to","from":"$from","path":["$from","$other"],"nonce":"19","data":{"type":"user","data":"x"}}`},
	{"an empty path", `{"to":"$to","from":"$from","path":[],"nonce":"20","data":{"type":"user","data":"x"}}`},
	{"a receipt", `{"to":"$to","from":"$from","path":["$from"],"nonce":"21","data":{"type":"pr"},"pr":{"h":"$head","s":"-_8A","r":["$other"],"t":"08010300","p":"AAECAw"}}`},
	{"a receipt without bytes", `{"to":"$to","from":"$from","path":["$from"],"nonce":"22","data":{"type":"pr"},"pr":{"h":"$head","p":""}}`},
}

// A recorder collects vectors from one Node process.
type recorder struct {
	driver  *peers.Driver
	session string // makes names unique in the driver
	vectors []vector
}

// recordVectors records every vector from the live package.
func recordVectors(ctx context.Context, d *peers.Driver) ([]vector, error) {
	r := &recorder{driver: d}
	answers := []struct {
		name string
		c1   peers.NPMSpec
	}{
		{"with a port", peers.NPMSpec{Spec: peers.Spec{Listen: true}}},
		{"without a port", peers.NPMSpec{}},
		{"with WebRTC", peers.NPMSpec{FakeWebRTC: true}},
	}
	for i, a := range answers {
		r.session = fmt.Sprintf("control%d ", i)
		if err := r.control(ctx, a.name, a.c1, i == 0); err != nil {
			return nil, fmt.Errorf("record handshake %s: %w", a.name, err)
		}
	}
	r.session = "user "
	if err := r.user(ctx); err != nil {
		return nil, fmt.Errorf("record user messages: %w", err)
	}
	r.session = "carried "
	if err := r.carried(ctx); err != nil {
		return nil, fmt.Errorf("record carried messages: %w", err)
	}
	return r.vectors, nil
}

func (r *recorder) peer(ctx context.Context, name string, spec peers.NPMSpec) (*peers.NPMPeer, error) {
	spec.Name, spec.ID = r.session+name, vectorID(name)
	return r.driver.Peer(ctx, spec)
}

// relay starts c2 and two taps before it.
func (r *recorder) relay(ctx context.Context) (c2 *peers.NPMPeer, taps [2]*peers.Tap, err error) {
	if c2, err = r.peer(ctx, "c2", peers.NPMSpec{Spec: peers.Spec{Listen: true}, Hold: true}); err != nil {
		return nil, taps, err
	}
	for i := range taps {
		if taps[i], err = r.driver.Tap(ctx, fmt.Sprintf("%stap%d", r.session, i), c2.URL()); err != nil {
			return nil, taps, err
		}
	}
	return c2, taps, nil
}

// end destroys what a session started, before the next one takes the same ids.
func (r *recorder) end(ctx context.Context, taps [2]*peers.Tap, all ...*peers.NPMPeer) error {
	for _, p := range all {
		if err := p.Destroy(ctx); err != nil {
			return err
		}
	}
	for _, t := range taps {
		if err := t.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// frame waits for the n-th frame of a tap and direction that has the given part.
func frame(ctx context.Context, t *peers.Tap, up bool, part string, n int) (string, error) {
	found, err := t.Frames.WaitN(ctx, n, func(f peers.TapFrame) bool { return f.Up == up && strings.Contains(f.Text, part) })
	if err != nil {
		return "", fmt.Errorf("frame %d with %s: %w", n, part, err)
	}
	return found[n-1].Text, nil
}

// control records the frames with which c1 and then c3 join c2 and c3 finds c1.
func (r *recorder) control(ctx context.Context, name string, spec peers.NPMSpec, all bool) error {
	c2, taps, err := r.relay(ctx)
	if err != nil {
		return err
	}
	spec.Bootstrap = []string{taps[0].URL}
	c1, err := r.peer(ctx, "c1", spec)
	if err != nil {
		return err
	}
	names := [2]string{"c1", "c3"}
	take := func(file, what string, tap int, up bool, part, suffix string) error {
		text, err := frame(ctx, taps[tap], up, part, 1)
		if err != nil {
			return err
		}
		v := vector{File: file, Writer: names[tap], Reader: "c2", Frame: text}
		if !up {
			v.Writer, v.Reader = v.Reader, v.Writer
		}
		v.Name = fmt.Sprintf("%s from %s%s", what, v.Writer, suffix)
		r.vectors = append(r.vectors, v)
		return nil
	}
	// join records how a peer and c2 meet. It is over before the next step, because the
	// lists of foundPeers depend on the order.
	join := func(tap int) error {
		for _, up := range []bool{true, false} {
			// The hello is the one frame that begins with a type.
			for _, f := range []struct{ file, what, part string }{
				{"hello", "hello", `{"type":"Buffer","data":[`},
				{"control", "findPeers", `"type":"findPeers"`},
				{"control", "foundPeers", `"type":"foundPeers"`},
			} {
				if !all {
					if _, err := frame(ctx, taps[tap], up, f.part, 1); err != nil {
						return err
					}
				} else if err := take(f.file, f.what, tap, up, f.part, " to "+map[bool]string{true: "c2", false: names[tap]}[up]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := join(0); err != nil {
		return err
	}
	c3, err := r.peer(ctx, "c3", peers.NPMSpec{Spec: peers.Spec{Listen: true, Bootstrap: []string{taps[1].URL}}})
	if err != nil {
		return err
	}
	if err := join(1); err != nil {
		return err
	}
	if all {
		if err := take("control", "handshake-offer", 1, true, `"handshake-offer"`, ""); err != nil {
			return err
		}
		if err := take("relayed", "handshake-offer", 0, false, `"handshake-offer"`, ", relayed"); err != nil {
			return err
		}
	}
	if err := take("control", "handshake-answer", 0, true, `"handshake-answer"`, " "+name); err != nil {
		return err
	}
	if err := take("relayed", "handshake-answer", 1, false, `"handshake-answer"`, " "+name+", relayed"); err != nil {
		return err
	}
	if spec.Listen {
		if _, err := c3.Events().Wait(ctx, peers.IsPeer(c1.ID())); err != nil {
			return err
		}
		if _, err := c1.Events().Wait(ctx, peers.IsPeer(c3.ID())); err != nil {
			return err
		}
	}
	return r.end(ctx, taps, c3, c1, c2)
}

// user records c1 sending every value to c2, and through c2 to c3.
func (r *recorder) user(ctx context.Context) error {
	c2, taps, err := r.relay(ctx)
	if err != nil {
		return err
	}
	c1, err := r.peer(ctx, "c1", peers.NPMSpec{Spec: peers.Spec{Bootstrap: []string{taps[0].URL}}, Hold: true})
	if err != nil {
		return err
	}
	c3, err := r.peer(ctx, "c3", peers.NPMSpec{Spec: peers.Spec{Bootstrap: []string{taps[1].URL}}, Hold: true})
	if err != nil {
		return err
	}
	for _, pair := range [][2]*peers.NPMPeer{{c1, c2}, {c3, c2}, {c2, c1}, {c2, c3}} {
		if _, err := pair[0].Events().Wait(ctx, peers.IsPeer(pair[1].ID())); err != nil {
			return err
		}
	}
	const part = `"data":{"type":"user"`
	for i, v := range vectorValues {
		if err := c1.Send(ctx, c2.ID(), peers.JS(v.js)); err != nil {
			return err
		}
		if err := c1.Send(ctx, c3.ID(), peers.JS(v.js)); err != nil {
			return err
		}
		for _, x := range []struct {
			file, writer, reader string
			tap                  *peers.Tap
			up                   bool
			n                    int
			receiver             *peers.NPMPeer
		}{
			{"user", "c1", "c2", taps[0], true, 2*i + 1, c2},
			{"relayed", "c2", "c3", taps[1], false, i + 1, c3},
		} {
			text, err := frame(ctx, x.tap, x.up, part, x.n)
			if err != nil {
				return err
			}
			received, err := x.receiver.Events().WaitN(ctx, i+1, peers.IsKind(peers.EventMessage))
			if err != nil {
				return err
			}
			r.vectors = append(r.vectors, vector{File: x.file, Name: v.name, Writer: x.writer, Reader: x.reader,
				Value: v.js, Frame: text, Received: textOf(received[i])})
		}
	}
	return r.end(ctx, taps, c3, c1, c2)
}

func textOf(e peers.Event) *string {
	if e.Data == nil {
		return nil
	}
	text := string(e.Data)
	return &text
}

// carried records what c2 passes on to c3 of frames that c1, a bare WebSocket, sends.
func (r *recorder) carried(ctx context.Context) error {
	c2, taps, err := r.relay(ctx)
	if err != nil {
		return err
	}
	c3, err := r.peer(ctx, "c3", peers.NPMSpec{Spec: peers.Spec{Bootstrap: []string{taps[1].URL}}, Hold: true})
	if err != nil {
		return err
	}
	c1, err := r.driver.DialRaw(ctx, r.session+"c1", c2.URL(), peers.RawOptions{})
	if err != nil {
		return err
	}
	to, from := c3.ID(), vectorID("c1")
	if err := c1.SendText(ctx, peers.HelloText(from)); err != nil {
		return err
	}
	for _, id := range []protocol.ID{to, from} {
		if _, err := c2.Events().Wait(ctx, peers.IsPeer(id)); err != nil {
			return err
		}
	}
	other := vectorID("c4")
	receipt := wire.Body{To: to, From: from, Kind: wire.KindReceipt, Form: wire.FormRaw}
	if err := receipt.Encode(); err != nil {
		return err
	}
	fill := strings.NewReplacer(
		"$head", base64.RawURLEncoding.EncodeToString(receipt.Head()),
		"$to", to.String(), "$from", from.String(), "$other", other.String(),
		"$TO", strings.ToUpper(to.String()), "$FROM", strings.ToUpper(from.String()),
		"$bto", string(peers.BufferText(to[:])), "$bfrom", string(peers.BufferText(from[:])),
		"$ato", peers.BytesText(to[:]), "$afrom", peers.BytesText(from[:]))
	messages := 0
	for _, m := range carried {
		sent := fill.Replace(m.frame)
		if err := c1.SendText(ctx, sent); err != nil {
			return err
		}
		// Every one has a nonce of its own, which a relay leaves as it is.
		var nonce struct{ Nonce json.RawMessage }
		if err := json.Unmarshal([]byte(sent), &nonce); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		text, err := frame(ctx, taps[1], false, `"nonce":`+string(nonce.Nonce), 1)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		v := vector{File: "carried", Name: m.name, Writer: "c2", Reader: "c3", Sent: sent, Frame: text}
		var envelope struct{ Data json.RawMessage }
		if err := json.Unmarshal([]byte(text), &envelope); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		var data struct{ Type string }
		if json.Unmarshal(envelope.Data, &data) == nil && data.Type == "user" {
			messages++
			received, err := c3.Events().WaitN(ctx, messages, peers.IsKind(peers.EventMessage))
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			v.Received = textOf(received[messages-1])
		}
		r.vectors = append(r.vectors, v)
	}
	if err := c1.Terminate(ctx); err != nil {
		return err
	}
	return r.end(ctx, taps, c3, c2)
}
