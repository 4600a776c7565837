package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is what a run has to say: tables, and notes below them. One goroutine writes it.
type report struct {
	title  string
	tables []*table
	notes  []string
}

// A table has a row of names and rows of cells.
type table struct {
	columns []string
	rows    [][]string
}

// table adds a table to the report.
func (r *report) table(columns ...string) *table {
	t := &table{columns: columns}
	r.tables = append(r.tables, t)
	return t
}

// row adds a row; every cell is printed with %v.
func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

func (r *report) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, r.title)
	for _, t := range r.tables {
		fmt.Fprintln(&b)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		rule := make([]string, len(t.columns))
		for i, c := range t.columns {
			rule[i] = strings.Repeat("-", len(c))
		}
		for _, row := range append([][]string{t.columns, rule}, t.rows...) {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		w.Flush()
	}
	fmt.Fprintln(&b)
	for _, n := range r.notes {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

// A series is durations measured.
type series []time.Duration

// quantile returns the value below which the part q of the series lies: 0.5 is the median.
func (s series) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(time.Microsecond)
}

func (s series) mean() time.Duration {
	var sum time.Duration
	for _, d := range s {
		sum += d
	}
	return sum / time.Duration(max(len(s), 1))
}

func (s series) median() time.Duration { return s.quantile(0.5) }
func (s series) max() time.Duration    { return s.quantile(1) }
