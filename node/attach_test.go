package node

import (
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/connmgr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

func TestAttachRefuses(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	h := nodetest.StockHost(t)
	before := len(h.Mux().Protocols())
	for name, o := range map[string]Options{
		"Listen": {Listen: true}, "Port": {Port: 1}, "ListenHost": {ListenHost: "127.0.0.1"}, "Announce": {Announce: []string{"ws://relay.example.com"}},
		"Key": {Key: key}, "KeyFile": {KeyFile: "key"}, "KeyFileGroup": {KeyFileGroup: true}, "TLS": {TLS: new(tls.Config)}, "TLSClient": {TLSClient: new(tls.Config)},
		"NoWebRTCDirect": {NoWebRTCDirect: true}, "QUIC": {QUIC: true}, "MaxConns": {MaxConns: 1}, "Gater": {Gater: refuseNone{}},
	} {
		if _, err := Attach(h, o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), name+" is set") {
			t.Errorf("with %s: %v, want ErrOptions that names it", name, err)
		}
	}
	if _, err := Attach(nil, Options{}); !errors.Is(err, ErrOptions) {
		t.Errorf("without a host: %v, want ErrOptions", err)
	}
	if after := len(h.Mux().Protocols()); after != before {
		t.Errorf("%d protocols were left on the host", after-before)
	}
}

// TestAttachTwice checks that a second node, which would take the streams of the first, is
// refused.
func TestAttachTwice(t *testing.T) {
	h := nodetest.StockHost(t)
	for range 2 { // Close frees the host
		n, err := Attach(h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Attach(h, Options{}); !errors.Is(err, ErrOptions) {
			t.Errorf("a second time: %v, want ErrOptions", err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Attach(start(t, Options{}).Host(), Options{}); !errors.Is(err, ErrOptions) {
		t.Errorf("on the host of a node: %v, want ErrOptions", err)
	}
}

// TestAttachAtOnce checks that one of several concurrent calls mounts its node.
func TestAttachAtOnce(t *testing.T) {
	for range 20 {
		h := nodetest.StockHost(t)
		var attached atomic.Int32
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				n, err := Attach(h, Options{})
				if err == nil {
					attached.Add(1)
					t.Cleanup(func() { n.Close() })
				} else if !errors.Is(err, ErrOptions) {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if n := attached.Load(); n != 1 {
			t.Fatalf("%d nodes were mounted on one host", n)
		}
	}
}

// refuseNone is a gater that accepts all.
type refuseNone struct{ connmgr.ConnectionGater }
