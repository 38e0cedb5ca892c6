package policybench

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

// WriteCurves draws learning curves as SVG: for each kind the mean over the
// seeds as a line, and from the lowest to the highest as a band.
func WriteCurves(w io.Writer, curves []Curve) error {
	p := newPicture(curves)
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]v" height="%[2]v" viewBox="0 0 %[1]v %[2]v" role="img" aria-label="%[3]s" font-family="Helvetica, Arial, sans-serif" font-size="%[4]v">`+"\n",
		pictureWidth, pictureHeight, pictureTitle, textHeight)
	p.printf("<title>%s</title>\n<style>%s</style>\n", pictureTitle, style)
	p.printf(`<rect class="bg" width="%v" height="%v" fill="#fff"/>`+"\n", pictureWidth, pictureHeight)
	p.say(20, 34, "start", "ink bold", 17, pictureTitle)
	p.say(20, 56, "start", "dim", textHeight, p.note())
	p.legend()
	p.axes()
	for i, c := range curves {
		p.curve(i, c)
	}
	p.WriteString("</svg>\n")
	_, err := w.Write(p.Bytes())
	return err
}

const pictureTitle = "How policies learn on NAS-Bench-201"

// note says what the curves are of.
func (p *picture) note() string {
	s := "CIFAR-10, most probable transformations of the cells that choose"
	if len(p.curves) > 0 && p.curves[0].Seeds > 1 {
		s += fmt.Sprintf("; mean of %d seeds, and from the lowest to the highest", p.curves[0].Seeds)
	}
	return s
}

// lowest is the least captured headroom, in percent, that the plot shows: a
// policy that has not learnt anything yet may lose several times what could be gained.
const lowest = -50

type picture struct {
	bytes.Buffer
	curves       []Curve
	steps        float64 // the last
	low, high    float64 // of the captured headroom
	xStep, yStep float64 // between ticks
}

func newPicture(curves []Curve) *picture {
	p := &picture{curves: curves, low: 100, high: 0}
	for _, c := range curves {
		for _, at := range c.Points {
			p.steps = max(p.steps, float64(at.Step))
			p.low, p.high = min(p.low, at.Lowest), max(p.high, at.Highest)
		}
	}
	p.low = max(p.low, lowest)
	p.xStep, p.yStep = roundStep(max(p.steps, 1)/8), roundStep(max(p.high-p.low, 1)/8)
	p.low, p.high = p.yStep*math.Floor(p.low/p.yStep), p.yStep*math.Ceil(p.high/p.yStep)
	if p.low == p.high {
		p.high += p.yStep
	}
	return p
}

// roundStep returns the least of 1, 2 or 5 times a power of ten that is no less
// than step.
func roundStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= step*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

func (p *picture) x(step int) float64 {
	return plotLeft + (plotRight-plotLeft)*float64(step)/max(p.steps, 1)
}

func (p *picture) y(captured float64) float64 {
	y := plotBottom - (plotBottom-plotTop)*(captured-p.low)/(p.high-p.low)
	return min(max(y, plotTop), plotBottom)
}

func (p *picture) legend() {
	x := 20.0
	for i, c := range p.curves {
		p.printf(`<path class="band b%d" d="M%s 71h24v12h-24z"/><path class="line k%d" d="M%s 77h24"/>`+"\n", i%styles, px(x), i%styles, px(x))
		p.say(x+30, 81.5, "start", "dim", textHeight, string(c.Kind))
		x += 30 + float64(len(c.Kind))*textHeight*0.5 + 24
	}
}

func (p *picture) axes() {
	for t := p.low; t <= p.high+p.yStep/2; t += p.yStep {
		y := p.y(t)
		p.printf(`<path class="grid" d="M%v %sH%v"/>`+"\n", plotLeft, px(y), plotRight)
		p.say(plotLeft-8, y+textHeight*0.35, "end", "dim", textHeight, strconv.FormatFloat(t, 'f', -1, 64)+legible.NoBreak+"%")
	}
	for t := 0.0; t <= p.steps; t += p.xStep {
		x := p.x(int(t))
		p.printf(`<path class="axis" d="M%s %vv5"/>`+"\n", px(x), plotBottom)
		p.say(x, plotBottom+21, "middle", "dim", textHeight, legible.Grouped(int64(t)))
	}
	p.printf(`<path class="axis" d="M%v %vH%v"/>`+"\n", plotLeft, plotBottom, plotRight)
	p.say((plotLeft+plotRight)/2, plotBottom+43, "middle", "ink", textHeight, "updates of the weights")
	p.printf(`<text class="ink" transform="translate(16 %v) rotate(-90)" text-anchor="middle">captured headroom, %%</text>`+"\n", (plotTop+plotBottom)/2)
}

func (p *picture) curve(i int, c Curve) {
	var line, upper, lower []string
	for _, at := range c.Points {
		x := px(p.x(at.Step))
		line = append(line, x+" "+px(p.y(at.Captured.Mean)))
		upper = append(upper, x+" "+px(p.y(at.Highest)))
		lower = append(lower, x+" "+px(p.y(at.Lowest)))
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
