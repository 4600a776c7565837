package peers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxLine is the longest line that a process may write.
	maxLine = 64 << 20

	// stderrTail is the bytes of a process's standard error that are kept for reports.
	stderrTail = 16 << 10

	// exitGrace is the most time from the end of a process's standard input to its own.
	exitGrace = 10 * time.Second
)

// ErrNoTool is matched by the errors for a program that is not installed.
var ErrNoTool = errors.New("itest: tool not found")

// A toolError names the program that is missing.
type toolError struct {
	tool string
	err  error
}

func (e *toolError) Error() string   { return fmt.Sprintf("itest: %s is needed: %v", e.tool, e.err) }
func (e *toolError) Unwrap() []error { return []error{ErrNoTool, e.err} }

// LookTool finds a program in the path. Its error matches ErrNoTool.
func LookTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &toolError{tool: name, err: err}
	}
	return path, nil
}

// A Process is a child that is driven by lines on its standard input and answers by
// lines on its standard output.
type Process struct {
	name   string
	cmd    *exec.Cmd
	stderr *tail

	// done is closed when the process is gone and its last line was handed over;
	// err is set before that and never after.
	done chan struct{}
	err  error

	mu    sync.Mutex // writes whole lines, and guards the two below
	stdin io.WriteCloser
	ended bool
}

// StartProcess starts cmd and calls line with each line that it writes, without the
// line end and valid only during the call, and exit once after the last of them with
// the error that Wait returns. Both run on one goroutine, which Close ends and waits for.
// name is for reports.
func StartProcess(name string, cmd *exec.Cmd, line func([]byte), exit func(error)) (*Process, error) {
	p := &Process{name: name, cmd: cmd, stderr: &tail{limit: stderrTail}, done: make(chan struct{})}
	cmd.Stderr = p.stderr
	// A grandchild that holds the pipes must not hold us.
	cmd.WaitDelay = exitGrace
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("itest: start %s: %w", name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("itest: start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("itest: start %s: %w", name, err)
	}
	// Ends when the process closes its output, at the latest when Close kills it. Close waits.
	go func() {
		defer close(p.done)
		p.err = p.run(stdout, line)
		exit(p.err)
	}()
	return p, nil
}

func (p *Process) run(stdout io.Reader, line func([]byte)) error {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		line(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		// The rest cannot be understood any more.
		p.cmd.Process.Kill()
		p.cmd.Wait()
		return fmt.Errorf("itest: read from %s: %w", p.name, err)
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	asked := p.ended
	p.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("itest: %s (process %d): %w%s", p.name, p.cmd.Process.Pid, err, p.stderr.report())
	case !asked:
		return fmt.Errorf("itest: %s (process %d) ended before it was told to%s", p.name, p.cmd.Process.Pid, p.stderr.report())
	}
	return nil
}

// WriteLine writes one line to the process.
func (p *Process) WriteLine(line []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("itest: write to %s: %w", p.name, os.ErrClosed)
	}
	if _, err := p.stdin.Write(append(line[:len(line):len(line)], '\n')); err != nil {
		return fmt.Errorf("itest: write to %s: %w%s", p.name, err, p.stderr.report())
	}
	return nil
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Stderr returns the last 16 KiB that the process wrote to its standard error.
func (p *Process) Stderr() string { return p.stderr.String() }

// Done is closed when the process is gone and its last line was handed over.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the process is gone. It returns nil if the process exited with
// status 0 after endInput or Close.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("itest: wait for %s: %w", p.name, ctx.Err())
	}
}

// endInput closes the standard input of the process.
func (p *Process) endInput() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		p.stdin.Close()
	}
}

// Terminate sends SIGTERM. The standard input of the process stays open until it ends.
func (p *Process) Terminate() error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("itest: stop %s: %w", p.name, err)
	}
	return nil
}

// Close ends the process by the end of its standard input, kills it if it is not gone
// after 10 s, and returns how it ended: nil for status 0. It may be called again.
func (p *Process) Close() error {
	p.endInput()
	grace := time.NewTimer(exitGrace)
	defer grace.Stop()
	select {
	case <-p.done:
	case <-grace.C:
		p.cmd.Process.Kill()
		<-p.done
	}
	return p.err
}

// Kill ends the process as kill -9 does, and returns when it is gone.
func (p *Process) Kill() error {
	p.endInput()
	if err := p.Signal(os.Kill); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("itest: kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// Closers end what was started, the last of it first.
type Closers []func() error

// Add adds a function, which is called before those that are there.
func (c *Closers) Add(end func() error) { *c = append(*c, end) }

// Close calls them all, each once.
func (c *Closers) Close() error {
	var errs []error
	for _, end := range slices.Backward(*c) {
		errs = append(errs, end())
	}
	*c = nil
	return errors.Join(errs...)
}

// A tail keeps the end of what is written to it.
type tail struct {
	limit int

	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

func (t *tail) report() string {
	if s := strings.TrimSpace(t.String()); s != "" {
		return "\n" + s
	}
	return ""
}
