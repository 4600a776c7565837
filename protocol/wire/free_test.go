package wire

import (
	"bytes"
	"testing"
)

// TestFree reads messages of many sizes, and frees each frame before the next one is read. Each must be as it
// was written: nothing of the one before is left.
func TestFree(t *testing.T) {
	for round := range 50 {
		for _, size := range []int{0, 64, 300, 1 << 10, 4 << 10, 16 << 10, 40 << 10} {
			want := testMessage(t, size, func(m *MessageFields) {
				for i := range m.Body.Payload {
					m.Body.Payload[i] = byte(round + i)
				}
				switch round % 3 {
				case 1:
					m.Sig, m.Route = []byte("sig"), testIDs(2)
				case 2:
					m.Path, m.Body.Flags = testIDs(MaxPath), FlagNotice
				}
			})
			f, err := ParseFrame(want.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			checkSame(t, f, want)
			if !bytes.Equal(f.Bytes(), want.Bytes()) || f.Spent || f.Tracked {
				t.Fatalf("%d bytes, round %d: not what was written: %+v", size, round, f)
			}
			f.Relay(testID("relay"))
			f.Spent = true
			f.Free()
		}
		NewPing(1).Free() // it has nothing to free
	}
}

// TestFreeAllocatesNothing checks that reading a message costs no memory if one of its size was freed before.
func TestFreeAllocatesNothing(t *testing.T) {
	for _, size := range []int{64, 1 << 10, 4 << 10, 16 << 10} {
		source, err := testMessage(t, size).AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(source)
		allocs := testing.AllocsPerRun(1000, func() { // under the race detector a sync.Pool drops one of four
			r.Reset(source)
			f, err := ReadFrame(r, MaxFrame)
			if err != nil {
				t.Error(err)
				return
			}
			f.Free()
		})
		if allocs >= 1 {
			t.Errorf("%d bytes: %v allocations", size, allocs)
		}
	}
}
