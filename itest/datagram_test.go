package itest

import (
	"bytes"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// TestDatagramsThroughJSRelay has two of our peers that know only a JS one: it passes
// their datagrams on as any other message, the longest and the empty one too.
func TestDatagramsThroughJSRelay(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	relay := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "relay", Listen: true}})
	var ours [2]*compat.PeerRelay
	for i := range ours {
		var err error
		ours[i], err = compat.New(compat.Options{Options: node.Options{Bootstraps: []string{relay.URL()}, SignMessages: i == 0}, NoWebRTC: true})
		harness.Must(t, err)
		defer ours[i].Close()
		_, err = relay.Events().Wait(ctx, peers.IsPeer(ours[i].ID()))
		harness.Must(t, err)
		harness.Must(t, peers.Until(ctx, "the relay to be linked", func() (bool, error) { return len(ours[i].Node().Router().Peers()) == 1, nil }))
	}
	server, err := ours[1].Node().ListenPacket(53)
	harness.Must(t, err)
	client, err := ours[0].Node().DialPacket(ours[1].ID(), 53)
	harness.Must(t, err)
	for _, c := range []*packet.PacketConn{server, client} {
		harness.Must(t, c.SetReadDeadline(time.Now().Add(harness.Patience)))
	}
	p := make([]byte, packet.MaxDatagram+1)
	for _, size := range []int{0, 1, 1200, packet.MaxDatagram} {
		want := bytes.Repeat([]byte{0xff}, size) // three digits a byte: the longest JSON
		_, err := client.Write(want)
		harness.Must(t, err)
		n, from, proved, err := server.ReadMsg(p)
		harness.Must(t, err)
		if !bytes.Equal(p[:n], want) || from != client.LocalAddr() || !proved {
			t.Fatalf("the server read %d bytes of %d from %v, proved %v", n, size, from, proved)
		}
		_, err = server.WriteTo(want, from)
		harness.Must(t, err)
		n, from, proved, err = client.ReadMsg(p)
		harness.Must(t, err)
		if !bytes.Equal(p[:n], want) || from != server.LocalAddr() || proved {
			t.Fatalf("the client read %d bytes of %d from %v, proved %v", n, size, from, proved)
		}
	}
	for i, peer := range ours {
		if links := peer.Node().Router().Peers(); len(links) != 1 || links[0].ID != relay.ID() {
			t.Errorf("peer %d has links to %v, want the relay alone", i, links)
		}
	}
}
