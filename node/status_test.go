package node

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/node/internal/status"
	"github.com/peer-relay/peer-relay/node/mailbox"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestStatusShowsPeersIfItMay checks that the status page shows the ids of other peers only
// with ShowPeers.
func TestStatusShowsPeersIfItMay(t *testing.T) {
	for _, show := range []bool{false, true} {
		o, _, peers := inboxOf(local(Options{ShowPeers: show}))
		n := start(t, o)
		other := start(t, Options{Bootstraps: []string{n.Addrs()[0].String()}})
		nodetest.Receive(t, "peer", peers)
		for _, path := range []string{"", "status.json"} {
			resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/%s", n.Port(), path))
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(page), other.ID().String()); got != show {
				t.Errorf("ShowPeers %v: /%s shows the id of a peer: %v", show, path, got)
			}
			if !strings.Contains(string(page), n.ID().String()) {
				t.Errorf("/%s does not show the node's own id", path)
			}
		}
		http.DefaultClient.CloseIdleConnections()
	}
}

// TestStatusListsPeersSeldom checks that peers are listed at most once a second for any number
// of visitors, and not at all without ShowPeers.
func TestStatusListsPeersSeldom(t *testing.T) {
	n := start(t, local(Options{}))
	n.mu.Lock()
	for i := range 1000 {
		n.remotes[protocol.ID{1, byte(i), byte(i >> 8)}] = remote{}
	}
	n.mu.Unlock()
	if d := n.status(); d.Peers != nil || !n.peerList.at.IsZero() {
		t.Errorf("without ShowPeers %d peers were listed", len(d.Peers))
	}
	ids := n.linked()
	if len(ids) != 1000 || !slices.IsSortedFunc(ids, protocol.ID.Compare) {
		t.Errorf("%d peers are listed, or they are not in order", len(ids))
	}

	var l peerList
	made := 0
	list := func() []protocol.ID { made++; return []protocol.ID{{byte(made)}} }
	begun := time.Now()
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {1, 1}, {listAge - 1, 1}, {listAge, 2}, {listAge + 1, 2}, {2*listAge - 1, 2}, {3 * listAge, 3}} {
		if got := l.get(begun.Add(step.after), list); made != step.want || got[0] != (protocol.ID{byte(step.want)}) {
			t.Errorf("after %v the list was made %d times, want %d", step.after, made, step.want)
		}
	}
}

// An operator sees for which limit connections were refused.
func TestStatusShowsRefusals(t *testing.T) {
	n := start(t, local(Options{MaxConns: 1}))
	refusals := func() (names []string) {
		for _, c := range n.status().Counters {
			if strings.HasPrefix(c.Name, "connections refused") {
				names = append(names, fmt.Sprint(c.Name, " ", c.Value))
			}
		}
		return names
	}
	if got := refusals(); len(got) > 0 {
		t.Errorf("before any there are %q", got)
	}
	x := meet(t, n, []byte{0x0a, 9, 0x19, 1, 2, 3, 4, 5, 6, 7, 8})
	defer x.s.Reset()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", n.Port()))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if got, want := refusals(), []string{"connections refused: connections 1"}; resp.StatusCode != http.StatusServiceUnavailable || !slices.Equal(got, want) {
		t.Errorf("the answer is %s, and the status shows %q, want %q", resp.Status, got, want)
	}
}

// TestStatusOfAMailbox checks that the page of a mailbox has its counters, and no other page.
func TestStatusOfAMailbox(t *testing.T) {
	has := func(n *Node) bool {
		return slices.ContainsFunc(n.status().Counters, func(c status.Counter) bool { return c.Name == "mailbox: messages" && c.Value == 0 })
	}
	if !has(start(t, local(Options{Mailbox: &mailbox.Options{Dir: t.TempDir()}}))) || has(start(t, local(Options{}))) {
		t.Error("a mailbox does not show its messages, or another node does")
	}
}
