package wire

import (
	"bytes"
	"io"
	"runtime"
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
