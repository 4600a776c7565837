package trials

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// processSituations are those of processes that stop, end and come back.
func processSituations() []Situation {
	var all situationList
	pause := func(of func(*triangle) *peers.GoPeer, d time.Duration, meanwhile func(ctx context.Context, t *triangle) error) func(ctx context.Context, s *site) (string, error) {
		return func(ctx context.Context, s *site) (string, error) {
			t, err := s.triangle(ctx)
			if err != nil {
				return "", err
			}
			if err := of(t).Process().Pause(); err != nil {
				return "", err
			}
			if err := errors.Join(peers.Sleep(ctx, d), meanwhile(ctx, t)); err != nil {
				return "", err
			}
			if err := of(t).Process().Resume(); err != nil {
				return "", err
			}
			took, err := meet(ctx, t.a, t.b, 10*time.Second)
			return after(took), err
		}
	}
	a := func(t *triangle) *peers.GoPeer { return t.a }
	nothing := func(context.Context, *triangle) error { return nil }
	all.add("a peer is suspended for 90 s", "reached within 10 s", pause(a, 90*time.Second, nothing))
	all.add("a peer is suspended for 30 s and wakes up in another network", "reached within 10 s", pause(a, 30*time.Second, func(ctx context.Context, t *triangle) error {
		return errors.Join(t.atA.DelAddr(ctx, "10.77.0.2/24"), t.atA.AddAddr(ctx, "10.77.0.102/24"))
	}))
	all.add("the relay is suspended for 60 s", "its peers reach each other within 10 s", pause(func(t *triangle) *peers.GoPeer { return t.relay }, 60*time.Second, nothing))

	all.quick("the relay comes back with another key, at the same URL", "its peers reach each other within 10 s", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if _, err := s.replace(ctx, t, "other"); err != nil {
			return "", err
		}
		took, err := meet(ctx, t.a, t.b, 10*time.Second)
		return after(took), err
	})
	all.add("the relay loses power and is back after 20 s with its key", "its peers reach each other within 10 s", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		// Nothing says goodbye: the host is off the network first.
		if err := errors.Join(t.atRelay.Plug(ctx, false), peers.Sleep(ctx, 20*time.Second)); err != nil {
			return "", err
		}
		if _, err := s.replace(ctx, t, "relay"); err != nil {
			return "", err
		}
		if err := t.atRelay.Plug(ctx, true); err != nil {
			return "", err
		}
		took, err := meet(ctx, t.a, t.b, 10*time.Second)
		return after(took), err
	})
	all.quick("a bootstrap by multiaddr comes back with another key", "an error names both peer ids within 30 s", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		addr, err := t.relay.AddrWith("/ip4/" + relayIP + "/tcp/")
		if err != nil {
			return "", err
		}
		other, err := s.replace(ctx, t, "other")
		if err != nil {
			return "", err
		}
		_, p, err := s.startAt(ctx, "10.77.0.9/24", "newcomer", false, []string{addr}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		e, err := p.Events().Wait(ctx, peers.IsKind(peers.EventError))
		if err != nil {
			return "no error event", err
		}
		_, want, _ := strings.Cut(addr, "/p2p/")
		own, err := other.AddrWith("/p2p/")
		if err != nil {
			return "", err
		}
		_, have, _ := strings.Cut(own, "/p2p/")
		seen := strings.ReplaceAll(strings.ReplaceAll(string(e.Data), want, "OLD"), have, "NEW")
		if !strings.Contains(seen, "OLD") || !strings.Contains(seen, "NEW") {
			err = errors.New("it does not name both")
		}
		return seen, err
	})
	all.quick("a peer comes back with another key and the same port", "the new id is reached within 10 s, and nothing for the old id arrives there", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		h, first, err := s.startAt(ctx, "10.77.0.9/24", "first", true, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if _, err := meet(ctx, t.a, first, startTime); err != nil {
			return "", err
		}
		if err := s.kill(first); err != nil {
			return "", err
		}
		second, err := s.start(ctx, h, "second", true, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		took, err := meet(ctx, t.a, second, 10*time.Second)
		if err != nil {
			return "", err
		}
		for range 20 {
			if err := t.a.Write("send", map[string]any{"to": first.ID(), "data": "for the first"}); err != nil {
				return "", err
			}
		}
		if err := peers.Sleep(ctx, 3*time.Second); err != nil {
			return "", err
		}
		wrong := second.Events().Count(peers.IsText(t.a.ID(), "for the first"))
		if wrong > 0 {
			err = fmt.Errorf("%d arrived at the second", wrong)
		}
		return fmt.Sprintf("reached %s, %d arrived wrongly", after(took), wrong), err
	})
	all.add("the only bootstrap is gone for good, and the network of a peer is away for 20 s", "reached within 10 s through the peers that it knew", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		_, other, err := s.startAt(ctx, "10.77.0.9/24", "other", true, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if err := t.link(ctx, other); err != nil {
			return "", err
		}
		if err := s.kill(t.relay); err != nil {
			return "", err
		}
		if _, err := meet(ctx, t.a, t.b, startTime); err != nil {
			return "", fmt.Errorf("without the bootstrap: %w", err)
		}
		if err := errors.Join(t.atA.Plug(ctx, false), peers.Sleep(ctx, 20*time.Second), t.atA.Plug(ctx, true)); err != nil {
			return "", err
		}
		took, err := meet(ctx, t.a, t.b, 10*time.Second)
		return after(took), err
	})
	all.add("peers start 60 s before their relay", "they reach each other within 10 s of its start", func(ctx context.Context, s *site) (string, error) {
		var hosts [3]*peers.LANHost
		for i := range hosts {
			var err error
			if hosts[i], err = s.lan.Host(ctx, fmt.Sprintf("10.77.0.%d/24", i+1)); err != nil {
				return "", err
			}
		}
		a, err := s.start(ctx, hosts[1], "a", false, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		b, err := s.start(ctx, hosts[2], "b", true, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if err := peers.Sleep(ctx, time.Minute); err != nil {
			return "", err
		}
		if _, err := s.start(ctx, hosts[0], "relay", true, nil, "--no-webrtc"); err != nil {
			return "", err
		}
		took, err := meet(ctx, a, b, 10*time.Second)
		return after(took), err
	})
	all.add("a relay that may open 60 files gets 50 connections, which end later", "the next one is told 503, and newcomers are reached within 10 s", func(ctx context.Context, s *site) (string, error) {
		at, err := s.lan.Host(ctx, relayIP+"/24")
		if err != nil {
			return "", err
		}
		script := filepath.Join(s.dir, "few-files")
		if err := os.WriteFile(script, []byte("#!/bin/sh\nulimit -n 60\nexec '"+s.binary+"' \"$@\"\n"), 0o700); err != nil {
			return "", err
		}
		relay, err := peers.StartGo(ctx, script, peers.Spec{Name: "relay", Listen: true, Port: soakPort, On: at}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		s.peers = append(s.peers, relay)
		h, err := s.lan.Host(ctx, "10.77.0.9/24")
		if err != nil {
			return "", err
		}
		var conns []net.Conn
		for range 50 {
			conn, err := h.Dial(ctx, "tcp", relayIP+":8001")
			if err != nil {
				return "", err
			}
			conns = append(conns, conn)
		}
		// Those that are refused and ask nothing are closed after a second, one after the other.
		if err := peers.Sleep(ctx, 7*time.Second); err != nil {
			return "", err
		}
		asking, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, refused := peers.FetchStatusFrom(asking, h, relayURL)
		for _, conn := range conns {
			conn.Close()
		}
		a, err := s.start(ctx, h, "a", false, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		b, err := s.start(ctx, h, "b", false, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		took, err := meet(ctx, a, b, 10*time.Second)
		if err == nil && (refused == nil || !strings.Contains(refused.Error(), "503")) {
			err = errors.New("it was not told 503")
		}
		return fmt.Sprintf("a question got: %v; newcomers reached %s", refused, after(took)), err
	})
	all.add("send where the relay is a black hole", "status 4 within 1 s of its --timeout, and it names the relay", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if err := t.atRelay.Plug(ctx, false); err != nil {
			return "", err
		}
		h, err := s.lan.Host(ctx, "10.77.0.9/24")
		if err != nil {
			return "", err
		}
		defer t.atRelay.Plug(ctx, true)
		begun := time.Now()
		status, text, err := s.command(ctx, h, "send", "--timeout", "5s", "--bootstrap", relayURL, t.a.ID().String(), "hello")
		took := time.Since(begun)
		if err == nil && (status != 4 || took > 6*time.Second || !strings.Contains(text, relayIP)) {
			err = errors.New("not so")
		}
		return fmt.Sprintf("status %d %s: %s", status, after(took), text), err
	})
	all.add("SIGTERM while the relay is a black hole", "within 12 s, with status 0, or 1 and what may not have arrived", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if err := t.atRelay.Plug(ctx, false); err != nil {
			return "", err
		}
		begun := time.Now()
		said := t.a.Stop(ctx)
		took := time.Since(begun)
		s.killed = append(s.killed, t.a)
		if err := t.atRelay.Plug(ctx, true); err != nil {
			return "", err
		}
		if took > 12*time.Second || said != nil && !strings.Contains(said.Error(), "may not have arrived") {
			err = errors.New("too late, or another error")
		}
		return fmt.Sprintf("%s, exit %v", after(took), said), err
	})
	return all
}
