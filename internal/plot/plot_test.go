package plot_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/plot"
)

// The horizontal axis begins where it is to begin, with a tick, and the curve too.
func TestAxisBegins(t *testing.T) {
	for _, test := range []struct {
		from        float64
		first, none string // ticks
	}{{0, ">0</text>", ">-1</text>"}, {40, ">40</text>", ">39</text>"}, {700, ">700</text>", ">0</text>"}} {
		p := plot.Plot{Whole: true, From: test.from, Low: 2, High: 3, Curves: []plot.Curve{{Name: "a", Points: []plot.Point{
			{X: test.from, Y: 2, Low: 2, High: 2}, {X: test.from + 8, Y: 3, Low: 3, High: 3},
		}}}}
		var b bytes.Buffer
		if err := p.SVG(&b); err != nil {
			t.Fatal(err)
		}
		if svg := b.String(); !strings.Contains(svg, test.first) || strings.Contains(svg, test.none) || !strings.Contains(svg, `d="M70 446L776 104"`) {
			t.Errorf("from %v: want the tick %s, none %s, and a curve from corner to corner:\n%s", test.from, test.first, test.none, svg)
		}
	}
}
