package rawjson_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/itest/jsongen"
)

// stringifyLines is a program for Node. For each line of base64 it writes the canonical text,
// or an exclamation mark if JSON.parse throws.
const stringifyLines = `
const lines = require('fs').readFileSync(0, 'latin1').split('\n')
lines.pop()
const out = lines.map((line) => {
  let value
  try {
    value = JSON.parse(Buffer.from(line, 'base64').toString('utf8'))
  } catch (err) {
    return '!'
  }
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64')
})
process.stdout.write(out.join('\n') + '\n')
`

// stringify returns the canonical text of every document from one Node process, nil where Node
// refuses the document.
func stringify(t *testing.T, documents [][]byte) [][]byte {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("node is needed to compare with the real JSON.parse: %v", err)
		}
		t.Skipf("SKIPPED, NOTHING COMPARED WITH THE REAL JSON.parse: needs node: %v", err)
	}
	var input, stderr bytes.Buffer
	for _, doc := range documents {
		input.WriteString(base64.StdEncoding.EncodeToString(doc))
		input.WriteByte('\n')
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", stringifyLines)
	cmd.Stdin, cmd.Stderr = &input, &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.Bytes())
	}
	lines := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if len(lines) != len(documents) {
		t.Fatalf("node answered %d lines to %d documents", len(lines), len(documents))
	}
	texts := make([][]byte, len(lines))
	for i, line := range lines {
		if line == "!" {
			continue
		}
		if texts[i], err = base64.StdEncoding.DecodeString(line); err != nil {
			t.Fatalf("node answered %q: %v", line, err)
		}
	}
	return texts
}

func TestAgreesWithNode(t *testing.T) {
	const count, seed = 6000, 20160712
	t.Logf("%d documents and as many mutants, seed %d", count, seed)
	g := jsongen.New(seed, rawjson.MaxDepth)
	var documents [][]byte
	for range count {
		doc := g.Document()
		documents = append(documents, doc, g.Mutant(doc))
	}
	wants := stringify(t, documents)

	var fixed, refused, tooDeep int
	for i, doc := range documents {
		want := wants[i]
		got, err := rawjson.Canonical(nil, doc)
		switch mutant := i%2 == 1; {
		case mutant && errors.Is(err, rawjson.ErrDepth):
			tooDeep++ // Node has no such limit
		case err != nil && want != nil:
			t.Errorf("refused, but Node accepts it: %s\n%v", doc, err)
		case err == nil && want == nil:
			t.Errorf("accepted, but Node refuses it: %s", doc)
		case want == nil && !mutant:
			t.Errorf("Node refuses a document: %s", doc)
		case want == nil:
			refused++
		case !bytes.Equal(got, want):
			t.Errorf("document %s\n     got %s\n    want %s", doc, got, want)
		case rawjson.IsFixedPoint(doc) != bytes.Equal(doc, want):
			t.Errorf("IsFixedPoint is wrong about %s", doc)
		case bytes.Equal(doc, want):
			fixed++
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d fixed points, %d mutants refused, %d too deep", fixed, refused, tooDeep)
	if fixed < count/5 || refused < count/3 || tooDeep > count/100 {
		t.Error("the documents are not the mixture that this test wants")
	}
}
