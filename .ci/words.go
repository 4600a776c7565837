//go:build ignore

// Command words looks for the words of words.txt in what is written for people: the
// comments of the code, its texts outside tests, and the documents. It prints each place
// as file:line, then how many there are by folder, and fails if there is one.
//
//	go run .ci/words.go        from the top of the repository
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/scanner"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

const list = ".ci/words.txt"

// A word is what must not be written, and what to write instead.
type word struct {
	pattern *regexp.Regexp
	instead string
}

// A passage is text that is read as a whole: a comment, a string, a document.
type passage struct {
	line int // of its beginning
	text string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "words:", err)
		os.Exit(1)
	}
}

func run() error {
	words, err := readWords()
	if err != nil {
		return err
	}
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		return fmt.Errorf("list the files: %w", err)
	}
	counts := make(map[string]int) // by folder
	found := 0
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		read := reader(name)
		if read == nil || name == list {
			continue
		}
		source, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		} else if err != nil {
			return err
		}
		for _, p := range read(name, source) {
			for _, w := range words {
				for _, at := range w.pattern.FindAllStringIndex(p.text, -1) {
					from := at[0] + len(p.text[at[0]:at[1]]) - len(strings.TrimLeft(p.text[at[0]:at[1]], ".:; \n"))
					line := p.line + strings.Count(p.text[:from], "\n")
					shown := strings.Join(strings.Fields(p.text[from:at[1]]), " ")
					fmt.Printf("%s:%d: %q: write %s\n", name, line, shown[:min(len(shown), 60)], w.instead)
					counts[folder(name)]++
					found++
				}
			}
		}
	}
	for _, f := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(counts[b]-counts[a], strings.Compare(a, b)) }) {
		fmt.Printf("%5d  %s\n", counts[f], f)
	}
	if found > 0 {
		return fmt.Errorf("%d words of %s", found, list)
	}
	return nil
}

// folder returns the first two elements of the path of a file's folder.
func folder(name string) string {
	parts := strings.SplitN(path.Dir(name), "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

func readWords() (words []word, err error) {
	text, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, instead, _ := strings.Cut(line, "\t")
		re, err := regexp.Compile(strings.ReplaceAll(pattern, " ", `\s+`))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		words = append(words, word{re, strings.TrimSpace(instead)})
	}
	return words, nil
}

// reader returns what takes the passages out of a file, nil if it is not written for people.
func reader(name string) func(name string, source []byte) []passage {
	if strings.Contains(name, "testdata/") || path.Base(name) == "LICENSE" {
		return nil
	}
	switch path.Ext(name) {
	case ".go":
		return readGo
	case ".md":
		return readMarkdown
	case ".html", ".yml":
		return func(_ string, source []byte) []passage { return []passage{{1, string(source)}} }
	case ".js", ".mjs", ".css", ".proto":
		return func(_ string, source []byte) []passage { return readComments(source, slashes) }
	case ".sh", ".txt", "":
		return func(_ string, source []byte) []passage { return readComments(source, hashes) }
	}
	return nil
}

// readGo returns the comments of a Go file, those on lines that follow each other as one,
// and the strings of one that is no test.
func readGo(name string, source []byte) (all []passage) {
	set := token.NewFileSet()
	file := set.AddFile(name, -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	end := 0 // line of the end of the last passage, if that was a comment
	for {
		pos, tok, text := s.Scan()
		line := file.Line(pos)
		switch {
		case tok == token.EOF:
			return all
		case tok == token.COMMENT:
			text = bare(text)
			if end > 0 && line == end+1 {
				all[len(all)-1].text += "\n" + text
			} else {
				all = append(all, passage{line, text})
			}
			end = line + strings.Count(text, "\n")
		case tok == token.STRING && !strings.HasSuffix(name, "_test.go"):
			all = append(all, passage{line, text})
			end = 0
		}
	}
}

// bare takes the marks off a comment.
func bare(comment string) string {
	var b strings.Builder
	for i, line := range strings.Split(comment, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.Trim(line, "/* \t"))
	}
	return b.String()
}

var (
	slashes = regexp.MustCompile(`^\s*(?:/\*+|\*|//)\s?(.*?)(?:\*/)?$|\s//\s(.*)$`)
	hashes  = regexp.MustCompile(`^\s*#\s?(.*)$|\s#\s(.*)$`)
)

// readComments returns the comments of a file whose lines have one where the pattern has
// a group.
func readComments(source []byte, pattern *regexp.Regexp) (all []passage) {
	last := 0
	for i, line := range bytes.Split(source, []byte("\n")) {
		m := pattern.FindSubmatch(line)
		if m == nil {
			continue
		}
		text := string(m[1]) + string(m[2])
		if last == i && last > 0 {
			all[len(all)-1].text += "\n" + text
		} else {
			all = append(all, passage{i + 1, text})
		}
		last = i + 1
	}
	return all
}

var inline = regexp.MustCompile("`[^`\n]*`")

// readMarkdown returns the text of a document without its code.
func readMarkdown(_ string, source []byte) []passage {
	var b strings.Builder
	code := false
	for line := range strings.Lines(string(source)) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
			line = "\n"
		}
		if code {
			line = "\n"
		}
		b.WriteString(inline.ReplaceAllString(line, "``"))
	}
	return []passage{{1, b.String()}}
}
