package itest

import "testing"

func TestFirst(t *testing.T) {
	needNPM(t)
	steps, err := First(testContext(t), goBinary(t), 50)
	for _, s := range steps {
		t.Logf("%s: %v %s", s.Name, s.Took, s.Note)
	}
	must(t, err)
}
