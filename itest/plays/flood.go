package plays

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol"
)

// flood sends what next returns, at floodRate over a number of links, until ctx is done. A
// link that the node cuts is opened again. One call of next returns one or more messages.
func flood(links int, next func(p *speaker, i int) []string) func(context.Context, *Siege) error {
	return func(ctx context.Context, s *Siege) error {
		return s.each(ctx, links, func(ctx context.Context, p *speaker, k int) error {
			tick := time.NewTicker(floodTick)
			defer tick.Stop()
			for i := k; ; {
				for sent := 0; sent < max(1, floodRate/links/int(time.Second/floodTick)); i += links {
					texts := next(p, i)
					if err := p.write(texts...); err != nil {
						return err
					}
					sent += len(texts)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return nil
				}
			}
		})
	}
}

// each has a number of speakers do something at once, and again when the node cuts them,
// until ctx is done.
func (s *Siege) each(ctx context.Context, links int, do func(ctx context.Context, p *speaker, k int) error) error {
	var all sync.WaitGroup
	defer all.Wait()
	for k := range links {
		all.Go(func() { // ends with ctx
			for ctx.Err() == nil {
				p, err := s.speak(ctx, s.id(), nil)
				if err == nil {
					// Writing ends with the flood, also where the node has stopped reading.
					release := context.AfterFunc(ctx, func() { p.conn.NetConn().Close() })
					do(ctx, p, k)
					release()
					p.close()
				}
				pause := time.NewTimer(sampleEvery)
				select {
				case <-pause.C:
				case <-ctx.Done():
					pause.Stop()
				}
			}
		})
	}
	<-ctx.Done()
	return nil
}

// strangers opens connections that each send one thing.
func strangers(say func(*websocket.Conn, *Siege)) func(context.Context, *Siege) error {
	return func(ctx context.Context, s *Siege) error {
		tick := time.NewTicker(floodTick)
		defer tick.Stop()
		for ctx.Err() == nil {
			conn, _, err := websocket.DefaultDialer.DialContext(ctx, s.node.URL(), nil)
			if err != nil {
				break // the flood is over, or the node refuses further connections
			}
			say(conn, s)
			defer conn.Close() // after the flood, so that they add up
			<-tick.C
		}
		<-ctx.Done()
		return nil
	}
}

// pour sends on a channel as fast as it can, until ctx is done.
func pour(ctx context.Context, c *webrtc.DataChannel, send func() error) error {
	tick := time.NewTicker(floodTick)
	defer tick.Stop()
	for {
		for range 100 {
			if c.BufferedAmount() > 1<<20 {
				break
			}
			if err := send(); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// channels has peers open data channels with the node, and again when it closes them.
func channels(do func(context.Context, *webrtc.DataChannel, *speaker, protocol.ID) error) func(context.Context, *Siege) error {
	return func(ctx context.Context, s *Siege) error {
		opened := make(chan struct{}, 1)
		err := s.each(ctx, hostileLinks, func(ctx context.Context, p *speaker, _ int) error {
			from := s.id()
			said := make(chan spoken, 100)
			q, err := s.speak(ctx, s.id(), func(m spoken) {
				if m.To == from {
					select {
					case said <- m:
					default:
					}
				}
			})
			if err != nil {
				return err
			}
			defer q.close()
			pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
			if err != nil {
				return err
			}
			defer pc.GracefulClose()
			c, err := q.open(ctx, pc, from, said)
			if err != nil {
				return err
			}
			select {
			case opened <- struct{}{}:
			default:
			}
			return do(ctx, c, q, from)
		})
		if len(opened) == 0 {
			return errors.Join(err, errors.New("no data channel was opened"))
		}
		return err
	}
}

// open is the initiator of a data channel with the node.
func (p *speaker) open(ctx context.Context, pc *webrtc.PeerConnection, from protocol.ID, said <-chan spoken) (*webrtc.DataChannel, error) {
	c, err := pc.CreateDataChannel("hostile", nil)
	if err != nil {
		return nil, err
	}
	opened := make(chan struct{})
	c.OnOpen(func() { close(opened) })
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	<-gathered
	text, err := json.Marshal(pc.LocalDescription())
	if err != nil {
		return nil, err
	}
	if err := p.write(p.offer(from), p.signal(from, string(text))); err != nil {
		return nil, err
	}
	var early []webrtc.ICECandidateInit
	for {
		select {
		case <-opened:
			return c, nil
		case m := <-said:
			var signal struct {
				webrtc.SessionDescription
				Candidate *webrtc.ICECandidateInit
			}
			if m.Data.Type != "signal" || json.Unmarshal(m.Data.Data, &signal) != nil {
				continue
			}
			if signal.Candidate != nil {
				early = append(early, *signal.Candidate)
			} else if err := pc.SetRemoteDescription(signal.SessionDescription); err != nil {
				return nil, err
			}
			if pc.RemoteDescription() != nil {
				for _, candidate := range early {
					if err := pc.AddICECandidate(candidate); err != nil {
						return nil, err
					}
				}
				early = nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// signals floods with signals, each of another peer whose offer was sent before.
func signals(all ...string) func(context.Context, *Siege) error {
	return flood(hostileLinks, func(p *speaker, i int) []string {
		from := p.s.id()
		return []string{p.offer(from), p.signal(from, all[i/hostileLinks%len(all)])}
	})
}

// candidates floods with an offer and what follows it, each of another peer.
func candidates(all ...string) func(context.Context, *Siege) error {
	return flood(hostileLinks, func(p *speaker, i int) []string {
		from := p.s.id()
		texts := []string{p.offer(from), p.signal(from, hostileOffer(hostileSDP))}
		for _, c := range all {
			texts = append(texts, p.signal(from, hostileCandidate(c)))
		}
		return texts
	})
}

// messages floods with messages that are no signals; %s becomes an id that no peer has.
func messages(all ...string) func(context.Context, *Siege) error {
	return flood(hostileLinks, func(p *speaker, i int) []string {
		from := p.s.id()
		return []string{p.toNode(from, strings.ReplaceAll(all[i/hostileLinks%len(all)], "%s", p.s.id().String()))}
	})
}
