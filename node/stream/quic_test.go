package stream

import (
	"bytes"
	"crypto/tls"
	"log"
	"testing"

	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/protocol/packet"
)

// TestQUICOverAPacketConnLogsNothing checks that quic-go logs nothing about a datagram socket
// that it gets directly.
func TestQUICOverAPacketConnLogsNothing(t *testing.T) {
	var logged bytes.Buffer
	was := log.Writer()
	log.SetOutput(&logged)
	defer log.SetOutput(was)

	a, b := overRelay(t)
	var transports [2]*quic.Transport
	for i, p := range []testPeer{a, b} {
		c, err := p.router.ListenPacket(uint16(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		transports[i] = &quic.Transport{Conn: c}
		defer transports[i].Close()
	}
	identity, err := libp2ptls.NewIdentity(b.key)
	if err != nil {
		t.Fatal(err)
	}
	conf, _ := identity.ConfigForPeer("")
	conf.VerifyPeerCertificate = nil
	conf.ClientAuth = tls.NoClientCert
	conf.InsecureSkipVerify = true // both peers belong to the test
	ql, err := transports[1].Listen(conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ql.Close()
	conn, err := transports[0].Dial(streamContext(t), packet.Addr{ID: b.ID(), Port: 2}, conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.CloseWithError(0, "")
	if logged.Len() > 0 {
		t.Errorf("it logged %q", &logged)
	}
}
