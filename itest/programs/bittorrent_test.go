package programs

import (
	"crypto/sha1"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	peer_store "github.com/anacrolix/dht/v2/peer-store"
	"golang.org/x/time/rate"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/ula"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	servers    = 40
	getters    = 5 // servers that ask for each torrent
	dhtPort    = 6881
	bucketSize = 8 // of a routing table of the library

	// answerTime is how long a server waits for an answer. It sends its question once, so
	// that a machine that stands still for so long has lost it.
	answerTime = 15 * time.Second
)

// A store keeps what was announced to one server. The library's own, v2.23.0's
// peer_store.InMemory, panics at the first lookup.
type store struct {
	mu    sync.Mutex
	peers map[peer_store.InfoHash][]krpc.NodeAddr
	count int
}

func (s *store) AddPeer(torrent peer_store.InfoHash, peer krpc.NodeAddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[torrent] = append(s.peers[torrent], peer)
	s.count++
}

func (s *store) GetPeers(torrent peer_store.InfoHash) []krpc.NodeAddr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[torrent]
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// A swarm is a BitTorrent DHT, each server on a node of its own.
type swarm struct {
	nodes   []*node.Node
	conns   []*ula.Conn
	servers []*dht.Server
	stores  []*store

	mu     sync.Mutex
	linked [servers]map[protocol.ID]bool // the peers with which each node ever had a link
}

// TestBitTorrentDHT has 40 servers of github.com/anacrolix/dht on 40 nodes that know one
// of each other. Every server announces a torrent of its own, and five others find it.
func TestBitTorrentDHT(t *testing.T) {
	var s swarm
	begin := time.Now()
	lap := func() time.Duration {
		took := time.Since(begin).Round(time.Millisecond)
		begin = time.Now()
		return took
	}
	links := s.startNodes(t)
	t.Logf("%d nodes, %.1f links each, after %v", servers, links, lap())
	before := trafficOf(s.nodes)
	s.startServers(t)
	t.Logf("their routing tables are as full as they can be after %d rounds, %v", s.meet(t), lap())

	copies := s.each(func(i int) int {
		a, err := s.servers[i].AnnounceTraversal(torrent(i), dht.AnnouncePeer(dht.AnnouncePeerOpts{Port: btPort(i)}))
		if err != nil {
			t.Error(err)
			return 0
		}
		finish(a)
		return int(s.servers[i].Stats().SuccessfulOutboundAnnouncePeerQueries)
	})
	// A server answers an announcement before it has kept it.
	eventually(t, "all that was announced to be kept", func() bool {
		kept := 0
		for _, st := range s.stores {
			kept += st.len()
		}
		return kept >= copies
	})
	t.Logf("%d torrents announced, each to %.1f servers, after %v", servers, float64(copies)/servers, lap())

	found := s.each(func(i int) (found int) {
		for n := range getters {
			of := (i + 1 + 3*n) % servers
			a, err := s.servers[i].AnnounceTraversal(torrent(of))
			if err != nil {
				t.Error(err)
				continue
			}
			want := krpc.NodeAddr{IP: s.conns[of].LocalAddr().(*net.UDPAddr).IP, Port: btPort(of)}
			has := false
			for _, peer := range finish(a) {
				if !peer.IP.Equal(want.IP) || peer.Port != want.Port {
					t.Errorf("server %d found %v for torrent %d, which is at %v", i, peer, of, want)
				}
				has = true
			}
			if has {
				found++
			} else {
				t.Errorf("server %d contacted %d servers and found nobody for torrent %d", i, a.NumContacted(), of)
			}
		}
		return found
	})
	t.Logf("%d of %d gets found the peer that announced, after %v", found, servers*getters, lap())

	after := trafficOf(s.nodes)
	crossed := traffic{after.sent - before.sent, after.forwarded - before.forwarded}
	var stats ula.Stats
	for _, c := range s.conns {
		x := c.Stats()
		stats.Sent += x.Sent
		stats.Received += x.Received
		stats.Unresolved += x.Unresolved
	}
	t.Logf("%d datagrams sent, %d received, %d to addresses that nobody was found for; %.2f links each",
		stats.Sent, stats.Received, stats.Unresolved, crossed.hops())
	// How many links there are in the first minute is chance, for none is let go of before.
	if apart := s.apart(); apart == 0 || crossed.forwarded < uint64(apart) {
		t.Errorf("%d servers heard from one that they never had a link with, and %d of %d datagrams were forwarded", apart, crossed.forwarded, crossed.sent)
	} else {
		t.Logf("%d times a server heard from one that it never had a link with", apart)
	}
	if t.Failed() {
		for i, n := range s.nodes {
			t.Logf("node %d: %+v", i, n.Router().Stats())
		}
	}
}

func torrent(i int) [20]byte { return sha1.Sum(fmt.Appendf(nil, "torrent %d", i)) }

// btPort is where the BitTorrent client beside a server listens.
func btPort(i int) int { return 6000 + i }

// finish waits for the end of a lookup, and of the announcement that may follow it. It
// returns the peers that were found.
func finish(a *dht.Announce) (peers []dht.Peer) {
	defer a.Close()
	for answer := range a.Peers {
		peers = append(peers, answer.Peers...)
	}
	return peers
}

