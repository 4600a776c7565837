package node

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/status"
	"github.com/peer-relay/peer-relay/protocol"
)

// status returns the data of the status page.
func (n *Node) status() status.Data {
	stats := n.router.Stats()
	d := status.Data{
		ID: n.ID(), PeerID: n.host.ID().String(), Version: n.opts.Version, Started: n.begun,
		WebSocket: n.URLs(), Links: stats.Links,
		Counters: []status.Counter{
			{Name: "received", Value: stats.Received}, {Name: "sent", Value: stats.Sent},
			{Name: "delivered", Value: stats.Delivered}, {Name: "forwarded", Value: stats.Forwarded},
			{Name: "control", Value: stats.Control}, {Name: "control forwarded", Value: stats.ControlPassed},
			{Name: "copies", Value: stats.Copies}, {Name: "links opened", Value: stats.LinksOpened},
			{Name: "links refused", Value: stats.LinksRefused}, {Name: "invalid signatures", Value: stats.BadSignatures},
			{Name: "events missed", Value: stats.EventsMissed},
			{Name: "goroutines", Value: uint64(runtime.NumGoroutine())},
		},
	}
	if n.dht != nil {
		d.Counters = append(d.Counters,
			status.Counter{Name: "DHT peers", Value: uint64(n.dht.Peers())},
			status.Counter{Name: "DHT records published", Value: n.dht.Published()},
			status.Counter{Name: "DHT legacy peers held", Value: uint64(n.dht.Held())})
	}
	if n.mailbox != nil {
		kept := n.mailbox.Stats()
		d.Counters = append(d.Counters,
			status.Counter{Name: "mailbox: messages", Value: uint64(kept.Messages)},
			status.Counter{Name: "mailbox: bytes", Value: uint64(kept.Bytes)},
			status.Counter{Name: "mailbox: kept", Value: stats.Kept},
			status.Counter{Name: "mailbox: refused", Value: stats.KeepRefused},
			status.Counter{Name: "mailbox: handed over", Value: stats.HandedOver})
	}
	for _, a := range n.Addrs() {
		d.Addrs = append(d.Addrs, a.String())
	}
	for reason, count := range stats.Dropped {
		if count > 0 {
			d.Counters = append(d.Counters, status.Counter{Name: "dropped: " + protocol.DropReason(reason).String(), Value: count})
		}
	}
	if n.own != nil {
		outcomes := n.own.Stats().Map()
		for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
			if reason, refused := strings.CutPrefix(outcome, "refused_"); refused && outcomes[outcome] > 0 {
				d.Counters = append(d.Counters, status.Counter{Name: "connections refused: " + reason, Value: outcomes[outcome]})
			}
		}
	}
	counters := n.counters()
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		d.Counters = append(d.Counters, status.Counter{Name: name, Value: counters[name]})
	}
	if n.opts.ShowPeers {
		d.Peers = n.peerList.get(time.Now(), n.linked)
	}
	return d
}

// counters returns the counters of the program.
func (n *Node) counters() map[string]uint64 {
	if n.opts.Counters == nil {
		return nil
	}
	return n.opts.Counters()
}

// linked returns the ids of the linked peers in ascending order.
func (n *Node) linked() []protocol.ID {
	n.mu.Lock()
	ids := slices.Collect(maps.Keys(n.remotes))
	n.mu.Unlock()
	slices.SortFunc(ids, protocol.ID.Compare)
	return ids
}

// listAge is the largest age of the list of peers on the status page.
const listAge = time.Second

// A peerList caches the list of peers for the visitors of the status page. It is made at most
// once in listAge, for any number of visitors.
type peerList struct {
	mu  sync.Mutex // held while the list is made, so that one visitor makes it
	ids []protocol.ID
	at  time.Time // when it was made
}

func (l *peerList) get(now time.Time, list func() []protocol.ID) []protocol.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || now.Sub(l.at) >= listAge {
		l.ids, l.at = list(), now
	}
	return l.ids
}
