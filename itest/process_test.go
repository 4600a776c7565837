package itest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// testParts gives what the test binary plays: what any program does, and the children of
// the tests here and in gopeer_test.go.
func testParts() map[string]part {
	all := parts()
	all["echo"] = func([]byte) error {
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	}
	all["fail"] = func([]byte) error { return errors.New("the reason") }
	all["leave"] = func([]byte) error { return nil }
	all["peer"] = func([]byte) error { return childPeer(os.Args[1:], os.Stdin, os.Stdout) }
	return all
}

func startChild(t *testing.T, what string, line func([]byte), exit func(error)) *Process {
	t.Helper()
	cmd, err := selfAs(what, nil)
	must(t, err)
	p, err := StartProcess(what, cmd, line, exit)
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func TestProcess(t *testing.T) {
	ctx := testContext(t)
	lines := NewLog[string]("lines")
	p := startChild(t, "echo", func(b []byte) { lines.Add(string(b)) }, lines.End)
	long := strings.Repeat("x", 1<<20)
	for _, l := range []string{"one", "", long} {
		must(t, p.WriteLine([]byte(l)))
	}
	got, err := lines.WaitN(ctx, 3, func(string) bool { return true })
	must(t, err)
	if got[0] != "one" || got[1] != "" || got[2] != long {
		t.Errorf("echoed %.100q", got)
	}
	must(t, p.Close())
	must(t, p.Close())
	if err := p.WriteLine([]byte("late")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("writing after Close gives %v", err)
	}
}

func TestProcessReportsItsEnd(t *testing.T) {
	ctx := testContext(t)
	nothing := func([]byte) {}
	for what, want := range map[string]string{"fail": "the reason", "leave": "before it was told to", "nobody": `no part "nobody"`} {
		exited := NewLog[error]("exit")
		p := startChild(t, what, nothing, func(err error) { exited.Add(err) })
		if err := p.Wait(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Wait gives %v", what, err)
		}
		if err := p.Close(); err == nil {
			t.Errorf("%s: Close says nothing", what)
		}
		if err, _ := exited.Wait(ctx, func(error) bool { return true }); err == nil {
			t.Errorf("%s: exit was called with nil", what)
		}
	}
}

func TestNoTool(t *testing.T) {
	if _, err := LookTool("no-such-program-anywhere"); !errors.Is(err, ErrNoTool) || !strings.Contains(err.Error(), "no-such-program-anywhere") {
		t.Errorf("error is %v", err)
	}
	if _, err := LookTool("node"); err != nil {
		return // TestNode has nothing to ask
	}
	if _, err := Node(testContext(t), 1000); !errors.Is(err, ErrNoTool) {
		t.Errorf("node 1000: %v", err)
	}
}

func TestLog(t *testing.T) {
	ctx := testContext(t)
	l := NewLog[int]("numbers")
	even := func(n int) bool { return n%2 == 0 }
	go func() { // ends by itself; WaitN below waits for its last entry
		for n := range 7 {
			l.Add(n)
		}
	}()
	got, err := l.WaitN(ctx, 4, even)
	must(t, err)
	if len(got) != 4 || got[0] != 0 || got[3] != 6 {
		t.Errorf("even numbers are %v", got)
	}
	if n := l.Count(even); n != 4 {
		t.Errorf("%d even numbers", n)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Wait(cancelled, func(n int) bool { return n == 7 }); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting in vain gives %v", err)
	}
	l.End(io.EOF)
	l.End(io.ErrUnexpectedEOF)
	if _, err := l.Wait(ctx, func(n int) bool { return n == 7 }); !errors.Is(err, io.EOF) {
		t.Errorf("waiting after the end gives %v", err)
	}
	if n, err := l.Wait(ctx, func(n int) bool { return n == 5 }); n != 5 || err != nil {
		t.Errorf("what came before the end gives %d, %v", n, err)
	}
}

func TestGate(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	gate, err := NewGate("ws://" + ln.Addr().String())
	must(t, err)
	defer gate.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(gate.URL(), "ws://"))
	must(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("hello"))
	must(t, err)

	// Nothing may come through before: whoever is accepted was let in by Open.
	opened := make(chan struct{})
	accepted := make(chan net.Conn)
	go func() { // ends when ln is closed, at the latest; accepted is received below
		c, err := ln.Accept()
		if err != nil {
			close(accepted)
			return
		}
		select {
		case <-opened:
		default:
			t.Error("the gate let somebody through before it opened")
		}
		accepted <- c
	}()
	close(opened)
	gate.Open()
	gate.Open()
	far, ok := <-accepted
	if !ok {
		t.Fatal("nobody came through")
	}
	defer far.Close()
	b := make([]byte, 5)
	if _, err := io.ReadFull(far, b); err != nil || string(b) != "hello" {
		t.Fatalf("read %q, %v", b, err)
	}
	must(t, gate.Close())
	if _, err := far.Read(b); err == nil {
		t.Error("a connection outlived the gate")
	}
	if _, err := NewGate("http://x"); err == nil {
		t.Error("a gate to no WebSocket")
	}
}
