package protocoltest

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	window      = 64 << 10 // default of PipeOptions.Window in bytes
	writeBuffer = 4 << 10  // bytes that an end buffers before it flushes
)

// ErrBroken is the error of both ends of a broken link.
var ErrBroken = errors.New("protocoltest: the link was broken")

// PipeOptions are the options of a Pipe. The zero value is a link without delay.
type PipeOptions struct {
	// Latency is the time from one end to the other.
	Latency time.Duration

	// Bandwidth is the number of bytes per second in each direction. 0 means no limit.
	Bandwidth int

	// Window is the number of bytes in flight in each direction at which the writer waits.
	// 0 means 64 KiB.
	Window int
}

// An End is one end of a link in memory. It is a protocol.Link.
type End struct {
	info protocol.LinkInfo
	in   *direction
	out  *direction

	// Owned by the writing goroutine.
	buf []byte // frames before a flush
	bye bool   // a bye was written

	mu      sync.Mutex
	blocked chan struct{} // closed by Unblock; nil means not blocked
}

// Pipe returns the two ends of a link. a is the LinkInfo of the first end, and b that of the
// second.
func Pipe(a, b protocol.LinkInfo, o PipeOptions) (*End, *End) {
	if o.Window == 0 {
		o.Window = window
	}
	ab, ba := newDirection(o), newDirection(o)
	return &End{info: a, in: ba, out: ab}, &End{info: b, in: ab, out: ba}
}

// Info implements protocol.Link.
func (e *End) Info() protocol.LinkInfo { return e.info }

// ReadFrame implements protocol.Link.
func (e *End) ReadFrame() (*wire.Frame, error) {
	b, err := e.in.read()
	if err != nil {
		return nil, err
	}
	return wire.ParseFrame(b)
}

// WriteFrame implements protocol.Link.
func (e *End) WriteFrame(f *wire.Frame) error {
	if e.bye {
		return nil
	}
	buf, err := f.AppendTo(e.buf)
	if err != nil {
		return err
	}
	e.bye, e.buf = f.Type == wire.FrameBye, buf
	if len(e.buf) >= writeBuffer {
		return e.Flush()
	}
	return nil
}

// WriteBytes is for protocol.Link.
func (e *End) WriteBytes(frame []byte) error {
	if e.bye {
		return nil
	}
	if e.buf = append(binary.AppendUvarint(e.buf, uint64(len(frame))), frame...); len(e.buf) >= writeBuffer {
		return e.Flush()
	}
	return nil
}

// Flush implements protocol.Link.
func (e *End) Flush() error {
	if err := e.pass(); err != nil {
		return err
	}
	for len(e.buf) > 0 {
		size, n := uvarint(e.buf)
		if err := e.out.write(e.buf[n : n+size]); err != nil {
			return err
		}
		e.buf = e.buf[n+size:]
	}
	e.buf = nil
	if e.bye {
		e.out.set(func(d *direction) { d.eof = true })
	}
	return nil
}

func uvarint(b []byte) (v, n int) {
	for shift := 0; ; shift += 7 {
		v |= int(b[n]&0x7f) << shift
		if n++; b[n-1] < 0x80 {
			return v, n
		}
	}
}

// pass waits while the end is blocked.
func (e *End) pass() error {
	e.mu.Lock()
	blocked := e.blocked
	e.mu.Unlock()
	if blocked == nil {
		return nil
	}
	select {
	case <-blocked:
		return nil
	case <-e.out.dead:
		return e.out.writeError()
	}
}

// Block makes every later write of this end wait until Unblock or Close. So the other end seems
// not to read.
func (e *End) Block() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.blocked == nil {
		e.blocked = make(chan struct{})
	}
}

// Unblock ends a Block.
func (e *End) Unblock() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.blocked != nil {
		close(e.blocked)
		e.blocked = nil
	}
}

