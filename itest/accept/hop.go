package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/peer-relay/peer-relay/itest/measure"
)

const (
	hopWindow = 64   // messages under way
	hopWide   = 1024 // in the rows that ask for many

	// hopWideBytes is the most bytes of messages under way. A link of ours holds 4 MiB that are not
	// acknowledged, which is 20 ms of the fastest traffic, and what exceeds them goes back to the sender.
	hopWideBytes = 3 << 19
)

// hopSizes are the bytes of the messages.
var hopSizes = []int{64, 1 << 10, 16 << 10}

// hopBest is our relay over the transport of its one port that costs least.
var hopBest = measure.HopTCP

// A hopRow compares the CPU time of two relays for a message.
type hopRow struct {
	name    string
	of, by  measure.HopSetting
	window  int
	ends    bool      // the CPU time of the ends, not of the relays
	targets []float64 // the most by size
}

// hopRows are the rows of the table. old means that there is another build.
func hopRows(old bool) []hopRow {
	rows := []hopRow{
		{name: "/ws : bare libp2p forwarder on /ws", of: measure.HopNative, by: measure.HopBare, window: hopWindow, targets: []float64{1.5, 1.15, 1}},
		{name: "the same, 1,024 under way", of: measure.HopNative, by: measure.HopBare, window: hopWide, targets: []float64{1.8, 1.25, 1.05}},
		{name: "best transport : nats-server, TLS", of: hopBest, by: measure.HopNATS, window: hopWindow, targets: []float64{0.75, 0.95, 1}},
		{name: "best transport : ironwood, TCP", of: hopBest, by: measure.HopIronwood, window: hopWindow, targets: []float64{0.2, 0.4, 1.1}},
		{name: "legacy JSON : npm peer-relay", of: measure.HopLegacy, by: measure.HopNPM, window: hopWindow, targets: []float64{0.07, 0.08, 0.09}},
		{name: "legacy JSON : gorilla, a write each", of: measure.HopLegacy, by: measure.HopGorilla, window: hopWindow, targets: []float64{0.55, 0.5, 0.5}},
		{name: "our ends : ends written by hand", of: measure.HopOwnEnds, by: measure.HopNative, window: hopWindow, ends: true, targets: []float64{1.6}},
	}
	if old {
		rows = append(rows,
			hopRow{name: "best transport : other build", of: hopBest, by: measure.HopNative.OtherBuild(), window: hopWindow, targets: []float64{0.55, 0.65, 0.6}},
			hopRow{name: "legacy JSON : other build", of: measure.HopLegacy, by: measure.HopLegacy.OtherBuild(), window: hopWindow})
	}
	return rows
}

// A hopCell is what is measured side by side: relays by messages of one size.
type hopCell struct{ size, window int }

func (c hopCell) underWay() int { return min(c.window, hopWideBytes/c.size) }

// A hopSeries is the figures of one setting in one cell, one for each round.
type hopSeries struct {
	relay, ends []float64 // µs per message
	rate        []float64 // messages per second
	lost        int
}

// A hopRun is all figures.
type hopRun struct {
	settings []measure.HopSetting
	stages   []*measure.HopStage
	cells    map[hopCell][]int // what is measured: indexes of settings
	figures  map[hopCell]map[int]*hopSeries
	messages int
}

// hop measures relays side by side: all are started, and take turns in each round.
func hop(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) (err error) {
		programs := measure.HopPrograms{Ours: binary, Old: opts.old}
		if programs.Other, err = measure.BuildHop(ctx, filepath.Dir(binary)); err != nil {
			return err
		}
		rows := hopRows(opts.old != "")
		run := newHopRun(rows)
		for _, setting := range run.settings {
			starting, cancel := context.WithTimeout(ctx, costPatience)
			stage, failed := setting.Start(starting, programs)
			cancel()
			if failed != nil {
				return failed
			}
			defer func() { err = errors.Join(err, stage.Close()) }()
			run.stages = append(run.stages, stage)
			opts.log.Printf("%s: connected", setting.Name)
		}
		for round := range opts.n + 1 { // the first warms up
			if err := run.round(ctx, opts, round); err != nil {
				return err
			}
		}
		run.tables(r, rows)
		return nil
	})
}

func newHopRun(rows []hopRow) *hopRun {
	run := &hopRun{cells: make(map[hopCell][]int), figures: make(map[hopCell]map[int]*hopSeries)}
	for _, row := range rows {
		for _, setting := range []measure.HopSetting{row.of, row.by} {
			i := slices.Index(run.settings, setting)
			if i < 0 {
				i = len(run.settings)
				run.settings = append(run.settings, setting)
			}
			for _, size := range row.sizes() {
				cell := hopCell{size, row.window}
				if run.figures[cell] == nil {
					run.figures[cell] = make(map[int]*hopSeries)
				}
				if run.figures[cell][i] == nil {
					run.cells[cell], run.figures[cell][i] = append(run.cells[cell], i), &hopSeries{}
				}
			}
		}
	}
	return run
}

