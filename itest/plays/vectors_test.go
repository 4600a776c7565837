package plays

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

var update = flag.Bool("update", false, "write what is recorded to compat/legacy/testdata/legacy")

// Between two recordings a nonce that the package made and a port may differ, nothing else.
var (
	changingNonce = regexp.MustCompile(`"nonce":"\d{1,15}"`)
	changingPort  = regexp.MustCompile(`ws://localhost:\d+`)
)

func normalised(v vector) string {
	if v.File != "carried" { // where the nonces are ours
		v.Frame = changingNonce.ReplaceAllString(v.Frame, `"nonce":"N"`)
	}
	v.Frame = changingPort.ReplaceAllString(v.Frame, "ws://localhost:PORT")
	return encodeVector(v)
}

func encodeVector(v vector) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings only
	}
	return b.String()
}

// TestVectors records the vectors from the live package and compares them with the
// committed ones; with -update it writes them.
func TestVectors(t *testing.T) {
	d := harness.StartDriver(t)
	recorded, err := recordVectors(harness.Context(t), d)
	harness.Must(t, err)

	dir := filepath.Join("..", "..", "compat", "legacy", "testdata", "legacy")
	files := make(map[string][]vector)
	names := make(map[string]bool)
	for _, v := range recorded {
		if names[v.File+"/"+v.Name] {
			t.Errorf("two vectors %s/%s", v.File, v.Name)
		}
		names[v.File+"/"+v.Name] = true
		files[v.File] = append(files[v.File], v)
	}
	if *update {
		harness.Must(t, os.MkdirAll(dir, 0o755))
		for file, vectors := range files {
			var text strings.Builder
			for _, v := range vectors {
				text.WriteString(encodeVector(v))
			}
			harness.Must(t, os.WriteFile(filepath.Join(dir, file+".jsonl"), []byte(text.String()), 0o644))
		}
	}

	committed, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	harness.Must(t, err)
	if len(committed) != len(files) {
		t.Errorf("%d files in %s, recorded %d", len(committed), dir, len(files))
	}
	for file, fresh := range files {
		old := readVectors(t, filepath.Join(dir, file+".jsonl"), file)
		if len(old) != len(fresh) {
			t.Errorf("%s: %d committed, %d recorded", file, len(old), len(fresh))
		}
		for i := range min(len(old), len(fresh)) {
			if got, want := normalised(fresh[i]), normalised(old[i]); got != want {
				t.Errorf("%s/%s: the live package differs\nnow       %scommitted %s", file, old[i].Name, got, want)
			}
		}
	}
}

func readVectors(t *testing.T, path, file string) []vector {
	t.Helper()
	b, err := os.ReadFile(path)
	harness.Must(t, err)
	var vectors []vector
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		v := vector{File: file}
		harness.Must(t, json.Unmarshal(lines.Bytes(), &v))
		vectors = append(vectors, v)
	}
	harness.Must(t, lines.Err())
	return vectors
}
