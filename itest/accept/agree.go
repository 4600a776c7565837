package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/sim"
)

const (
	agreeProcesses = 10
	agreeHosts     = 10 // in each process
	agreeTime      = 15 * time.Minute
	agreeWorlds    = 5                      // simulated networks, each with a seed of its own
	agreeGap       = 100 * time.Millisecond // from one simulated peer to the next
	agreeRest      = time.Minute
	agreeKilled    = 5    // one in five is killed
	agreeWithin    = 0.05 // of the simulated figure

	// As sim.World.Exchange has it.
	agreeStep = 2 * time.Millisecond // from one message to the next
	agreeLate = 6 * time.Second      // messages that take longer are lost
)

// An agreePhase is messages between random pairs of living peers.
type agreePhase struct {
	name     string
	kill     bool // before them
	messages int
}

// agreeFigures are what came of the messages of a phase.
type agreeFigures struct {
	delivered float64 // percent
	hops      float64 // mean
	took      float64 // mean milliseconds
}

// agree has simulated networks and a real one of the same size, with the same latencies, do the same.
// -n is the number of messages before the kill.
func agree(ctx context.Context, opts options, r *report) error {
	phases := []agreePhase{
		{"quiet", false, opts.n},
		{"in the first second after a fifth was killed", true, int(time.Second / agreeStep)},
		{"7 s after it and later", false, (opts.n + 1) / 2},
	}
	ctx, cancel := context.WithTimeout(ctx, agreeTime)
	defer cancel()
	simulated, err := agreeSimulated(ctx, opts, phases)
	if err != nil {
		return err
	}
	real, err := agreeReal(ctx, opts, phases)
	if err != nil {
		return err
	}
	t := r.table("phase", "what", "simulated", "real", "ratio", "target", "")
	var missed []error
	row := func(phase, what, unit string, simulated, real float64, judged bool) {
		ratio := real / simulated
		verdict, target := "", ""
		if judged {
			verdict, target = "ok", fmt.Sprintf("1 ± %v", agreeWithin)
			if !(math.Abs(ratio-1) <= agreeWithin) { // NaN is not
				verdict = "MISSED"
				missed = append(missed, fmt.Errorf("%s: %s: simulated %.3f, real %.3f", phase, what, simulated, real))
			}
		}
		t.row(phase, what, fmt.Sprintf("%.2f%s", simulated, unit), fmt.Sprintf("%.2f%s", real, unit), fmt.Sprintf("%.3f", ratio), target, verdict)
		opts.log.Printf("%s: %s: simulated %.2f%s, real %.2f%s, ratio %.3f %s", phase, what, simulated, unit, real, unit, ratio, verdict)
	}
	for i, p := range phases {
		row(p.name, "delivered", " %", simulated[i].delivered, real[i].delivered, true)
		row(p.name, "hops, mean", "", simulated[i].hops, real[i].hops, true)
		row(p.name, "time to delivery, mean", " ms", simulated[i].took, real[i].took, false)
	}
	r.note("simulated: means of %d networks. Real: killed processes are stopped, so that their connections stay, as those of the simulated peers", agreeWorlds)
	return errors.Join(missed...)
}

// agreeSimulated returns the means of some simulated networks.
func agreeSimulated(ctx context.Context, opts options, phases []agreePhase) ([]agreeFigures, error) {
	means := make([]agreeFigures, len(phases))
	for n := range uint64(agreeWorlds) {
		w := sim.New(sim.Config{Seed: opts.seed + n, Bootstraps: 1})
		for range agreeProcesses * agreeHosts {
			w.Add(protocol.RolePeer)
			w.Run(w.Now() + agreeGap)
		}
		w.Run(w.Now() + agreeRest)
		for i, p := range phases {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if p.kill {
				w.KillShare(agreeKilled)
			}
			e := w.Exchange(p.messages)
			means[i].delivered += 100 * e.Share() / agreeWorlds
			means[i].hops += e.Hops / agreeWorlds
			means[i].took += float64(e.Took.Milliseconds()) / agreeWorlds
			opts.log.Printf("simulated network %d, %s: %.2f %% delivered, %.3f hops", n+1, p.name, 100*e.Share(), e.Hops)
		}
	}
	return means, nil
}

func agreeReal(ctx context.Context, opts options, phases []agreePhase) (figures []agreeFigures, err error) {
	n, err := plays.OpenFleets(ctx, agreeProcesses, peers.FleetSpec{Hosts: agreeHosts, Far: agreeProcesses * agreeHosts, Seed: opts.seed})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := linked(ctx, opts, n, agreeRest); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(opts.seed, 1))
	for _, p := range phases {
		for i := agreeKilled - 1; p.kill && i < agreeProcesses; i += agreeKilled {
			if err := n.Pause(i); err != nil {
				return nil, err
			}
		}
		over := time.Duration(p.messages) * agreeStep
		next := time.Now().Add(over + agreeLate)
		got, err := n.Exchange(ctx, rng, agreeLate, plays.Batch{Letters: p.messages, Over: over})
		if err != nil {
			return nil, err
		}
		figures = append(figures, agreeFigures{100 * got[0].Share(), got[0].Hops, float64(series(got[0].Took).mean().Milliseconds())})
		opts.log.Printf("real network, %s: %.2f %% delivered, %s", p.name, 100*got[0].Share(), pace(got[0]))
		if err := rest(ctx, opts, time.Until(next)); err != nil { // simulated time goes on too
			return nil, err
		}
	}
	return figures, nil
}
