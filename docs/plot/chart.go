package main

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// A chart shows columns of a table as bars on one logarithmic scale.
type chart struct {
	file, title string
	groups      []group
}

// A group is one column of the table.
type group struct {
	title string
	bars  []bar
}

// A bar is one cell: a median as it is written and as a number, and the least and the most
// of all rounds.
type bar struct {
	label, text      string
	value, low, high float64
}

// marker stands before a table that is to be drawn. Its parts are the file, the title,
// and the columns, each with a title of its own if it has one:
//
//	<!-- plot: cost.svg; µs of CPU for a message; 64 B; all = all processes -->
var marker = regexp.MustCompile(`^<!-- plot: (.*) -->$`)

// cell is a number, with the range of all rounds if there is one: 1,243 (1,141–1,389).
var cell = regexp.MustCompile(`^([\d.,]+)(?: \(([\d.,]+)–([\d.,]+)\))?`)

// readCharts returns a chart for each marker in a document.
func readCharts(text string) (charts []chart, err error) {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		m := marker.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		var table [][]string
		for _, row := range lines[i+1:] {
			if !strings.HasPrefix(row, "|") {
				break
			}
			table = append(table, cells(row))
		}
		c, err := newChart(strings.Split(m[1], "; "), table)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		charts = append(charts, c)
	}
	if len(charts) == 0 {
		return nil, errors.New("no table has a marker")
	}
	return charts, nil
}

// cells returns the cells of a row without their Markdown.
func cells(row string) []string {
	parts := strings.Split(strings.Trim(row, "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(strings.ReplaceAll(parts[i], "`", ""))
	}
	return parts
}

func newChart(parts []string, table [][]string) (chart, error) {
	if len(parts) < 3 || len(table) < 3 {
		return chart{}, errors.New("a marker wants a file, a title, columns, and a table below it")
	}
	c := chart{file: parts[0], title: parts[1]}
	for _, part := range parts[2:] {
		name, title, found := strings.Cut(part, " = ")
		if !found {
			title = name
		}
		column := -1
		for i, header := range table[0] {
			if header == name {
				column = i
			}
		}
		if column < 0 {
			return chart{}, fmt.Errorf("the table has no column %q", name)
		}
		g := group{title: title}
		for _, row := range table[2:] {
			b := bar{label: row[0]}
			m := cell.FindStringSubmatch(row[column])
			if m == nil {
				return chart{}, fmt.Errorf("column %q: %q is no number", name, row[column])
			}
			b.text = m[1]
			if m[2] == "" {
				m[2], m[3] = m[1], m[1]
			}
			for j, to := range []*float64{&b.value, &b.low, &b.high} {
				n, err := strconv.ParseFloat(strings.ReplaceAll(m[j+1], ",", ""), 64)
				if err != nil || n <= 0 {
					return chart{}, fmt.Errorf("column %q: %q is no positive number", name, m[j+1])
				}
				*to = n
			}
			g.bars = append(g.bars, b)
		}
		c.groups = append(c.groups, g)
	}
	return c, nil
}

// Sizes in pixels of a chart.
const (
	chartWidth  = 840
	labelWidth  = 300 // the names of the bars
	valueWidth  = 80  // the numbers behind the bars
	barHeight   = 22
	titleHeight = 44
	groupHeight = 34 // the title of a group
)

// The fill of bars for what is ours and for what is not.
const (
	oursFill   = "#2f6fed"
	othersFill = "#9aa5b5"
)

// svg draws the chart, on a scale from a power of ten to a power of ten.
func (c chart) svg() []byte {
	height := titleHeight
	for _, g := range c.groups {
		height += groupHeight + barHeight*len(g.bars)
	}
	low, high := c.scale()
	x := func(log float64) int {
		return labelWidth + int(math.Round((log-low)/(high-low)*(chartWidth-labelWidth-valueWidth)))
	}
	var b bytes.Buffer
	beginSVG(&b, chartWidth, height+30, c.title)
	text(&b, 16, 28, "start", "bold", c.title)
	text(&b, chartWidth-16, 28, "end", "soft", "The scale is logarithmic. A thin line is from the least to the most of all rounds.")
	for log := low; log <= high; log++ {
		fmt.Fprintf(&b, "<path d=\"M%d %dV%d\" stroke=\"#dfe3ea\"/>\n", x(log), titleHeight, height+8)
		text(&b, x(log), height+22, "middle", "soft", strconv.FormatFloat(math.Pow(10, log), 'f', -1, 64))
	}
	y := titleHeight
	for _, g := range c.groups {
		y += groupHeight
		text(&b, 16, y-10, "start", "bold", g.title)
		for _, bar := range g.bars {
			fill := othersFill
			if bar.ours() {
				fill = oursFill
			}
			middle, least, most := y+barHeight/2, x(math.Log10(bar.low)), x(math.Log10(bar.high))
			text(&b, labelWidth-8, middle+4, "end", "plain", bar.label)
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n", labelWidth, y+3, x(math.Log10(bar.value))-labelWidth, barHeight-6, fill)
			if most > least {
				fmt.Fprintf(&b, "<path d=\"M%d %dH%d\" class=\"range\"/>\n", least, middle, most)
			}
			text(&b, most+8, middle+4, "start", "plain", bar.text)
			y += barHeight
		}
	}
	endSVG(&b)
	return b.Bytes()
}

// ours reports whether the bar is of this module and not of a program to compare it with.
func (b bar) ours() bool {
	return strings.HasPrefix(b.label, "Go, ") || strings.HasPrefix(b.label, "our ")
}

// scale returns the powers of ten between which all bars lie.
func (c chart) scale() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, g := range c.groups {
		for _, b := range g.bars {
			low, high = min(low, math.Floor(math.Log10(b.low))), max(high, math.Ceil(math.Log10(b.high)))
		}
	}
	return low, max(high, low+1)
}

// style is that of all pictures: readable on a light and on a dark page.
const style = `text{font:13px system-ui,sans-serif;fill:#1c2430}` +
	`.bold{font-weight:600}.soft{fill:#5b6675;font-size:12px}.room{font-weight:600;fill:#5b6675}` +
	`.range{stroke:#1c2430;stroke-width:1.5}.edge{fill:none;stroke:#7b8798;stroke-width:1.3}`

func beginSVG(b *bytes.Buffer, width, height int, title string) {
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %[1]d %[2]d\" role=\"img\">\n", width, height)
	fmt.Fprintf(b, "<title>%s</title>\n<style>%s</style>\n<rect width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#fff\"/>\n", html.EscapeString(title), style, width, height)
}

func endSVG(b *bytes.Buffer) { b.WriteString("</svg>\n") }

func text(b *bytes.Buffer, x, y int, anchor, class, s string) {
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\" class=\"%s\">%s</text>\n", x, y, anchor, class, html.EscapeString(s))
}
