package trials

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// addressSituations are those of addresses, routes and names that change.
func addressSituations() []Situation {
	var all situationList
	// moved returns a play in which something about addresses changes.
	moved := func(most time.Duration, change func(ctx context.Context, t *triangle) error, flags ...string) func(ctx context.Context, s *site) (string, error) {
		return func(ctx context.Context, s *site) (string, error) {
			t, err := s.triangle(ctx, flags...)
			if err != nil {
				return "", err
			}
			if err := change(ctx, t); err != nil {
				return "", err
			}
			took, err := meet(ctx, t.a, t.b, most)
			return after(took), err
		}
	}
	steps := func(host *peers.LANHost, ctx context.Context, lines ...string) error {
		for _, line := range lines {
			if err := host.IP(ctx, strings.Fields(line)...); err != nil {
				return err
			}
		}
		return nil
	}

	all.quick("address of a peer changes, over QUIC", "reached within 8 s", func(ctx context.Context, s *site) (string, error) {
		return s.overQUIC(ctx, func(t *triangle) error {
			return steps(t.atA, ctx, "addr del 10.77.0.2/24 dev eth0", "addr add 10.77.0.102/24 dev eth0")
		}, 8*time.Second)
	})
	all.add("address of a peer changes, linked directly by WebRTC", "reached within 10 s", moved(10*time.Second, func(ctx context.Context, t *triangle) error {
		if _, err := t.a.Events().Wait(ctx, peers.IsPeer(t.b.ID())); err != nil {
			return err
		}
		return steps(t.atA, ctx, "addr del 10.77.0.2/24 dev eth0", "addr add 10.77.0.102/24 dev eth0")
	}))
	all.quick("addresses of both peers change at once", "they reach each other within 10 s", moved(10*time.Second, func(ctx context.Context, t *triangle) error {
		if err := steps(t.atA, ctx, "addr del 10.77.0.2/24 dev eth0", "addr add 10.77.0.102/24 dev eth0"); err != nil {
			return err
		}
		return steps(t.atB, ctx, "addr del 10.77.0.3/24 dev eth0", "addr add 10.77.0.103/24 dev eth0")
	}, "--no-webrtc"))
	all.add("interface of a peer is removed and comes back with its address (a USB adapter)", "reached within 8 s", moved(8*time.Second, func(ctx context.Context, t *triangle) error {
		if err := t.atA.Replug(ctx, 3*time.Second); err != nil {
			return err
		}
		return steps(t.atA, ctx, "addr add 10.77.0.2/24 dev eth0", "link set eth0 up")
	}, "--no-webrtc"))
	all.add("a second network is added to a peer's machine (a VPN) and is taken away", "nothing is lost", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		var sum int
		for _, lines := range [][]string{{"link add tun7 type bridge", "addr add 10.8.0.6/24 dev tun7", "link set tun7 up"}, {"link del tun7"}} {
			if err := steps(t.atA, ctx, lines...); err != nil {
				return "", err
			}
			got, err := deliver(ctx, t.b, t.a, 60, 100, 50*time.Millisecond, 2*time.Second)
			if err != nil {
				return "", err
			}
			sum += got
		}
		if sum < 120 {
			err = fmt.Errorf("%d of 120 arrived", sum)
		}
		return fmt.Sprintf("%d of 120 arrived", sum), err
	})
	all.quick("IPv6 only", "peers reach each other by ws://[…] within 10 s", func(ctx context.Context, s *site) (string, error) {
		var hosts [3]*peers.LANHost
		for i := range hosts {
			var err error
			if hosts[i], err = s.lan.Host(ctx, fmt.Sprintf("fd77::%d/64", i+1)); err != nil {
				return "", err
			}
		}
		if _, err := s.start(ctx, hosts[0], "relay", true, nil); err != nil {
			return "", err
		}
		a, err := s.start(ctx, hosts[1], "a", false, []string{"ws://[fd77::1]:8001"})
		if err != nil {
			return "", err
		}
		b, err := s.start(ctx, hosts[2], "b", true, []string{"ws://[fd77::1]:8001"})
		if err != nil {
			return "", err
		}
		took, err := meet(ctx, a, b, 10*time.Second)
		return after(took), err
	})
	all.add("IPv4 is taken away where IPv6 stays, the bootstraps name both", "reached within 8 s", func(ctx context.Context, s *site) (string, error) {
		var hosts [3]*peers.LANHost
		for i := range hosts {
			var err error
			if hosts[i], err = s.lan.Host(ctx, fmt.Sprintf("10.77.0.%d/24", i+1), fmt.Sprintf("fd77::%d/64", i+1)); err != nil {
				return "", err
			}
		}
		if _, err := s.start(ctx, hosts[0], "relay", true, nil, "--no-webrtc"); err != nil {
			return "", err
		}
		both := []string{relayURL, "ws://[fd77::1]:8001"}
		a, err := s.start(ctx, hosts[1], "a", false, both, "--no-webrtc")
		if err != nil {
			return "", err
		}
		b, err := s.start(ctx, hosts[2], "b", false, both, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if _, err := meet(ctx, a, b, startTime); err != nil {
			return "", err
		}
		if err := steps(hosts[1], ctx, "addr del 10.77.0.2/24 dev eth0"); err != nil {
			return "", err
		}
		took, err := meet(ctx, a, b, 8*time.Second)
		return after(took), err
	})
	all.add("no address at all when the peer starts (boot before Wi-Fi), for 40 s", "reached within 8 s of the address", func(ctx context.Context, s *site) (string, error) {
		t, err := s.triangle(ctx, "--no-webrtc")
		if err != nil {
			return "", err
		}
		late, err := s.lan.Host(ctx)
		if err != nil {
			return "", err
		}
		p, err := s.start(ctx, late, "late", true, []string{relayURL}, "--no-webrtc")
		if err != nil {
			return "", err
		}
		if err := peers.Sleep(ctx, 40*time.Second); err != nil {
			return "", err
		}
		if err := steps(late, ctx, "addr add 10.77.0.9/24 dev eth0"); err != nil {
			return "", err
		}
		took, err := meet(ctx, t.b, p, 8*time.Second)
		return after(took), err
	})

	// routed has peers behind a router, with a network for each, and returns what happened.
	routed := func(change func(ctx context.Context, router *peers.LANHost, a, b *peers.GoPeer) (string, error), mtu string, flags ...string) func(ctx context.Context, s *site) (string, error) {
		return func(ctx context.Context, s *site) (string, error) {
			outer, err := s.another(ctx)
			if err != nil {
				return "", err
			}
			router, err := s.lan.Host(ctx, "10.77.0.254/24")
			if err != nil {
				return "", err
			}
			if err := router.Join(ctx, outer, "eth1", "10.88.0.254/24"); err != nil {
				return "", err
			}
			if out, err := router.Command("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward").CombinedOutput(); err != nil {
				return "", fmt.Errorf("forwarding: %w: %s", err, out)
			}
			if err := steps(router, ctx, "link set eth1 mtu "+mtu); err != nil {
				return "", err
			}
			at, err := outer.Host(ctx, "10.88.0.1/24")
			if err != nil {
				return "", err
			}
			if err := steps(at, ctx, "link set eth0 mtu "+mtu, "route add default via 10.88.0.254"); err != nil {
				return "", err
			}
			relay, err := s.start(ctx, at, "relay", true, nil, append(s.key("relay"), flags...)...)
			if err != nil {
				return "", err
			}
			bootstrap := "ws://10.88.0.1:8001"
			if len(flags) > 0 && flags[0] == "--quic" {
				if bootstrap, err = relay.AddrWith("/ip4/10.88.0.1/udp/8001/quic-v1"); err != nil {
					return "", err
				}
			}
			var two []*peers.GoPeer
			for i := range 2 {
				h, err := s.lan.Host(ctx, fmt.Sprintf("10.77.0.%d/24", i+1))
				if err != nil {
					return "", err
				}
				if err := steps(h, ctx, "route add default via 10.77.0.254"); err != nil {
					return "", err
				}
				p, err := s.start(ctx, h, fmt.Sprint("peer", i), false, []string{bootstrap}, flags...)
				if err != nil {
					return "", err
				}
				two = append(two, p)
			}
			if _, err := meet(ctx, two[0], two[1], startTime); err != nil {
				return "", err
			}
			return change(ctx, router, two[0], two[1])
		}
	}
	big := func(ctx context.Context, _ *peers.LANHost, a, b *peers.GoPeer) (string, error) {
		got, err := deliver(ctx, a, b, 20, 50_000, 100*time.Millisecond, 20*time.Second)
		if err == nil && got < 20 {
			err = fmt.Errorf("%d of 20 arrived", got)
		}
		return fmt.Sprintf("%d of 20 messages of 50 kB arrived", got), err
	}
	all.add("a path MTU of 1280 behind a router, over WebSocket", "messages of 50 kB arrive", routed(big, "1280", "--no-webrtc"))
	all.quick("a path MTU of 1280 behind a router, over QUIC", "messages of 50 kB arrive", routed(big, "1280", "--quic", "--no-webrtc"))
	all.add("the router restarts: no forwarding for 50 s", "reached within 10 s", routed(func(ctx context.Context, router *peers.LANHost, a, b *peers.GoPeer) (string, error) {
		if err := steps(router, ctx, "link set eth1 down"); err != nil {
			return "", err
		}
		if err := peers.Sleep(ctx, 50*time.Second); err != nil {
			return "", err
		}
		if err := steps(router, ctx, "link set eth1 up"); err != nil {
			return "", err
		}
		took, err := meet(ctx, a, b, 10*time.Second)
		return after(took), err
	}, "1500", "--no-webrtc"))

	// rebound has a NAT change the port of a peer while it sends and receives.
	const reboundTalk = 350 // messages each way
	rebound := func(transport string, most int, flags ...string) func(ctx context.Context, s *site) (string, error) {
		return func(ctx context.Context, s *site) (string, error) {
			nat, relay, inside, outside, err := s.behindNAT(ctx, transport, flags...)
			if err != nil {
				return "", err
			}
			const n, late = reboundTalk, 10 * time.Second
			type count struct {
				arrived int
				err     error
			}
			in := make(chan count, 1)
			go func() { // ends with its messages
				var c count
				c.arrived, c.err = deliver(ctx, outside, inside, n, 100, 50*time.Millisecond, late)
				in <- c
			}()
			again := make(chan error, 1)
			go func() { // ends after its wait
				again <- errors.Join(peers.Sleep(ctx, 5*time.Second), nat.Rebind())
			}()
			out, err := deliver(ctx, inside, outside, n, 100, 50*time.Millisecond, late)
			got := <-in
			err = errors.Join(err, got.err, <-again)
			ended := inside.Events().Count(peers.IsDisconnect(relay.ID()))
			if err == nil && (out < n-most || got.arrived < n-most) {
				err = errors.New("more were lost")
			}
			if err == nil {
				_, err = meet(ctx, inside, outside, 10*time.Second)
			}
			return fmt.Sprintf("of %d each way %d went out and %d came in, %d links ended", n, out, got.arrived, ended), err
		}
	}
	all.add("a NAT changes the port of a peer, over QUIC", "nothing is lost", rebound("quic-v1", 0, "--quic", "--no-webrtc"))
	all.add("a NAT changes the port of a peer, over webrtc-direct", "what is sent in 10 s may be lost, since webrtc-direct has no ICE restart; then it is reached", rebound("webrtc-direct", 200, "--no-webrtc"))

	// named has a and b know the relay by a name, which the hosts file of the test names.
	named := func(first, then string, off time.Duration, most time.Duration, change func(ctx context.Context, relay *peers.LANHost) error) func(ctx context.Context, s *site) (string, error) {
		return func(ctx context.Context, s *site) (string, error) {
			at, err := s.lan.Host(ctx, relayIP+"/24")
			if err != nil {
				return "", err
			}
			if _, err := s.start(ctx, at, "relay", true, nil, "--no-webrtc"); err != nil {
				return "", err
			}
			var two []*peers.GoPeer
			var files []string
			for i := range 2 {
				h, err := s.lan.Host(ctx, fmt.Sprintf("10.77.0.%d/24", i+2))
				if err != nil {
					return "", err
				}
				file, err := h.Hosts(first)
				if err != nil {
					return "", err
				}
				files = append(files, file)
				p, err := s.start(ctx, h, fmt.Sprint("peer", i), false, []string{"ws://relay.example:8001"}, "--no-webrtc")
				if err != nil {
					return "", err
				}
				two = append(two, p)
			}
			if first != "" {
				if _, err := meet(ctx, two[0], two[1], startTime); err != nil {
					return "", err
				}
			}
			if err := change(ctx, at); err != nil {
				return "", err
			}
			if err := peers.Sleep(ctx, off); err != nil {
				return "", err
			}
			for _, file := range files {
				if err := os.WriteFile(file, []byte(then), 0o644); err != nil {
					return "", err
				}
			}
			took, err := meet(ctx, two[0], two[1], most)
			return after(took), err
		}
	}
	all.add("the name of the relay has no address for 45 s", "reached within 15 s of the address, of which the resolver may cache 5 s",
		named("", relayIP+" relay.example\n", 45*time.Second, 15*time.Second, func(context.Context, *peers.LANHost) error { return nil }))
	all.add("the relay moves, and 20 s later its name follows", "reached within 15 s of the name, of which the resolver may cache 5 s",
		named(relayIP+" relay.example\n", "10.77.0.201 relay.example\n", 20*time.Second, 15*time.Second, func(ctx context.Context, relay *peers.LANHost) error {
			return steps(relay, ctx, "addr del "+relayIP+"/24 dev eth0", "addr add 10.77.0.201/24 dev eth0")
		}))
	return all
}

