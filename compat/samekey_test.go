package compat_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// TestOwnBootstrap checks that a list of bootstraps that names the peer itself, by its multiaddr
// and by URLs, is no error, though the port is not open yet when the peer is made.
func TestOwnBootstrap(t *testing.T) {
	o := listening()
	o.KeyFile = filepath.Join(t.TempDir(), "key")
	first, err := compat.New(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Port = first.Node().Port()
	o.Bootstraps = []string{first.Node().Addrs()[0].String(), first.URL(), strings.Replace(first.URL(), "127.0.0.1", "localhost", 1)}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, o)
	p.OnError(func(err error) { t.Errorf("told: %v", err) })
	until(t, "the peer has met itself at both URLs", func() bool { return p.Node().Router().Stats().LinksRefused >= 4 })
	other := newPeer(t, joining(p.URL()))
	linked := make(chan compat.ID, 10)
	other.OnPeer(func(id compat.ID) { linked <- id })
	await(t, "another peer is linked", linked)
}

// until waits until is returns true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within the time: %s", what)
		}
	}
}

// TestOneKeyInTwoProcesses checks that of two peers with one key, which dial one relay, the one
// that is refused is told what is wrong.
func TestOneKeyInTwoProcesses(t *testing.T) {
	relay := newPeer(t, listening())
	for name, boot := range map[string]string{"by URL": relay.URL(), "by multiaddr": relay.Node().Addrs()[0].String()} {
		t.Run(name, func(t *testing.T) {
			o := joining(boot)
			o.KeyFile = filepath.Join(t.TempDir(), "key")
			linked, told := make(chan compat.ID, 100), make(chan error, 100)
			for i := range 2 {
				p := newPeer(t, o)
				p.OnPeer(func(id compat.ID) { linked <- id })
				p.OnError(func(err error) { told <- err })
				if i == 0 {
					await(t, "the first is linked", linked)
				}
			}
			if err := await(t, "one is told", told); !errors.Is(err, protocol.ErrIDInUse) || !strings.Contains(err.Error(), o.KeyFile) {
				t.Errorf("told: %v", err)
			}
		})
	}
}

// TestOneKeyMeetsItself checks that both are told of a peer that dials another process with its
// own key.
func TestOneKeyMeetsItself(t *testing.T) {
	var log protocoltest.Log
	o := listening()
	key := filepath.Join(t.TempDir(), "key")
	o.KeyFile = key
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	first := newPeer(t, o)
	for name, test := range map[string]struct {
		boot string
		want error
	}{"by URL": {first.URL(), protocol.ErrIDInUse}, "by multiaddr": {first.Node().Addrs()[0].String(), protocol.ErrSelf}} {
		o := joining(test.boot)
		o.KeyFile = key
		t.Run(name, func(t *testing.T) {
			second, told := newPeer(t, o), make(chan error, 100)
			second.OnError(func(err error) { told <- err })
			if err := await(t, "the second is told", told); !errors.Is(err, test.want) || !strings.Contains(err.Error(), o.KeyFile) {
				t.Errorf("told: %v", err)
			}
		})
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || strings.Count(log.String(), "another process has the id") != 1 {
		t.Errorf("the first one logs %d warnings: %s", n, log.String())
	}
}
