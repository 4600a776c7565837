package node

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/peer-relay/peer-relay/protocol"
)

// A metric is a number of the router's Stats, in the form in which it is exported.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*protocol.Stats) uint64
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// routerMetrics are the numbers of the router. Their names begin with peer_relay_.
var routerMetrics = []metric{
	{"links", "Links that are usable now.", gauge, func(s *protocol.Stats) uint64 { return uint64(s.Links) }},
	{"links_pending", "Handshakes and dials in progress.", gauge, func(s *protocol.Stats) uint64 { return uint64(s.Pending) }},
	{"candidates", "Peers that are known and not linked.", gauge, func(s *protocol.Stats) uint64 { return uint64(s.Candidates) }},
	{"frames_received_total", "Message frames read from links, those of the overlay included.", counter, func(s *protocol.Stats) uint64 { return s.Received }},
	{"frames_sent_total", "Message frames handed to links, those of the overlay included.", counter, func(s *protocol.Stats) uint64 { return s.Copies }},
	{"messages_sent_total", "Messages of applications that began here.", counter, func(s *protocol.Stats) uint64 { return s.Sent }},
	{"messages_delivered_total", "Messages handed to the application.", counter, func(s *protocol.Stats) uint64 { return s.Delivered }},
	{"messages_forwarded_total", "Messages of applications that were forwarded for others.", counter, func(s *protocol.Stats) uint64 { return s.Forwarded }},
	{"overlay_sent_total", "Messages of the overlay that began here.", counter, func(s *protocol.Stats) uint64 { return s.Control }},
	{"overlay_forwarded_total", "Messages of the overlay that were forwarded for others.", counter, func(s *protocol.Stats) uint64 { return s.ControlPassed }},
	{"invalid_signatures_total", "Messages that arrived unproved because their signature is invalid.", counter, func(s *protocol.Stats) uint64 { return s.BadSignatures }},
	{"links_opened_total", "Links that were opened.", counter, func(s *protocol.Stats) uint64 { return s.LinksOpened }},
	{"links_refused_total", "Links that were refused: duplicates, links to itself, peers that send nothing.", counter, func(s *protocol.Stats) uint64 { return s.LinksRefused }},
	{"kept_total", "Messages that were stored for peers that are offline, further attempts included.", counter, func(s *protocol.Stats) uint64 { return s.Kept }},
	{"keep_refused_total", "Messages that were to be stored, and were refused.", counter, func(s *protocol.Stats) uint64 { return s.KeepRefused }},
	{"handed_over_total", "Messages that were stored, and that their receivers have.", counter, func(s *protocol.Stats) uint64 { return s.HandedOver }},
	{"events_missed_total", "Events that a slow handler of the application missed.", counter, func(s *protocol.Stats) uint64 { return s.EventsMissed }},
}

// A collector exports the counters of one node. It is a prometheus.Collector.
type collector struct {
	n       *Node
	router  []*prometheus.Desc // of routerMetrics
	dropped *prometheus.Desc
	port    *prometheus.Desc
	program *prometheus.Desc
	dht     [3]*prometheus.Desc // peers, published, held
	mailbox [2]*prometheus.Desc // messages, bytes
}

// newCollector returns the collector of a node. Its label "id" distinguishes nodes that share a
// registry.
func newCollector(n *Node) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("peer_relay_"+name, help, labels, prometheus.Labels{"id": n.ID().String()})
	}
	c := &collector{
		n:       n,
		dropped: desc("messages_dropped_total", "Messages that were dropped, by reason.", "reason"),
		port:    desc("port_requests_total", "Clients of the TCP port that were served or refused, by outcome.", "outcome"),
		program: desc("program_total", "Counters of the program, by name.", "name"),
		dht: [...]*prometheus.Desc{
			desc("dht_peers", "Peers in the routing table of the DHT."),
			desc("dht_published_total", "How often the node was published in the DHT."),
			desc("dht_legacy_peers", "Legacy peers that are announced in the DHT as held here."),
		},
		mailbox: [...]*prometheus.Desc{
			desc("mailbox_messages", "Messages that are kept for peers that are offline."),
			desc("mailbox_bytes", "Bytes of these, with what a message counts beside its own."),
		},
	}
	for _, m := range routerMetrics {
		c.router = append(c.router, desc(m.name, m.help))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, descs) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, kind prometheus.ValueType, value uint64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, kind, float64(value), labels...)
	}
	stats := c.n.router.Stats()
	for i, m := range routerMetrics {
		put(c.router[i], m.kind, m.value(&stats))
	}
	for reason, count := range stats.Dropped.Map() {
		put(c.dropped, counter, count, reason)
	}
	if c.n.own != nil {
		for outcome, count := range c.n.own.Stats().Map() {
			put(c.port, counter, count, outcome)
		}
	}
	for name, count := range c.n.counters() {
		put(c.program, counter, count, name)
	}
	if m := c.n.mailbox; m != nil {
		kept := m.Stats()
		put(c.mailbox[0], gauge, uint64(kept.Messages))
		put(c.mailbox[1], gauge, uint64(kept.Bytes))
	}
	if d := c.n.dht; d != nil {
		put(c.dht[0], gauge, uint64(d.Peers()))
		put(c.dht[1], counter, d.Published())
		put(c.dht[2], gauge, uint64(d.Held()))
	}
}

// exportMetrics registers the node's counters if the options name a registry. Close unregisters
// them.
func (n *Node) exportMetrics() error {
	if n.opts.Metrics == nil {
		return nil
	}
	c := newCollector(n)
	if err := n.opts.Metrics.Register(c); err != nil {
		return fmt.Errorf("node: metrics: %w", err)
	}
	n.metrics = c
	return nil
}
