package plays

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/protocol"
)

func TestNewcomersFindAnybodyInTheDHT(t *testing.T) {
	ctx := harness.Context(t)
	n, err := OpenFleets(ctx, 2, peers.FleetSpec{Hosts: 2})
	harness.Must(t, err)
	defer func() { harness.Must(t, n.Close()) }()
	harness.Must(t, peers.Until(ctx, "every host to be linked with every other, and known to the DHT", func() (bool, error) {
		states, err := n.State(ctx)
		return err == nil && !slices.ContainsFunc(states, func(s peers.FleetState) bool {
			return s.Links < len(states)-1 || s.Published == 0
		}), err
	}))
	at := n.Hosts[0]
	for _, c := range []Newcomer{{Overlay: true}, {DHT: true, Listen: true}, {DHT: true}, {Overlay: true, DHT: true}} {
		for _, to := range n.Hosts[1:] {
			_, err := c.Join(ctx, at, to)
			harness.Must(t, err)
		}
	}
}

// lonelyServer returns a server of a DHT that knows no other, a client for it, and an address
// where there is no peer.
func lonelyServer(t *testing.T) (at peers.FleetHost, client *KadClient, decoy *Decoy) {
	t.Helper()
	server, err := node.New(node.Options{Listen: true, ListenHost: peers.Loopback, DHT: &dht.Options{Closed: true}})
	harness.Must(t, err)
	t.Cleanup(func() { harness.Must(t, server.Close()) })
	client, err = NewKadClient()
	harness.Must(t, err)
	t.Cleanup(func() { harness.Must(t, client.Close()) })
	decoy, err = NewDecoy("0")
	harness.Must(t, err)
	t.Cleanup(func() { harness.Must(t, decoy.Close()) })
	return peers.FleetHost{ID: server.ID(), Peer: server.Host().ID(), Addr: server.Addrs()[0].String()}, client, decoy
}

func TestAStaleRecordIsDialledOnce(t *testing.T) {
	ctx := harness.Context(t)
	at, client, decoy := lonelyServer(t)
	_, gone, err := Forgeries(at, decoy.Addr())
	harness.Must(t, err)
	if taken, err := client.Put(ctx, at, gone); err != nil || !taken {
		t.Fatalf("the record is taken: %v, %v", taken, err)
	}
	figure, err := Stale(ctx, at, peers.FleetHost{ID: gone.ID, Peer: gone.Peer}, 0)
	harness.Must(t, err)
	if figure != (StaleFigure{Found: 1, Dials: 1}) || decoy.Dials() != 1 {
		t.Errorf("it costs %+v, and %d dials arrive", figure, decoy.Dials())
	}
}

func TestForgedRecordsAreNeitherKeptNorBelieved(t *testing.T) {
	ctx := harness.Context(t)
	at, client, decoy := lonelyServer(t)
	forged, right, err := Forgeries(at, decoy.Addr())
	harness.Must(t, err)
	for _, f := range append(forged, right) {
		t.Run(f.Name, func(t *testing.T) {
			want := f.Name == right.Name
			taken, err := client.Put(ctx, at, f)
			harness.Must(t, err)
			kept, err := client.Kept(ctx, at, f.Key)
			harness.Must(t, err)
			if taken != want || bytes.Equal(kept, f.Value) != want {
				t.Errorf("taken: %v, kept: %x; want %v", taken, kept, want)
			}
			if f.ID == (protocol.ID{}) {
				return
			}
			lie, err := Lie(ctx, f, decoy)
			harness.Must(t, err)
			if lie.Asked == 0 || (lie.Found > 0) != want {
				t.Errorf("a newcomer asked a liar %d times and believed it %d times; want %v", lie.Asked, lie.Found, want)
			}
		})
	}
}

// TestLogsAreRead looks for the log texts that are awaited where they are written: waiting
// for one that was changed would take long, and its failure would say little.
func TestLogsAreRead(t *testing.T) {
	root, err := peers.Root()
	harness.Must(t, err)
	for text, where := range map[string]string{lineFound: "node/dht", lineEnded: "node/dht", lineFailed: "protocol"} {
		files, err := filepath.Glob(filepath.Join(root, where, "*.go"))
		harness.Must(t, err)
		if !slices.ContainsFunc(files, func(file string) bool {
			source, err := os.ReadFile(file)
			harness.Must(t, err)
			return bytes.Contains(source, []byte(".Debug("+strconv.Quote(text)+`, "peer", `))
		}) {
			t.Errorf("package %s does not log %q of a peer, which dht.go reads in its logs", where, text)
		}
	}
}

func TestOursShareTheDHTOfPlainHosts(t *testing.T) {
	figure, err := ShareDHT(harness.Context(t), harness.Binary(t), "/acme", 3, 2)
	harness.Must(t, err)
	if len(figure.Found) != 6 || len(figure.After) != 3 {
		t.Errorf("plain hosts found ours: %+v", figure)
	}
}
