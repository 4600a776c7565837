package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Arceliar/ironwood/encrypted"
	"github.com/Arceliar/ironwood/types"

	"github.com/peer-relay/peer-relay/itest/measure"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// settleTime is the time within which three nodes agree on a root. They look once a second.
const settleTime = 20 * time.Second

// newIronwood returns a node of ironwood, which encrypts from end to end and not from hop to hop.
func newIronwood() (*encrypted.PacketConn, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return encrypted.NewPacketConn(key)
}

// serveIronwood relays between the connections that come: each begins with the other's key.
func serveIronwood() error {
	node, err := newIronwood()
	if err != nil {
		return err
	}
	defer node.Close()
	l, err := net.Listen("tcp", net.JoinHostPort(peers.Loopback, "0"))
	if err != nil {
		return err
	}
	defer l.Close()
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				var key [ed25519.PublicKeySize]byte
				if _, err := io.ReadFull(conn, key[:]); err == nil {
					node.HandleConn(key[:], conn, 0) // returns when the connection ends
				}
				conn.Close()
			}()
		}
	}()
	key := node.PrivateKey().Public().(ed25519.PublicKey)
	return measure.ReportHopRelay(l.Addr().String() + " " + hex.EncodeToString(key))
}

// playIronwood plays the two ends.
func playIronwood(relay string) error {
	addr, hexKey, ok := strings.Cut(relay, " ")
	key, err := hex.DecodeString(hexKey)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("no relay of ironwood: %q", relay)
	}
	return measure.PlayHopEnds(func(take measure.HopTake, failed func(error)) (measure.HopSender, error) {
		for began := time.Now(); ; {
			s, err := connectIronwood(addr, key, take, failed)
			if err == nil || !errors.Is(err, measure.ErrHopSilent) || time.Since(began) > settleTime {
				return s, err
			}
		}
	})
}

// silence is the time after which two nodes that exchange nothing are replaced. That is so with one pair in
// thirty, as long as they live. The next pair has other keys.
const silence = 3 * time.Second

// connectIronwood returns two ends of which one has sent something to the other.
func connectIronwood(addr string, key ed25519.PublicKey, take measure.HopTake, failed func(error)) (_ *ironwoodSender, err error) {
	s := &ironwoodSender{}
	var closed atomic.Bool // an end that is abandoned has not failed
	end := func(err error) {
		if !closed.Load() {
			failed(err)
		}
	}
	defer func() {
		if err != nil {
			closed.Store(true)
			err = errors.Join(err, s.Close())
		}
	}()
	arrived := make(chan struct{})
	first := sync.OnceFunc(func() { close(arrived) })
	var conns [2]*encrypted.PacketConn
	for i := range conns {
		if conns[i], err = s.join(addr, key, end); err != nil {
			return nil, err
		}
	}
	if err := settle(conns[:]); err != nil {
		return nil, err
	}
	s.from, s.to = conns[0], types.Addr(conns[1].PrivateKey().Public().(ed25519.PublicKey))
	s.running.Go(func() {
		end(readIronwood(conns[1], func(message []byte, more bool) {
			first()
			take(message, more)
		}))
	})
	s.running.Go(func() { end(readIronwood(conns[0], take)) }) // a node takes part in handshakes only while it reads
	return s, measure.ProbeHop(s, arrived, silence)
}

// settle waits until both ends know the relay, and the same node as their root. A path that a node learns before
// that is a wrong one, and it keeps that for a minute.
func settle(ends []*encrypted.PacketConn) error {
	for began := time.Now(); time.Since(began) < settleTime; time.Sleep(20 * time.Millisecond) {
		var roots [2]string
		settled := true
		for i, node := range ends {
			tree := node.PacketConn.Debug.GetTree()
			for _, n := range tree {
				if n.Parent.Equal(n.Key) {
					roots[i] += string(n.Key) // more than one while nodes do not agree
				}
			}
			settled = settled && len(tree) > 1 && len(roots[i]) == ed25519.PublicKeySize
		}
		if settled && roots[0] == roots[1] {
			return nil
		}
	}
	return errors.New("ironwood's ends have no common root")
}

func readIronwood(node *encrypted.PacketConn, take measure.HopTake) error {
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := node.ReadFrom(buffer)
		if err != nil {
			return err
		}
		take(buffer[:n], false)
	}
}

// An ironwoodSender sends from one node to another.
type ironwoodSender struct {
	from    *encrypted.PacketConn
	to      types.Addr
	closers peers.Closers
	running sync.WaitGroup
}

// join makes a node that is connected with the relay.
func (s *ironwoodSender) join(addr string, relay ed25519.PublicKey, failed func(error)) (*encrypted.PacketConn, error) {
	node, err := newIronwood()
	if err != nil {
		return nil, err
	}
	s.closers.Add(node.Close)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s.closers.Add(conn.Close)
	if _, err := conn.Write(node.PrivateKey().Public().(ed25519.PublicKey)); err != nil {
		return nil, err
	}
	s.running.Go(func() { failed(node.HandleConn(relay, conn, 0)) })
	return node, nil
}

// Write implements measure.HopSender.
func (s *ironwoodSender) Write(message []byte) error {
	_, err := s.from.WriteTo(message, s.to)
	return err
}

// Flush implements measure.HopSender. Ironwood does not buffer.
func (s *ironwoodSender) Flush() error { return nil }

// Close implements measure.HopSender.
func (s *ironwoodSender) Close() error {
	err := s.closers.Close()
	s.running.Wait()
	return err
}
