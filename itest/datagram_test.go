package itest

import (
	"bytes"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// TestDatagramsThroughJSRelay has two of our peers that know only a JS one: it passes
// their datagrams on as any other message, the longest and the empty one too.
func TestDatagramsThroughJSRelay(t *testing.T) {
	d := startDriver(t)
	ctx := testContext(t)
	relay := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "relay", Listen: true}})
	var peers [2]*compat.PeerRelay
	for i := range peers {
		var err error
		peers[i], err = compat.New(compat.Options{Bootstrap: []string{relay.URL()}, WRTC: compat.WebRTCOptions{Off: true}, Sign: i == 0})
		must(t, err)
		defer peers[i].Close()
		_, err = relay.Events().Wait(ctx, IsPeer(peers[i].ID()))
		must(t, err)
		must(t, Until(ctx, "the relay to be linked", func() (bool, error) { return len(peers[i].Node().Router().Peers()) == 1, nil }))
	}
	server, err := peers[1].Node().ListenPacket(53)
	must(t, err)
	client, err := peers[0].Node().DialPacket(peers[1].ID(), 53)
	must(t, err)
	for _, c := range []*packet.PacketConn{server, client} {
		must(t, c.SetReadDeadline(time.Now().Add(patience)))
	}
	p := make([]byte, packet.MaxDatagram+1)
	for _, size := range []int{0, 1, 1200, packet.MaxDatagram} {
		want := bytes.Repeat([]byte{0xff}, size) // three digits a byte: the longest JSON
		_, err := client.Write(want)
		must(t, err)
		n, from, proved, err := server.ReadMsg(p)
		must(t, err)
		if !bytes.Equal(p[:n], want) || from != client.LocalAddr() || !proved {
			t.Fatalf("the server read %d bytes of %d from %v, proved %v", n, size, from, proved)
		}
		_, err = server.WriteTo(want, from)
		must(t, err)
		n, from, proved, err = client.ReadMsg(p)
		must(t, err)
		if !bytes.Equal(p[:n], want) || from != server.LocalAddr() || proved {
			t.Fatalf("the client read %d bytes of %d from %v, proved %v", n, size, from, proved)
		}
	}
	for i, peer := range peers {
		if links := peer.Node().Router().Peers(); len(links) != 1 || links[0].ID != relay.ID() {
			t.Errorf("peer %d has links to %v, want the relay alone", i, links)
		}
	}
}
