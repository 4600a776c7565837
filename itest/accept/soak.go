package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/itest/trials"
)

const (
	soakRelays = 5

	// soakRate is the most messages a second of all processes together; each pair writes once a
	// second at most.
	soakRate = 1000

	// soakMemory (in bytes) and soakGoroutines are the most by which the median of a process that is
	// never restarted may be larger in the last tenth of a soak than in the first one after a tenth
	// to warm up. Each link has soakPerLink goroutines, and more or fewer links are no growth.
	soakMemory     = 16 << 20
	soakRaceMemory = 6 * soakMemory // the race detector keeps several bytes for each
	soakGoroutines = 60
	soakPerLink    = 8
)

// soak disturbs a network of n processes for a long time.
func soak(ctx context.Context, opts options, r *report) error {
	memory, flags := int64(soakMemory), []string(nil)
	if opts.race {
		memory, flags = soakRaceMemory, []string{"-race"}
	}
	return withGo(ctx, func(ctx context.Context, binary string) error {
		got, err := trials.Soak(ctx, binary, trials.SoakSpec{
			Processes: opts.n, Relays: soakRelays, For: opts.lasts, Every: time.Second, Events: 20, Quiet: 5 * time.Second, Most: 20 * time.Second,
			Talk: max(time.Second, time.Duration(opts.n*(opts.n-1))*time.Second/soakRate), Seed: opts.seed, Progress: opts.log.Printf,
		})
		if got == nil {
			return err
		}
		reachTable(r, got.Reached)
		messageTable(r, got)
		return errors.Join(err, growthTable(r, got.Samples, memory))
	}, flags...)
}

// reachTable shows how long it took until all pairs reached each other, by disturbance.
func reachTable(r *report, reached []trials.Reach) {
	t := r.table("after", "times", "pairs", "never", "p50", "p99", "max", "largest p99 of one", "in 10 s")
	row := func(name string, match func(trials.Reach) bool) {
		var all series
		never, times, soon := 0, 0, 0
		var largest time.Duration
		for _, one := range reached {
			if !match(one) {
				continue
			}
			times++
			never += len(one.Never)
			all = append(all, one.Times...)
			p99 := one.Quantile(0.99)
			largest = max(largest, p99)
			if p99 <= trials.ReachTime {
				soon++
			}
		}
		round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
		t.row(name, times, len(all)+never, never, round(all.median()), round(all.quantile(0.99)), round(all.max()), round(largest), soon)
	}
	for _, d := range trials.Disturbances() {
		row(string(d), func(one trials.Reach) bool { return one.Back && one.Kind == d })
		if d != trials.Moved {
			row(string(d)+", while it is away", func(one trials.Reach) bool { return !one.Back && one.Kind == d })
		}
	}
	row("all", func(trials.Reach) bool { return true })
}

// messageTable shows what was lost.
func messageTable(r *report, got *trials.SoakReport) {
	t := r.table("messages", "sent", "arrived", "lost")
	row := func(name string, c trials.SoakCount) { t.row(name, c.Sent, c.Arrived, c.Sent-c.Arrived) }
	row("in quiet whiles", got.Quiet)
	row("just before an orderly close", got.Byes.SoakCount)
	row("around disturbances, of peers that ran", got.Loud)
	row("to peers that were away", got.Out)
	r.note("%d messages were delivered twice", got.Twice)
	r.note("%d of %d processes that were closed in order exited with an error", got.Byes.Named, got.Byes.Closed)
	for _, text := range slices.Sorted(maps.Keys(got.Errors)) {
		r.note("%d times an error event: %s", got.Errors[text], text)
	}
}

// growthTable shows the memory and the goroutines of the processes that are never restarted. Its
// error says which grew too much: by more bytes than memory, for one.
func growthTable(r *report, samples []trials.SoakSample, memory int64) error {
	var end time.Duration
	kept := make(map[string][]trials.SoakSample)
	for _, s := range samples {
		end = max(end, s.At)
		if s.Kept {
			kept[s.Name] = append(kept[s.Name], s)
		}
	}
	t := r.table("process", "MiB at first", "at last", "most", "goroutines at first", "at last", "most", "links at first", "at last", "goroutines without links at first", "at last")
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		all := kept[name]
		begin, last := part(all, end/10, end/5), part(all, end-end/10, end)
		resident := func(s trials.SoakSample) int64 { return s.Memory }
		goroutines := func(s trials.SoakSample) int64 { return int64(s.Goroutines) }
		links := func(s trials.SoakSample) int64 { return int64(s.Links) }
		rest := func(s trials.SoakSample) int64 { return goroutines(s) - soakPerLink*links(s) }
		most := func(of func(trials.SoakSample) int64) int64 {
			return of(slices.MaxFunc(all, func(a, b trials.SoakSample) int { return int(of(a) - of(b)) }))
		}
		m, g := [2]int64{middleOf(begin, resident), middleOf(last, resident)}, [2]int64{middleOf(begin, rest), middleOf(last, rest)}
		t.row(name, m[0]>>20, m[1]>>20, most(resident)>>20, middleOf(begin, goroutines), middleOf(last, goroutines), most(goroutines),
			middleOf(begin, links), middleOf(last, links), g[0], g[1])
		if m[1] > m[0]+memory || g[1] > g[0]+soakGoroutines {
			errs = append(errs, fmt.Errorf("%s grew from %d to %d MiB and from %d to %d goroutines without links, want at most %d MiB and %d goroutines more",
				name, m[0]>>20, m[1]>>20, g[0], g[1], memory>>20, soakGoroutines))
		}
	}
	return errors.Join(errs...)
}

// part returns the samples of a time, or the one that is nearest behind its beginning.
func part(all []trials.SoakSample, from, to time.Duration) []trials.SoakSample {
	first := max(slices.IndexFunc(all, func(s trials.SoakSample) bool { return s.At >= from }), 0)
	n := 1
	for first+n < len(all) && all[first+n].At <= to {
		n++
	}
	return all[first : first+n]
}

// middleOf returns the median of a figure.
func middleOf(all []trials.SoakSample, of func(trials.SoakSample) int64) int64 {
	var values []int64
	for _, s := range all {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
