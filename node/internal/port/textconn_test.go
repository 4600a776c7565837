package port

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

// TestTextIsRefused checks that a refused text connection gets the reason, is counted, and
// never reaches libp2p, which would answer it in multistream.
func TestTextIsRefused(t *testing.T) {
	frame := func(head byte, size int, payload string) func(*testing.T, *websocket.Conn) {
		return func(t *testing.T, c *websocket.Conn) {
			b := append([]byte{head, 0x80 | byte(size), 0, 0, 0, 0}, payload...)
			if _, err := c.NetConn().Write(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := func(s string) func(*testing.T, *websocket.Conn) {
		return func(t *testing.T, c *websocket.Conn) { send(t, c, s) }
	}
	for _, test := range []struct {
		name  string
		noone bool // there is no AcceptText
		do    func(*testing.T, *websocket.Conn)
		code  int
		want  Stats
	}{
		{"not JSON", false, text("{"), websocket.CloseProtocolError, Stats{RefusedNotJSON: 1}},
		{"empty", false, text(""), websocket.CloseProtocolError, Stats{RefusedNotJSON: 1}},
		{"multistream as text", false, text("\x13/multistream/1.0.0\n"), websocket.CloseProtocolError, Stats{RefusedNotJSON: 1}},
		{"too big", false, text(`"` + strings.Repeat("x", maxFirstMessage-1) + `"`), websocket.CloseMessageTooBig, Stats{RefusedTooBig: 1}},
		{"far too big", false, text(`"` + strings.Repeat("x", 300<<10) + `"`), websocket.CloseMessageTooBig, Stats{RefusedTooBig: 1}},
		{"silent", false, func(*testing.T, *websocket.Conn) {}, websocket.ClosePolicyViolation, Stats{RefusedSilent: 1}},
		{"half a frame", false, frame(0x81, 20, `{"`), websocket.ClosePolicyViolation, Stats{RefusedSilent: 1}},
		{"half a message", false, frame(0x01, 2, `{"`), websocket.ClosePolicyViolation, Stats{RefusedSilent: 1}},
		{"pings only", false, frame(0x89, 0, ""), websocket.ClosePolicyViolation, Stats{RefusedSilent: 1}},
		{"reserved bits", false, frame(0xf1, 0, ""), websocket.CloseProtocolError, Stats{Left: 1}},
		{"nobody takes text", true, text(legacyHello), websocket.CloseUnsupportedData, Stats{RefusedNoText: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := Options{FirstMessageTimeout: nodetest.Patience}
			if test.want.RefusedSilent > 0 {
				o.FirstMessageTimeout = 50 * time.Millisecond
			}
			if !test.noone {
				o.AcceptText = func(*TextConn) { t.Error("accepted") }
			}
			h := startHost(t, o)
			c := dialText(t, h)
			test.do(t, c)
			if got := closeCode(t, c); got != test.code {
				t.Errorf("close code is %d, want %d", got, test.code)
			}
			c.Close()
			released(t, h)
			if got := h.Stats(); got != test.want {
				t.Errorf("stats are %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLargestFirstMessage(t *testing.T) {
	h := startHost(t, Options{AcceptText: echo})
	echoes(t, dialText(t, h), `"`+strings.Repeat("x", maxFirstMessage-2)+`"`, strings.Repeat("y", maxTextMessage))
}

// TestLaterMessagesHaveTime checks that the deadline is only for the first message.
func TestLaterMessagesHaveTime(t *testing.T) {
	h := startHost(t, Options{AcceptText: echo, FirstMessageTimeout: 500 * time.Millisecond})
	stock := nodetest.StockHost(t)
	nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: h.PortAddrs()})
	text := dialText(t, h)
	echoes(t, text, legacyHello)
	// When a later silent client is refused, the time of the others is over too.
	if got := closeCode(t, dialText(t, h)); got != websocket.ClosePolicyViolation {
		t.Errorf("close code of the silent one is %d", got)
	}
	echoes(t, text, "still here")
	if len(stock.Network().ConnsToPeer(h.ID())) != 1 {
		t.Fatal("the libp2p connection was cut")
	}
	nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID()})
}

// TestManyTextConns checks that every legacy connection counts as its own peer, and that there
// may be many more than libp2p's defaults allow.
func TestManyTextConns(t *testing.T) {
	const n = 300
	h := startHost(t, Options{AcceptText: echo})
	var clients []*websocket.Conn
	for range n {
		clients = append(clients, dialText(t, h))
	}
	for _, c := range clients {
		send(t, c, legacyHello)
	}
	for i, c := range clients {
		if _, got, err := c.ReadMessage(); err != nil || string(got) != legacyHello {
			t.Fatalf("client %d: %q, %v", i, got, err)
		}
	}
	if got, want := h.Stats(), (Stats{Text: n}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
	for _, c := range clients {
		c.Close()
	}
	released(t, h)
}

func TestTextConn(t *testing.T) {
	conns := make(chan *TextConn, 1)
	closed := make(chan struct{})
	h := startHost(t, Options{AcceptText: func(c *TextConn) {
		conns <- c
		<-closed
	}})
	client := dialText(t, h)
	send(t, client, legacyHello)
	c := nodetest.Receive(t, "AcceptText", conns)
	if string(c.First()) != legacyHello {
		t.Errorf("First is %q", c.First())
	}
	if got, want := c.RemoteAddr().String(), client.LocalAddr().String(); got != want {
		t.Errorf("RemoteAddr is %s, want %s", got, want)
	}
	want, _ := manet.FromNetAddr(client.LocalAddr())
	if got, want := c.RemoteMultiaddr(), want.Encapsulate(ma.StringCast("/ws")); !got.Equal(want) {
		t.Errorf("RemoteMultiaddr is %s, want %s", got, want)
	}

	read := make(chan error, 1)
	go func() {
		_, _, err := c.WebSocket().ReadMessage()
		read <- err
	}()
	// Any number of times, from any goroutine. Only the first call has an effect.
	if err := c.CloseWith(websocket.ClosePolicyViolation, "enough"); err != nil {
		t.Error(err)
	}
	var closers sync.WaitGroup
	for range 4 {
		closers.Go(func() { c.Close() })
	}
	closers.Wait()
	if err := nodetest.Receive(t, "the blocked read returns", read); err == nil {
		t.Error("a read after Close succeeded")
	}
	if got := closeCode(t, client); got != websocket.ClosePolicyViolation {
		t.Errorf("close code is %d", got)
	}
	released(t, h) // by Close, not by the return of AcceptText
	close(closed)
}

func TestReturningClosesTextConn(t *testing.T) {
	h := startHost(t, Options{AcceptText: func(*TextConn) {}})
	c := dialText(t, h)
	send(t, c, legacyHello)
	if got := closeCode(t, c); got != websocket.CloseNormalClosure {
		t.Errorf("close code is %d", got)
	}
	released(t, h)
}

// TestCloseEndsTextConns checks that Close closes connections that libp2p does not know, and
// waits for them.
func TestCloseEndsTextConns(t *testing.T) {
	closed := make(chan struct{})
	h := startHost(t, Options{AcceptText: func(c *TextConn) {
		echo(c)
		select { // stay for a while
		case <-closed:
			t.Error("Close returned before AcceptText did")
		case <-time.After(100 * time.Millisecond):
		}
	}})
	var clients []*websocket.Conn
	for range 20 {
		c := dialText(t, h)
		echoes(t, c, legacyHello) // so that AcceptText has begun
		clients = append(clients, c)
	}
	silent := dialText(t, h) // has not sent anything yet

	go func() {
		h.Close()
		close(closed)
	}()
	nodetest.Receive(t, "Close returns", closed)
	for i, c := range append(clients, silent) {
		got := closeCode(t, c)
		if c == silent && got == websocket.CloseNormalClosure {
			continue // go-libp2p had not passed it on yet
		}
		if got != websocket.CloseGoingAway {
			t.Errorf("client %d: close code is %d", i, got)
		}
	}
}

// TestCloseWithStalledPeer checks that a peer that does not read cannot delay Close.
func TestCloseWithStalledPeer(t *testing.T) {
	stalled := make(chan struct{})
	h := startHost(t, Options{AcceptText: func(c *TextConn) {
		junk := bytes.Repeat([]byte("x"), 1<<20)
		// Fill the socket until a write blocks.
		var once sync.Once
		for {
			timer := time.AfterFunc(200*time.Millisecond, func() { once.Do(func() { close(stalled) }) })
			err := c.WebSocket().WriteMessage(websocket.TextMessage, junk)
			timer.Stop()
			if err != nil {
				return
			}
		}
	}})
	send(t, dialText(t, h), legacyHello)
	nodetest.Receive(t, "a write blocks", stalled)
	closed := make(chan struct{})
	go func() {
		h.Close()
		close(closed)
	}()
	nodetest.Receive(t, "Close returns", closed)
}

// refuseAll accepts connections and refuses them once their peer is known.
type refuseAll struct{ secured atomic.Int32 }

func (*refuseAll) InterceptPeerDial(peer.ID) bool               { return true }
func (*refuseAll) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (*refuseAll) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (*refuseAll) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}
func (g *refuseAll) InterceptSecured(dir network.Direction, _ peer.ID, c network.ConnMultiaddrs) bool {
	if dir == network.DirInbound && c.RemoteMultiaddr() != nil {
		g.secured.Add(1)
	}
	return false
}

func TestGaterRefusesText(t *testing.T) {
	gater := new(refuseAll)
	h := startHost(t, Options{Gater: gater, AcceptText: func(*TextConn) { t.Error("accepted") }})
	c := dialText(t, h)
	send(t, c, legacyHello)
	if got := closeCode(t, c); got != websocket.CloseTryAgainLater {
		t.Errorf("close code is %d", got)
	}
	if gater.secured.Load() != 1 {
		t.Error("the gater was not asked")
	}
	if got, want := h.Stats(), (Stats{RefusedLimit: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
	c.Close()
	released(t, h)
}
