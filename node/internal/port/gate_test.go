package port

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// A logbook is where a test's log goes.
type logbook struct{ protocoltest.Log }

func (b *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// newClient returns a client of HTTP that trusts what conf trusts and keeps no connection.
func newClient(conf *tls.Config) *http.Client {
	return &http.Client{Timeout: nodetest.Patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: conf}}
}

// A client that is refused for a limit learns that it may come back, and when. The operator sees
// which limit it was.
func TestRefusedClientsAreAnswered(t *testing.T) {
	cert, pool := selfSigned(t)
	for _, test := range []struct {
		name     string
		maxConns int
		fill     func(*testing.T, *Host) // takes what there is
		body     string
		retry    string
	}{
		{"connections", 2, func(t *testing.T, h *Host) {
			for range 2 {
				echoes(t, dialText(t, h), legacyHello)
			}
		}, "refused: too many connections\n", "30"},
		{"handshakes", 2 * transientShare, func(t *testing.T, h *Host) {
			for range 2 { // they say nothing
				c, err := net.Dial("tcp", h.hostport())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
			}
		}, "refused: too many connections are in their handshakes\n", "5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log logbook
			h := startHost(t, Options{MaxConns: test.maxConns, AcceptText: echo, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Logger: log.logger()})
			test.fill(t, h)
			for i, url := range []string{"http://" + h.hostport(), "https://" + h.hostport()} {
				resp, body := get(t, newClient(&tls.Config{RootCAs: pool}), url)
				if resp.StatusCode != http.StatusServiceUnavailable || body != test.body || resp.Header.Get("Retry-After") != test.retry {
					t.Errorf("%s is answered %s, Retry-After %q, %q", url, resp.Status, resp.Header.Get("Retry-After"), body)
				}
				if got := h.Stats().Map()["refused_"+test.name]; got != uint64(1+i) {
					t.Errorf("%d are counted, want %d", got, 1+i)
				}
			}
			_, resp, err := websocket.DefaultDialer.Dial("ws://"+h.hostport(), nil)
			if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("a WebSocket is answered %v, %v", resp, err)
			}
			nodetest.Eventually(t, "a line in the log", func() bool {
				return strings.Contains(log.String(), "level=WARN msg=\"connections refused\" limit="+test.name)
			})
		})
	}
}

// Refused clients that say nothing hold a few places for a moment, and keep no other out.
func TestSilentRefusedClients(t *testing.T) {
	h := startHost(t, Options{MaxConns: 1, AcceptText: echo})
	echoes(t, dialText(t, h), legacyHello)
	var silent []net.Conn
	for range 3 * maxAnswering {
		c, err := net.Dial("tcp", h.hostport())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	for i, c := range silent {
		c.SetReadDeadline(time.Now().Add(nodetest.Patience))
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("silent client %d got %d bytes, %v", i, n, err)
		}
	}
	resp, _ := get(t, newClient(nil), "http://"+h.hostport())
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after them there is %s", resp.Status)
	}
}

// refuseAccepts refuses connections before their first byte.
type refuseAccepts struct{ refuseAll }

func (*refuseAccepts) InterceptAccept(network.ConnMultiaddrs) bool { return false }

// TestGatedConnectionsAreCounted checks that a connection that the application's gater refuses is
// closed without an answer, and counted.
func TestGatedConnectionsAreCounted(t *testing.T) {
	h := startHost(t, Options{Gater: new(refuseAccepts)})
	if resp, err := newClient(nil).Get("http://" + h.hostport()); err == nil {
		resp.Body.Close()
		t.Errorf("it is answered %s", resp.Status)
	}
	if got, want := h.Stats(), (Stats{RefusedGated: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
	released(t, h)
}

// The resource manager has no errors of its own for its limits.
func TestLimitOf(t *testing.T) {
	const public = "/ip4/203.0.113.7/tcp/1/ws"
	few := func(limits rcmgr.PartialLimitConfig) network.ResourceManager {
		rm, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(relayLimits(400))))
		if err != nil {
			t.Fatal(err)
		}
		return rm
	}
	ours := func(maxConns int) network.ResourceManager {
		rm, err := newResourceManager(maxConns)
		if err != nil {
			t.Fatal(err)
		}
		return rm
	}
	for want, test := range map[limit]struct {
		rm   network.ResourceManager
		addr string
		keep bool // the connections that are let in
	}{
		limitRate:       {ours(DefaultMaxConns), public, false},
		limitAddr:       {ours(100), public, true},
		limitHandshakes: {ours(16), "/ip4/10.0.0.1/tcp/1/ws", true},
		limitConns:      {few(rcmgr.PartialLimitConfig{System: rcmgr.ResourceLimits{ConnsInbound: 3}}), "/ip4/10.0.0.1/tcp/1/ws", true},
		limitFiles:      {few(rcmgr.PartialLimitConfig{System: rcmgr.ResourceLimits{FD: 3}}), "/ip4/10.0.0.1/tcp/1/ws", true},
	} {
		defer test.rm.Close()
		refused := newRefusals()
		rm := &watchedManager{ResourceManager: test.rm, refused: refused}
		var err error
		for range 2 * addrConnsBurst {
			var scope network.ConnManagementScope
			if scope, err = rm.OpenConnection(network.DirInbound, true, ma.StringCast(test.addr)); err != nil {
				break
			}
			if test.keep {
				defer scope.Done()
			} else {
				scope.Done()
			}
		}
		if err == nil {
			t.Errorf("no connection was refused for %v", want)
		} else if got := limitOf(err); got != want || refused.count[want].Load() != 1 {
			t.Errorf("%q is taken for %v, want %v; counted %d", err, got, want, refused.count[want].Load())
		}
	}
}

// However many connections are refused, the log gets few lines, which tell all of them.
func TestRefusalsAreLoggedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		ctx, cancel := context.WithCancel(t.Context())
		r := newRefusals()
		go r.report(ctx, log.logger())
		lines := func() int { synctest.Wait(); return strings.Count(log.String(), "\n") }
		r.note(limitRate)
		if n := lines(); n != 1 || !strings.Contains(log.String(), "limit=rate refused=1") {
			t.Errorf("the first refusal is logged as %q", log.String())
		}
		for range 1000 {
			time.Sleep(time.Second / 200)
			r.note(limitRate)
			r.note(limitFiles)
		}
		time.Sleep(reportEvery)
		if n := lines(); n != 3 || !strings.Contains(log.String(), "limit=rate refused=1000") || !strings.Contains(log.String(), "limit=files refused=1000") {
			t.Errorf("1000 refusals are logged as %q", log.String())
		}
		time.Sleep(time.Hour)
		if n := lines(); n != 3 {
			t.Errorf("nothing is logged as %q", log.String())
		}
		cancel()
	})
}

func TestEveryLimitHasItsText(t *testing.T) {
	names := make(map[string]bool)
	for l := range numLimits {
		names[l.String()] = true
		text := limitTexts[l]
		if l != limitDirect && (text.says == "" || text.retry < time.Second || text.status != http.StatusTooManyRequests && text.status != http.StatusServiceUnavailable) {
			t.Errorf("%v has %+v", l, text)
		}
	}
	if len(names) != int(numLimits) || names[""] {
		t.Errorf("the limits have the names %v", names)
	}
}