// Close implements protocol.Link. The other end reads the frames that were flushed, and then
// io.EOF.
func (e *End) Close() error {
	e.out.set(func(d *direction) { d.eof = true; d.writeErr = cmp.Or(d.writeErr, net.ErrClosed) })
	e.in.set(func(d *direction) {
		d.readErr = cmp.Or(d.readErr, net.ErrClosed)
		d.writeErr = cmp.Or(d.writeErr, io.ErrClosedPipe)
	})
	return nil
}

// Break makes both ends fail at once. The frames in flight are lost.
func (e *End) Break() {
	for _, d := range []*direction{e.in, e.out} {
		d.set(func(d *direction) { d.packets, d.readErr, d.writeErr = nil, ErrBroken, ErrBroken })
	}
}

// A direction is one direction of a link. One goroutine writes to it, and one reads from it.
type direction struct {
	latency   time.Duration
	bandwidth int
	window    int

	wrote chan struct{} // holds a token if there may be a frame to read
	took  chan struct{} // holds a token if there may be room to write
	dead  chan struct{} // closed when writeErr is set

	mu       sync.Mutex
	packets  []packet
	size     int       // bytes of packets
	free     time.Time // when the bandwidth allows the next frame
	eof      bool      // no more frames will be written
	readErr  error     // error of every read; nil means none
	writeErr error     // error of every write; nil means none
}

// A packet is a frame in flight.
type packet struct {
	frame []byte
	due   time.Time
}

func newDirection(o PipeOptions) *direction {
	return &direction{
		latency: o.Latency, bandwidth: o.Bandwidth, window: o.Window,
		wrote: make(chan struct{}, 1), took: make(chan struct{}, 1), dead: make(chan struct{}),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// set changes the end of the direction and wakes both sides.
func (d *direction) set(change func(*direction)) {
	d.mu.Lock()
	alive := d.writeErr == nil
	change(d)
	if alive && d.writeErr != nil {
		close(d.dead)
	}
	d.mu.Unlock()
	signal(d.wrote)
}

func (d *direction) writeError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Errorf("protocoltest: write: %w", d.writeErr)
}

// write sends a frame when there is room for it.
func (d *direction) write(frame []byte) error {
	for !d.put(frame) {
		select {
		case <-d.took:
		case <-d.dead:
			return d.writeError()
		}
	}
	return nil
}

// put sends a frame, and reports whether there was room for it.
func (d *direction) put(frame []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writeErr != nil || d.size > 0 && d.size+len(frame) > d.window {
		return false
	}
	if now := time.Now(); d.free.Before(now) {
		d.free = now
	}
	if d.bandwidth > 0 {
		d.free = d.free.Add(time.Duration(len(frame)) * time.Second / time.Duration(d.bandwidth))
	}
	d.packets = append(d.packets, packet{frame: frame, due: d.free.Add(d.latency)})
	d.size += len(frame)
	signal(d.wrote)
	return true
}

// read waits for the next frame.
func (d *direction) read() ([]byte, error) {
	for {
		frame, wait, err := d.next()
		switch {
		case err != nil:
			return nil, err
		case frame != nil:
			signal(d.took)
			return frame, nil
		case wait == 0:
			<-d.wrote
		default:
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-d.wrote:
			}
			timer.Stop()
		}
	}
}

// next returns the next frame if it has arrived. Otherwise it returns the time until then, and
// 0 means until the direction changes.
func (d *direction) next() (frame []byte, wait time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.readErr != nil:
		return nil, 0, fmt.Errorf("protocoltest: read: %w", d.readErr)
	case len(d.packets) == 0 && d.eof:
		return nil, 0, io.EOF
	case len(d.packets) == 0:
		return nil, 0, nil
	}
	if wait = time.Until(d.packets[0].due); wait > 0 {
		return nil, wait, nil
	}
	frame = d.packets[0].frame
	d.packets = d.packets[1:]
	d.size -= len(frame)
	return frame, 0, nil
}
