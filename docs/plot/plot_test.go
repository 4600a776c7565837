package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPictures holds the committed pictures to the tables and to the packages.
func TestPictures(t *testing.T) {
	pictures, err := draw("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pictures {
		have, err := os.ReadFile(filepath.Join("..", name))
		if err != nil || !bytes.Equal(bytes.ReplaceAll(have, []byte("\r\n"), []byte("\n")), want) {
			t.Errorf("docs/%s is not what go run ./docs/plot draws now: %v", name, err)
		}
	}
}

// TestTree draws packages that do not exist.
func TestTree(t *testing.T) {
	made := map[string][]string{
		"cmd/x":         {"compat", "node"},
		"compat":        {"compat/a", "node", "protocol"},
		"compat/a":      {"protocol/wire"},
		"node":          {"protocol"},
		"protocol":      {"protocol/wire"},
		"protocol/wire": nil,
	}
	tree, err := newTree(made)
	if err != nil {
		t.Fatal(err)
	}
	var rows, lines []string
	for _, row := range tree.rows {
		var names []string
		for _, it := range row {
			if it.name == "" {
				continue
			}
			names = append(names, it.name)
			for _, b := range it.below {
				for b.name == "" {
					b = b.below[0]
				}
				lines = append(lines, it.name+" "+b.name)
			}
		}
		rows = append(rows, strings.Join(names, " "))
	}
	if got, want := strings.Join(rows, ", "), "cmd/x, compat, compat/a, node, protocol, protocol/wire"; got != want {
		t.Errorf("the rows are %s, want %s", got, want)
	}
	// cmd/x to node and compat to protocol follow from others.
	want := "cmd/x compat, compat compat/a, compat node, compat/a protocol/wire, node protocol, protocol protocol/wire"
	if got := strings.Join(lines, ", "); got != want {
		t.Errorf("the lines are %s, want %s", got, want)
	}

	made["protocol/wire"] = []string{"node"}
	if _, err := newTree(made); err == nil || !strings.Contains(err.Error(), "protocol/wire imports node") {
		t.Errorf("an import that leads upward: %v", err)
	}
}

// TestReadCharts reads tables of all kinds.
func TestReadCharts(t *testing.T) {
	const table = "| way | MB/s | all |\n| --- | --- | --- |\n| our `x` | 1,243 (1,141–1,389), 560/s | 0.8 |\n| TCP | 7 | 9 |\n"
	charts, err := readCharts("text\n<!-- plot: a.svg; speed; MB/s; all = CPU -->\n" + table)
	if err != nil || len(charts) != 1 {
		t.Fatal(charts, err)
	}
	c := charts[0]
	first, second := c.groups[0], c.groups[1]
	if c.file != "a.svg" || c.title != "speed" || first.title != "MB/s" || second.title != "CPU" {
		t.Errorf("read %+v", c)
	}
	if got, want := first.bars[0], (bar{"our x", "1,243", 1243, 1141, 1389}); got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if low, high := c.scale(); low != -1 || high != 4 {
		t.Errorf("the scale is from 10^%v to 10^%v", low, high)
	}
	for _, wrong := range []string{
		"no marker\n" + table,
		"<!-- plot: a.svg; speed -->\n" + table,
		"<!-- plot: a.svg; speed; MB -->\n" + table,
		"<!-- plot: a.svg; speed; way -->\n" + table,
		"<!-- plot: a.svg; speed; MB/s -->\n\n" + table,
		"<!-- plot: a.svg; speed; MB/s -->\n" + table + "| none | 0 | 0 |\n",
	} {
		if charts, err := readCharts(wrong); err == nil {
			t.Errorf("%q is read as %+v", wrong, charts)
		}
	}
}
