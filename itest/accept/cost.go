package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/itest/measure"
)

const (
	// costRound is the time in which messages are sent in one round: more than a hundred of
	// the steps in which the system counts CPU time.
	costRound = 1500 * time.Millisecond

	// costPatience is the most time for a start or a round. Only a failure takes it.
	costPatience = 60 * time.Second
)

// costSizes are the bytes of the messages: JSON strings, with their quotes.
var costSizes = []int{64, 1 << 10, 16 << 10}

// A costCell holds the cost of a relay for messages of one size, a value for each round.
type costCell struct {
	cpu  []float64 // µs per message
	rate []float64 // messages per second
}

// cost measures relays side by side: all are started, and take turns in each round.
func cost(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) (err error) {
		settings := measure.CostSettings()
		if opts.old != "" {
			settings = measure.BuildCostSettings()
		}
		var stages []*measure.CostStage
		for _, setting := range settings {
			starting, cancel := context.WithTimeout(ctx, costPatience)
			build := binary
			if setting.Old {
				build = opts.old
			}
			s, failed := setting.Start(starting, build)
			cancel()
			if failed != nil {
				return failed
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			stages = append(stages, s)
		}
		cells := make([][]costCell, len(costSizes))
		for i := range cells {
			cells[i] = make([]costCell, len(stages))
		}
		for round := range opts.n + 1 { // the first warms up
			for i, size := range costSizes {
				for k := range stages {
					j := k
					if round%2 == 1 { // who is first in a round has it harder or easier
						j = len(stages) - 1 - k
					}
					stage := stages[j]
					figure, err := costRoundOf(ctx, stage, size)
					if err != nil {
						return err
					}
					cpu := float64(figure.CPU.Microseconds()) / float64(figure.Messages)
					rate := float64(figure.Messages) / figure.Took.Seconds()
					opts.log.Printf("%d/%d %s, %d bytes: %.1f µs, %.0f messages/s", round, opts.n, settings[j].Name, size, cpu, rate)
					if round > 0 {
						cell := &cells[i][j]
						cell.cpu, cell.rate = append(cell.cpu, cpu), append(cell.rate, rate)
					}
				}
			}
		}
		costTable(r, settings, cells)
		return nil
	})
}

func costRoundOf(ctx context.Context, stage *measure.CostStage, size int) (measure.CostFigure, error) {
	ctx, cancel := context.WithTimeout(ctx, costPatience)
	defer cancel()
	end := time.Now().Add(costRound)
	return stage.Round(ctx, size, func(int) bool { return time.Now().Before(end) })
}

// costTable prints the medians, and how much less CPU time ours takes than the npm
// package over the same kind of network: data channels for WebRTC. Another build is compared round by
// round, since the two relays of a round run right after each other.
func costTable(r *report, settings []measure.CostSetting, cells [][]costCell) {
	t := r.table("bytes", "relay", "CPU µs/message", "min", "max", "messages/s", "JS takes", "of the other build's CPU")
	for i, size := range costSizes {
		for j, setting := range settings {
			c := cells[i][j]
			times, rival := "", ""
			for k, other := range settings {
				if setting.Rival(other) {
					rival = fmt.Sprintf("%.2f", middle(ratios(c.cpu, cells[i][k].cpu)))
				}
				if !setting.JS && !setting.Old && other.JS && other.WebRTC() == setting.WebRTC() {
					times = fmt.Sprintf("%.1f times", middle(cells[i][k].cpu)/middle(c.cpu))
				}
			}
			t.row(size, setting.Name, fmt.Sprintf("%.1f", middle(c.cpu)), fmt.Sprintf("%.1f", slices.Min(c.cpu)), fmt.Sprintf("%.1f", slices.Max(c.cpu)),
				fmt.Sprintf("%.0f", middle(c.rate)), times, rival)
		}
	}
	r.note("CPU is the user and system time of the relay's process for each message that it passes on, medians of the rounds. At most 64 messages are")
	r.note("in flight, so that JS loses none; all arrived, once, in order and through the relay. No WebSocket compresses.")
}

// ratios returns the values of each round divided by those of another relay.
func ratios(values, of []float64) []float64 {
	rs := slices.Clone(values)
	for i := range rs {
		rs[i] /= of[i]
	}
	return rs
}

// middle returns the median.
func middle(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
