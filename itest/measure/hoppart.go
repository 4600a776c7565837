package measure

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// The parts that processes of a HopStage play.
const (
	partHopEnds  = "hop-ends"
	partHopRelay = "hop-relay"
)

// A hopPart is the part that a process plays.
type hopPart struct {
	Ends hopEnds // what the ends speak
	Addr string  // of their relay

	Relay hopRelay // what a relay is
	Over  string   // part of its multiaddr
}

// A hopCommand has the ends send for a time.
type hopCommand struct {
	Size, Window int
	Lasts        time.Duration
	Lossy        bool // the relay drops what it cannot pass on in time
}

// A hopEvent is what a part reports.
type hopEvent struct {
	Ready    bool   // once, first
	Addr     string // with Ready, of a relay
	Messages int    // that arrived, of a round that has ended
	Lost     int
	Took     time.Duration

	bad string // what came was no event
}

const (
	hopPatience = 30 * time.Second // for a message; only a failure takes it

	// A relay that drops messages has dropped those that have not come when none came for hopSilence, and
	// at most hopLoss one after the other.
	hopSilence = 500 * time.Millisecond
	hopLoss    = 4096
)

// hopProbe is sent until it arrives, before the first round.
var hopProbe = []byte(`"probe"`)

// A HopSender is the sending one of two ends.
type HopSender interface {
	// Write takes a message, which is JSON text, and may wait with it until Flush.
	Write(message []byte) error
	Flush() error
	// Close ends both ends.
	Close() error
}

// A HopTake takes a message that the receiving end read, and is told whether another one is there
// already. It does not keep the message.
type HopTake func(message []byte, more bool)

// A HopOpener connects two ends with a relay. If an end fails later, it calls failed.
type HopOpener func(take HopTake, failed func(error)) (HopSender, error)

// PlayHopEnds follows the commands on standard input, until it ends.
func PlayHopEnds(open HopOpener) (err error) {
	l := &hopLine{probed: make(chan struct{})}
	l.moved.L = &l.mu
	if l.sender, err = open(l.take, l.fail); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.sender.Close()) }()
	if err := l.probe(); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(hopEvent{Ready: true}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var todo hopCommand
		if err := json.Unmarshal(lines.Bytes(), &todo); err != nil {
			return err
		}
		done, err := l.round(todo)
		if err != nil {
			return err
		}
		if err := out.Encode(done); err != nil {
			return err
		}
	}
	return nil
}

// ReportHopRelay says on standard output where a relay is, and waits for the end of standard input.
func ReportHopRelay(addr string) error {
	if err := json.NewEncoder(os.Stdout).Encode(hopEvent{Ready: true, Addr: addr}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
	}
	return lines.Err()
}

// A hopLine is the messages between two ends.
type hopLine struct {
	sender HopSender
	probed chan struct{} // closed when a probe has come
	once   sync.Once

	// Owned by the receiving goroutine, and by a round before its first message.
	want  []byte // the message that is due
	due   int
	got   int // messages of this round
	lossy bool

	// The messages that the receiver has more of already are not counted yet.
	mu      sync.Mutex
	moved   sync.Cond // settled or err has changed
	settled int       // messages of this round that have arrived or are lost
	arrived int
	err     error
}

func (l *hopLine) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
	l.moved.Broadcast()
}

func (l *hopLine) take(message []byte, more bool) {
	if bytes.Equal(message, hopProbe) {
		l.once.Do(func() { close(l.probed) })
		return
	}
	if l.lossy && len(message) == len(l.want) && bytes.Compare(message, l.want) > 0 { // numbers have leading zeros
		for lost := 0; lost < hopLoss && !bytes.Equal(message, l.want); lost++ {
			l.due++
			number(l.want, l.due)
		}
	}
	if !bytes.Equal(message, l.want) {
		l.fail(fmt.Errorf("%.40q of %d bytes came, want %.40q of %d bytes", message, len(message), l.want, len(l.want)))
		return
	}
	l.due++
	l.got++
	number(l.want, l.due)
	if !more || l.due%32 == 0 { // half of the smaller window, so that neither side waits for the other
		l.mu.Lock()
		l.settled, l.arrived = max(l.settled, l.due), l.got
		l.moved.Signal()
		l.mu.Unlock()
	}
}