// startNodes starts the nodes and waits for the overlay. It returns the mean number of links.
func (s *swarm) startNodes(t *testing.T) float64 {
	for i := range servers {
		o := node.Options{Listen: true, ListenHost: "127.0.0.1"}
		s.linked[i] = make(map[protocol.ID]bool)
		o.OnPeer = func(l protocol.LinkInfo) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.linked[i][l.ID] = true
		}
		if i > 0 {
			o.Bootstraps = []string{s.nodes[0].Addrs()[0].String()}
		}
		s.nodes = append(s.nodes, start(t, o))
	}
	eventually(t, "the overlay to be there", s.connected)
	links := 0
	for _, n := range s.nodes {
		links += len(n.Router().Peers())
	}
	return float64(links) / servers
}

// connected reports whether every node has, for every other, a link to one that is nearer
// to that other than it is itself: then every node is found.
func (s *swarm) connected() bool {
	for _, n := range s.nodes {
		links := n.Router().Peers()
		for _, to := range s.nodes {
			nearer := func(l protocol.LinkInfo) bool { return to.ID().Closer(l.ID, n.ID()) }
			if to != n && !slices.ContainsFunc(links, nearer) {
				return false
			}
		}
	}
	return true
}

// apart returns how many entries of routing tables are of a server that there never was a
// link with. A datagram came from each of these, so that a relay has forwarded it.
func (s *swarm) apart() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range s.nodes {
		for j, b := range s.nodes {
			listed := slices.ContainsFunc(s.servers[i].Nodes(), func(n krpc.NodeInfo) bool { return n.ID == s.servers[j].ID() })
			if listed && !s.linked[i][b.ID()] && !s.linked[j][a.ID()] {
				n++
			}
		}
	}
	return n
}

// startServers starts the servers. Their ids are always the same, so that it is always the
// same ones that a torrent is announced to, wherever their nodes are in the overlay.
func (s *swarm) startServers(t *testing.T) {
	startingNodes := func() ([]dht.Addr, error) { return []dht.Addr{dht.NewAddr(s.conns[0].LocalAddr())}, nil }
	for i, n := range s.nodes {
		s.conns = append(s.conns, listen(t, n, dhtPort))
		s.stores = append(s.stores, &store{peers: make(map[peer_store.InfoHash][]krpc.NodeAddr)})
		c := dht.NewDefaultServerConfig()
		c.Conn = s.conns[i]
		c.PeerStore = s.stores[i]
		c.NodeId = sha1.Sum(fmt.Appendf(nil, "server %d", i))
		c.DefaultWant = []krpc.Want{krpc.WantNodes6}
		c.StartingNodes = startingNodes
		// The default one is shared by all servers of a process.
		c.SendLimiter = rate.NewLimiter(rate.Inf, 0)
		c.QueryResendDelay = func() time.Duration { return answerTime }
		server, err := dht.NewServer(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { // before its node
			server.Close()
			s.conns[i].Close() // which the server leaves to a goroutine of its own; this one waits
		})
		s.servers = append(s.servers, server)
	}
}

// each runs f for every server at the same time and adds up the results.
func (s *swarm) each(f func(i int) int) (sum int) {
	var tasks sync.WaitGroup
	results := make([]int, servers)
	for i := range servers {
		tasks.Go(func() { results[i] = f(i) })
	}
	tasks.Wait()
	for _, n := range results {
		sum += n
	}
	return sum
}

// meet has the servers look for each other until every bucket of every routing table has
// 8 servers that answered, or all that there are for it. Then a lookup comes to the
// servers nearest to its target, from every server. The library's TableMaintainer gets
// there too, but by steps of a minute, and its find_node of v2.23.0 asks for other nodes
// than it wants. It returns the number of rounds.
func (s *swarm) meet(t *testing.T) (rounds int) {
	begin := time.Now()
	for ; ; rounds++ {
		missing := s.each(func(i int) int {
			_, room := s.incomplete(i)
			return room - s.servers[i].Stats().GoodNodes
		})
		switch {
		case missing == 0:
			return rounds
		case time.Since(begin) > patience:
			t.Fatalf("after %d rounds %d places in routing tables are empty", rounds, missing)
		}
		s.each(func(i int) int {
			wanted, _ := s.incomplete(i)
			for _, bucket := range wanted {
				target := s.servers[i].ID()
				target[bucket/8] ^= 0x80 >> (bucket % 8)
				a, err := s.servers[i].AnnounceTraversal(target)
				if err != nil {
					t.Error(err)
					continue
				}
				finish(a)
			}
			// Those that have asked and were never asked are not told to others.
			if nodes := s.servers[i].Nodes(); len(nodes) > s.servers[i].Stats().GoodNodes {
				for _, n := range nodes {
					s.servers[i].Ping(n.Addr.UDP())
				}
			}
			return 0
		})
	}
}

// incomplete returns the buckets of a server's routing table that more servers belong into,
// and how many the table has room for. The first bucket is of those whose ids differ from
// the server's own in the first bit.
func (s *swarm) incomplete(i int) (wanted []int, room int) {
	self := protocol.ID(s.servers[i].ID())
	var exist, known [wire.IDBits]int
	for j, server := range s.servers {
		if j != i {
			exist[self.CommonPrefixLen(server.ID())]++
		}
	}
	for _, n := range s.servers[i].Nodes() {
		known[self.CommonPrefixLen(protocol.ID(n.ID))]++
	}
	for bucket, n := range exist {
		n = min(n, bucketSize)
		room += n
		if known[bucket] < n {
			wanted = append(wanted, bucket)
		}
	}
	return wanted, room
}
