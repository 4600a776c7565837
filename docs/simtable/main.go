// Command simtable writes the table of docs/simulation.md from results of the simulator:
//
//	go run ./docs/simtable FILE...
//
// The files have lines that peer-relay sim --json prints. The table has the figures that have a target,
// and the bounds that an oracle has found.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
)

const page = "docs/simulation.md"

// Lines of the page between which the table is.
const (
	tableBegins = "<!-- simtable -->\n"
	tableEnds   = "<!-- end of simtable -->\n"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("simtable: ")
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(files []string) error {
	if len(files) == 0 {
		return errors.New("want files with the lines of peer-relay sim --json")
	}
	var results []result
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		results, err = read(results, f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	next, err := replace(text, table(results))
	if err != nil {
		return err
	}
	return os.WriteFile(page, next, 0o644)
}

// A result is what peer-relay sim --json prints of a scenario.
type result struct {
	Scenario string
	Peers    int
	Seed     uint64
	Figures  []figure
}

type figure struct {
	Name   string
	Value  float64
	Unit   string
	Bound  bool
	Target *target
}

type target struct {
	Sign  string
	Value float64
	Met   bool
}

// read appends the results of a file.
func read(results []result, from io.Reader) ([]result, error) {
	d := json.NewDecoder(from)
	for {
		var r result
		if err := d.Decode(&r); err == io.EOF {
			return results, nil
		} else if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
}

// A row is a figure of a scenario in all networks.
type row struct {
	scenario, figure string
	bound            bool
	targets          map[int]string        // by the number of peers
	cells            map[int][]seedsFigure // by the number of peers
}

type seedsFigure struct {
	seed uint64
	figure
}

// table returns the table of the results.
func table(results []result) []byte {
	rows, sizes := collect(results)
	var b bytes.Buffer
	b.WriteString("| scenario | figure | target |")
	for _, n := range sizes {
		fmt.Fprintf(&b, " %s peers |", thousands(n))
	}
	b.WriteString("\n| --- | --- | --- |" + strings.Repeat(" --- |", len(sizes)) + "\n")
	for _, r := range rows {
		name := r.figure
		if r.bound {
			name = "*at best: " + name + "*"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", r.scenario, name, r.target(sizes))
		for _, n := range sizes {
			b.WriteString(" " + cell(r.cells[n]) + " |")
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// collect returns the rows in the order in which the results have them, and the sizes of the networks.
func collect(results []result) (rows []*row, sizes []int) {
	byName := make(map[string]*row)
	for _, r := range results {
		for _, f := range r.Figures {
			key := r.Scenario + ": " + f.Name
			w := byName[key]
			if w == nil {
				w = &row{scenario: r.Scenario, figure: f.Name, bound: f.Bound, targets: make(map[int]string), cells: make(map[int][]seedsFigure)}
				byName[key] = w
				rows = append(rows, w)
			}
			if f.Target != nil {
				w.targets[r.Peers] = f.Target.Sign + " " + number(f.Target.Value, f.Unit)
			}
			w.cells[r.Peers] = append(w.cells[r.Peers], seedsFigure{r.Seed, f})
		}
		if !slices.Contains(sizes, r.Peers) {
			sizes = append(sizes, r.Peers)
		}
	}
	slices.Sort(sizes)
	rows = slices.DeleteFunc(rows, func(r *row) bool { return !r.bound && len(r.targets) == 0 })
	slices.SortStableFunc(rows, func(a, b *row) int {
		order := func(r *row) int {
			return slices.IndexFunc(results, func(x result) bool { return x.Scenario == r.scenario })
		}
		return order(a) - order(b)
	})
	return rows, sizes
}

// target returns the targets of a row, with the sizes that they are for if they differ.
func (r *row) target(sizes []int) string {
	var all []string
	for _, n := range sizes {
		if t := r.targets[n]; t != "" && !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	if len(all) <= 1 && len(r.targets) == len(r.cells) {
		return strings.Join(all, "")
	}
	var each []string
	for _, n := range sizes {
		if t := r.targets[n]; t != "" {
			each = append(each, fmt.Sprintf("%s: %s", thousands(n), t))
		}
	}
	return strings.Join(each, "; ")
}

// cell returns the values of one size in the order of their seeds. One that misses its target is bold.
func cell(figures []seedsFigure) string {
	slices.SortStableFunc(figures, func(a, b seedsFigure) int { return cmp.Compare(a.seed, b.seed) })
	var values []string
	for _, f := range figures {
		v := number(f.Value, f.Unit)
		if f.Target != nil && !f.Target.Met {
			v = "**" + v + "**"
		}
		values = append(values, v)
	}
	return strings.Join(values, ", ")
}

// number returns a value with its unit. A share is rounded down, so that 100 % means all.
func number(v float64, unit string) string {
	if unit == "%" {
		v = float64(int(v*100+1e-6)) / 100
	}
	text := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	if unit != "" {
		text += " " + unit
	}
	return text
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// replace returns the page with another table.
func replace(page, table []byte) ([]byte, error) {
	head, rest, begins := bytes.Cut(page, []byte(tableBegins))
	_, tail, ends := bytes.Cut(rest, []byte(tableEnds))
	if !begins || !ends {
		return nil, fmt.Errorf("the page has no lines %q and %q", tableBegins, tableEnds)
	}
	return slices.Concat(head, []byte(tableBegins), table, []byte(tableEnds), tail), nil
}
