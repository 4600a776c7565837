package itest

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// kinds are those who play in the scenarios: every cast of them is tested.
func kinds(t *testing.T) []Kind { return []Kind{NPM(), Go(goBinary(t))} }

func TestScenarios(t *testing.T) {
	needNPM(t)
	kinds := kinds(t)
	for _, sc := range Scenarios() {
		for _, cast := range Casts(kinds, len(sc.Parts)) {
			t.Run(sc.Name+"/"+CastName(cast), func(t *testing.T) {
				t.Parallel()
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				must(t, sc.Play(testContext(t), cast, seed))
			})
		}
	}
}

func TestCasts(t *testing.T) {
	var names []string
	for _, cast := range Casts([]Kind{{Name: "js"}, {Name: "go"}}, 2) {
		names = append(names, CastName(cast))
	}
	if got, want := strings.Join(names, " "), "js-js js-go go-js go-go"; got != want {
		t.Errorf("casts are %s, want %s", got, want)
	}
}
