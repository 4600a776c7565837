package main

import (
	"errors"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peer-relay/peer-relay/itest/measure"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/trials"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListsRuns(t *testing.T) {
	var out, errOut strings.Builder
	if err := accept(t.Context(), nil, &out, &errOut); err != nil {
		t.Fatal(err)
	}
	for _, r := range runs() {
		if !strings.Contains(out.String(), r.name) {
			t.Errorf("%s is not listed in:\n%s", r.name, out.String())
		}
	}
}

func TestRefusesBadCommandLines(t *testing.T) {
	for _, args := range [][]string{{"nothing"}, {"scenarios", "-n", "0"}, {"scenarios", "extra"}, {"scenarios", "-bad"}, {"versions"}, {"first", "-old", "file"}} {
		var out, errOut strings.Builder
		if err := accept(t.Context(), args, &out, &errOut); !errors.Is(err, errUsage) {
			t.Errorf("%q: error %v, want a usage error", args, err)
		}
		if errOut.Len() == 0 {
			t.Errorf("%q: nothing said", args)
		}
	}
}

func TestReport(t *testing.T) {
	s := series{3 * time.Second, time.Second, 2 * time.Second}
	if s.median() != 2*time.Second || s.max() != 3*time.Second || series(nil).median() != 0 {
		t.Errorf("median %v, max %v, of none %v", s.median(), s.max(), series(nil).median())
	}
	r := &report{title: "title"}
	r.table("name", "n").row("longer name", 1)
	r.note("seed %d", 7)
	want := "title\n\nname         n\n----         -\nlonger name  1\n\nseed 7\n"
	if r.String() != want {
		t.Errorf("report is\n%s\nwant\n%s", r.String(), want)
	}
}

func TestBulkTable(t *testing.T) {
	settings := measure.BulkSettings()[:1]
	f := measure.BulkFigure{Took: 4 * time.Second}
	for part := range measure.BulkParts {
		f.CPU[part] = time.Duration(part+1) * time.Second
		f.Tenth[part], f.Most[part] = 20<<20, 30<<20
	}
	cells := make([]bulkCell, 1)
	cells[0].add(f, 2e9)
	r := &report{}
	if err := bulkTable(r, settings, cells); err != nil {
		t.Error(err)
	}
	if got, want := strings.Join(r.tables[0].rows[0][1:], "|"), "500|500|500|3.0|3.0|3.0|0.5|1.0|1.5||30, +10|30, +10|30, +10"; got != want {
		t.Errorf("the row is %s, want %s", got, want)
	}
	f.Most[measure.BulkRelay] = f.Tenth[measure.BulkRelay] + bulkGrowth + 1
	cells[0].add(f, 2e9)
	if err := bulkTable(&report{}, settings, cells); err == nil {
		t.Error("the memory of the relay grew too much, and no error came")
	}
}

func TestGrowthTable(t *testing.T) {
	var samples []trials.SoakSample
	for minute := range 20 {
		for _, name := range []string{"flat", "grows"} {
			s := trials.SoakSample{At: time.Duration(minute+1) * time.Minute, Name: name, Kept: true, Links: minute}
			s.Memory, s.Goroutines = 30<<20, 100+soakPerLink*minute
			if name == "grows" {
				s.Goroutines += 10 * minute
			}
			samples = append(samples, s)
		}
		samples = append(samples, trials.SoakSample{At: time.Duration(minute+1) * time.Minute, Name: "restarted", Memory: int64(minute) << 30})
	}
	err := growthTable(&report{}, samples, soakMemory)
	if err == nil || !strings.Contains(err.Error(), "grows grew") || strings.Contains(err.Error(), "flat") || strings.Contains(err.Error(), "restarted") {
		t.Errorf("error %v, want one that names the process that grows", err)
	}
	if err := growthTable(&report{}, samples[:1], soakMemory); err != nil {
		t.Errorf("one sample: %v", err)
	}
}

func TestRuns(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := peers.LookTool(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v (CI=true, so this is no skip)", err)
			}
			t.Skipf("SKIPPED, NOTHING WAS TESTED: %v", err)
		}
	}
	// With a cast of npm peers only: the others are tested with the scenarios.
	var progress strings.Builder
	r := &report{title: "scenarios"}
	opts := options{n: 1, workers: 2, seed: 7, log: log.New(&progress, "", 0)}
	if err := play(t.Context(), []peers.Kind{peers.NPM()}, opts, r); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	for _, part := range []string{"two peers connect", "js-js-js"} {
		if !strings.Contains(r.String(), part) {
			t.Errorf("no %q in:\n%s", part, r.String())
		}
	}

	file := filepath.Join(t.TempDir(), "sub", "table.txt")
	var out, errOut strings.Builder
	if err := accept(t.Context(), []string{"simultaneous", "-n", "1", "-j", "2", "-seed", "7", "-o", file}, &out, &errOut); err != nil {
		t.Fatalf("%v\n%s", err, errOut.String())
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != out.String() {
		t.Error("the file differs from the output")
	}
	for _, part := range []string{"go and js over WebSocket", "-seed 7", "PASSED"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in:\n%s", part, out.String())
		}
	}
}

// TestSafeguardsAreThere finds each safeguard of the mutation run in the source, once, and
// its test.
func TestSafeguardsAreThere(t *testing.T) {
	root, err := peers.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range safeguards {
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
		if err != nil {
			t.Error(err)
			continue
		}
		if n := strings.Count(string(source), m.old); n != 1 {
			t.Errorf("%s: %q stands %d times in %s, want once", m.name, m.old, n, m.file)
		}
		tests, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(m.folder()), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(tests, func(file string) bool {
			source, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(source), "\nfunc "+m.test+"(")
		}) {
			t.Errorf("%s: no %s in %s", m.name, m.test, m.folder())
		}
	}
}
