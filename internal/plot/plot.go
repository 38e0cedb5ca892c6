// Package plot draws curves with the range that they come from.
package plot

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/internal/legible"
)

// The picture of the learning curves, in pixels.
const (
	pictureWidth, pictureHeight = 800.0, 500.0
	plotLeft, plotRight         = 70.0, 776.0
	plotTop, plotBottom         = 104.0, 446.0
	textHeight                  = 13.0
)

// style colours the picture; viewers that know no dark scheme take the light
// one. Dashes tell kinds apart without colours.
const style = `.bg{fill:#fff}.ink{fill:#1f2328}.dim{fill:#59636e}.bold{font-weight:bold}.grid{stroke:#e1e6eb}.axis{stroke:#8c959f}
.line{fill:none;stroke-width:2}.k0{stroke:#0b5cad}.k1{stroke:#b54708;stroke-dasharray:7 4}.k2{stroke:#116329;stroke-dasharray:2 3}.k3{stroke:#8250df;stroke-dasharray:9 3 2 3}
.band{fill-opacity:.16}.b0{fill:#0b5cad}.b1{fill:#b54708}.b2{fill:#116329}.b3{fill:#8250df}
@media (prefers-color-scheme:dark){.bg{fill:#161b22}.ink{fill:#e6edf3}.dim{fill:#9ba7b4}.grid{stroke:#2a313a}.axis{stroke:#7d8590}
.k0{stroke:#58a6ff}.k1{stroke:#f0883e}.k2{stroke:#56d364}.k3{stroke:#d2a8ff}.b0{fill:#58a6ff}.b1{fill:#f0883e}.b2{fill:#56d364}.b3{fill:#d2a8ff}}
`

// styles is how many kinds look different.
const styles = 4

// A Plot is a picture of some curves.
type Plot struct {
	Title, Note string
	X, Y        string  // what the axes show
	Unit        string  // of the ticks on the vertical axis, such as "%"; empty: none
	Whole       bool    // the horizontal axis counts: its ticks are whole numbers
	From        float64 // where the horizontal axis begins
	// The vertical axis begins at Low or below, and ends at High or above; where Clip
	// is set, nothing below that is shown.
	Low, High float64
	Clip      *float64
	Curves    []Curve
}

// A Curve is a line within a band.
type Curve struct {
	Name   string
	Points []Point // by rising X
}

// A Point is a value, and the range that it comes from.
type Point struct{ X, Y, Low, High float64 }

// SVG draws a plot: four curves look different.
func (plot Plot) SVG(w io.Writer) error {
	p := newPicture(plot)
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]v" height="%[2]v" viewBox="0 0 %[1]v %[2]v" role="img" aria-label="%[3]s" font-family="Helvetica, Arial, sans-serif" font-size="%[4]v">`+"\n",
		pictureWidth, pictureHeight, html.EscapeString(p.Title), textHeight)
	p.printf("<title>%s</title>\n<style>%s</style>\n", html.EscapeString(p.Title), style)
	p.printf(`<rect class="bg" width="%v" height="%v" fill="#fff"/>`+"\n", pictureWidth, pictureHeight)
	p.say(20, 34, "start", "ink bold", 17, p.Title)
	p.say(20, 56, "start", "dim", textHeight, p.Note)
	p.legend()
	p.axes()
	for i, c := range p.Curves {
		p.curve(i, c)
	}
	p.WriteString("</svg>\n")
	_, err := w.Write(p.Bytes())
	return err
}

type picture struct {
	bytes.Buffer
	Plot
	last         float64 // the largest x
	xStep, yStep float64 // between ticks
}

func newPicture(plot Plot) *picture {
	p := &picture{Plot: plot, last: plot.From}
	for _, c := range p.Curves {
		for _, at := range c.Points {
			p.last = max(p.last, at.X)
			p.Low, p.High = min(p.Low, at.Low), max(p.High, at.High)
		}
	}
	if p.Clip != nil {
		p.Low = max(p.Low, *p.Clip)
	}
	least := 0.0
	if p.Whole {
		least = 1
	}
	if p.last == p.From {
		p.last++
	}
	p.xStep, p.yStep = RoundStep(max((p.last-p.From)/8, least)), RoundStep(p.span()/8)
	p.Low, p.High = p.yStep*math.Floor(p.Low/p.yStep), p.yStep*math.Ceil(p.High/p.yStep)
	if p.Low == p.High {
		p.High += p.yStep
	}
	return p
}

