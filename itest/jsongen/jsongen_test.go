package jsongen_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"github.com/peer-relay/peer-relay/itest/jsongen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDocumentsAreValidAndDeterminedBySeed(t *testing.T) {
	const count, depth = 2000, 30
	a, b, other := jsongen.New(1, depth), jsongen.New(1, depth), jsongen.New(2, depth)
	same, broken := 0, 0
	for range count {
		doc := a.Document()
		if !json.Valid(doc) {
			t.Fatalf("invalid document: %s", doc)
		}
		if again := b.Document(); !bytes.Equal(doc, again) {
			t.Fatalf("one seed, two documents:\n%s\n%s", doc, again)
		}
		if bytes.Equal(doc, other.Document()) {
			same++
		}
		mutant := a.Mutant(doc)
		if again := b.Mutant(doc); !bytes.Equal(mutant, again) {
			t.Fatalf("one seed, two mutants:\n%s\n%s", mutant, again)
		}
		other.Mutant(doc)
		if !json.Valid(mutant) {
			broken++
		}
	}
	if same > count/10 {
		t.Errorf("%d of %d documents are the same with another seed", same, count)
	}
	if broken < count/4 || broken == count {
		t.Errorf("%d of %d mutants are invalid: want most, but not all", broken, count)
	}
}
