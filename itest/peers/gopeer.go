package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/peer-relay/peer-relay/protocol"
)

// BuildGo builds this module's binary into dir, with flags of go build, and returns its path.
func BuildGo(ctx context.Context, dir string, flags ...string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "peer-relay")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", path}, flags, []string{"./cmd/peer-relay"})...)
	cmd.Dir = root
	cmd.WaitDelay = exitGrace
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("itest: build peer-relay: %w\n%s", err, bytes.TrimSpace(out))
	}
	return path, nil
}

// Go is our binary, in a process for each peer, driven by its --json lines. flags come
// before its arguments. Its keys are random: the seed of a Spec does not reach them.
func Go(binary string, flags ...string) Kind {
	return Kind{Name: "go", Start: func(ctx context.Context, spec Spec) (Peer, error) {
		return StartGo(ctx, binary, spec, flags...)
	}}
}

// A GoPeer is a process of our binary.
type GoPeer struct {
	proc   *Process
	events *Log[Event]

	// Ready is the first line: the id and where it listens.
	Ready GoReady

	asking  sync.Mutex         // held by the caller that awaits an answer on answers
	answers chan []protocol.ID // the lists of the peers events; none is lost or left over
	ready   chan GoReady       // gets the first line
}

// A GoReady is the ready event of our binary.
type GoReady struct {
	ID    protocol.ID
	WS    string   // "" without a port
	Addrs []string // multiaddrs
}

var _ Peer = (*GoPeer)(nil)

// StartGo starts our binary as a peer, and returns when it is ready.
func StartGo(ctx context.Context, binary string, spec Spec, flags ...string) (*GoPeer, error) {
	p := &GoPeer{
		events:  NewLog[Event]("go peer " + spec.Name),
		answers: make(chan []protocol.ID, 1),
		ready:   make(chan GoReady, 1),
	}
	port := "none"
	if spec.Listen {
		port = strconv.Itoa(spec.Port)
	}
	host := []string{"--host", Loopback}
	command := exec.Command
	if spec.On != nil {
		host, command = nil, spec.On.Command
	}
	args := slices.Concat([]string{"--json"}, host, flags, []string{port}, spec.Bootstrap)
	var err error
	p.proc, err = StartProcess("go peer "+spec.Name, command(binary, args...), p.line, func(err error) {
		if err == nil {
			err = errors.New("itest: it has ended")
		}
		p.events.End(err)
	})
	if err != nil {
		return nil, err
	}
	select {
	case p.Ready = <-p.ready:
		return p, nil
	case <-p.proc.Done():
		return nil, p.proc.Close()
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("itest: start %s: %w", spec.Name, ctx.Err()), p.proc.Close())
	}
}

// AddrWith returns the first of its multiaddrs that contains part.
func (p *GoPeer) AddrWith(part string) (string, error) {
	for _, addr := range p.Ready.Addrs {
		if strings.Contains(addr, part) {
			return addr, nil
		}
	}
	return "", fmt.Errorf("itest: no address of the peer contains %q: %v", part, p.Ready.Addrs)
}

// AddrOver returns the first of its multiaddrs over a transport, named as in the function AddrOver.
func (p *GoPeer) AddrOver(transport string) (string, error) {
	if i := slices.IndexFunc(p.Ready.Addrs, func(addr string) bool { return isOver(addr, transport) }); i >= 0 {
		return p.Ready.Addrs[i], nil
	}
	return "", fmt.Errorf("itest: the peer has no address over %s: %v", transport, p.Ready.Addrs)
}

// line takes one event, on the process's goroutine.
func (p *GoPeer) line(line []byte) {
	var e struct {
		Event string
		ID    protocol.ID
		From  protocol.ID
		Data  json.RawMessage
		Error json.RawMessage
		WS    string
		Addrs []string
		Peers []protocol.ID

		Proved, Handed bool
		Kept           string
		Tag            json.RawMessage
		Status         int
	}
	if err := json.Unmarshal(line, &e); err != nil {
		p.events.End(fmt.Errorf("itest: line of our binary: %w: %.200q", err, line))
		return
	}
	switch e.Event {
	case "ready":
		select {
		case p.ready <- GoReady{ID: e.ID, WS: e.WS, Addrs: e.Addrs}:
		default:
			p.events.End(errors.New("itest: our binary was ready twice"))
		}
	case "peers":
		select {
		case p.answers <- e.Peers:
		default:
			p.events.End(errors.New("itest: our binary sent an answer without a question"))
		}
	case "message":
		p.events.Add(Event{Kind: EventMessage, Node: e.From, Data: e.Data, Proved: e.Proved})
	case "receipt":
		p.events.Add(Event{Kind: EventReceipt, Node: e.ID, Tag: e.Tag, Proved: e.Proved, Handed: e.Handed, Kept: e.Kept != ""})
	case "error":
		p.events.Add(Event{Kind: EventError, Data: e.Error, Tag: e.Tag, Status: e.Status})
	default:
		p.events.Add(Event{Kind: EventKind(e.Event), Node: e.ID})
	}
}

