package peers_test

import (
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// TestJSLibp2pToPlainHost checks the driver itself, against a host with nothing of ours.
func TestJSLibp2pToPlainHost(t *testing.T) {
	harness.NeedNPM(t)
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0/ws"), libp2p.DisableRelay(), libp2p.UserAgent("itest/1"))
	harness.Must(t, err)
	defer h.Close()
	report, err := peers.DialJSLibp2p(harness.Context(t), h.Addrs()[0].String()+"/p2p/"+h.ID().String())
	harness.Must(t, err)
	if report.Peer != h.ID().String() || report.Agent != "itest/1" || report.Ping() <= 0 || !slices.Contains(report.Protocols, string(ping.ID)) {
		t.Errorf("js-libp2p reports %+v", report)
	}
	if report.Encryption != "/noise" {
		t.Errorf("secured by %q", report.Encryption)
	}
}