// sizes returns the sizes that a row has figures for.
func (row hopRow) sizes() []int {
	if row.targets == nil {
		return hopSizes
	}
	return hopSizes[:len(row.targets)]
}

// order returns the cells, those of one size together.
func (run *hopRun) order() (cells []hopCell) {
	for _, size := range hopSizes {
		for _, window := range []int{hopWindow, hopWide} {
			if cell := (hopCell{size, window}); run.cells[cell] != nil {
				cells = append(cells, cell)
			}
		}
	}
	return cells
}

func (run *hopRun) round(ctx context.Context, opts options, round int) error {
	for _, cell := range run.order() {
		settings := slices.Clone(run.cells[cell])
		if round%2 == 1 { // who is first in a round has it harder or easier
			slices.Reverse(settings)
		}
		for _, i := range settings {
			measuring, cancel := context.WithTimeout(ctx, costPatience)
			f, err := run.stages[i].Round(measuring, cell.size, cell.underWay(), costRound)
			cancel()
			if err != nil {
				return err
			}
			if !run.settings[i].Lossy {
				run.messages += f.Messages
			}
			if round == 0 {
				continue
			}
			s := run.figures[cell][i]
			s.lost += f.Lost
			n := float64(f.Messages)
			s.relay = append(s.relay, float64(f.Relay.Microseconds())/n)
			s.ends = append(s.ends, float64(f.Ends.Microseconds())/n)
			s.rate = append(s.rate, n/f.Took.Seconds())
			opts.log.Printf("%d/%d %s, %d bytes, %d under way: %.2f µs, ends %.2f µs, %.0f messages/s", round, opts.n, run.settings[i].Name,
				cell.size, cell.underWay(), s.relay[len(s.relay)-1], s.ends[len(s.ends)-1], s.rate[len(s.rate)-1])
		}
	}
	return nil
}

// tables prints the figures, and the ratios last.
func (run *hopRun) tables(r *report, rows []hopRow) {
	t := r.table("bytes", "under way", "relay", "CPU µs/message", "quartiles", "ends µs/message", "messages/s", "lost")
	for _, cell := range run.order() {
		for _, i := range run.cells[cell] {
			s := run.figures[cell][i]
			low, high := quartiles(s.relay)
			t.row(cell.size, cell.underWay(), run.settings[i].Name, fmt.Sprintf("%.2f", middle(s.relay)), fmt.Sprintf("%.2f-%.2f", low, high),
				fmt.Sprintf("%.2f", middle(s.ends)), fmt.Sprintf("%.0f", middle(s.rate)), s.lost)
		}
	}
	t = r.table("ratio of CPU time", "64 B", "1 KiB", "16 KiB", "quartiles", "target", "")
	for _, row := range rows {
		var cells, spread []any
		met := true
		for j, size := range hopSizes {
			if j >= len(row.sizes()) {
				cells = append(cells, "")
				continue
			}
			figures := run.figures[hopCell{size, row.window}]
			of, by := figures[slices.Index(run.settings, row.of)], figures[slices.Index(run.settings, row.by)]
			rs := ratios(of.relay, by.relay)
			if row.ends {
				rs = ratios(of.ends, by.ends)
			}
			low, high := quartiles(rs)
			cells, spread = append(cells, fmt.Sprintf("%.2f", middle(rs))), append(spread, fmt.Sprintf("%.2f-%.2f", low, high))
			met = met && (row.targets == nil || middle(rs) <= row.targets[j])
		}
		target, verdict := "", ""
		if row.targets != nil {
			target, verdict = joined(row.targets), "ok"
		}
		if !met {
			verdict = "missed"
		}
		t.row(append(append([]any{row.name}, cells...), joined(spread), target, verdict)...)
	}
	r.note("CPU is the user and system time of the relay's process for each message that it passes on, medians of the rounds; a ratio is the median of")
	r.note("the rounds' ratios, since the relays of a round run right after each other. The ends cost the same for each relay that they are compared")
	r.note("with, but for the row of the ends. %d messages were sent, and each arrived once, in order and undamaged; those of relays that drop some left out.", run.messages)
}

// joined writes values with bars between them.
func joined[T any](values []T) (text string) {
	for i, v := range values {
		if i > 0 {
			text += " / "
		}
		text += fmt.Sprint(v)
	}
	return text
}

// quartiles returns the values below which a quarter and three quarters of the others lie.
func quartiles(values []float64) (low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/4], sorted[len(sorted)*3/4]
}
