package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// leastNode is the Node that js/driver.js needs.
const leastNode = 18

// A Driver is a Node process (js/driver.js) that hosts any number of npm peers, their
// sockets, raw WebSockets and taps.
type Driver struct {
	proc *Process

	mu     sync.Mutex
	lastID int
	// calls are the commands not yet answered. Nil once the process is gone.
	calls map[int]chan reply
	// sinks take the events of the peers, raw connections and taps, by kind and name.
	sinks map[sinkKey]func(driverEvent)
	ends  []func(error)
	crash string
}

// A sinkKey is the kind of thing ("peer", "socket", "raw", "tap") and its name.
type sinkKey struct{ kind, name string }

type reply struct {
	ok  json.RawMessage
	err error
}

// A driverEvent is one line of a driver that is no reply: the fields of all events.
type driverEvent struct {
	Event  string
	Error  string
	Peer   string
	Socket string
	Raw    string
	Server string
	Tap    string

	Node       string
	Text       *string
	Base64     *string
	Address    string
	Port       int
	Family     string
	Conn       int
	Dir        string
	Binary     bool
	Code       int
	Reason     string
	Headers    map[string]any
	Extensions string
}

// StartDriver installs the npm dependencies if need be and starts a Node process. The
// context bounds only the start; Close ends the process.
func StartDriver(ctx context.Context) (*Driver, error) {
	node, err := Node(ctx, leastNode)
	if err != nil {
		return nil, err
	}
	dir, err := Install(ctx)
	if err != nil {
		return nil, err
	}
	d := &Driver{calls: make(map[int]chan reply), sinks: make(map[sinkKey]func(driverEvent))}
	// The package of 2016 uses `new Buffer`, about which Node would warn at each start.
	cmd := exec.Command(node, "--no-deprecation", filepath.Join(dir, "driver.js"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NODE_OPTIONS=")
	started := make(chan struct{})
	var once sync.Once
	d.proc, err = StartProcess("node driver", cmd, func(line []byte) {
		once.Do(func() { close(started) })
		d.line(line)
	}, d.exit)
	if err != nil {
		return nil, err
	}
	select {
	case <-started:
		return d, nil
	case <-d.proc.Done():
		return nil, d.Close()
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("itest: start node: %w", ctx.Err()), d.Close())
	}
}

// Process returns the Node process, for its id and its standard error.
func (d *Driver) Process() *Process { return d.proc }

// Close ends the process and everything in it, and returns nil if it had not crashed.
func (d *Driver) Close() error { return d.proc.Close() }

// Crash returns the stack of the exception that ended the process, "" if none did.
func (d *Driver) Crash() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crash
}

// line takes one line of the process, on the process's goroutine.
func (d *Driver) line(line []byte) {
	var head struct {
		ID    *int
		Event string
		OK    json.RawMessage
		Error string
	}
	if err := json.Unmarshal(line, &head); err != nil {
		d.exit(fmt.Errorf("itest: line of the node driver: %w: %.200q", err, line))
		return
	}
	if head.ID != nil {
		d.mu.Lock()
		call := d.calls[*head.ID]
		delete(d.calls, *head.ID)
		d.mu.Unlock()
		if call == nil {
			return // its caller does not wait any more
		}
		r := reply{ok: head.OK}
		if head.OK == nil {
			r.err = errors.New(head.Error)
		}
		call <- r // has room for the only answer
		return
	}
	var e driverEvent
	if err := json.Unmarshal(line, &e); err != nil {
		d.exit(fmt.Errorf("itest: event of the node driver: %w: %.200q", err, line))
		return
	}
	var key sinkKey
	switch {
	case e.Event == "crash":
		d.mu.Lock()
		d.crash = e.Error
		d.mu.Unlock()
		return
	case e.Peer != "":
		key = sinkKey{"peer", e.Peer}
	case e.Socket != "":
		key = sinkKey{"socket", e.Socket}
	case e.Event == "accept":
		key = sinkKey{"raw", e.Server}
	case e.Raw != "":
		key = sinkKey{"raw", e.Raw}
	case e.Tap != "":
		key = sinkKey{"tap", e.Tap}
	}
	d.mu.Lock()
	sink := d.sinks[key]
	d.mu.Unlock()
	if sink != nil {
		sink(e)
	}
}

// exit fails everything that waits. It is called with nil after an orderly end.
func (d *Driver) exit(err error) {
	if err == nil {
		err = errors.New("itest: the node driver has ended")
	}
	d.mu.Lock()
	calls, ends := d.calls, d.ends
	d.calls, d.ends = nil, nil
	d.mu.Unlock()
	for _, call := range calls {
		call <- reply{err: err}
	}
	for _, end := range ends {
		end(err)
	}
}

// listen directs the events of a thing to sink, and calls end with the reason when there
// will be no more. sink runs on the process's goroutine and may call listen.
func (d *Driver) listen(kind, name string, sink func(driverEvent), end func(error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sinks[sinkKey{kind, name}] = sink
	d.ends = append(d.ends, end)
}

// call runs one operation and decodes its result into result, unless that is nil.
func (d *Driver) call(ctx context.Context, op string, args map[string]any, result any) error {
	answer := make(chan reply, 1)
	d.mu.Lock()
	if d.calls == nil {
		d.mu.Unlock()
		return fmt.Errorf("itest: %s: %w", op, d.gone())
	}
	d.lastID++
	id := d.lastID
	d.calls[id] = answer
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.calls, id)
		d.mu.Unlock()
	}()

	command := map[string]any{"id": id, "op": op}
	for k, v := range args {
		command[k] = v
	}
	line, err := json.Marshal(command)
	if err != nil {
		return fmt.Errorf("itest: %s: %w", op, err)
	}
	if err := d.proc.WriteLine(line); err != nil {
		return fmt.Errorf("itest: %s: %w", op, err)
	}
	select {
	case r := <-answer:
		if r.err != nil {
			return fmt.Errorf("itest: %s: %w", op, r.err)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(r.ok, result); err != nil {
			return fmt.Errorf("itest: result of %s: %w", op, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("itest: %s: %w", op, ctx.Err())
	}
}

// gone returns the reason why no operation can be called any more.
func (d *Driver) gone() error {
	select {
	case <-d.proc.Done():
		if d.proc.err != nil {
			return d.proc.err
		}
	default:
	}
	return os.ErrClosed
}

// A Canon is the result of Node's own JSON.stringify(JSON.parse(text)), or its error.
type Canon struct{ Text, Error string }

// Canon lets Node parse and stringify JSON texts.
func (d *Driver) Canon(ctx context.Context, texts []string) ([]Canon, error) {
	var result struct{ Results []Canon }
	if err := d.call(ctx, "canon", map[string]any{"texts": texts}, &result); err != nil {
		return nil, err
	}
	return result.Results, nil
}

// Usage returns the resident memory of the process in bytes and the CPU time that it has used.
func (d *Driver) Usage(ctx context.Context) (rss int64, cpuMicros int64, err error) {
	var result struct{ RSS, CPUMicros int64 }
	err = d.call(ctx, "memory", nil, &result)
	return result.RSS, result.CPUMicros, err
}
