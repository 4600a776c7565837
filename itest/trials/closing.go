package trials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/stream"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

const (
	closingSends   = 20 // messages of one play of a peer that sends and then closes
	closingPort    = 777
	closingService = 7

	// closingGrace is the time after Close for which a message may be in flight.
	closingGrace = 5 * time.Second
)

// closingSizes are the bytes of the streams of one play. The first ones name the stream.
var closingSizes = []int{streamName, 1000, 100_000, 1_000_000, 4_000_000}

const streamName = 10 // bytes

// A Closing is a way to send something and to end at once.
type Closing struct {
	Name string
	send func(ctx context.Context, s *ClosingStage, number int) (sent int, err error)
}

// A ClosingResult is the outcome of a play.
type ClosingResult struct {
	Sent    int           // messages, datagrams or streams
	Arrived int           // those that arrived
	Named   int           // those that an error named
	Took    time.Duration // duration of the whole, of which most is Close
}

// Lost returns the number of messages that did not arrive and that no error named.
func (r ClosingResult) Lost() int { return max(0, r.Sent-r.Arrived-r.Named) }

// Closings returns all ways: the command send, and in this process PeerRelay, PacketConn, Socket
// and streams, by both kinds of bootstrap, before the first link and after it.
func Closings(binary string) (ways []Closing) {
	for _, multiaddr := range []bool{false, true} {
		by := "ws://"
		if multiaddr {
			by = "multiaddr"
		}
		ways = append(ways, Closing{"peer-relay send, " + by, func(ctx context.Context, s *ClosingStage, number int) (int, error) {
			args := []string{"send", "--no-wait", "--bootstrap", s.bootstrap(multiaddr), s.to.ID().String(), closingText(number, 0)}
			if out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput(); err != nil {
				return 1, fmt.Errorf("%w: %s", err, out)
			}
			return 1, nil
		}})
		for _, linked := range []bool{false, true} {
			when := "before the first link"
			if linked {
				when = "after it"
			}
			for _, kind := range []struct {
				name string
				send func(s *ClosingStage, p *compat.PeerRelay, number int) error
			}{{"PeerRelay.Send", sendMessages}, {"PacketConn.WriteTo", sendDatagrams}} {
				ways = append(ways, Closing{fmt.Sprintf("%s, %s, %s", kind.name, by, when), func(ctx context.Context, s *ClosingStage, number int) (int, error) {
					p, err := s.peer(ctx, multiaddr, linked)
					if err != nil {
						return 0, err
					}
					return closingSends, errors.Join(kind.send(s, p, number), p.Close())
				}})
			}
			ways = append(ways, Closing{fmt.Sprintf("Socket.Send, %s, %s", by, when), func(ctx context.Context, s *ClosingStage, number int) (int, error) {
				return closingSends, s.sendBySocket(ctx, multiaddr, linked, number)
			}})
		}
		ways = append(ways, Closing{"streams of 10 B to 4 MB, " + by, func(ctx context.Context, s *ClosingStage, number int) (int, error) {
			p, err := s.peer(ctx, multiaddr, true)
			if err != nil {
				return 0, err
			}
			return len(closingSizes), errors.Join(sendStreams(ctx, s, p, number), p.Close())
		}})
	}
	return ways
}

// Play sends and closes once. number is another one for each play on a stage.
func (c Closing) Play(ctx context.Context, s *ClosingStage, number int) (r ClosingResult, err error) {
	begun := time.Now()
	r.Sent, err = c.send(ctx, s, number)
	r.Took = time.Since(begun)
	var unsent *protocol.UnsentError
	var unread *stream.UnreadError
	var exit *exec.ExitError
	if errors.As(err, &unsent) {
		r.Named += unsent.Messages + unsent.Datagrams + unsent.Unconfirmed
	}
	if errors.As(err, &unread) {
		r.Named += unread.Streams
	}
	if errors.As(err, &exit) {
		r.Named++
	}
	if r.Named == 0 && err != nil {
		return r, fmt.Errorf("itest: %s: %w", c.Name, err)
	}
	r.Arrived = s.await(ctx, number, r.Sent)
	return r, nil
}

// closingText is the content of a message, or the beginning of one.
func closingText(number, i int) string { return fmt.Sprintf("%d/%d", number, i) }

// A ClosingStage has a relay and the peers that receive, in this process.
type ClosingStage struct {
	// Fixed after NewClosingStage.
	relay   *compat.PeerRelay
	to      *compat.PeerRelay
	socket  *compat.Socket
	closers peers.Closers

	mu      sync.Mutex
	got     map[int]map[string]bool // what arrived of each play
	changed chan struct{}           // closed when something arrives
}