// behindNAT starts a peer that reaches a relay only through a NAT, by one transport, and another
// one beside the relay.
func (s *site) behindNAT(ctx context.Context, transport string, flags ...string) (nat *peers.NAT, relay, inside, outside *peers.GoPeer, err error) {
	fail := func(err error) (*peers.NAT, *peers.GoPeer, *peers.GoPeer, *peers.GoPeer, error) {
		return nil, nil, nil, nil, err
	}
	inner, err := s.another(ctx)
	if err != nil {
		return fail(err)
	}
	var hosts [3]*peers.LANHost
	for i := range hosts {
		if hosts[i], err = s.lan.Host(ctx, fmt.Sprintf("10.77.0.%d/24", i+1)); err != nil {
			return fail(err)
		}
	}
	if err := hosts[1].Join(ctx, inner, "eth1", "10.88.0.1/24"); err != nil {
		return fail(err)
	}
	at, err := inner.Host(ctx, "10.88.0.2/24")
	if err != nil {
		return fail(err)
	}
	if relay, err = s.start(ctx, hosts[0], "relay", true, nil, flags...); err != nil {
		return fail(err)
	}
	addr, err := relay.AddrWith("/ip4/" + relayIP + "/udp/8001/" + transport)
	if err != nil {
		return fail(err)
	}
	if nat, err = peers.NewNAT(ctx, hosts[1], "10.88.0.1:8001", "10.77.0.2", relayIP+":8001"); err != nil {
		return fail(err)
	}
	s.ends.Add(nat.Close)
	if inside, err = s.start(ctx, at, "inside", false, []string{strings.Replace(addr, relayIP, "10.88.0.1", 1)}, flags...); err != nil {
		return fail(err)
	}
	if outside, err = s.start(ctx, hosts[2], "outside", false, []string{relayURL}, flags...); err != nil {
		return fail(err)
	}
	if _, err := meet(ctx, inside, outside, startTime); err != nil {
		return fail(err)
	}
	return nat, relay, inside, outside, nil
}
