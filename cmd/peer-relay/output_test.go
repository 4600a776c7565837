package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/compat"
)

// A gate is a writer that blocks while it is closed, and then fails with err.
type gate struct {
	open chan struct{}
	err  error
	text bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	if g.err != nil {
		return 0, g.err
	}
	return g.text.Write(b)
}

// line returns the line with a number, of 100 bytes.
func line(n int) string { return fmt.Sprintf("%-99d\n", n) }

// TestOutputThatNobodyReads checks that lines never wait for the writer, that those without room
// are dropped and counted, and that a line has their number where they would have been.
func TestOutputThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sent = 20_000
		g := &gate{open: make(chan struct{})}
		o := newOutput(g)
		for n := range sent {
			io.WriteString(o, line(n))
		}
		lost := int(o.dropped())
		if want := sent - outputBytes/100; lost != want {
			t.Errorf("%d lines were dropped, want %d", lost, want)
		}
		close(g.open)
		synctest.Wait()
		io.WriteString(o, line(sent))
		if err := o.close(); err != nil {
			t.Error(err)
		}
		var want strings.Builder
		for n := range sent - lost {
			want.WriteString(line(n))
		}
		want.WriteString(strconv.Itoa(lost) + " lines dropped\n" + line(sent))
		if g.text.String() != want.String() {
			t.Errorf("%d bytes were written, want %d", g.text.Len(), want.Len())
		}
	})
}

// TestOutputOnAFullDisk checks that lines that could not be written are counted, and told later.
func TestOutputOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left")
		g := &gate{open: make(chan struct{}), err: full}
		close(g.open)
		o := newOutput(g)
		for n := range 3 {
			io.WriteString(o, line(n))
			synctest.Wait()
		}
		g.err = nil
		io.WriteString(o, line(3))
		if err := o.close(); err != full {
			t.Errorf("error %v", err)
		}
		if got, want := g.text.String(), "3 lines dropped\n"+line(3); got != want {
			t.Errorf("%q was written, want %q", got, want)
		}
	})
}

// TestOutputWaits checks that put waits for the reader, but not after finish, and that close
// waits for a reader that reads slowly, but not for one that does not.
func TestOutputWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o := newOutput(w)
		puts := 0
		go func() { // ends with finish
			for ; puts < 10_000; puts++ {
				o.put([]byte(line(puts)))
			}
		}()
		synctest.Wait()
		if most := waitBytes / 100; puts > most {
			t.Errorf("%d lines have room while nothing is read, want at most %d", puts, most)
		}
		before := puts
		for range 5000 {
			io.ReadFull(r, make([]byte, 100))
		}
		synctest.Wait()
		if puts < before+4000 || o.dropped() > 0 {
			t.Errorf("%d lines have room after 5,000 were read, %d were dropped", puts, o.dropped())
		}
		o.finish()
		synctest.Wait()
		if puts != 10_000 {
			t.Errorf("put waits after finish, %d lines of 10,000", puts)
		}
		begun := time.Now()
		o.close() // nothing is read
		if took := time.Since(begun); took > 2*drainIdle {
			t.Errorf("close took %v", took)
		}
		begun = time.Now()
		go func() { // ends with the pipe
			for b := make([]byte, 40_000); ; time.Sleep(drainIdle * 2 / 3) {
				if _, err := io.ReadFull(r, b); err != nil {
					return
				}
			}
		}()
		o.close()
		if took := time.Since(begun); took < 5*time.Second || took > drainMost {
			t.Errorf("close took %v for a slow reader", took)
		}
		r.Close()
		w.Close()
	})
}

// TestListenWaitsForItsReader checks that listen drops no message itself, so that the peer keeps
// them while its output is not read.
func TestListenWaitsForItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 10_000
		g := &gate{open: make(chan struct{})}
		p := &program{stdout: newOutput(g)}
		printed := 0
		go func() { // ends when all are printed
			for ; printed < messages; printed++ {
				p.printMessage(compat.Message{From: compat.ID{1}, JSON: []byte(strconv.Itoa(printed))})
			}
		}()
		synctest.Wait()
		if printed == 0 || printed == messages {
			t.Errorf("%d messages are printed while nothing is read", printed)
		}
		close(g.open)
		synctest.Wait()
		if err := p.stdout.close(); err != nil {
			t.Error(err)
		}
		last := fmt.Sprintf("message %v %d\n", compat.ID{1}, messages-1)
		if printed != messages || p.stdout.dropped() > 0 || !strings.HasSuffix(g.text.String(), last) {
			t.Errorf("%d of %d messages are printed, %d lines dropped", printed, messages, p.stdout.dropped())
		}
	})
}