// probe sends probes until one arrives.
func (l *hopLine) probe() error {
	if err := ProbeHop(l.sender, l.probed, hopPatience); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return errors.Join(err, l.err)
	}
	time.Sleep(500 * time.Millisecond) // for the rest of them
	return nil
}

// ErrHopSilent is the error of ProbeHop if no probe arrives.
var ErrHopSilent = errors.New("no message arrives")

// ProbeHop sends probes until arrived is closed, for at most that time.
func ProbeHop(sender HopSender, arrived <-chan struct{}, patience time.Duration) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if err := sender.Write(hopProbe); err != nil {
			return err
		}
		if err := sender.Flush(); err != nil {
			return err
		}
		select {
		case <-arrived:
			return nil
		case <-again.C:
		case <-deadline.C:
			return ErrHopSilent
		}
	}
}

// await waits until fewer than window messages are under way, and returns how many may follow.
func (l *hopLine) await(sent, window int) (room int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent-l.settled < window && l.err == nil {
		return window - (sent - l.settled), nil
	}
	patience, give := hopPatience, func() { l.fail(errors.New("no message arrives for 30 s")) }
	if l.lossy {
		patience, give = hopSilence, func() { l.giveUp(sent) }
	}
	late := time.AfterFunc(patience, give)
	defer late.Stop()
	for sent-l.settled >= window && l.err == nil {
		l.moved.Wait()
	}
	return window - (sent - l.settled), l.err
}

// giveUp takes the messages that have not come for lost.
func (l *hopLine) giveUp(sent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = sent
	l.moved.Broadcast()
}

func (l *hopLine) round(todo hopCommand) (done hopEvent, err error) {
	if todo.Size < costLeast || todo.Window < 1 {
		return done, fmt.Errorf("a round of %+v", todo)
	}
	text := append(bytes.Repeat([]byte("a"), todo.Size-1), '"')
	text[0] = '"'
	number(text, 0)
	l.mu.Lock() // the receiver has nothing to read
	l.want, l.due, l.got, l.lossy, l.settled, l.arrived = bytes.Clone(text), 0, 0, todo.Lossy, 0, 0
	l.mu.Unlock()
	started := time.Now()
	sent := 0
	for time.Since(started) < todo.Lasts {
		room, err := l.await(sent, todo.Window)
		if err != nil {
			return done, err
		}
		for range room {
			number(text, sent)
			if err := l.sender.Write(text); err != nil {
				return done, err
			}
			sent++
		}
		if err := l.sender.Flush(); err != nil {
			return done, err
		}
	}
	if _, err := l.await(sent, 1); err != nil {
		return done, fmt.Errorf("%w, with %d sent", err, sent)
	}
	done.Took = time.Since(started)
	l.mu.Lock()
	defer l.mu.Unlock()
	done.Messages, done.Lost = l.arrived, sent-l.arrived
	return done, nil
}

// playHopEnds plays the ends of one kind.
func playHopEnds(spec []byte) error {
	var part hopPart
	if err := json.Unmarshal(spec, &part); err != nil {
		return err
	}
	open := map[hopEnds]func(string, HopTake, func(error)) (HopSender, error){
		hopFrames: openHopFrames, hopLines: openHopLines, hopNode: openHopNode, hopJSON: openHopJSON, hopPubSub: openHopPubSub,
	}[part.Ends]
	if open == nil {
		return fmt.Errorf("no ends %q", part.Ends)
	}
	return PlayHopEnds(func(take HopTake, failed func(error)) (HopSender, error) { return open(part.Addr, take, failed) })
}
