package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/peer-relay/peer-relay/protocol/sim"
)

const (
	progressEvery = 2 * time.Second // time between two lines about the progress of sim
	maxSimPeers   = 100_000         // some 250 kB of memory each
	simMemory     = 4000 << 20      // bytes from which on memory is freed more often: with 10,000 peers it stays below 4 GiB
	simGarbage    = 300             // percent of the memory in use that may be garbage before that
)

// simulate runs scenarios of the simulator: peer-relay sim. Its standard output
// depends on the flags only, so that two runs can be compared.
func (p *program) simulate(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return wrongUsage("sim: %q is one argument too many", args[0])
	}
	if err := p.flags.checkSim(); err != nil {
		return err
	}
	if p.flags.scenario == "list" {
		p.stdout.put(scenarioList())
		return p.stdout.close()
	}
	scenarios, err := chosen(p.flags.scenario)
	if err != nil {
		return err
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(simMemory))
	defer debug.SetGCPercent(debug.SetGCPercent(simGarbage))
	var results []sim.Result
	for _, s := range scenarios {
		r, err := p.play(ctx, s)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	if name := p.flags.picture; name != "" {
		if err := os.WriteFile(name, sim.Picture(results), 0o644); err != nil {
			return fmt.Errorf("sim: write the picture: %w", err)
		}
	}
	return p.stdout.close()
}

// play runs a scenario and prints its result.
func (p *program) play(ctx context.Context, s sim.Scenario) (sim.Result, error) {
	o := p.flags.sim
	start := time.Now()
	shown := start
	o.Progress = func(now sim.Progress) {
		if time.Since(shown) >= progressEvery {
			shown = time.Now()
			fmt.Fprintf(p.stderr, "%s: %s, %v, %d peers\n", now.Scenario, now.Step, now.Now.Round(time.Second), now.Peers)
		}
	}
	r, err := s.Run(ctx, o)
	if errors.Is(err, context.Canceled) {
		return r, fmt.Errorf("sim: %s was stopped before its end", s.Name)
	} else if err != nil {
		return r, err
	}
	fmt.Fprintf(p.stderr, "%s: %v of virtual time in %v\n", s.Name, r.Virtual.Round(time.Second), time.Since(start).Round(time.Millisecond))
	if p.flags.json {
		line, err := json.Marshal(r)
		if err != nil {
			return r, err
		}
		p.stdout.put(append(line, '\n'))
		return r, nil
	}
	p.stdout.put(table(s, r))
	return r, nil
}

// chosen returns the scenarios with a name, or with the part of it before the dash. All are those
// with the name "all".
func chosen(name string) (scenarios []sim.Scenario, err error) {
	for _, s := range sim.Scenarios() {
		family, _, _ := strings.Cut(s.Name, "-")
		if name == "all" || name == s.Name || name == family {
			scenarios = append(scenarios, s)
		}
	}
	switch {
	case name == "":
		return nil, wrongUsage("sim: want --scenario with a name, or all, or list")
	case len(scenarios) == 0:
		return nil, wrongUsage("sim: there is no scenario %q: see peer-relay sim --scenario list", name)
	}
	return scenarios, nil
}

// scenarioList returns a line about each scenario.
func scenarioList() []byte {
	var b bytes.Buffer
	for _, s := range sim.Scenarios() {
		fmt.Fprintf(&b, "%-12s %s\n", s.Name, s.What)
	}
	return b.Bytes()
}

// table returns the figures of a scenario in columns, with their targets.
func table(s sim.Scenario, r sim.Result) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n%d peers, seed %d, %v of virtual time\n", s.Name, s.What, r.Peers, r.Seed, r.Virtual.Round(time.Millisecond))
	names, values := 0, 0
	for _, f := range r.Figures {
		names, values = max(names, utf8.RuneCountInString(f.Name)), max(values, utf8.RuneCountInString(f.String()))
	}
	for _, f := range r.Figures {
		line := fmt.Sprintf("  %-*s  %*s  of %-8d  %s", names, f.Name, values, f, f.Of, f.Verdict())
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// checkSim returns the first reason why the flags of sim make no sense.
func (f *flags) checkSim() error {
	if f.sim.Peers < sim.MinPeers || f.sim.Peers > maxSimPeers {
		return wrongUsage("sim: --peers: want %d to %d", sim.MinPeers, maxSimPeers)
	}
	return nil
}
