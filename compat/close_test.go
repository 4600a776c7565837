package compat_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
	protocolpacket "github.com/peer-relay/peer-relay/protocol/packet"
)

// TestSendThenClose checks that all arrives that a peer sends before its first link, by each way
// to send and each kind of bootstrap.
func TestSendThenClose(t *testing.T) {
	relay := newPeer(t, compat.Options{Options: node.Options{Listen: true}})
	multiaddr := relay.Node().Addrs()[0].String()
	var got atomic.Int64
	to, datagrams := newSocket(t, joining(multiaddr))
	go func() { // ends with the test
		for {
			select {
			case <-datagrams:
				got.Add(1)
			case <-t.Context().Done():
				return
			}
		}
	}()
	bind(t, to, 777)
	receiver := newPeer(t, joining(multiaddr))
	receiver.OnMessage(func(any, compat.ID) { got.Add(1) })
	port, err := receiver.Node().ListenPacket(777)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the receiver
		for {
			if _, _, err := port.ReadFrom(make([]byte, 10)); err != nil {
				return
			}
			got.Add(1)
		}
	}()
	eventually(t, "two links", func() bool { return len(relay.Node().Router().Peers()) == 2 })

	const rounds, each = 3, 20
	for _, bootstrap := range []string{relay.URL(), multiaddr} {
		for name, send := range map[string]func(o compat.Options) error{
			"PeerRelay": func(o compat.Options) error {
				p, err := compat.New(o)
				for i := 0; i < each && err == nil; i++ {
					err = p.Send(receiver.ID(), i)
				}
				return errors.Join(err, p.Close())
			},
			"Socket": func(o compat.Options) error {
				s, err := compat.NewSocket(o)
				for i := 0; i < each && err == nil; i++ {
					err = s.SendTo([]byte("x"), 777, to.Peer().ID().String())
				}
				return errors.Join(err, s.Close(), s.Peer().Close())
			},
			"PacketConn": func(o compat.Options) error {
				p, err := compat.New(o)
				if err != nil {
					return err
				}
				c, err := p.Node().ListenPacket(0)
				for i := 0; i < each && err == nil; i++ {
					_, err = c.WriteTo([]byte("x"), protocolpacket.Addr{ID: receiver.ID(), Port: 777})
				}
				return errors.Join(err, c.Close(), p.Close())
			},
		} {
			got.Store(0)
			for range rounds {
				if err := send(joining(bootstrap)); err != nil {
					t.Errorf("%s by %s: %v", name, bootstrap, err)
				}
			}
			eventually(t, fmt.Sprintf("all of %s by %s", name, bootstrap), func() bool { return got.Load() == rounds*each })
		}
	}
}

// TestDestroyTellsWhatWasNotSent checks that the listeners of OnError get the error of Close,
// before the socket's close event.
func TestDestroyTellsWhatWasNotSent(t *testing.T) {
	s, err := compat.NewSocket(compat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 10)
	s.OnError(func(err error) { events <- "socket: " + err.Error() })
	s.Peer().OnError(func(err error) { events <- "peer: " + err.Error() })
	s.OnClose(func() { events <- "close" })
	if err := s.SendTo([]byte("x"), 1, strings.Repeat("11", 20)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"peer: peer-relay: 1 message was not sent", "socket: peer-relay: 1 message was not sent", "close"} {
		if got := await(t, "event", events); got != want {
			t.Errorf("the event is %q, want %q", got, want)
		}
	}
	var unsent *protocol.UnsentError
	if err := s.Peer().Close(); !errors.As(err, &unsent) || *unsent != (protocol.UnsentError{Messages: 1}) {
		t.Errorf("Close: %v", err)
	}
}
