package wire

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestTimeCode(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		code TimeCode
		back time.Duration
	}{
		{-time.Second, 0, 0},
		{0, 0, 0},
		{time.Nanosecond, 1, 125 * time.Microsecond},
		{125 * time.Microsecond, 1, 125 * time.Microsecond},
		{time.Millisecond, 25, time.Millisecond},
		{1900 * time.Microsecond, 32, 1875 * time.Microsecond},
		{100 * time.Millisecond, 77, 96 * time.Millisecond},
		{time.Second, 104, 960 * time.Millisecond},
		{math.MaxInt64, 255, longestTime},
		{longestTime - 1, 254, longestTime / 14 * 13},
	} {
		if code := CodeTime(test.d); code != test.code || code.Duration() != test.back {
			t.Errorf("%v has code %d, which is %v, want %d and %v", test.d, code, code.Duration(), test.code, test.back)
		}
	}
	for c := TimeCode(1); c < 255; c++ {
		if d := c.Duration(); CodeTime(d) != c || CodeTime((c+1).Duration()-1) != c {
			t.Errorf("code %d is %v, which has code %d, and %v less than the next has %d", c, d, CodeTime(d), time.Nanosecond, CodeTime((c+1).Duration()-1))
		}
	}
}

func TestNeighbours(t *testing.T) {
	var n Neighbours
	for i, id := range testIDs(MaxNamed) {
		switch i % 3 {
		case 0:
			n.Named = append(n.Named, Neighbour{id, TimeCode(i)})
		case 1:
			n.Gone = append(n.Gone, id)
		case 2:
			n.Lost = append(n.Lost, id)
		}
	}
	f := must(NewNeighbours(n))
	checkWire(t, f)
	if f.Size() > 8<<10 {
		t.Errorf("the longest has %d bytes", f.Size())
	}
	n.Gone = append(n.Gone, ID{1})
	if _, err := NewNeighbours(n); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d neighbours: error %v", MaxNamed+1, err)
	}
	checkWire(t, must(NewNeighbours(Neighbours{Reset: true})))
	checkWire(t, must(NewNeighbours(Neighbours{})))
}
