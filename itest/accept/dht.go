package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
	"github.com/peer-relay/peer-relay/protocol"
)

const (
	dhtProcesses = 10
	dhtHosts     = 10 // in each
	dhtSettle    = 8 * time.Minute
	dhtLeast     = 90 * time.Second // the overlay lets go of what it does not need after 60 s
	dhtQuiet     = 10               // looks, one each second, in which nothing changes
	dhtPatience  = time.Minute      // for what takes 2 s at most if all is well

	dhtStales = 5           // newcomers that ask for a peer that is gone
	dhtWatch  = time.Minute // for how long it is seen that they do not try again

	// A DHT of others.
	dhtPrefix = "/acme"
	dhtPlain  = 10
	dhtOurs   = 5

	// mostNewcomer is within what a newcomer must be linked with any id.
	mostNewcomer = 2 * time.Second
	// mostDHTLinks is the mean of links a node, by the overlay's figure for 100 peers.
	mostDHTLinks = 22
	// mostDHTConns is the mean of libp2p connections a node. Stock kad-dht keeps 60 and more.
	mostDHTConns = 45
)

// dht has a network of nodes share a kad-dht.
func dht(ctx context.Context, opts options, r *report) (err error) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	conns := r.table("100 hosts, settled", "after", "mean links", "max", "mean connections", "max", "mean routing table")
	var failed []error
	for _, other := range []peers.FleetSpec{
		{Name: "plain go-libp2p-kad-dht", Hosts: dhtHosts, Plain: true},
		{Name: "nodes without a DHT", Hosts: dhtHosts, NoDHT: true},
	} {
		if err := dhtConns(ctx, opts, conns, other); err != nil {
			return err
		}
	}
	n, err := plays.OpenFleets(ctx, dhtProcesses, peers.FleetSpec{Hosts: dhtHosts})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	states, err := dhtSettled(ctx, opts, n, "nodes", conns)
	if err != nil {
		return err
	}
	if mean, _ := meanMax(states, func(s peers.FleetState) int { return s.Links }); mean > mostDHTLinks {
		failed = append(failed, fmt.Errorf("%.1f links a node, want at most %d", mean, mostDHTLinks))
	}
	if mean, _ := meanMax(states, func(s peers.FleetState) int { return s.Conns }); mean > mostDHTConns {
		failed = append(failed, fmt.Errorf("%.1f connections a node, want at most %d", mean, mostDHTConns))
	}
	failed = append(failed, dhtNewcomers(ctx, opts, n, r), dhtForged(ctx, opts, n, r), dhtStale(ctx, opts, n, r), dhtShared(ctx, opts, r))
	return errors.Join(failed...)
}

