package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// A stranger is a peer that shares no code with this one: it writes the bytes that SPEC.md
// shows.
type stranger struct {
	t  *testing.T
	id protocol.ID
	s  network.Stream
	r  *bufio.Reader
}

// meet makes a stranger open a stream to a node and send a hello.
func meet(t *testing.T, n *Node, hello []byte) *stranger {
	t.Helper()
	return meetAt(t, n, n.Addrs()[0], hello)
}

func meetAt(t *testing.T, n *Node, at ma.Multiaddr, hello []byte) *stranger {
	t.Helper()
	x := approach(t, at)
	x.write(hello)
	if got := x.read(); got[0] != 0x0a { // Frame.hello
		t.Fatalf("the first frame is %x", got)
	}
	return x
}

// approach makes a stranger open a stream to a node and send nothing yet.
func approach(t *testing.T, at ma.Multiaddr) *stranger {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	to, err := peer.AddrInfoFromP2pAddr(at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	t.Cleanup(cancel)
	if err := h.Connect(ctx, *to); err != nil {
		t.Fatal(err)
	}
	s, err := h.NewStream(ctx, to.ID, "/peer-relay/1")
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(nodetest.Patience))
	t.Cleanup(func() { s.SetDeadline(time.Time{}) })
	return &stranger{t: t, id: IDOf(h.ID()), s: s, r: bufio.NewReader(s)}
}

func (x *stranger) write(frame []byte) {
	x.t.Helper()
	if _, err := x.s.Write(append(binary.AppendUvarint(nil, uint64(len(frame))), frame...)); err != nil {
		x.t.Fatal(err)
	}
}

func (x *stranger) read() []byte {
	x.t.Helper()
	size, err := binary.ReadUvarint(x.r)
	if err != nil {
		x.t.Fatal(err)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(x.r, frame); err != nil {
		x.t.Fatal(err)
	}
	return frame
}

func TestNothingLargerThanThePeerTakes(t *testing.T) {
	for _, test := range []struct{ said, most int }{{9000, 9000}, {200, 8192}} {
		t.Run(fmt.Sprint(test.said), func(t *testing.T) {
			o, _, peers := inboxOf(local(Options{Linger: -1})) // the stranger answers no bye
			n, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			x := meet(t, n, []byte{
				0x0a, 14,
				0x19, 1, 2, 3, 4, 5, 6, 7, 8, // link
				0x22, 3, 0x08, byte(test.said) | 0x80, byte(test.said >> 7), // limits.max_frame
			})
			if got := nodetest.Receive(t, "peer", peers); got.ID != x.id {
				t.Fatalf("linked to %v, want %v", got.ID, x.id)
			}
			for _, size := range []int{test.most, test.most - 500} {
				if err := n.Send(x.id, bytes.Repeat([]byte{'x'}, size)); err != nil {
					t.Fatal(err)
				}
			}
			for { // the overlay's own messages arrive, too
				f := x.read()
				if len(f) > test.most {
					t.Fatalf("a frame of %d bytes", len(f))
				}
				if bytes.Contains(f, bytes.Repeat([]byte{'x'}, test.most-500)) {
					break
				}
			}
			if got := n.Router().Stats().Dropped[protocol.DropUnencodable]; got != 1 {
				t.Errorf("%d messages dropped as unencodable, want 1", got)
			}
			var unsent *protocol.UnsentError
			if err := n.Close(); !errors.As(err, &unsent) || unsent.Messages != 1 {
				t.Errorf("Close: %v, want 1 message", err)
			}
		})
	}
}

func TestPingAndByeAreAnswered(t *testing.T) {
	n := start(t, local(Options{}))
	x := meet(t, n, []byte{0x0a, 9, 0x19, 1, 2, 3, 4, 5, 6, 7, 8})
	answer := func(of, want []byte) {
		t.Helper()
		x.write(of)
		for {
			if f := x.read(); bytes.Equal(f, want) {
				return
			} else if f[0] != 0x45 { // a message begins with hop
				t.Fatalf("%x is answered by %x, want %x", of, f, want)
			}
		}
	}
	answer([]byte{0x21, 8, 7, 6, 5, 4, 3, 2, 1}, []byte{0x29, 8, 7, 6, 5, 4, 3, 2, 1})
	answer([]byte{0x32, 0x02, 0x08, 0x02}, []byte{0x32, 0x00})
	if b, err := x.r.ReadByte(); err == nil {
		t.Errorf("after its bye the node sent %x", b)
	}
}

// TestMessagesWaitForAHello checks that messages for a newcomer wait at the relay until the
// relay has the newcomer's hello. The newcomer may have the relay's hello earlier, and be known
// to others.
func TestMessagesWaitForAHello(t *testing.T) {
	for _, ends := range []string{"with a link", "without one"} {
		t.Run(ends, func(t *testing.T) {
			relay := start(t, local(Options{NoOverlay: true, NoDiscovery: true}))
			o, _, peers := inboxOf(Options{NoOverlay: true, NoDiscovery: true, Bootstraps: []string{relay.Addrs()[0].String()}})
			sender := start(t, o)
			nodetest.Receive(t, "link", peers)
			for {
				begun := time.Now()
				x := approach(t, relay.Addrs()[0])
				if got := x.read(); got[0] != 0x0a { // Frame.hello
					t.Fatalf("the first frame is %x", got)
				}
				before := relay.Router().Stats()
				if err := sender.Send(x.id, []byte("welcome")); err != nil {
					t.Fatal(err)
				}
				nodetest.Eventually(t, "the message is at the relay", func() bool { return relay.Router().Stats().Received > before.Received })
				if ends != "with a link" {
					x.s.Reset()
					nodetest.Eventually(t, "the message came back and is dropped", func() bool { return sender.Router().Stats().Dropped[protocol.DropNoRoute] == 1 })
					return
				}
				x.write([]byte{0x0a, 9, 0x19, 1, 2, 3, 4, 5, 6, 7, 8})
				nodetest.Eventually(t, "a link or a drop", func() bool {
					s := relay.Router().Stats()
					return s.Links == 2 || s.Dropped.Total() > before.Dropped.Total()
				})
				if time.Since(begun) > time.Second { // on a busy machine the message need not wait that long
					t.Log("too slow, again")
					x.s.Reset()
					nodetest.Eventually(t, "the link is gone", func() bool { return relay.Router().Stats().Links == 1 })
					continue
				}
				for f := x.read(); !bytes.Contains(f, []byte("welcome")); f = x.read() {
				}
				if drops := relay.Router().Stats().Dropped; drops.Total() > before.Dropped.Total() {
					t.Errorf("the relay dropped %v", drops)
				}
				return
			}
		})
	}
}
