package trials

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// lineSituations are those of lines that are cut, slow or lossy.
func lineSituations() []Situation {
	var all situationList

	// cutFor returns a play in which lines are cut for a while.
	cutFor := func(off time.Duration, most time.Duration, cut func(ctx context.Context, t *triangle, off bool) error, flags ...string) func(ctx context.Context, s *site) (string, error) {
		return func(ctx context.Context, s *site) (string, error) {
			t, err := s.triangle(ctx, flags...)
			if err != nil {
				return "", err
			}
			if err := cut(ctx, t, true); err != nil {
				return "", err
			}
			begun := time.Now()
			for time.Since(begun) < off { // a writes all the time
				if err := t.a.Write("send", map[string]any{"to": t.b.ID(), "data": "lost"}); err != nil {
					return "", err
				}
				if err := peers.Sleep(ctx, time.Second); err != nil {
					return "", err
				}
			}
			if err := cut(ctx, t, false); err != nil {
				return "", err
			}
			took, err := meet(ctx, t.a, t.b, most)
			return after(took), err
		}
	}
	downUp := func(host func(t *triangle) *peers.LANHost) func(ctx context.Context, t *triangle, off bool) error {
		return func(ctx context.Context, t *triangle, off bool) error {
			if off {
				return host(t).IP(ctx, "link", "set", "eth0", "down")
			}
			return host(t).IP(ctx, "link", "set", "eth0", "up")
		}
	}
	cable := func(host func(t *triangle) *peers.LANHost) func(ctx context.Context, t *triangle, off bool) error {
		return func(ctx context.Context, t *triangle, off bool) error { return host(t).Plug(ctx, !off) }
	}
	atA := func(t *triangle) *peers.LANHost { return t.atA }
	atRelay := func(t *triangle) *peers.LANHost { return t.atRelay }

	all.add("interface of a peer down for 5 s", "reached within 8 s", cutFor(5*time.Second, 8*time.Second, downUp(atA), "--no-webrtc"))
	all.add("interface of a peer down for 45 s", "reached within 8 s", cutFor(45*time.Second, 8*time.Second, downUp(atA), "--no-webrtc"))
	all.add("interface of the relay down for 30 s", "its peers reach each other within 10 s", cutFor(30*time.Second, 10*time.Second, downUp(atRelay), "--no-webrtc"))
	all.add("cable of a peer out behind a switch for 75 s", "reached within 10 s, though the kernel waits longer to send again", cutFor(75*time.Second, 10*time.Second, cable(atA), "--no-webrtc"))
	all.add("cable of the relay out for 75 s", "its peers reach each other within 10 s", cutFor(75*time.Second, 10*time.Second, cable(atRelay), "--no-webrtc"))
	all.add("cable of a peer out for 20 s, over QUIC", "reached within 10 s", func(ctx context.Context, s *site) (string, error) {
		return s.overQUIC(ctx, func(t *triangle) error {
			if err := t.atA.Plug(ctx, false); err != nil {
				return err
			}
			if err := peers.Sleep(ctx, 20*time.Second); err != nil {
				return err
			}
			return t.atA.Plug(ctx, true)
		}, 10*time.Second)
	})
	all.quick("packets to a peer vanish, those from it do not (a stale neighbour entry), another relay stands", "reached within 10 s over the other relay",
		func(ctx context.Context, s *site) (string, error) {
			t, err := s.triangle(ctx, "--no-webrtc")
			if err != nil {
				return "", err
			}
			if _, _, err := s.startAt(ctx, "10.77.0.4/24", "second", true, []string{relayURL}, "--no-webrtc"); err != nil {
				return "", err
			}
			both := []string{relayURL, "ws://10.77.0.4:8001"}
			for _, p := range []**peers.GoPeer{&t.a, &t.b} {
				if err := (*p).Destroy(ctx); err != nil {
					return "", err
				}
			}
			s.peers = append(s.peers[:1], s.peers[3:]...)
			if t.a, err = s.start(ctx, t.atA, "a", false, both, append(s.key("a"), "--no-webrtc")...); err != nil {
				return "", err
			}
			if t.b, err = s.start(ctx, t.atB, "b", false, both, append(s.key("b"), "--no-webrtc")...); err != nil {
				return "", err
			}
			if _, err := meet(ctx, t.a, t.b, startTime); err != nil {
				return "", err
			}
			// The relay sends what is for a's host to no host at all.
			if err := t.atRelay.IP(ctx, "neigh", "replace", "10.77.0.2", "lladdr", "02:00:00:00:00:77", "dev", "eth0", "nud", "permanent"); err != nil {
				return "", err
			}
			defer t.atRelay.IP(ctx, "neigh", "del", "10.77.0.2", "dev", "eth0")
			if err := peers.Sleep(ctx, time.Second); err != nil {
				return "", err
			}
			took, err := meet(ctx, t.a, t.b, 10*time.Second)
			return after(took), err
		})
	all.add("the one of two relays that is used vanishes while messages are sent", "no message that is sent 3 s later is lost", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		second, two, err := s.startAt(ctx, "10.77.0.4/24", "second", true, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if err := t.link(ctx, two); err != nil {
			return "", err
		}
		if _, err := deliver(ctx, t.a, t.b, 50, 100, time.Millisecond, 5*time.Second); err != nil {
			return "", err
		}
		used := t.atRelay
		first, err := peers.FetchStatusFrom(ctx, t.atRelay, relayURL)
		if err != nil {
			return "", err
		}
		if first.Counters["forwarded"] < 25 {
			used = second
		}
		if err := used.Plug(ctx, false); err != nil {
			return "", err
		}
		defer used.Plug(ctx, true)
		early, err := deliver(ctx, t.a, t.b, 60, 100, 50*time.Millisecond, 0)
		if err != nil {
			return "", err
		}
		arrived, err := deliver(ctx, t.a, t.b, 100, 100, 20*time.Millisecond, 2*time.Second)
		if err == nil && arrived < 100 {
			err = fmt.Errorf("%d of 100 arrived", arrived)
		}
		return fmt.Sprintf("%d of 60 arrived at first, then %d of 100", early, arrived), err
	})
	all.add("a bootstrap takes connections and is silent (a captive portal), another one answers", "joined within 5 s, and the silent one is named within 30 s", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		h, err := s.lan.Host(ctx, "10.77.0.9/24")
		if err != nil {
			return "", err
		}
		l, err := h.ListenTCP(ctx, "10.77.0.9:80") // the kernel takes connections
		if err != nil {
			return "", err
		}
		defer l.Close()
		p, err := s.start(ctx, h, "late", false, []string{"ws://10.77.0.9:80", relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		took, err := meet(ctx, p, t.b, 5*time.Second)
		if err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		e, err := p.Events().Wait(ctx, func(e peers.Event) bool {
			return e.Kind == peers.EventError && strings.Contains(string(e.Data), "10.77.0.9:80")
		})
		return fmt.Sprintf("joined %s, told %s", after(took), e.Data), err
	})
	all.add("a line of 128 kbit/s with a deep buffer, 150 kB one way and talk the other", "all arrives, and no link ends", func(ctx context.Context, s *site) (string, error) {
		return s.shaped(ctx, 15, 10_000, "rate", "128kbit", "burst", "8kb", "latency", "8s")
	})
	all.add("a line that loses bursts (1 Mbit/s, a buffer of 6 packets)", "all arrives, and no link ends", func(ctx context.Context, s *site) (string, error) {
		return s.shaped(ctx, 40, 10_000, "rate", "1mbit", "burst", "3kb", "limit", "9kb")
	})
	all.add("two halves of a network are apart for 40 s", "peers of both reach each other within 10 s", func(ctx context.Context, s *site) (string, error) {
		var hosts []*peers.LANHost
		var all []*peers.GoPeer
		for i := range 4 {
			bootstraps := [][]string{nil, {relayURL}, {relayURL}, {"ws://10.77.0.2:8001"}}[i]
			h, p, err := s.startAt(ctx, fmt.Sprintf("10.77.0.%d/24", i+1), fmt.Sprint("peer", i), i < 2, bootstraps, "--no-webrtc")
			if err != nil {
				return "", err
			}
			hosts, all = append(hosts, h), append(all, p)
		}
		if _, err := meet(ctx, all[2], all[3], startTime); err != nil {
			return "", err
		}
		// The second relay and its peer keep each other.
		apart := func(verb string) error {
			var errs []error
			for _, h := range []*peers.LANHost{hosts[1], hosts[3]} {
				for _, ip := range []string{"10.77.0.1/32", "10.77.0.3/32"} {
					errs = append(errs, h.IP(ctx, "route", verb, "blackhole", ip))
				}
			}
			return errors.Join(errs...)
		}
		if err := apart("add"); err != nil {
			return "", err
		}
		if err := peers.Sleep(ctx, 40*time.Second); err != nil {
			return "", err
		}
		if _, err := meet(ctx, all[1], all[3], time.Second); err != nil {
			return "", err
		}
		if err := apart("del"); err != nil {
			return "", err
		}
		took, err := meet(ctx, all[2], all[3], 10*time.Second)
		return after(took), err
	})
	return all
}

// overQUIC starts a triangle whose a and b reach the relay by QUIC only.
func (s *site) overQUIC(ctx context.Context, event func(t *triangle) error, most time.Duration) (string, error) {
	t := new(triangle)
	var err error
	for i, at := range []**peers.LANHost{&t.atRelay, &t.atA, &t.atB} {
		if *at, err = s.lan.Host(ctx, fmt.Sprintf("10.77.0.%d/24", i+1)); err != nil {
			return "", err
		}
	}
	if t.relay, err = s.start(ctx, t.atRelay, "relay", true, nil, append(s.key("relay"), "--quic", "--no-webrtc")...); err != nil {
		return "", err
	}
	addr, err := t.relay.AddrWith("/ip4/" + relayIP + "/udp/8001/quic-v1")
	if err != nil {
		return "", err
	}
	if t.a, err = s.start(ctx, t.atA, "a", false, []string{addr}, "--quic", "--no-webrtc"); err != nil {
		return "", err
	}
	if t.b, err = s.start(ctx, t.atB, "b", false, []string{addr}, "--quic", "--no-webrtc"); err != nil {
		return "", err
	}
	if _, err := meet(ctx, t.a, t.b, startTime); err != nil {
		return "", err
	}
	if err := event(t); err != nil {
		return "", err
	}
	took, err := meet(ctx, t.a, t.b, most)
	return after(took), err
}

// shaped has a send n messages over a line that a token bucket shapes, while b writes to it.
func (s *site) shaped(ctx context.Context, n, size int, bucket ...string) (string, error) {
	t, err := s.triangle(ctx, "--no-webrtc")
	if err != nil {
		return "", err
	}
	args := append([]string{"qdisc", "replace", "dev", "eth0", "root", "tbf"}, bucket...)
	if err := t.atA.Command("tc", args...).Run(); err != nil {
		return "", fmt.Errorf("tc: %w", err)
	}
	talking, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() { // ends with talking; awaited below
		defer close(done)
		for peers.Sleep(talking, 500*time.Millisecond) == nil {
			t.b.Write("send", map[string]any{"to": t.a.ID(), "data": "talk"}) // an error ends the process and the test
		}
	}()
	begun := time.Now()
	arrived, err := deliver(ctx, t.a, t.b, n, size, 10*time.Millisecond, 90*time.Second)
	stop()
	<-done
	links := t.a.Events().Count(peers.IsDisconnect(t.relay.ID()))
	if err == nil && (arrived < n || links > 0) {
		err = fmt.Errorf("%d of %d arrived, %d links ended", arrived, n, links)
	}
	return fmt.Sprintf("%d of %d %s, %d links ended", arrived, n, after(time.Since(begun)), links), err
}
