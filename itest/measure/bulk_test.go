package measure

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestBulk moves some MB in every way that is measured, twice: over a connection that is
// new, and over one that was used before. Round checks what arrives and which way it took.
func TestBulk(t *testing.T) {
	harness.NeedLinux(t)
	binary := harness.Binary(t)
	for _, setting := range BulkSettings() {
		t.Run(setting.Name, func(t *testing.T) {
			s, err := setting.Start(harness.Context(t), binary)
			harness.Must(t, err)
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			for _, size := range []int64{5_000_000, 1} {
				f, err := s.Round(harness.Context(t), size)
				harness.Must(t, err)
				for part := range BulkParts {
					is := part != BulkRelay || setting.Relay
					if f.Took <= 0 || f.Tenth[part] > 0 != is || f.Most[part] < f.Tenth[part] {
						t.Errorf("%d bytes: %+v", size, f)
					}
				}
			}
		})
	}
}

// A bulkCopy keeps what is written, and nothing is written back.
type bulkCopy struct{ bytes.Buffer }

func (*bulkCopy) Read([]byte) (int, error) { return 0, io.EOF }
func (*bulkCopy) CloseWrite() error        { return nil }
func (*bulkCopy) Close() error             { return nil }

// A bulkGiven is a stream that brings what it was made with.
type bulkGiven struct {
	bulkCopy
	given *bytes.Reader
}

func (g *bulkGiven) Read(p []byte) (int, error) { return g.given.Read(p) }

// TestBulkNotices has bytes that arrive otherwise than they were written.
func TestBulkNotices(t *testing.T) {
	const size = 3*bulkBlock + 7
	c := &bulkCopy{}
	wrote, err := bulkWrite(c, size)
	harness.Must(t, err)
	right := c.Bytes()
	flipped := bytes.Clone(right)
	flipped[size/2] ^= 1
	swapped := slices.Concat(right[bulkBlock:2*bulkBlock], right[:bulkBlock], right[2*bulkBlock:])
	for _, test := range []struct {
		name    string
		arrives []byte
		same    bool
	}{
		{"all of it", right, true}, {"a bit differs", flipped, false}, {"two blocks change places", swapped, false},
		{"the end is missing", right[:size-1], false}, {"the first block twice", slices.Concat(right[:bulkBlock], right), false},
	} {
		said := 0
		read, err := bulkRead(&bulkGiven{given: bytes.NewReader(test.arrives)}, size/10, func() error { said++; return nil })
		harness.Must(t, err)
		if same := read == wrote; same != test.same || said != 1 {
			t.Errorf("%s: wrote %+v, read %+v, said %d times that there is a tenth", test.name, wrote, read, said)
		}
	}
}
