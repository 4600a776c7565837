// Package programs runs what others wrote for *net.UDPAddr on the virtual addresses of
// package ula, between nodes on sockets of 127.0.0.1. It is a module of its own, so that
// nothing that these programs need gets into the one that users of peer-relay import.
// TestPrograms in package itest runs it.
package programs

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol/ula"
)

// patience is how long a test waits for anything. It is generous: only a failure takes it.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a node. It ends with the test.
func start(t *testing.T, o node.Options) *node.Node {
	t.Helper()
	o.NoWebRTCDirect = true // every node can be dialled by WebSocket, or not at all
	n, err := node.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// listen opens a socket with a virtual address, as a program on a machine of its own has one.
func listen(t *testing.T, n *node.Node, port uint16) *ula.Conn {
	t.Helper()
	c, err := n.ListenPacket(port)
	if err != nil {
		t.Fatal(err)
	}
	return ula.Wrap(c, ula.NewTable(), n.Router().Nearest)
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// A traffic is what nodes did for the datagrams of applications.
type traffic struct{ sent, forwarded uint64 }

func trafficOf(nodes []*node.Node) (sum traffic) {
	for _, n := range nodes {
		s := n.Router().Stats()
		sum.sent += s.Sent
		sum.forwarded += s.Forwarded
	}
	return sum
}

// hops returns how many links a datagram crossed, on the average.
func (s traffic) hops() float64 { return 1 + float64(s.forwarded)/float64(max(s.sent, 1)) }
