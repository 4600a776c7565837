package node

import (
	"bytes"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/packet"
)

// Two nodes that listen nowhere exchange datagrams by the one that does.
func TestDatagramsCrossByRelay(t *testing.T) {
	relay := start(t, local(Options{}))
	boot := []string{relay.Addrs()[0].String()}
	ao, _, aPeers := inboxOf(Options{Bootstraps: boot, SignMessages: true})
	bo, _, bPeers := inboxOf(Options{Bootstraps: boot})
	a, b := start(t, ao), start(t, bo)
	receive(t, "peer at a", aPeers)
	receive(t, "peer at b", bPeers)

	server, err := b.ListenPacket(53)
	if err != nil {
		t.Fatal(err)
	}
	client, err := a.Dial(b.ID(), 53)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*packet.PacketConn{server, client} {
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(patience))
	}
	p := make([]byte, packet.MaxDatagram+1)
	for _, size := range []int{0, 1, 1200, packet.MaxDatagram} {
		want := bytes.Repeat([]byte{0xff}, size)
		if _, err := client.Write(want); err != nil {
			t.Fatal(err)
		}
		n, from, proved, err := server.ReadMsg(p)
		if err != nil || !bytes.Equal(p[:n], want) || from != client.LocalAddr() || !proved {
			t.Fatalf("the server read %d bytes of %d from %v, proved %v: %v", n, size, from, proved, err)
		}
		if _, err := server.WriteTo(p[:n], from); err != nil {
			t.Fatal(err)
		}
		if n, err := client.Read(p); err != nil || !bytes.Equal(p[:n], want) {
			t.Fatalf("the client read %d bytes of %d: %v", n, size, err)
		}
	}
	if s := relay.Router().Stats(); s.Forwarded != 8 {
		t.Errorf("the relay passed %d messages on", s.Forwarded)
	}
}
