package plays

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// A Step is a part of a longer run, with a note for the report.
type Step struct {
	Name string
	Took time.Duration
	Note string
}

// First does what an operator does who replaces the npm package's server.js. That runs with
// clients on a port and is killed. Our binary is started as `peer-relay PORT` on the same
// port, and serves npm clients, curl, a stock go-libp2p host and js-libp2p there. On either
// server a number of messages go in each direction between two npm clients that are held
// from dialling each other.
func First(ctx context.Context, binary string, messages int) (steps []Step, err error) {
	step := func(name string, do func() (string, error)) error {
		started := time.Now()
		note, err := do()
		if err != nil {
			return fmt.Errorf("itest: %s: %w", name, err)
		}
		steps = append(steps, Step{name, time.Since(started), note})
		return nil
	}
	port, err := peers.FreePort()
	if err != nil {
		return nil, err
	}
	if err := step("server.js relays", func() (string, error) { return beforeFirst(ctx, port, messages) }); err != nil {
		return steps, err
	}

	var server *peers.Server
	if err := step("peer-relay PORT starts", func() (string, error) {
		server, err = peers.StartServer(ctx, binary, port)
		if err != nil {
			return "", err
		}
		return server.Addrs[0], nil
	}); err != nil {
		return steps, err
	}
	defer func() {
		if server != nil {
			err = errors.Join(err, server.Kill())
		}
	}()
	linked := func(ctx context.Context, links int) error { return peers.WaitLinks(ctx, server.URL, links) }
	err = errors.Join(
		step("two npm clients exchange messages", func() (string, error) {
			return fmt.Sprintf("%d sent, forwarded as many", 2*messages), exchange(ctx, server.URL, messages, linked, func() error {
				status, err := peers.FetchStatus(ctx, server.URL)
				if err != nil {
					return err
				}
				if got := status.Counters["forwarded"]; got != uint64(2*messages) {
					return fmt.Errorf("the relay counted %d messages forwarded, want %d", got, 2*messages)
				}
				if drops := status.Drops(); len(drops) > 0 {
					return fmt.Errorf("the relay dropped %v", drops)
				}
				return nil
			})
		}),
		step("GET / as curl", func() (string, error) {
			kind, page, err := peers.Get(ctx, server.URL, "/")
			if err != nil {
				return "", err
			}
			if !strings.HasPrefix(kind, "text/plain") || !strings.Contains(page, server.ID.String()) {
				return "", fmt.Errorf("the page has the type %q and says %q", kind, page)
			}
			return fmt.Sprintf("%s, %d bytes", kind, len(page)), nil
		}),
		step("stock go-libp2p pings", func() (string, error) { return pingByGo(ctx, server.Addrs[0]) }),
		step("js-libp2p identifies and pings", func() (string, error) {
			report, err := peers.DialJSLibp2p(ctx, server.Addrs[0])
			if err != nil {
				return "", err
			}
			if !strings.HasSuffix(server.Addrs[0], "/p2p/"+report.Peer) || !strings.HasPrefix(report.Agent, "peer-relay/") {
				return "", fmt.Errorf("js-libp2p saw %+v", report)
			}
			return fmt.Sprintf("%s, %s, %v", report.Agent, report.Encryption, report.Ping().Round(time.Microsecond)), nil
		}),
		step("it ends on SIGTERM", func() (string, error) {
			s := server
			server = nil
			return "status 0", s.Stop()
		}),
	)
	return steps, err
}

// beforeFirst has server.js relay between clients.
func beforeFirst(ctx context.Context, port, messages int) (string, error) {
	server, err := peers.StartJSServer(ctx, port)
	if err != nil {
		return "", err
	}
	err = exchange(ctx, server.URL, messages, func(ctx context.Context, clients int) error {
		return peers.Until(ctx, "server.js to have its clients", func() (bool, error) {
			return strings.Count(server.Process().Stderr(), "PEER") >= clients, nil
		})
	}, func() error { return nil })
	return fmt.Sprintf("%d sent, then killed", 2*messages), errors.Join(err, server.Kill())
}

// exchange lets two npm clients in a fresh process send each other messages through a
// relay. ready waits until the relay has links to a number of them. check is called while
// they are still linked: messages for them when they leave are lost.
func exchange(ctx context.Context, url string, messages int, ready func(ctx context.Context, clients int) error, check func() error) (err error) {
	d, err := peers.StartDriver(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var clients []*peers.NPMPeer
	for _, name := range []string{"c1", "c2"} {
		p, err := d.Peer(ctx, peers.NPMSpec{Spec: peers.Spec{Name: name, Bootstrap: []string{url}}, Hold: true})
		if err != nil {
			return err
		}
		if _, err := p.Events().Wait(ctx, peers.IsKind(peers.EventPeer)); err != nil {
			return err
		}
		clients = append(clients, p)
	}
	// A client can have its peer event before the relay has read what it sent.
	if err := ready(ctx, len(clients)); err != nil {
		return err
	}
	for n := range messages {
		for i, p := range clients {
			if err := p.Send(ctx, clients[1-i].ID(), fmt.Sprintf("message %d", n)); err != nil {
				return err
			}
		}
	}
	for i, p := range clients {
		got, err := p.Events().WaitN(ctx, messages, peers.IsKind(peers.EventMessage))
		if err != nil {
			return err
		}
		for n, e := range got {
			want, _ := json.Marshal(fmt.Sprintf("message %d", n))
			if e.Node != clients[1-i].ID() || string(e.Data) != string(want) {
				return fmt.Errorf("message %d came as %s from %s", n, e.Data, e.Node)
			}
		}
		if p.Events().Count(peers.IsKind(peers.EventPeer)) != 1 {
			return errors.New("a held client has more than one link")
		}
	}
	return check()
}

// pingByGo connects a go-libp2p host with every default to a multiaddr.
func pingByGo(ctx context.Context, addr string) (note string, err error) {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return "", err
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/" + peers.Loopback + "/tcp/0"))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := h.Connect(ctx, *info); err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pong := <-ping.Ping(ctx, h, info.ID)
	if pong.Error != nil {
		return "", pong.Error
	}
	agent, err := h.Peerstore().Get(info.ID, "AgentVersion")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%v, %v", agent, pong.RTT.Round(time.Microsecond)), nil
}