// ID implements Peer.
func (p *GoPeer) ID() protocol.ID { return p.Ready.ID }

// URL implements Peer.
func (p *GoPeer) URL() string { return p.Ready.WS }

// PortAddr returns the multiaddr over WebSocket of its port on this machine, also where it
// announces another. "" if it has no port.
func (p *GoPeer) PortAddr() string {
	for _, addr := range slices.Backward(p.Ready.Addrs) { // its own come last
		if strings.HasPrefix(addr, portPrefix) && isOver(addr, "ws") {
			return addr
		}
	}
	return ""
}

// PortURL returns the ws:// URL of that port.
func (p *GoPeer) PortURL() string {
	if rest, ok := strings.CutPrefix(p.PortAddr(), portPrefix); ok {
		port, _, _ := strings.Cut(rest, "/")
		return "ws://" + net.JoinHostPort(Loopback, port)
	}
	return p.Ready.WS
}

const portPrefix = "/ip4/" + Loopback + "/tcp/"

// Events implements Peer.
func (p *GoPeer) Events() *Log[Event] { return p.events }

// Process returns the process of the peer.
func (p *GoPeer) Process() *Process { return p.proc }

// Send implements Peer. It returns when the peer has taken the message. A refusal is an
// EventError.
func (p *GoPeer) Send(ctx context.Context, to protocol.ID, data any) error {
	message, err := goMessage(to, data)
	if err != nil {
		return err
	}
	return p.command(ctx, "send", message)
}

// SendReliable sends a message until its receipt comes. An EventReceipt or EventError with the tag
// says what came of it. It returns when the peer has taken the message.
func (p *GoPeer) SendReliable(ctx context.Context, to protocol.ID, data any, tag int) error {
	message, err := goMessage(to, data)
	if err != nil {
		return err
	}
	message["reliable"], message["tag"] = true, tag
	return p.command(ctx, "send", message)
}

// goMessage returns a message as our binary takes it.
func goMessage(to protocol.ID, data any) (map[string]any, error) {
	message := map[string]any{"to": to}
	switch v := data.(type) {
	case Undefined: // no data at all
	case JS:
		return nil, fmt.Errorf("itest: our binary knows no JavaScript: %s", v)
	case []byte:
		message["data"] = BufferText(v)
	default:
		message["data"] = v
	}
	return message, nil
}

// Connect implements Peer.
func (p *GoPeer) Connect(ctx context.Context, to protocol.ID) error {
	return p.command(ctx, "connect", to)
}

// Disconnect implements Peer.
func (p *GoPeer) Disconnect(ctx context.Context, to protocol.ID) error {
	return p.command(ctx, "disconnect", to)
}

// command runs a command. None of them has an answer, but the lines are taken in order.
func (p *GoPeer) command(ctx context.Context, name string, arg any) error {
	if err := p.Write(name, arg); err != nil {
		return err
	}
	_, err := p.Peers(ctx)
	return err
}

// Write writes a command to the peer, and does not wait until it is taken.
func (p *GoPeer) Write(name string, arg any) error {
	var b bytes.Buffer
	// A json.RawMessage is compacted, but keeps its numbers and strings as they are spelled.
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any{name: arg}); err != nil {
		return fmt.Errorf("itest: %s: %w", name, err)
	}
	return p.proc.WriteLine(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// Peers implements Peer.
func (p *GoPeer) Peers(ctx context.Context) ([]protocol.ID, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	if err := p.Write("peers", true); err != nil {
		return nil, err
	}
	select {
	case peers := <-p.answers:
		return peers, nil
	case <-p.proc.Done():
		return nil, fmt.Errorf("itest: %s ended without an answer: %w", p.proc.name, p.proc.Close())
	case <-ctx.Done():
		// The answer that may still come would be taken for that of the next question.
		p.proc.Close()
		return nil, fmt.Errorf("itest: ask %s: %w", p.proc.name, ctx.Err())
	}
}

// Destroy implements Peer: the end of its standard input ends the node.
func (p *GoPeer) Destroy(ctx context.Context) error {
	p.proc.endInput()
	return p.proc.Wait(ctx)
}

// Stop ends the peer by SIGTERM, and returns nil if it then ends with status 0.
func (p *GoPeer) Stop(ctx context.Context) error {
	if err := p.proc.Terminate(); err != nil {
		return err
	}
	return p.proc.Wait(ctx)
}

// Kill ends the peer as kill -9 does, and returns when it is gone.
func (p *GoPeer) Kill() error { return p.proc.Kill() }

// Close implements Peer.
func (p *GoPeer) Close() error { return p.proc.Close() }
