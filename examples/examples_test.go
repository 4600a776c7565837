// Package examples holds programs that the documents show, a folder each. Its tests hold
// the documents to them.
package examples

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the programs into the documents that show them")

// block is a marker in a document and the code below it:
//
//	<!-- examples/hello/main.go -->
//	```go
//	package main
//	…
//	```
var block = regexp.MustCompile("(?s)(<!-- examples/(\\S+) -->\n+```\\w+\n)(.*?)(```)")

// heading is what stands before the code in a file and is not shown: comments, and the
// lines between them.
var heading = regexp.MustCompile(`\A(//.*\n|\n)*`)

// read returns the text of a file, with the line ends of Unix.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// glob returns the files that a pattern matches, of which there must be some.
func glob(t *testing.T, patterns ...string) (names []string) {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s matches no file: %v", pattern, err)
		}
		names = append(names, found...)
	}
	return names
}

// TestShown holds the documents to the programs: the code below a marker is the code of
// the file, and every file is shown. With -update it writes the code.
func TestShown(t *testing.T) {
	shown := map[string]bool{}
	for _, name := range glob(t, "../*.md", "../docs/*.md") {
		text := read(t, name)
		want := block.ReplaceAllStringFunc(text, func(old string) string {
			parts := block.FindStringSubmatch(old)
			shown[parts[2]] = true
			return parts[1] + heading.ReplaceAllString(read(t, filepath.FromSlash(parts[2])), "") + parts[4]
		})
		switch {
		case text == want:
		case *update:
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s shows another program than the one in examples: run go test ./examples -update", name)
		}
	}
	for _, name := range glob(t, "*/*.go", "*/*.mjs", "*/*.html") {
		if !shown[filepath.ToSlash(name)] {
			t.Errorf("no document shows examples/%s", filepath.ToSlash(name))
		}
	}
}

// TestHeads checks that each program says how it is run, and how its output ends.
func TestHeads(t *testing.T) {
	for _, name := range glob(t, "*/main.go", "*/*.mjs") {
		if _, want := head(t, name); want == nil {
			t.Errorf("examples/%s has no line // want:", name)
		}
	}
}

// head returns the arguments of a program, and what the last line of its output matches.
func head(t *testing.T, name string) (args []string, want *regexp.Regexp) {
	t.Helper()
	ran := false
	for line := range strings.Lines(heading.FindString(read(t, name))) {
		line = strings.TrimSpace(line)
		if rest, found := strings.CutPrefix(line, "// run:"); found {
			args, ran = strings.Fields(rest), true
		}
		if rest, found := strings.CutPrefix(line, "// want: "); found {
			re, err := regexp.Compile(rest)
			if err != nil {
				t.Errorf("examples/%s: %v", name, err)
			}
			want = re
		}
	}
	if !ran {
		t.Errorf("examples/%s has no line // run:", name)
	}
	return args, want
}

// TestJSON runs the program for Node on the command.
func TestJSON(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("node is needed to run examples/json: %v", err)
		}
		t.Skipf("SKIPPED, NOTHING WAS RUN: needs node: %v", err)
	}
	binary := filepath.Join(t.TempDir(), "peer-relay.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/peer-relay").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const program = "json/child.mjs"
	args, want := head(t, program)
	if want == nil || len(args) != 1 || args[0] != "PROGRAM" {
		t.Fatalf("the head of %s has another form", program)
	}
	cmd := exec.CommandContext(t.Context(), node, program, binary)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; err != nil || !want.MatchString(last) {
		t.Errorf("%v, the last line is %q, want %v\n%s", err, last, want, &stderr)
	}
}