// span is how much the vertical axis shows.
func (p *picture) span() float64 {
	if p.High > p.Low {
		return p.High - p.Low
	}
	return 1
}

// RoundStep returns the least of 1, 2 or 5 times a power of ten that is no less
// than step, which is above 0: a step between ticks.
func RoundStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= step*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

func (p *picture) x(at float64) float64 {
	return plotLeft + (plotRight-plotLeft)*(at-p.From)/(p.last-p.From)
}

func (p *picture) y(at float64) float64 {
	y := plotBottom - (plotBottom-plotTop)*(at-p.Low)/(p.High-p.Low)
	return min(max(y, plotTop), plotBottom)
}

func (p *picture) legend() {
	x := 20.0
	for i, c := range p.Curves {
		p.printf(`<path class="band b%d" d="M%s 71h24v12h-24z"/><path class="line k%d" d="M%s 77h24"/>`+"\n", i%styles, px(x), i%styles, px(x))
		p.say(x+30, 81.5, "start", "dim", textHeight, c.Name)
		x += 30 + float64(len(c.Name))*textHeight*0.5 + 24
	}
}

func (p *picture) axes() {
	for k := 0.0; p.Low+k*p.yStep <= p.High+p.yStep/2; k++ {
		t := p.yStep * math.Round(p.Low/p.yStep+k)
		y := p.y(t)
		p.printf(`<path class="grid" d="M%v %sH%v"/>`+"\n", plotLeft, px(y), plotRight)
		p.say(plotLeft-8, y+textHeight*0.35, "end", "dim", textHeight, p.tick(t))
	}
	for t := p.xStep * math.Ceil(p.From/p.xStep); t <= p.last; t += p.xStep {
		x := p.x(t)
		p.printf(`<path class="axis" d="M%s %vv5"/>`+"\n", px(x), plotBottom)
		p.say(x, plotBottom+21, "middle", "dim", textHeight, legible.Grouped(int64(t)))
	}
	p.printf(`<path class="axis" d="M%v %vH%v"/>`+"\n", plotLeft, plotBottom, plotRight)
	p.say((plotLeft+plotRight)/2, plotBottom+43, "middle", "ink", textHeight, p.X)
	p.printf(`<text class="ink" transform="translate(16 %v) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (plotTop+plotBottom)/2, html.EscapeString(p.Y))
}

func (p *picture) tick(y float64) string {
	s := strconv.FormatFloat(y, 'f', max(0, -int(math.Floor(math.Log10(p.yStep)))), 64)
	if p.Unit != "" {
		s += legible.NoBreak + p.Unit
	}
	return s
}

func (p *picture) curve(i int, c Curve) {
	var line, upper, lower []string
	for _, at := range c.Points {
		x := px(p.x(at.X))
		line = append(line, x+" "+px(p.y(at.Y)))
		upper = append(upper, x+" "+px(p.y(at.High)))
		lower = append(lower, x+" "+px(p.y(at.Low)))
	}
	if len(line) == 1 { // a point is a short line
		p.printf(`<path class="line k%d" d="M%sm-3 0h6"/>`+"\n", i%styles, line[0])
		return
	}
	slices.Reverse(lower)
	p.printf(`<path class="band b%d" d="M%sZ"/>`+"\n", i%styles, strings.Join(append(upper, lower...), "L"))
	p.printf(`<path class="line k%d" d="M%s"/>`+"\n", i%styles, strings.Join(line, "L"))
}

func (p *picture) say(x, y float64, anchor, class string, height float64, text string) {
	p.printf(`<text class="%s" x="%s" y="%s" text-anchor="%s" font-size="%s">%s</text>`+"\n", class, px(x), px(y), anchor, px(height), html.EscapeString(text))
}

func (p *picture) printf(format string, args ...any) { fmt.Fprintf(&p.Buffer, format, args...) }

// px writes a length in pixels.
func px(x float64) string { return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64) }
