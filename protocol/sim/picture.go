package sim

import (
	"bytes"
	"fmt"
)

// The sizes of a picture, in pixels.
const (
	chartWidth  = 640
	chartHeight = 100
	chartLeft   = 60 // room for the labels of the axis
	chartTop    = 30 // room for the title
	chartRow    = chartTop + chartHeight + 40
)

// Picture returns an SVG with a chart for each result that has messages: the share of them that
// arrived, by the time at which they were sent. Equal results lead to equal bytes.
func Picture(results []Result) []byte {
	var charts bytes.Buffer
	rows := 0
	for _, r := range results {
		if len(r.Delivery) > 0 {
			fmt.Fprintf(&charts, "<g transform=\"translate(%d,%d)\">\n", chartLeft, rows*chartRow+chartTop)
			chart(&charts, r)
			charts.WriteString("</g>\n")
			rows++
		}
	}
	width, height := chartLeft+chartWidth+20, max(rows, 1)*chartRow
	var b bytes.Buffer
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, height, width, height)
	b.WriteString("<title>Delivery over time</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n")
	b.Write(charts.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// chart draws one result. The names of scenarios need no escapes in XML.
func chart(b *bytes.Buffer, r Result) {
	fmt.Fprintf(b, "<text y=\"-10\" font-weight=\"bold\">%s, %d peers, seed %d</text>\n", r.Scenario, r.Peers, r.Seed)
	for _, percent := range []int{0, 50, 100} {
		y := chartHeight - chartHeight*percent/100
		fmt.Fprintf(b, "<path d=\"M0 %dH%d\" stroke=\"#ccc\"/><text x=\"-6\" y=\"%d\" text-anchor=\"end\">%d %%</text>\n", y, chartWidth, y+4, percent)
	}
	last := max(r.Delivery[len(r.Delivery)-1].At, 1)
	b.WriteString("<path fill=\"none\" stroke=\"#06c\" stroke-width=\"1.5\" d=\"")
	for i, p := range r.Delivery {
		command := 'L'
		if i == 0 {
			command = 'M'
		}
		fmt.Fprintf(b, "%c%.1f %.1f", command, p.At/last*chartWidth, chartHeight*(1-float64(p.Delivered)/float64(p.Sent)))
	}
	b.WriteString("\"/>\n")
	fmt.Fprintf(b, "<text y=\"%d\">0 s</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">sent after %.0f s</text>\n", chartHeight+16, chartWidth, chartHeight+16, last)
}
