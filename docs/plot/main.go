// Command plot draws the pictures of the documents:
//
//	go run ./docs/plot
//
// It reads the tables of docs/figures.md that follow a marker, and the imports of the
// packages, and writes SVG files into docs.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	pictures, err := draw(".")
	if err != nil {
		log.Fatal("plot: ", err)
	}
	for name, svg := range pictures {
		if err := os.WriteFile(filepath.Join("docs", name), svg, 0o644); err != nil {
			log.Fatal("plot: ", err)
		}
	}
}

// draw returns the pictures of the module in a folder, by the names of their files.
func draw(root string) (map[string][]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "figures.md"))
	if err != nil {
		return nil, err
	}
	charts, err := readCharts(string(text))
	if err != nil {
		return nil, fmt.Errorf("docs/figures.md: %w", err)
	}
	pictures := make(map[string][]byte)
	for _, c := range charts {
		pictures[c.file] = c.svg()
	}
	packages, err := listPackages(root)
	if err != nil {
		return nil, err
	}
	t, err := newTree(packages)
	if err != nil {
		return nil, err
	}
	pictures["tree.svg"] = t.svg()
	return pictures, nil
}
