package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/protocol/sim"
)

// TestSim checks the table and the JSON of a scenario, and that the same seed leads to the same
// bytes.
func TestSim(t *testing.T) {
	simulate := func(args string) string {
		t.Helper()
		status, stdout, stderr := runOnce(t, "", strings.Fields("sim --scenario stable --peers 20 "+args)...)
		if status != exitOK || !strings.Contains(stderr, "of virtual time in") {
			t.Fatalf("%s: status %d, stderr %q", args, status, stderr)
		}
		return stdout
	}
	picture := filepath.Join(t.TempDir(), "delivery.svg")
	table := simulate("--seed 7 --svg " + picture)
	if svg, err := os.ReadFile(picture); err != nil || !strings.Contains(string(svg), "stable, 20 peers, seed 7") {
		t.Errorf("picture %q, %v", svg, err)
	}
	if !strings.Contains(table, "20 peers, seed 7") || !strings.Contains(table, "hops, p95") || !strings.Contains(table, "of 200\n") {
		t.Errorf("table\n%s", table)
	}
	if again := simulate("--seed 7"); again != table {
		t.Errorf("the same seed led to\n%s\nand\n%s", table, again)
	}
	if other := strings.Replace(simulate("--seed 8"), "seed 8", "seed 7", 1); other == table {
		t.Errorf("another seed led to the same\n%s", table)
	}
	var r sim.Result
	if err := json.Unmarshal([]byte(simulate("--seed 7 --json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Scenario != "stable" || r.Peers != 20 || r.Seed != 7 || len(r.Figures) == 0 || len(r.Delivery) == 0 || r.Transcript == "" {
		t.Errorf("result %+v", r)
	}
}

func TestSimList(t *testing.T) {
	status, stdout, _ := runOnce(t, "", "sim", "--scenario", "list")
	if lines := strings.Count(stdout, "\n"); status != exitOK || lines != len(sim.Scenarios()) || !strings.Contains(stdout, "killed-20") {
		t.Errorf("status %d\n%s", status, stdout)
	}
	for name, want := range map[string]int{"all": len(sim.Scenarios()), "killed": 2, "killed-20": 1, "droppers": 3} {
		if got, err := chosen(name); err != nil || len(got) != want {
			t.Errorf("%s: %d scenarios, %v, want %d", name, len(got), err, want)
		}
	}
}

// TestSimStops checks that a signal ends a simulation, with a status that tells it from one that
// has ended by itself.
func TestSimStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	status := run(ctx, strings.Fields("sim --scenario all"), strings.NewReader(""), &out, &errs)
	if status != exitFailure || !strings.Contains(errs.String(), "stopped") || out.String() != "" {
		t.Errorf("status %d, stdout %q, stderr %q", status, out.String(), errs.String())
	}
}
