package peers

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// A Log keeps all events in order, and lets any number of goroutines wait for those that
// are yet to come. Waiting takes nothing out: an early event is not missed.
type Log[T any] struct {
	name string // for reports

	mu      sync.Mutex
	entries []T
	err     error
	changed chan struct{} // closed and renewed at each change
}

// NewLog makes an empty log; name is for reports.
func NewLog[T any](name string) *Log[T] {
	return &Log[T]{name: name, changed: make(chan struct{})}
}

// Add appends an entry.
func (l *Log[T]) Add(entry T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry)
	l.wake()
}

// End ends the log, with the reason. Only the first call counts.
func (l *Log[T]) End(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		l.wake()
	}
}

// wake needs mu.
func (l *Log[T]) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// All returns a copy of the entries so far.
func (l *Log[T]) All() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// Count returns the number of entries so far that match.
func (l *Log[T]) Count(match func(T) bool) int {
	n := 0
	for _, e := range l.All() {
		if match(e) {
			n++
		}
	}
	return n
}

// Wait returns the first entry that matches, and waits for it if need be. It fails when ctx
// or the log ends first.
func (l *Log[T]) Wait(ctx context.Context, match func(T) bool) (T, error) {
	found, err := l.WaitN(ctx, 1, match)
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
}

// WaitN returns the first n entries that match.
func (l *Log[T]) WaitN(ctx context.Context, n int, match func(T) bool) ([]T, error) {
	var found []T
	seen := 0
	for {
		l.mu.Lock()
		// Entries are only ever appended, so the part below stays as it is without the lock.
		fresh, err, changed := l.entries[seen:], l.err, l.changed
		l.mu.Unlock()
		for _, e := range fresh {
			if len(found) < n && match(e) {
				found = append(found, e)
			}
		}
		seen += len(fresh)
		if len(found) >= n {
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("itest: %s: %d of %d awaited: %w", l.name, len(found), n, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return found, fmt.Errorf("itest: %s: %d of %d awaited, %d entries: %w%s", l.name, len(found), n, seen, ctx.Err(), l.tailText())
		}
	}
}

// Next returns the entries from number seen on, counted from 0, as soon as there is one.
// It fails when ctx or the log ends before that.
func (l *Log[T]) Next(ctx context.Context, seen int) ([]T, error) {
	for {
		l.mu.Lock()
		fresh, err, changed := l.entries[seen:len(l.entries):len(l.entries)], l.err, l.changed
		l.mu.Unlock()
		if len(fresh) > 0 {
			return fresh, nil
		}
		if err != nil {
			return nil, fmt.Errorf("itest: %s: %w", l.name, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("itest: %s: after %d entries: %w%s", l.name, seen, ctx.Err(), l.tailText())
		}
	}
}

// tailText returns the last few entries, for the report of a wait that failed.
func (l *Log[T]) tailText() string {
	const shown = 5
	all := l.All()
	text := ""
	for _, e := range all[max(0, len(all)-shown):] {
		line := fmt.Sprintf("%+v", e)
		text += "\n  … " + line[:min(len(line), 300)]
	}
	return text
}
