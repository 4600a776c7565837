package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// A stinting reader returns at most 1,000 bytes at once. It records the largest buffer that
// it was called with, relative to the bytes returned before.
type stinting struct {
	r        io.Reader
	returned int     // bytes
	most     float64 // greatest len(buffer) / (returned + firstRead)
}

func (s *stinting) Read(p []byte) (int, error) {
	s.most = max(s.most, float64(len(p))/float64(s.returned+firstRead))
	n, err := s.r.Read(p[:min(len(p), 1000)])
	s.returned += n
	return n, err
}

func (s *stinting) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(s.r, b[:])
	return b[0], err
}

// TestReadFrameGrowsWithWhatArrives checks that memory is allocated as the bytes arrive, so
// that a length prefix without a frame costs little.
func TestReadFrameGrowsWithWhatArrives(t *testing.T) {
	const frames = 200
	stream := protowire.AppendVarint(nil, MaxFrame)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range frames {
		if _, err := ReadFrame(bytes.NewReader(stream), MaxFrame); err != io.ErrUnexpectedEOF {
			t.Fatalf("a length without a frame: %v", err)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > frames*2*firstRead {
		t.Errorf("%d lengths took %d KiB, want at most %d", frames, took>>10, frames*2*firstRead>>10)
	}

	for _, size := range []int{1, firstRead - 1, firstRead, firstRead + 1, 4 * firstRead, 4*firstRead + 1, 250_000} {
		f := testMessage(t, size)
		raw, err := f.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &stinting{r: bytes.NewReader(raw)}
		got, err := ReadFrame(r, MaxFrame)
		if err != nil || !bytes.Equal(got.Body.Payload, f.Body.Payload) {
			t.Fatalf("a payload of %d bytes: %v", size, err)
		}
		if r.most > 4 {
			t.Errorf("a payload of %d bytes: a buffer of %.1f times the bytes that had arrived", size, r.most)
		}
	}
}

func TestReadFrame(t *testing.T) {
	ping := must(NewPing(1).AppendTo(nil))
	largest := append([]byte{0x80, 0x80, 0x10}, make([]byte, MaxFrame)...) // a length of MaxFrame
	for _, c := range []struct {
		name   string
		stream []byte
		most   int
		want   error // nil means a frame
	}{
		{"a frame", ping, MaxFrame, nil},
		{"a frame of the greatest size allowed", ping, len(ping) - 1, nil},
		{"nothing", nil, MaxFrame, io.EOF},
		{"half a length", []byte{0x80}, MaxFrame, io.ErrUnexpectedEOF},
		{"a length without a frame", []byte{0x05}, MaxFrame, io.ErrUnexpectedEOF},
		{"half a frame", ping[:5], MaxFrame, io.ErrUnexpectedEOF},
		{"more than allowed", ping, len(ping) - 2, ErrFraming},
		{"more than a negative number", ping, -1, ErrFraming},
		{"a length longer than needed", append([]byte{ping[0] | 0x80, 0x00}, ping[1:]...), MaxFrame, ErrFraming},
		{"a length of 3 bytes longer than needed", append([]byte{ping[0] | 0x80, 0x80, 0x00}, ping[1:]...), MaxFrame, ErrFraming},
		{"a length of 4 bytes", []byte{0x80, 0x80, 0x80, 0x01}, MaxFrame, ErrFraming},
		{"MaxFrame and 1 byte, whatever is asked", append([]byte{0x81, 0x80, 0x10}, make([]byte, MaxFrame+1)...), 1 << 30, ErrFraming},
		{"MaxFrame of nonsense", largest, 1 << 30, ErrMalformed},
		{"an empty frame", []byte{0}, MaxFrame, ErrMalformed},
	} {
		f, err := ReadFrame(bufio.NewReader(bytes.NewReader(c.stream)), c.most)
		if !errors.Is(err, c.want) || (f == nil) == (c.want == nil) {
			t.Errorf("%s: frame %v, error %v, want %v", c.name, f, err, c.want)
		}
		if errors.Is(err, ErrFraming) && errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v says that the stream may go on", c.name, err)
		}
	}

	// A malformed frame and an unknown one do not keep the next frame from being read.
	r := bufio.NewReader(bytes.NewReader(slices.Concat([]byte{2, 0x10, 0xff}, []byte{2, 0x72, 0}, ping)))
	if _, err := ReadFrame(r, MaxFrame); !errors.Is(err, ErrMalformed) {
		t.Errorf("error %v, want ErrMalformed", err)
	}
	if f, err := ReadFrame(r, MaxFrame); err != nil || f.Type != FrameUnknown {
		t.Errorf("frame %v, error %v, want an unknown one", f, err)
	}
	if f, err := ReadFrame(r, MaxFrame); err != nil || f.Type != FramePing {
		t.Errorf("frame %v, error %v, want a ping", f, err)
	}
}

// TestParseFrameCopies checks that a frame does not change when the argument of ParseFrame
// is used again.
func TestParseFrameCopies(t *testing.T) {
	want := onWire(t, testMessage(t, 50))
	b := bytes.Clone(want)
	f, err := ParseFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !bytes.Equal(onWire(t, f), want) {
		t.Error("ParseFrame kept its argument")
	}
}

// TestHasFrame checks that HasFrame is true exactly if ReadFrame needs no more bytes.
func TestHasFrame(t *testing.T) {
	for _, size := range []int{0, 64, 200, 3000} { // lengths of one and of two bytes
		frame := must(testMessage(t, size, func(*MessageFields) {}).AppendTo(nil))
		for _, before := range []int{0, 1} {
			for have := range len(frame) + 1 {
				r := bufio.NewReaderSize(bytes.NewReader(append(bytes.Repeat(frame, before), frame[:have]...)), 16<<10)
				for range before {
					if _, err := ReadFrame(r, MaxFrame); err != nil {
						t.Fatal(err)
					}
				}
				r.Peek(have) // fills the buffer
				if got := HasFrame(r); got != (have == len(frame)) {
					t.Fatalf("%d of %d bytes: HasFrame = %v", have, len(frame), got)
				}
			}
		}
	}
	r := bufio.NewReader(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}))
	r.Peek(4)
	if !HasFrame(r) {
		t.Error("a length that ReadFrame refuses has ReadFrame wait")
	}
}
