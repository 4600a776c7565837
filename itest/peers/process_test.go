package peers_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// children are the parts that the test binary plays, for the tests here and in gopeer_test.go.
var children = map[string]peers.Part{
	"echo": func([]byte) error {
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	},
	"fail":  func([]byte) error { return errors.New("the reason") },
	"leave": func([]byte) error { return nil },
	"peer":  func([]byte) error { return childPeer(os.Args[1:], os.Stdin, os.Stdout) },
}

func startChild(t *testing.T, what string, line func([]byte), exit func(error)) *peers.Process {
	t.Helper()
	cmd, err := peers.SelfAs(what, nil)
	harness.Must(t, err)
	p, err := peers.StartProcess(what, cmd, line, exit)
	harness.Must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func TestProcess(t *testing.T) {
	ctx := harness.Context(t)
	lines := peers.NewLog[string]("lines")
	p := startChild(t, "echo", func(b []byte) { lines.Add(string(b)) }, lines.End)
	long := strings.Repeat("x", 1<<20)
	for _, l := range []string{"one", "", long} {
		harness.Must(t, p.WriteLine([]byte(l)))
	}
	got, err := lines.WaitN(ctx, 3, func(string) bool { return true })
	harness.Must(t, err)
	if got[0] != "one" || got[1] != "" || got[2] != long {
		t.Errorf("echoed %.100q", got)
	}
	harness.Must(t, p.Close())
	harness.Must(t, p.Close())
	if err := p.WriteLine([]byte("late")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("writing after Close gives %v", err)
	}
}

func TestProcessReportsItsEnd(t *testing.T) {
	ctx := harness.Context(t)
	nothing := func([]byte) {}
	for what, want := range map[string]string{"fail": "the reason", "leave": "before it was told to", "nobody": `no part "nobody"`} {
		exited := peers.NewLog[error]("exit")
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
	if _, err := peers.LookTool("no-such-program-anywhere"); !errors.Is(err, peers.ErrNoTool) || !strings.Contains(err.Error(), "no-such-program-anywhere") {
		t.Errorf("error is %v", err)
	}
	if _, err := peers.LookTool("node"); err != nil {
		return // TestNode has nothing to ask
	}
	if _, err := peers.Node(harness.Context(t), 1000); !errors.Is(err, peers.ErrNoTool) {
		t.Errorf("node 1000: %v", err)
	}
}

func TestLog(t *testing.T) {
	ctx := harness.Context(t)
	l := peers.NewLog[int]("numbers")
	even := func(n int) bool { return n%2 == 0 }
	go func() { // ends by itself; WaitN below waits for its last entry
		for n := range 7 {
			l.Add(n)
		}
	}()
	got, err := l.WaitN(ctx, 4, even)
	harness.Must(t, err)
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
	harness.Must(t, err)
	defer ln.Close()
	gate, err := peers.NewGate("ws://" + ln.Addr().String())
	harness.Must(t, err)
	defer gate.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(gate.URL(), "ws://"))
	harness.Must(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("hello"))
	harness.Must(t, err)

	// Nothing may come through before: a connection is accepted only after Open.
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
	harness.Must(t, gate.Close())
	if _, err := far.Read(b); err == nil {
		t.Error("a connection outlived the gate")
	}
	if _, err := peers.NewGate("http://x"); err == nil {
		t.Error("a gate to no WebSocket")
	}
}
