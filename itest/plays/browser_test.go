package plays

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// browserPatience is how long the tests in one browser may take in all.
const browserPatience = 5 * time.Minute

// alone runs the calling test once more, in a network of its own, and says that it did:
// then the test is over. See Alone.
func alone(t *testing.T) bool {
	t.Helper()
	harness.NeedTool(t, "chromium")
	harness.NeedNPM(t) // from the network that there is not then
	ctx, cancel := context.WithTimeout(t.Context(), browserPatience)
	defer cancel()
	cmd, err := peers.Alone(ctx, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1", "-test.timeout="+browserPatience.String())
	harness.Must(t, err)
	if cmd == nil {
		return false
	}
	cmd.Env = append(cmd.Env, harness.BinaryEnv+"="+harness.Binary(t))
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("in a network of its own: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("SKIPPED in a network of its own:\n%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("in a network of its own it did not run:\n%s", out)
	}
	t.Logf("in a network of its own:\n%s", out)
	return true
}

// logSteps prints what a play says.
func logSteps(t *testing.T, steps []Step) {
	t.Helper()
	for _, s := range steps {
		t.Logf("%7v  %s  %s", s.Took.Round(time.Millisecond), s.Name, s.Note)
	}
}

// TestBrowser has pages in Chromium play, all in one browser, and kills it at the end.
func TestBrowser(t *testing.T) {
	if alone(t) {
		return
	}
	binary := harness.Binary(t)
	pages, err := peers.StartPages(harness.Context(t))
	harness.Must(t, err)
	t.Cleanup(func() {
		if err := pages.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, flavours := range [][2]peers.Flavour{{peers.Rebundled, peers.Published2016}, {peers.Rebundled, peers.Rebundled}, {peers.Published2016, peers.Published2016}} {
		t.Run(flavours[0].Name+" and "+flavours[1].Name, func(t *testing.T) {
			steps, err := MeetPages(harness.Context(t), pages, binary, flavours)
			logSteps(t, steps)
			harness.Must(t, err)
		})
	}
	t.Run("half-open", func(t *testing.T) {
		steps, err := HalfOpenPage(harness.Context(t), pages)
		logSteps(t, steps)
		harness.Must(t, err)
	})
	t.Run("big messages", func(t *testing.T) {
		steps, err := BigMessages(harness.Context(t), pages)
		logSteps(t, steps)
		harness.Must(t, err)
	})
	t.Run("mixed network", func(t *testing.T) {
		n, err := OpenMixed(harness.Context(t), pages)
		harness.Must(t, err)
		defer func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}()
		ways, err := n.Talk(harness.Context(t))
		harness.Must(t, err)
		beyond, err := n.TalkOverPages(harness.Context(t))
		harness.Must(t, err)
		far, relayed := FarWays(ways), Relayed(slices.Concat(ways, beyond))
		t.Logf("%d pairs, %d of them over two links or more; relayed by kind %v", len(ways), far, relayed)
		if len(ways) != 90 || far < 30 || relayed["go"] == 0 || relayed["js"] == 0 || relayed["legacy"] == 0 {
			t.Error("want 90 pairs, 30 of them over two links or more, and every kind to relay", n.story())
			for _, w := range slices.Concat(ways, beyond) {
				t.Logf("from %s to %s: %v, sent %d times", w.From, w.To, w.Path, w.Sends)
			}
		}
	})
	for _, end := range PageEnds() {
		t.Run(end.Name, func(t *testing.T) {
			noticed, sent, err := end.Play(harness.Context(t), pages)
			harness.Must(t, err)
			t.Logf("noticed after %v; of %d messages meanwhile none was lost", noticed.Round(time.Millisecond), sent)
		})
	}
}
