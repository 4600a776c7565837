package peers_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// childPeer speaks the lines of peer-relay --json without a network: what it is told to
// send comes back as a message, and its arguments come first, as the addresses of ready.
func childPeer(args []string, in io.Reader, out io.Writer) error {
	quoted, _ := json.Marshal(args) // strings only
	fmt.Fprintf(out, `{"event":"ready","id":"%s","ws":"ws://127.0.0.1:1","addrs":%s}`+"\n", protocol.ID{1}, quoted)
	lines := bufio.NewScanner(in)
	var linked []protocol.ID
	for lines.Scan() {
		var c struct {
			Send *struct {
				To   protocol.ID
				Data json.RawMessage
			}
			Connect, Disconnect *protocol.ID
			Peers               bool
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		switch {
		case c.Send != nil && c.Send.Data == nil:
			fmt.Fprintf(out, `{"event":"message","from":"%s","proved":true}`+"\n", c.Send.To)
		case c.Send != nil && string(c.Send.Data) == `"bad"`:
			fmt.Fprintln(out, `{"event":"error","error":"too bad"}`)
		case c.Send != nil:
			fmt.Fprintf(out, `{"event":"message","from":"%s","data":%s,"proved":true}`+"\n", c.Send.To, c.Send.Data)
		case c.Connect != nil:
			linked = append(linked, *c.Connect)
			fmt.Fprintf(out, `{"event":"peer","id":"%s"}`+"\n", *c.Connect)
		case c.Disconnect != nil:
			linked = slices.DeleteFunc(linked, func(id protocol.ID) bool { return id == *c.Disconnect })
			fmt.Fprintf(out, `{"event":"disconnect","id":"%s"}`+"\n", *c.Disconnect)
		case c.Peers:
			ids, _ := json.Marshal(linked) // ids only
			fmt.Fprintf(out, `{"event":"peers","peers":%s}`+"\n", ids)
		}
	}
	return lines.Err()
}

// TestGoPeerLines checks this side of --json against a child that has no network.
func TestGoPeerLines(t *testing.T) {
	ctx := harness.Context(t)
	exe, err := os.Executable()
	harness.Must(t, err)
	t.Setenv(peers.PartEnv, "peer")
	peer, err := peers.Go(exe, "--flag").Start(ctx, peers.Spec{Name: "child", Listen: true, Port: 7, Bootstrap: []string{"ws://a", "ws://b"}})
	harness.Must(t, err)
	p := peer.(*peers.GoPeer)
	defer p.Close()
	if p.ID() != (protocol.ID{1}) || p.URL() != "ws://127.0.0.1:1" {
		t.Errorf("ready was read as %+v", p.Ready)
	}
	if got := strings.Join(p.Ready.Addrs, " "); got != "--json --host 127.0.0.1 --flag 7 ws://a ws://b" {
		t.Errorf("arguments are %q", got)
	}

	other := protocol.ID{2}
	harness.Must(t, p.Connect(ctx, other))
	if ids, err := p.Peers(ctx); err != nil || !slices.Equal(ids, []protocol.ID{other}) {
		t.Errorf("peers are %v, %v", ids, err)
	}
	sent := []struct {
		data any
		want string
	}{
		{"<&>", `"<&>"`},
		{[]byte{1, 2}, `{"type":"Buffer","data":[1,2]}`},
		{json.RawMessage(`{"b":1.0,"a":"\ud800"}`), `{"b":1.0,"a":"\ud800"}`},
		{nil, `null`},
		{peers.Undefined{}, ``},
	}
	for _, s := range sent {
		harness.Must(t, p.Send(ctx, other, s.data))
	}
	// Each send returned after it was taken: its echo is here.
	i := 0
	for _, e := range p.Events().All() {
		if e.Kind != peers.EventMessage {
			continue
		}
		if string(e.Data) != sent[i].want || (e.Data == nil) != (sent[i].want == "") {
			t.Errorf("%#v came back as %s, want %s", sent[i].data, e.Data, sent[i].want)
		}
		i++
	}
	if i != len(sent) {
		t.Errorf("%d of %d came back", i, len(sent))
	}
	harness.Must(t, p.Send(ctx, other, "bad"))
	if n := p.Events().Count(peers.IsKind(peers.EventError)); n != 1 {
		t.Errorf("%d errors reported", n)
	}
	if err := p.Send(ctx, other, peers.JS("1")); err == nil {
		t.Error("JavaScript was sent")
	}
	harness.Must(t, p.Disconnect(ctx, other))
	if n := p.Events().Count(peers.IsDisconnect(other)); n != 1 {
		t.Errorf("%d disconnects reported", n)
	}
	harness.Must(t, p.Destroy(ctx))
	if _, err := p.Peers(ctx); err == nil {
		t.Error("a destroyed peer answers")
	}
	harness.Must(t, p.Close())
}
