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
	// bulkGrowth is by how many bytes the memory of a process of ours may grow once a
	// tenth of a stream is through.
	bulkGrowth = 32 << 20

	// bulkPatience is how long a start or a stream may take. Only a failure takes it.
	bulkPatience = 5 * time.Minute
)

// A bulkCell is what one way took, a value for each round.
type bulkCell struct {
	speed []float64                    // MB/s
	cpu   [measure.BulkParts][]float64 // seconds per GB
	all   []float64                    // of all parts

	most, growth [measure.BulkParts]int64 // bytes of memory, in any round
}

// bulk moves many bytes in several ways, which take turns in each round.
func bulk(ctx context.Context, opts options, r *report) error {
	return withGo(ctx, func(ctx context.Context, binary string) (err error) {
		settings := measure.BulkSettings()
		var stages []*measure.BulkStage
		for _, setting := range settings {
			starting, cancel := context.WithTimeout(ctx, bulkPatience)
			s, failed := setting.Start(starting, binary)
			cancel()
			if failed != nil {
				return failed
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			stages = append(stages, s)
		}
		cells := make([]bulkCell, len(settings))
		defer func() { err = errors.Join(err, bulkTable(r, settings, cells)) }() // of what there is
		for round := range opts.n {
			for i, stage := range stages {
				playing, cancel := context.WithTimeout(ctx, bulkPatience)
				f, err := stage.Round(playing, opts.bytes)
				cancel()
				if err != nil {
					return err
				}
				c := &cells[i]
				c.add(f, opts.bytes)
				opts.log.Printf("%d/%d %s: %.0f MB/s, CPU s/GB: writer %.1f, relay %.1f, reader %.1f; memory MiB %d, %d, %d, at most +%d", round+1, opts.n, settings[i].Name,
					c.speed[round], c.cpu[0][round], c.cpu[1][round], c.cpu[2][round], f.Most[0]>>20, f.Most[1]>>20, f.Most[2]>>20, f.Growth()>>20)
			}
		}
		return nil
	})
}

func (c *bulkCell) add(f measure.BulkFigure, bytes int64) {
	gb := float64(bytes) / 1e9
	c.speed = append(c.speed, 1000*gb/f.Took.Seconds())
	all := 0.0
	for part, cpu := range f.CPU {
		perGB := cpu.Seconds() / gb
		all += perGB
		c.cpu[part] = append(c.cpu[part], perGB)
		c.most[part] = max(c.most[part], f.Most[part])
		c.growth[part] = max(c.growth[part], f.Most[part]-f.Tenth[part])
	}
	c.all = append(c.all, all)
}

// bulkTable prints the medians, and fails if the memory of ours grew.
func bulkTable(r *report, settings []measure.BulkSetting, cells []bulkCell) error {
	var errs []error
	t := r.table("from process to process by", "MB/s", "min", "max", "CPU s/GB", "min", "max", "writer", "relay", "reader", "MiB, more", "writer", "relay", "reader")
	for i, s := range settings {
		c := &cells[i]
		if len(c.all) == 0 {
			continue
		}
		seconds := func(values []float64) string { return fmt.Sprintf("%.1f", middle(values)) }
		memory := func(part int) string { return fmt.Sprintf("%d, +%d", c.most[part]>>20, c.growth[part]>>20) }
		row := []any{s.Name, fmt.Sprintf("%.0f", middle(c.speed)), fmt.Sprintf("%.0f", slices.Min(c.speed)), fmt.Sprintf("%.0f", slices.Max(c.speed)),
			seconds(c.all), fmt.Sprintf("%.1f", slices.Min(c.all)), fmt.Sprintf("%.1f", slices.Max(c.all)),
			seconds(c.cpu[measure.BulkWriter]), seconds(c.cpu[measure.BulkRelay]), seconds(c.cpu[measure.BulkReader]), "",
			memory(measure.BulkWriter), memory(measure.BulkRelay), memory(measure.BulkReader)}
		if !s.Relay {
			row[8], row[12] = "", ""
		}
		t.row(row...)
		if most := slices.Max(c.growth[:]); s.Ours && most > bulkGrowth {
			errs = append(errs, fmt.Errorf("%s: the memory of a process grew by %d MiB after the first tenth, want at most %d", s.Name, most>>20, bulkGrowth>>20))
		}
	}
	r.note("Each part is a process, on loopback. MB/s and CPU are medians of the rounds, CPU is user and system time in seconds for each GB. Memory is what is")
	r.note("resident, the most in any round, and by how much that is more than after the first tenth of the stream. The CRC-32C of what was written is that of")
	r.note("what was read, every time; it takes some 0.1 s/GB at either end. Both ends of ours had one link, to the relay, which counted what it passed on.")
	return errors.Join(errs...)
}
