package sim

import (
	"fmt"
	"math"
	"strconv"
)

// A Figure is a measured value.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	Of    int     `json:"of,omitempty"` // measurements that led to it, such as messages

	// Target is what the value should be; nil if nothing was set.
	Target *Target `json:"target,omitempty"`

	// Bound tells that the value is no measurement: an oracle that knows the whole network found that
	// no routing over the same links is better.
	Bound bool `json:"bound,omitempty"`
}

// String returns the value and its unit. A share is rounded down, so that 100 % means all.
func (f Figure) String() string { return format(f.Value, f.Unit) }

func format(value float64, unit string) string {
	switch unit {
	case "%":
		return strconv.FormatFloat(math.Floor(value*100+1e-6)/100, 'f', 2, 64) + " %"
	case "":
		return strconv.FormatFloat(math.Round(value*100)/100, 'f', -1, 64)
	}
	return strconv.FormatFloat(value, 'f', 2, 64) + " " + unit
}

// A Target is the least or the greatest value that a figure should have.
type Target struct {
	Sign  string  `json:"sign"` // ≥ or ≤
	Value float64 `json:"value"`
	Met   bool    `json:"met"` // the figure is such a value
}

const (
	atLeast = "≥"
	atMost  = "≤"
)

// Verdict returns the figure's target and whether it is met. For a bound it says so, and it is empty for
// a figure without a target.
func (f Figure) Verdict() string {
	switch {
	case f.Bound:
		return "the best that any routing could reach"
	case f.Target == nil:
		return ""
	}
	verdict := "missed"
	if f.Target.Met {
		verdict = "met"
	}
	return fmt.Sprintf("target %s %s: %s", f.Target.Sign, format(f.Target.Value, f.Unit), verdict)
}

// A goal is the target of a figure, in networks of one size or of any.
type goal struct {
	scenario, figure string
	peers            int // 0 means any number
	sign             string
	value            float64
}

// goals are the targets. A figure that is not among them has none.
var goals = []goal{
	{"stable", delivered, 0, atLeast, 100},
	{"stable", twice, 0, atMost, 0},
	{"stable", meanHops, 1000, atMost, 2.5},
	{"stable", meanHops, 10_000, atMost, 3.3},
	{"stable", meanLinks, 100, atMost, 22},
	{"stable", meanLinks, 1000, atMost, 36},
	{"stable", meanLinks, 10_000, atMost, 46},
	{"links", meanLinks, 100, atMost, 22},
	{"links", meanLinks, 1000, atMost, 36},
	{"links", meanLinks, 10_000, atMost, 46},
	{"links", idleBytes, 0, atMost, 100},
	{"stretch", meanStretch, 1000, atMost, 1.5},
	{"stretch", p95Stretch, 1000, atMost, 2.6},
	{"newcomer", fullP50, 0, atMost, 3},
	{"newcomer", fullP95, 0, atMost, 5},
	{"flash", flashDelivered, 0, atLeast, 100},
	{"flash", flashLinks, 0, atMost, 200},
	{"killed-20", plainAfter0, 0, atLeast, 99.95},
	{"killed-20", plainAfter3, 0, atLeast, 100},
	{"killed-20", wholeAfter, 0, atMost, 15},
	{"killed-20", sureAtOnce, 0, atLeast, 100},
	{"killed-50", plainAfter0, 0, atLeast, 99},
	{"killed-50", plainAfter10, 0, atLeast, 100},
	{"killed-50", wholeAfter, 0, atMost, 45},
	{"killed-50", sureAtOnce, 0, atLeast, 100},
	{"churn", churnOld, 0, atLeast, 99.95},
	{"churn", churnYoung, 0, atLeast, 99.8},
	{"churn", falseNoRoutes, 0, atMost, 0},
	{"droppers-5", sureDelivered, 0, atLeast, 99.99},
	{"droppers-10", sureDelivered, 0, atLeast, 99.9},
	{"droppers-20", sureDelivered, 0, atLeast, 99.5},
	{"droppers-20", plainLearnt, 0, atLeast, 95},
	{"eclipse-16", victimGot, 0, atLeast, 99.9},
	{"eclipse-32", victimGot, 0, atLeast, 99},
	{"partition", acrossAfter30, 0, atLeast, 90},
	{"partition", acrossAfter60, 0, atLeast, 100},
	{"offline", unusedID + toldInTime, 0, atLeast, 100},
	{"offline", unusedID + transmissions, 0, atMost, 12},
	{"offline", longDead + toldInTime, 0, atLeast, 100},
	{"offline", longDead + transmissions, 0, atMost, 12},
	{"legacy-10", legacyToLegacy, 0, atLeast, 99.9},
	{"legacy-50", legacyToLegacy, 0, atLeast, 99.8},
	{"legacy-90", legacyToLegacy, 0, atLeast, 96},
}

// aim returns the target of a figure of a scenario with that many peers, nil if there is none.
func aim(scenario string, peers int, f Figure) *Target {
	for _, g := range goals {
		if g.scenario != scenario || g.figure != f.Name || g.peers != 0 && g.peers != peers {
			continue
		}
		const slip = 1e-9
		met := f.Value <= g.value+slip
		if g.sign == atLeast {
			met = f.Value >= g.value-slip
		}
		return &Target{g.sign, g.value, met && f.Of > 0}
	}
	return nil
}
