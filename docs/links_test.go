// Package docs holds the documents together: its test follows their links.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	title  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	odd    = regexp.MustCompile(`[^\pL\pN _-]`)
)

// TestLinks follows the links of all documents to files of the repository and to headings.
func TestLinks(t *testing.T) {
	documents, anchors := map[string]string{}, map[string]map[string]bool{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		documents[name] = fenced.ReplaceAllString(strings.ReplaceAll(string(text), "\r\n", "\n"), "")
		anchors[name] = headings(documents[name])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for name, text := range documents {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			followed++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			} else if anchor != "" && !anchors[target][anchor] {
				t.Errorf("%s links to %s: there is no such heading", name, m[1])
			}
		}
	}
	if followed == 0 {
		t.Error("no document has a link")
	}
}

// headings returns the anchors of a document's headings, as GitHub makes them.
func headings(text string) map[string]bool {
	anchors := map[string]bool{}
	for _, m := range title.FindAllStringSubmatch(text, -1) {
		base := strings.ReplaceAll(odd.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		anchor := base
		for n := 1; anchors[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", base, n)
		}
		anchors[anchor] = true
	}
	return anchors
}
