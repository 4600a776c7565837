package port

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// A pieceReader returns pieces of random sizes, and then an error, with the last piece or after it.
type pieceReader struct {
	left  []byte
	most  int
	rng   *rand.Rand
	reads int
	err   error
}

func (r *pieceReader) Read(b []byte) (int, error) {
	r.reads++
	n := copy(b, r.left[:min(len(r.left), 1+r.rng.IntN(r.most))])
	r.left = r.left[n:]
	if n == 0 || len(r.left) == 0 && r.rng.IntN(2) == 0 {
		return n, r.err
	}
	return n, nil
}

// TestAheadReturnsAll checks that all bytes come in order, and the error after them, whatever sizes are read, and that
// no buffer is kept after the last byte.
func TestAheadReturnsAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	broken := errors.New("broken")
	for range 200 {
		want := make([]byte, rng.IntN(300_000))
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		r := &pieceReader{left: want, most: 1 + rng.IntN(50_000), rng: rng, err: broken}
		var a ahead
		var got bytes.Buffer
		for {
			b := make([]byte, 1+rng.IntN(10_000))
			n, err := a.read(r, b)
			got.Write(b[:n])
			if err != nil {
				if err != broken {
					t.Fatal(err)
				}
				break
			}
		}
		if !bytes.Equal(got.Bytes(), want) || a.buffer != nil {
			t.Fatalf("%d bytes of %d came, %t that they are equal; a buffer is kept: %t", got.Len(), len(want), bytes.Equal(got.Bytes(), want), a.buffer != nil)
		}
	}
}

// TestAheadSparesReads checks that a busy connection is read in large pieces, and that one with little to read is
// not read ahead.
func TestAheadSparesReads(t *testing.T) {
	for _, test := range []struct{ most, reads int }{{1 << 20, 1 << 20 / maxAhead}, {1, 10_000}} {
		r := &pieceReader{left: make([]byte, min(1<<20, 10_000*test.most)), most: test.most, rng: rand.New(rand.NewPCG(1, 2)), err: io.EOF}
		var a ahead
		for b := make([]byte, aheadFrom); ; {
			_, err := a.read(r, b)
			if test.most == 1 && a.buffer != nil {
				t.Fatal("a connection with little to read has a buffer")
			}
			if err != nil {
				break
			}
		}
		if r.reads > 2*test.reads {
			t.Errorf("pieces of up to %d bytes: %d reads, want about %d", test.most, r.reads, test.reads)
		}
	}
}
