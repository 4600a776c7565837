package plays

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestVersions has one build of our binary in both parts. "go run ./itest/accept versions" has two.
func TestVersions(t *testing.T) {
	harness.NeedNPM(t)
	builds := Builds{Old: harness.Binary(t), New: harness.Binary(t)}
	chains := Chains()
	for _, ch := range []Chain{chains[0], chains[len(chains)-1]} {
		t.Run(ch.Name, func(t *testing.T) {
			report, err := ch.Play(harness.Context(t), builds, true, 1)
			harness.Must(t, err)
			for from, name := range Guests() {
				for to, c := range report.Pairs[from] {
					goes := name != "npm" && Guests()[to] != "npm"
					// A string and the same again, a JSON value, bytes; from each side to the other.
					if c.Sent != 8 || !c.OK() || goes != (c.Proved == 6) {
						t.Errorf("from %s to %s: %+v", name, Guests()[to], c)
					}
				}
			}
		})
	}
}

// TestJudge holds the counts of a play to what is told of it.
func TestJudge(t *testing.T) {
	ours, other := &guest{maker: newBuild}, &guest{maker: npm}
	for _, tc := range []struct {
		name  string
		from  *guest
		sign  bool
		came  []bool
		equal bool
		want  Counts
		ok    bool
	}{
		{"signed and proved", ours, true, []bool{true}, false, Counts{Sent: 1, Delivered: 1, Signed: 1, Proved: 1}, true},
		{"signed and not proved", ours, true, []bool{false}, false, Counts{Sent: 1, Delivered: 1, Signed: 1}, false},
		{"not signed and proved", ours, false, []bool{true}, false, Counts{Sent: 1, Delivered: 1, Forged: 1}, false},
		{"of npm and proved", other, true, []bool{true}, false, Counts{Sent: 1, Delivered: 1, Forged: 1}, false},
		{"of npm", other, true, []bool{false}, false, Counts{Sent: 1, Delivered: 1}, true},
		{"lost", ours, false, nil, false, Counts{Sent: 1}, false},
		{"twice", ours, false, []bool{false, false}, false, Counts{Sent: 1, Delivered: 1, Again: 1}, false},
		{"two equal", ours, true, []bool{true, true}, true, Counts{Sent: 2, Delivered: 2, Signed: 1, Proved: 1, Equal: 1, EqualOK: 1}, true},
		{"two equal, the first proved", ours, true, []bool{true, false}, true, Counts{Sent: 2, Delivered: 2, Signed: 1, Proved: 1, Equal: 1}, true},
		{"two equal, the second proved", ours, true, []bool{false, true}, true, Counts{Sent: 2, Delivered: 2, Signed: 1, Equal: 1, EqualOK: 1}, false},
	} {
		v := &versions{sign: tc.sign}
		got := v.judge(letter{from: tc.from, to: &guest{maker: oldBuild}}, tc.came, tc.equal)
		if got != tc.want || got.OK() != tc.ok {
			t.Errorf("%s: %+v, OK %t; want %+v, OK %t", tc.name, got, got.OK(), tc.want, tc.ok)
		}
	}
}