// NewClosingStage starts a relay and the receivers. The caller closes the stage.
func NewClosingStage(ctx context.Context) (s *ClosingStage, err error) {
	s = &ClosingStage{got: make(map[int]map[string]bool), changed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	o := compat.Options{Options: node.Options{Listen: true, ListenHost: peers.Loopback}, NoWebRTC: true}
	if s.relay, err = compat.New(o); err != nil {
		return s, err
	}
	s.closers.Add(s.relay.Close)
	o = compat.Options{Options: node.Options{Bootstraps: []string{s.bootstrap(true)}}, NoWebRTC: true}
	if s.to, err = compat.New(o); err != nil {
		return s, err
	}
	s.closers.Add(s.to.Close)
	s.to.OnMessage(func(data any, _ compat.ID) { s.arrived(fmt.Sprint(data)) })
	if s.socket, err = compat.NewSocket(o); err != nil {
		return s, err
	}
	s.closers.Add(s.socket.Peer().Close)
	s.socket.OnMessage(func(b []byte, _ compat.RemoteInfo) { s.arrived(string(b)) })
	datagrams, err := s.to.Node().ListenPacket(closingPort)
	if err != nil {
		return s, err
	}
	go s.readDatagrams(datagrams) // ends with the receiver
	streams, err := s.to.Node().ListenStream(closingService)
	if err != nil {
		return s, err
	}
	go s.readStreams(streams) // ends with the receiver
	return s, peers.WaitLinks(ctx, s.relay.URL(), 2)
}

// Close ends all peers.
func (s *ClosingStage) Close() error { return s.closers.Close() }

// bootstrap returns the address of the relay.
func (s *ClosingStage) bootstrap(multiaddr bool) string {
	if multiaddr {
		return s.relay.Node().Addrs()[0].String()
	}
	return s.relay.URL()
}

// arrived notes a text of closingText.
func (s *ClosingStage) arrived(text string) {
	first, _, _ := strings.Cut(text, "/")
	number, err := strconv.Atoi(first)
	if err != nil {
		return // not of a play, so it stays missing
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.got[number] == nil {
		s.got[number] = make(map[string]bool)
	}
	s.got[number][text] = true
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until all of a play has arrived, for at most closingGrace, and returns the number.
func (s *ClosingStage) await(ctx context.Context, number, want int) int {
	timer := time.NewTimer(closingGrace)
	defer timer.Stop()
	for {
		s.mu.Lock()
		n, changed := len(s.got[number]), s.changed
		s.mu.Unlock()
		if n >= want {
			return n
		}
		select {
		case <-changed:
		case <-timer.C:
			return n
		case <-ctx.Done():
			return n
		}
	}
}

func (s *ClosingStage) readDatagrams(c *packet.PacketConn) {
	b := make([]byte, 100)
	for {
		n, _, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		s.arrived(string(b[:n]))
	}
}

func (s *ClosingStage) readStreams(l *stream.Listener) {
	for {
		c, err := l.AcceptStream()
		if err != nil {
			return
		}
		go func() { // ends with the stream, which is not closed here, as many programs do not
			name := make([]byte, streamName)
			if _, err := io.ReadFull(c, name); err != nil {
				return
			}
			n, err := io.Copy(io.Discard, c)
			text := strings.TrimSpace(string(name))
			if _, i, _ := strings.Cut(text, "/"); err == nil && i != "" {
				if i, err := strconv.Atoi(i); err == nil && i < len(closingSizes) && int(n)+streamName == closingSizes[i] {
					s.arrived(text)
				}
			}
		}()
	}
}

// options returns those of a sender.
func (s *ClosingStage) options(multiaddr bool) compat.Options {
	return compat.Options{Options: node.Options{Bootstraps: []string{s.bootstrap(multiaddr)}}, NoWebRTC: true}
}

// peer starts a sender. If linked, it returns after the first link.
func (s *ClosingStage) peer(ctx context.Context, multiaddr, linked bool) (*compat.PeerRelay, error) {
	p, err := compat.New(s.options(multiaddr))
	if err == nil && linked {
		err = firstLink(ctx, p)
	}
	return p, err
}

func firstLink(ctx context.Context, p *compat.PeerRelay) error {
	up := make(chan struct{}, 1)
	p.OnPeer(func(compat.ID) {
		select {
		case up <- struct{}{}:
		default:
		}
	})
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.Close())
	}
}

func sendMessages(s *ClosingStage, p *compat.PeerRelay, number int) (err error) {
	for i := 0; i < closingSends && err == nil; i++ {
		err = p.Send(s.to.ID(), closingText(number, i))
	}
	return err
}

func sendDatagrams(s *ClosingStage, p *compat.PeerRelay, number int) error {
	c, err := p.Node().ListenPacket(0)
	if err != nil {
		return err
	}
	for i := 0; i < closingSends && err == nil; i++ {
		_, err = c.WriteTo([]byte(closingText(number, i)), packet.Addr{ID: s.to.ID(), Port: closingPort})
	}
	return errors.Join(err, c.Close())
}

func (s *ClosingStage) sendBySocket(ctx context.Context, multiaddr, linked bool, number int) error {
	c, err := compat.NewSocket(s.options(multiaddr))
	if err == nil && linked {
		err = firstLink(ctx, c.Peer())
	}
	for i := 0; i < closingSends && err == nil; i++ {
		err = c.SendTo([]byte(closingText(number, i)), closingPort, s.socket.Address().Address)
	}
	if err != nil {
		return err
	}
	return errors.Join(c.Close(), c.Peer().Close())
}

// sendStreams writes and closes a stream of each size.
func sendStreams(ctx context.Context, s *ClosingStage, p *compat.PeerRelay, number int) error {
	for i, size := range closingSizes {
		c, err := p.Node().DialStream(ctx, s.to.ID(), closingService)
		if err != nil {
			return err
		}
		b := make([]byte, size)
		copy(b, fmt.Sprintf("%-*s", streamName, closingText(number, i)))
		if _, err := c.Write(b); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}
