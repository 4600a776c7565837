package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"regexp"
	"slices"
	"testing"
	"time"
)

// TestScenarios checks that every scenario runs, and that the same seed leads to the same bytes.
func TestScenarios(t *testing.T) {
	names := make(map[string]bool)
	scenarios := Scenarios()
	if manyPeers < 500 {
		scenarios = scenarios[:5] // all run in the same way, so the race detector finds nothing more in the others
	}
	for _, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) {
			if !regexp.MustCompile(`^[a-z]+(-\d+)?$`).MatchString(s.Name) || names[s.Name] || s.What == "" {
				t.Errorf("name %q, what %q", s.Name, s.What)
			}
			names[s.Name] = true
			first := runScenario(t, s, 1)
			if manyPeers < 500 {
				return // the race detector makes a second run too slow
			}
			if again := runScenario(t, s, 1); !bytes.Equal(first, again) {
				t.Errorf("the same seed led to\n%s\nand\n%s", first, again)
			}
			if s.Name == "stable" && bytes.Equal(first, runScenario(t, s, 2)) {
				t.Error("different seeds led to equal results")
			}
		})
	}
}

// runScenario runs a scenario with 40 peers, and returns its result as JSON.
func runScenario(t *testing.T, s Scenario, seed uint64) []byte {
	t.Helper()
	steps := make(map[string]bool)
	r, err := s.Run(t.Context(), Options{Peers: 40, Seed: seed, Cut: time.Minute, Progress: func(p Progress) {
		if p.Scenario != s.Name {
			t.Errorf("progress of %q", p.Scenario)
		}
		steps[p.Step] = true
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Figures) == 0 || len(steps) < 2 || r.Virtual < 10*time.Second {
		t.Errorf("result %+v, steps %v", r, steps)
	}
	for _, g := range goals {
		if g.scenario == s.Name && !slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Name == g.figure }) {
			t.Errorf("no figure %q, which has a target", g.figure)
		}
	}
	for _, f := range r.Figures {
		if f.Unit == "%" && (f.Value < 0 || f.Value > 100) || f.Value < 0 || f.Name == "" {
			t.Errorf("figure %+v", f)
		}
		if seed == 1 {
			t.Logf("%s: %v of %d", f.Name, f, f.Of)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestScenarioEnds checks that a scenario ends with its context, and that it refuses options that
// make no sense.
func TestScenarioEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := Scenarios()[0].Run(ctx, Options{Progress: func(Progress) {
		if calls++; calls == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for _, o := range []Options{{Peers: MinPeers - 1}, {Peers: -1}, {Cut: -1}} {
		if _, err := Scenarios()[0].Run(t.Context(), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// TestPicture checks that a picture is XML, and has a chart of each result with messages.
func TestPicture(t *testing.T) {
	b := Picture([]Result{
		{Scenario: "stable", Peers: 40, Delivery: []Point{{0, 10, 10}, {1, 10, 5}, {4, 10, 10}}},
		{Scenario: "links"},
		{Scenario: "churn", Delivery: []Point{{0, 1, 0}}},
	})
	var all struct {
		Charts []struct {
			Title []string `xml:"text"`
		} `xml:"g"`
	}
	if err := xml.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Charts) != 2 || all.Charts[0].Title[0] != "stable, 40 peers, seed 0" || !bytes.Contains(b, []byte(`d="M0.0 0.0L160.0 50.0L640.0 0.0"`)) {
		t.Errorf("picture\n%s", b)
	}
}

// TestTargets checks that figures get the targets of their scenario and size, and the verdict.
func TestTargets(t *testing.T) {
	for _, test := range []struct {
		scenario string
		peers    int
		f        Figure
		want     string
	}{
		{"stable", 1000, Figure{Name: meanHops, Value: 2.5, Of: 1}, "target ≤ 2.5: met"},
		{"stable", 1000, Figure{Name: meanHops, Value: 2.51, Of: 1}, "target ≤ 2.5: missed"},
		{"stable", 100, Figure{Name: meanHops, Value: 9, Of: 1}, ""},
		{"stable", 20, Figure{Name: delivered, Value: 100, Unit: "%", Of: 1}, "target ≥ 100.00 %: met"},
		{"stable", 20, Figure{Name: delivered, Value: 99.999, Unit: "%", Of: 1}, "target ≥ 100.00 %: missed"},
		{"stable", 20, Figure{Name: twice}, "target ≤ 0: missed"}, // of no message
		{"links", 20, Figure{Name: delivered, Of: 1}, ""},
	} {
		test.f.Target = aim(test.scenario, test.peers, test.f)
		if got := test.f.Verdict(); got != test.want {
			t.Errorf("%s, %d peers, %+v: %q, want %q", test.scenario, test.peers, test.f, got, test.want)
		}
	}
	scenarios := Scenarios()
	for _, g := range goals {
		if !slices.ContainsFunc(scenarios, func(s Scenario) bool { return s.Name == g.scenario }) {
			t.Errorf("a target of %q, which is no scenario", g.scenario)
		}
	}
}

// TestFigure checks that a share that is not the whole is not shown as 100 %.
func TestFigure(t *testing.T) {
	for _, test := range []struct {
		f    Figure
		want string
	}{
		{Figure{Value: 99.999, Unit: "%"}, "99.99 %"},
		{Figure{Value: 100, Unit: "%"}, "100.00 %"},
		{Figure{Value: 1.256, Unit: "s"}, "1.26 s"},
		{Figure{Value: 3}, "3"},
		{Figure{Value: 3.14159}, "3.14"},
	} {
		if got := test.f.String(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.f, got, test.want)
		}
	}
}