// dhtConns adds a row for a network of one kind of hosts, which it starts for that.
func dhtConns(ctx context.Context, opts options, t *table, spec peers.FleetSpec) (err error) {
	n, err := plays.OpenFleets(ctx, dhtProcesses, spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	_, err = dhtSettled(ctx, opts, n, spec.Name, t)
	return err
}

func dhtSettled(ctx context.Context, opts options, n *plays.Fleets, name string, t *table) ([]peers.FleetState, error) {
	settling, cancel := context.WithTimeout(ctx, dhtSettle)
	defer cancel()
	start := time.Now()
	looks := 0
	states, err := n.Settle(settling, dhtLeast, dhtQuiet, func(states []peers.FleetState) {
		if looks++; looks%5 == 0 {
			opts.log.Printf("%s after %v: %s", name, time.Since(start).Round(time.Second), dhtLine(states))
		}
	})
	if err != nil {
		return nil, err
	}
	links, mostLinks := meanMax(states, func(s peers.FleetState) int { return s.Links })
	conns, mostConns := meanMax(states, func(s peers.FleetState) int { return s.Conns })
	table, _ := meanMax(states, func(s peers.FleetState) int { return s.Table })
	t.row(name, time.Since(start).Round(time.Second), fmt.Sprintf("%.1f", links), mostLinks, fmt.Sprintf("%.1f", conns), mostConns, fmt.Sprintf("%.1f", table))
	return states, nil
}

func dhtLine(states []peers.FleetState) string {
	links, mostLinks := meanMax(states, func(s peers.FleetState) int { return s.Links })
	conns, mostConns := meanMax(states, func(s peers.FleetState) int { return s.Conns })
	published := 0
	for _, s := range states {
		published += int(min(s.Published, 1))
	}
	return fmt.Sprintf("%.1f links a host (%d at most), %.1f connections (%d), %d of %d published", links, mostLinks, conns, mostConns, published, len(states))
}

func meanMax(states []peers.FleetState, of func(peers.FleetState) int) (mean float64, most int) {
	for _, s := range states {
		mean += float64(of(s)) / float64(len(states))
		most = max(most, of(s))
	}
	return mean, most
}

// dhtNewcomers has newcomers of each kind connect to one id each, all ids in turn.
func dhtNewcomers(ctx context.Context, opts options, n *plays.Fleets, r *report) (err error) {
	client, err := plays.NewKadClient()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	rng := rand.New(rand.NewPCG(opts.seed, 1))
	t := r.table("a newcomer with", "port", "linked", "from its start, median", "max", "from Connect, median", "max", "found in the DHT by then")
	var failed []error
	for _, kind := range []struct {
		name string
		plays.Newcomer
		held bool // to the bound
	}{
		{"overlay and DHT", plays.Newcomer{Overlay: true, DHT: true}, true},
		{"only the DHT", plays.Newcomer{DHT: true}, true},
		{"only the overlay", plays.Newcomer{Overlay: true}, false},
	} {
		for _, listen := range []bool{true, false} {
			kind.Listen = listen
			var starts, connects series
			found := 0
			// Each id once, by newcomers with a port and without one in turn.
			for i, at := range rng.Perm(len(n.Hosts)) {
				if i >= opts.n || i%2 == 0 == listen {
					continue
				}
				to := n.Hosts[at]
				boot := n.Hosts[(at+1+rng.IntN(len(n.Hosts)-1))%len(n.Hosts)]
				joining, cancel := context.WithTimeout(ctx, dhtPatience)
				figure, err := kind.Join(joining, boot, to)
				cancel()
				if err != nil {
					failed = append(failed, err)
					opts.log.Printf("%s FAILED: %v", kind.name, err)
					continue
				}
				if figure.Start > mostNewcomer/2 {
					nearer, addressed, err := client.Closer(ctx, boot, to.ID)
					opts.log.Printf("%s, from %v to %v: %v; the first names %d peers nearer, %d of them with addresses, %v\n\t%s",
						kind.name, boot.ID, to.ID, figure.Start, nearer, addressed, err, strings.Join(figure.Story, "\n\t"))
				}
				starts, connects = append(starts, figure.Start), append(connects, figure.Connect)
				if figure.ByDHT {
					found++
				}
			}
			port := "none"
			if listen {
				port = "yes"
			}
			opts.log.Printf("%s, port %s: %d linked, median %v, max %v", kind.name, port, len(starts), starts.median(), starts.max())
			round := time.Millisecond
			t.row(kind.name, port, len(starts), starts.median().Round(round), starts.max().Round(round), connects.median().Round(round), connects.max().Round(round), found)
			if kind.held && starts.max() > mostNewcomer {
				failed = append(failed, fmt.Errorf("a newcomer with %s was linked after %v, want at most %v", kind.name, starts.max(), mostNewcomer))
			}
		}
	}
	return errors.Join(failed...)
}

// dhtForged offers every server of the DHT records that it must not keep, and newcomers
// records that they must not believe.
func dhtForged(ctx context.Context, opts options, n *plays.Fleets, r *report) (err error) {
	ctx, cancel := context.WithTimeout(ctx, dhtSettle)
	defer cancel()
	client, err := plays.NewKadClient()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	decoy, err := plays.NewDecoy("0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, decoy.Close()) }()
	victim := n.Hosts[len(n.Hosts)/2]
	forged, right, err := plays.Forgeries(victim, decoy.Addr())
	if err != nil {
		return err
	}
	t := r.table("record", "offered to servers", "taken", "kept", "told by a liar", "believed", "dialled")
	var failed []error
	for _, f := range append(forged, right) {
		taken, kept := 0, 0
		for _, at := range n.Hosts {
			ok, err := client.Put(ctx, at, f)
			if err != nil {
				return err
			}
			if ok {
				taken++
			}
			value, err := client.Kept(ctx, at, f.Key)
			if err != nil {
				return err
			}
			if bytes.Equal(value, f.Value) {
				kept++
			}
		}
		var lie plays.LiarFigure
		if f.ID != (protocol.ID{}) {
			if lie, err = plays.Lie(ctx, f, decoy); err != nil {
				return err
			}
		}
		t.row(f.Name, len(n.Hosts), taken, kept, lie.Asked, lie.Found, lie.Dials)
		want := 0
		if f.Name == right.Name {
			want = len(n.Hosts)
		}
		if taken != want || kept != want || min(lie.Found, 1) != min(want, 1) {
			failed = append(failed, fmt.Errorf("record %q: %d servers took it and %d kept it, want %d; a newcomer believed it %d times", f.Name, taken, kept, want, lie.Found))
		}
		opts.log.Printf("record %q: taken by %d, kept by %d, believed %d times of %d", f.Name, taken, kept, lie.Found, lie.Asked)
	}
	return errors.Join(failed...)
}

// dhtStale kills a host, and has newcomers connect to it.
func dhtStale(ctx context.Context, opts options, n *plays.Fleets, r *report) (err error) {
	ctx, cancel := context.WithTimeout(ctx, dhtSettle)
	defer cancel()
	dead, err := n.Lose(ctx)
	if err != nil {
		return err
	}
	decoy, err := plays.NewDecoyOf(dead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, decoy.Close()) }()
	start := time.Now()
	var mu sync.Mutex // guards figures and failed
	var figures []plays.StaleFigure
	var failed []error
	p := newPool(dhtStales)
	for i := range dhtStales {
		p.do(func() {
			figure, err := plays.Stale(ctx, n.Hosts[i], dead, dhtWatch)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, err)
				return
			}
			figures = append(figures, figure)
			if figure.Found > 1 || figure.Dials > 1 || figure.Again > 0 {
				failed = append(failed, fmt.Errorf("a stale record was found %d times and dialled %d times, and found %d times more within %v", figure.Found, figure.Dials, figure.Again, dhtWatch))
			}
		})
	}
	p.wait()
	t := r.table("newcomers that ask for a peer that was killed", "dialled it before that", "found its record", "dialled it then", fmt.Sprintf("found it again within %v", dhtWatch), "dialled it then", "dials at its port by all hosts")
	before, found, dials, again, later := 0, 0, 0, 0, 0
	for _, f := range figures {
		before, found, dials, again, later = before+f.Before, found+min(f.Found, 1), dials+f.Dials, again+f.Again, later+f.Later
	}
	t.row(len(figures), before, found, dials, again, later, fmt.Sprintf("%d in %v", decoy.Dials(), time.Since(start).Round(time.Second)))
	r.note("Newcomers look around in the DHT for other reasons, too, and servers name the dead host to them until they miss it themselves: those are the dials before and after.")
	if found == 0 {
		failed = append(failed, errors.New("no newcomer found the stale record"))
	}
	opts.log.Printf("stale record: %d newcomers, %d found it and dialled %d times, found it %d times again", len(figures), found, dials, again)
	return errors.Join(failed...)
}

// dhtShared has our binary join a DHT of stock hosts.
func dhtShared(ctx context.Context, opts options, r *report) error {
	return withGo(ctx, func(ctx context.Context, binary string) error {
		ctx, cancel := context.WithTimeout(ctx, dhtSettle)
		defer cancel()
		f, err := plays.ShareDHT(ctx, binary, dhtPrefix, dhtPlain, dhtOurs)
		found, beside, after := series(f.Found), series(f.Beside), series(f.After)
		t := r.table(fmt.Sprintf("a DHT of %d plain hosts and %d of ours, --dht %s", dhtPlain, dhtOurs, dhtPrefix), "", "median", "max")
		round := time.Millisecond
		t.row("ours are linked, each with every other, after", "", f.Linked.Round(round), "")
		t.row("plain hosts find ours by FindPeer", len(found), found.median().Round(round), found.max().Round(round))
		t.row("plain hosts find what others of them announced", len(beside), beside.median().Round(round), beside.max().Round(round))
		t.row("and after ours were gone", len(after), after.median().Round(round), after.max().Round(round))
		opts.log.Printf("a DHT of others: linked after %v, %d of ours found", f.Linked.Round(round), len(found))
		return err
	})
}
