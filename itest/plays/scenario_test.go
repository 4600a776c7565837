package plays

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// kinds are those who play in the scenarios: every cast of them is tested.
func kinds(t *testing.T) []peers.Kind { return []peers.Kind{peers.NPM(), peers.Go(harness.Binary(t))} }

func TestScenarios(t *testing.T) {
	harness.NeedNPM(t)
	kinds := kinds(t)
	for _, sc := range Scenarios() {
		for _, cast := range peers.Casts(kinds, len(sc.Parts)) {
			t.Run(sc.Name+"/"+peers.CastName(cast), func(t *testing.T) {
				t.Parallel()
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				harness.Must(t, sc.Play(harness.Context(t), cast, seed))
			})
		}
	}
}

func TestCasts(t *testing.T) {
	var names []string
	for _, cast := range peers.Casts([]peers.Kind{{Name: "js"}, {Name: "go"}}, 2) {
		names = append(names, peers.CastName(cast))
	}
	if got, want := strings.Join(names, " "), "js-js js-go go-js go-go"; got != want {
		t.Errorf("casts are %s, want %s", got, want)
	}
}
