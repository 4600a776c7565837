package programs

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/ula"
)

const (
	clients   = 4  // sockets of one node
	questions = 50 // of each client
	dnsPort   = 53
	longText  = 160 // strings of 250 bytes in the last answer
)

// TestDNS has a server of github.com/miekg/dns and clients of it on two nodes that cannot be
// dialled, with two relays between. The server tells each client its address.
func TestDNS(t *testing.T) {
	row := make([]*node.Node, 4) // each is linked to the next one
	link := func(i, to int, o node.Options) {
		o.NoOverlay, o.NoDiscovery = true, true
		if to >= 0 {
			o.Bootstraps = []string{row[to].Addrs()[0].String()}
		}
		row[i] = start(t, o)
	}
	relay, leaf := node.Options{Listen: true, ListenHost: "127.0.0.1"}, node.Options{Role: protocol.RoleLeaf}
	link(1, -1, relay)
	link(2, 1, relay)
	link(0, 1, leaf)
	link(3, 2, leaf)
	linked := func() bool {
		var links []int
		for _, n := range row {
			links = append(links, len(n.Router().Peers()))
		}
		return slices.Equal(links, []int{1, 2, 2, 1})
	}
	eventually(t, "the nodes to be linked in a row", linked)
	client, server := row[0], row[3]

	serveDNS(t, server)
	var tasks sync.WaitGroup
	for range clients {
		tasks.Go(func() {
			if err := ask(client, server); err != nil {
				t.Error(err)
			}
		})
	}
	tasks.Wait()

	crossed := trafficOf(row)
	t.Logf("%d questions and their answers, %d datagrams, %.2f links each", clients*questions, crossed.sent, crossed.hops())
	if !linked() {
		t.Error("there is a link past the relays")
	}
}

// serveDNS has a server answer TXT questions until the test ends.
func serveDNS(t *testing.T, n *node.Node) {
	started, done := make(chan struct{}), make(chan error, 1)
	server := &dns.Server{
		PacketConn:        listen(t, n, dnsPort),
		NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			answer := new(dns.Msg)
			answer.SetReply(q)
			text := []string{w.RemoteAddr().String()}
			if strings.HasPrefix(q.Question[0].Name, "long.") {
				text = append(text, slices.Repeat([]string{strings.Repeat("x", 250)}, longText)...)
			}
			header := dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}
			answer.Answer = []dns.RR{&dns.TXT{Hdr: header, Txt: text}}
			if err := w.WriteMsg(answer); err != nil {
				t.Error(err)
			}
		}),
	}
	go func() { done <- server.ActivateAndServe() }() // ends with Shutdown; the cleanup waits
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-started:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
}

// ask has a client of n ask the server over and over.
func ask(n, server *node.Node) error {
	conn, err := n.DialPacket(server.ID(), dnsPort)
	if err != nil {
		return err
	}
	dialled := &dns.Conn{Conn: ula.Wrap(conn, ula.NewTable(), nil)}
	defer dialled.Close()
	client := &dns.Client{Timeout: patience}
	for i := range questions {
		name := fmt.Sprintf("q%d.overlay.", i)
		q := new(dns.Msg)
		if i == questions-1 {
			name = "long.overlay."
			q.SetEdns0(dns.MaxMsgSize, false)
		}
		q.SetQuestion(name, dns.TypeTXT)
		answer, _, err := client.ExchangeWithConn(q, dialled)
		if err != nil {
			return fmt.Errorf("question %d: %w", i, err)
		}
		if len(answer.Answer) != 1 || answer.Answer[0].Header().Name != name {
			return fmt.Errorf("question %d: the answer is %v", i, answer)
		}
		text := answer.Answer[0].(*dns.TXT).Txt
		if text[0] != dialled.LocalAddr().String() {
			return fmt.Errorf("question %d: the client has %v, the server sees %v", i, dialled.LocalAddr(), text[0])
		}
		if i == questions-1 && len(text) != 1+longText {
			return fmt.Errorf("the long answer has %d strings", len(text))
		}
	}
	return nil
}
