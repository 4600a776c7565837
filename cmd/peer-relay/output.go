package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"sync"
	"time"
)

// Limits of an output.
const (
	outputBytes = 1 << 20          // bytes of the lines that wait, beyond which lines are dropped
	waitBytes   = 256 << 10        // bytes of the lines that wait, beyond which put waits
	chunkBytes  = 16 << 10         // bytes of lines that are written at once, unless one line has more
	drainIdle   = time.Second      // wait of close for a reader that reads nothing
	drainMost   = 10 * time.Second // wait of close for a reader that reads slowly
)

// An output passes lines to a writer that may block for ever: a terminal that is paused, or a
// pipe that is not read. A line that has no room is dropped and counted, and a line after it
// has their number. Its methods may be called from any goroutine.
type output struct {
	// Fixed after newOutput.
	w       io.Writer
	lost    func(lines uint64) []byte // returns the line about the dropped ones
	written chan struct{}             // closed when the writer has ended

	mu       sync.Mutex
	lines    []byte
	untold   uint64 // dropped lines of which no line tells
	telling  uint64 // dropped lines of which a line tells that waits
	tellers  uint64 // lines that wait and tell of dropped ones
	total    uint64 // all dropped lines
	chunks   int    // chunks that were written
	finished bool   // put does not wait any more
	closed   bool
	err      error      // the first error of w
	changed  *sync.Cond // signalled when anything above has changed
}

// newOutput starts an output. It ends with close.
func newOutput(w io.Writer) *output {
	o := &output{w: w, lost: plainLost, written: make(chan struct{})}
	o.changed = sync.NewCond(&o.mu)
	go o.run() // ends when the output is closed and its lines are written
	return o
}

func plainLost(lines uint64) []byte { return fmt.Appendf(nil, "%d lines dropped\n", lines) }

// Write implements io.Writer. It takes one or more whole lines, never waits and never fails.
func (o *output) Write(lines []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(lines)
	return len(lines), nil
}

// put is Write, but waits while many lines wait, until finish.
func (o *output) put(lines []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.lines) > 0 && len(o.lines)+len(lines) > waitBytes && !o.finished && !o.closed {
		o.changed.Wait()
	}
	o.add(lines)
}

// add queues lines, or counts them as dropped; o.mu is held.
func (o *output) add(lines []byte) {
	if o.closed || len(o.lines) > 0 && len(o.lines)+len(lines) > outputBytes {
		o.drop(lines)
		return
	}
	o.tell()
	o.lines = append(o.lines, lines...)
	o.changed.Broadcast()
}

// tell queues a line about the dropped ones, if there are any; o.mu is held.
func (o *output) tell() {
	if o.untold > 0 {
		o.lines = append(o.lines, o.lost(o.untold)...)
		o.telling += o.untold
		o.tellers++
		o.untold = 0
	}
}

func (o *output) drop(lines []byte) {
	n := uint64(bytes.Count(lines, []byte{'\n'}))
	o.untold += n
	o.total += n
}

// run writes the lines until the output is closed.
func (o *output) run() {
	defer close(o.written)
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for len(o.lines) == 0 && !o.closed {
			o.changed.Wait()
		}
		if len(o.lines) == 0 {
			return
		}
		chunk := firstLines(o.lines)
		o.mu.Unlock()
		_, err := o.w.Write(chunk) // if the reader of standard output is gone, SIGPIPE ends the program
		o.mu.Lock()
		o.chunks++
		o.lines = o.lines[len(chunk):]
		switch {
		case err != nil:
			o.err = cmp.Or(o.err, err)
			o.drop(chunk)
			o.total -= o.tellers
			o.untold += o.telling - o.tellers
			o.telling, o.tellers = 0, 0
		case len(o.lines) == 0:
			o.telling, o.tellers = 0, 0
			o.tell()
		}
		o.changed.Broadcast()
	}
}

// firstLines returns the lines at the beginning of text that fit into chunkBytes, at least one.
func firstLines(text []byte) []byte {
	if len(text) <= chunkBytes {
		return text
	}
	if end := bytes.LastIndexByte(text[:chunkBytes], '\n'); end >= 0 {
		return text[:end+1]
	}
	if end := bytes.IndexByte(text, '\n'); end >= 0 {
		return text[:end+1]
	}
	return text
}

// dropped returns the number of dropped lines.
func (o *output) dropped() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

// finish lets put wait no longer, so that a peer can end.
func (o *output) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished = true
	o.changed.Broadcast()
}

// close writes the lines that wait. It waits drainIdle for each part, and drainMost
// for all. It returns the first error of the writer.
func (o *output) close() error {
	o.mu.Lock()
	o.closed = true
	o.changed.Broadcast()
	o.mu.Unlock()
	most := time.After(drainMost)
	for before := -1; before != o.progress(); {
		before = o.progress()
		select {
		case <-o.written:
			return o.failure()
		case <-most:
			return o.failure()
		case <-time.After(drainIdle):
		}
	}
	return o.failure()
}

// progress returns the number of chunks that were written.
func (o *output) progress() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.chunks
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