// A deaf is a child whose output is read only when the test reads it.
type deaf struct {
	t      *testing.T
	in     *io.PipeWriter
	out    *bufio.Reader
	status chan int
	stop   context.CancelFunc
	ready  struct {
		ID, WS string
		Addrs  []string
	}
}

// startDeaf starts a relay with --json, and reads its ready event only.
func startDeaf(t *testing.T) *deaf {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	d := &deaf{t: t, in: inW, out: bufio.NewReader(outR), status: make(chan int, 1), stop: stop}
	go func() { // ends with stop
		_, nobody := io.Pipe() // standard error is not read at all
		d.status <- run(ctx, []string{"--json", "--verbose", "--host", "127.0.0.1", "0"}, inR, outW, nobody)
		inR.Close()
		outR.Close()
		nobody.Close()
	}()
	t.Cleanup(stop)
	if err := json.Unmarshal(d.read(), &d.ready); err != nil || d.ready.WS == "" {
		t.Fatalf("ready: %+v, %v", d.ready, err)
	}
	return d
}

func (d *deaf) read() []byte {
	d.t.Helper()
	line, err := d.out.ReadBytes('\n')
	if err != nil {
		d.t.Fatal(err)
	}
	return line
}

func (d *deaf) counter(name string) int {
	d.t.Helper()
	return counter(d.t, d.ready.WS, name)
}

// counter returns a counter of the status page of a relay.
func counter(t *testing.T, ws, name string) int {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.Get("http" + strings.TrimPrefix(ws, "ws") + "/status.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct {
		Counters []struct {
			Name  string
			Value int
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	for _, c := range page.Counters {
		if c.Name == name {
			return c.Value
		}
	}
	return 0
}

// ends checks that the child ends by a signal though nothing is read.
func (d *deaf) ends() {
	d.t.Helper()
	d.stop()
	select {
	case status := <-d.status:
		if status != exitOK {
			d.t.Errorf("status %d", status)
		}
	case <-time.After(6 * time.Second):
		d.t.Fatal("the child does not end while its output is not read")
	}
}

// TestChildThatNobodyReads checks that a child whose output is not read obeys its input, takes
// newcomers, counts what it drops and tells it, and ends by a signal.
func TestChildThatNobodyReads(t *testing.T) {
	d := startDeaf(t)
	const lines = 30_000
	for range lines { // each is answered with an error of some 60 bytes
		io.WriteString(d.in, "nonsense\n")
	}
	if d.counter("lines dropped: stdout") == 0 {
		t.Fatal("no line was dropped")
	}
	if d.counter("lines dropped: stderr") != 0 {
		t.Error("lines of standard error were dropped, though there are few")
	}
	a := startChild(t, "none", d.ready.WS)
	if got := a.text(a.await("peer")["id"]); got != d.ready.ID {
		t.Errorf("the newcomer is linked with %s", got)
	}
	told, answers := 0, 0
	for answers+told < lines {
		var e struct {
			Event string
			Count int
		}
		if err := json.Unmarshal(d.read(), &e); err != nil {
			t.Fatal(err)
		}
		switch e.Event {
		case "error":
			answers++
		case "dropped":
			told += e.Count
		}
	}
	if dropped := d.counter("lines dropped: stdout"); told != dropped || answers+told != lines {
		t.Errorf("%d answers, %d told as dropped, %d counted, of %d", answers, told, dropped, lines)
	}
	d.ends()
}

// TestMessagesForAParentThatDoesNotRead checks that messages wait for a parent, and that it is
// told of each that had no room.
func TestMessagesForAParentThatDoesNotRead(t *testing.T) {
	d := startDeaf(t)
	var o compat.Options
	o.Bootstraps, o.NoDiscovery = d.ready.Addrs[:1], true // one link, from the start to the end
	peer, err := compat.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	linked := make(chan compat.ID, 1)
	peer.OnPeer(func(id compat.ID) { linked <- id })
	id := <-linked
	const sent, batch = 24_000, 4000
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := range sent {
		if err := peer.Send(id, n); err != nil {
			t.Fatal(err)
		}
		if n%batch == batch-1 { // a link has room for two
			for d.counter("delivered")+d.counter("dropped: inbox_full") <= n {
				<-tick.C
			}
		}
	}
	got := make(map[int]bool)
	told, left := 0, false
	for len(got)+told < sent || !left {
		var e struct {
			Event string
			Data  int
			Count int
		}
		if err := json.Unmarshal(d.read(), &e); err != nil {
			t.Fatal(err)
		}
		switch e.Event {
		case "message":
			got[e.Data] = true
			if len(got) == 1 {
				go peer.Close() // ends with the peer
			}
		case "dropped":
			told += e.Count
		case "disconnect":
			left = true
		}
	}
	if told == 0 || len(got) < 8192 {
		t.Errorf("%d messages arrived, %d were told as dropped", len(got), told)
	}
	d.ends()
}
