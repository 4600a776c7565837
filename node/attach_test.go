package node

import (
	"crypto/tls"
	"errors"
	"strings"
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

// A second node would take the streams of the first one.
func TestAttachTwice(t *testing.T) {
	h := nodetest.StockHost(t)
	for range 2 { // after Close the host is free again
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

// refuseNone is a gater that lets all in.
type refuseNone struct{ connmgr.ConnectionGater }
