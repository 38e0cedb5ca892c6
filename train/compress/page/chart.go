package page

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/natonnx/natonnx/internal/legible"
)

// A size is that of a picture, with what depends on it.
type size struct {
	width, height    float64
	xTicks, yTicks   int     // at most
	text             float64 // the height of texts
	titled           bool    // the picture stands alone
	dot, pad, margin float64
}

var (
	alone  = size{width: 800, height: 520, xTicks: 11, yTicks: 9, text: 13, titled: true, dot: 4, pad: 20, margin: 62}
	wide   = size{width: 800, height: 440, xTicks: 11, yTicks: 9, text: 13, dot: 4, pad: 8, margin: 56}
	narrow = size{width: 340, height: 360, xTicks: 5, yTicks: 7, text: 12, dot: 4, pad: 6, margin: 48}
)

// style colours a picture; viewers that know no dark scheme take the light one.
const style = `.tradeoff{font-family:Helvetica,Arial,sans-serif}
.tradeoff .bg{fill:#fff}.tradeoff .ink{fill:#1f2328}.tradeoff .dim{fill:#59636e}.tradeoff .bold{font-weight:bold}
.tradeoff .grid{stroke:#e1e6eb}.tradeoff .axis{stroke:#8c959f}
.tradeoff .front{stroke:#0b5cad;fill:none;stroke-width:2}.tradeoff .bar{stroke:#0b5cad;stroke-opacity:.45;stroke-width:1.5}
.tradeoff .dot{fill:#0b5cad}.tradeoff .other{fill:#fff;stroke:#8c959f;stroke-width:1.2}
.tradeoff .chosen{fill:#b54708;stroke:#fff;stroke-width:1.5}.tradeoff .ring{fill:none;stroke:#b54708;stroke-width:2}
.tradeoff .input{fill:#1f2328;stroke:#fff;stroke-width:1.5}.tradeoff .halo{fill:#fff;fill-opacity:.82}
.tradeoff .r0{stroke:#116329}.tradeoff .r1{stroke:#8250df}.tradeoff .r2{stroke:#a40e26}.tradeoff .rival{fill:none;stroke-width:1.75}
@media (prefers-color-scheme:dark){.tradeoff .bg{fill:#161b22}.tradeoff .ink{fill:#e6edf3}.tradeoff .dim{fill:#9ba7b4}
.tradeoff .grid{stroke:#2a313a}.tradeoff .axis{stroke:#7d8590}
.tradeoff .front{stroke:#58a6ff}.tradeoff .bar{stroke:#58a6ff}.tradeoff .dot{fill:#58a6ff}.tradeoff .other{fill:#161b22;stroke:#7d8590}
.tradeoff .chosen{fill:#f0883e;stroke:#161b22}.tradeoff .ring{stroke:#f0883e}.tradeoff .input{fill:#e6edf3;stroke:#161b22}.tradeoff .halo{fill:#161b22}
.tradeoff .r0{stroke:#56d364}.tradeoff .r1{stroke:#bc8cff}.tradeoff .r2{stroke:#ff7b72}}
@media print{.tradeoff .bg{fill:#fff}}
`

// dashes tell rivals apart without colours.
var dashes = []string{"7 4", "2 3", "10 3 2 3"}

// A chart is a picture in the making.
type chart struct {
	*Curve
	size
	bytes.Buffer
	own    []row
	rivals [][]row // their fronts
	x, y   scale
	top    float64 // of the plot
	// below counts own points that are worse than the plot shows.
	below int
	marks []mark
	taken []box // what labels should not cover
}

// A mark is an own point of the plot.
type mark struct {
	*row
	x, y float64
}

// A box is a part of the picture.
type box struct{ left, top, right, bottom float64 }

func (b box) overlap(o box) float64 {
	w, h := min(b.right, o.right)-max(b.left, o.left), min(b.bottom, o.bottom)-max(b.top, o.top)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h
}

func writeSVG(w io.Writer, c *Curve) error {
	p := newChart(c, alone)
	p.draw()
	_, err := w.Write(p.Bytes())
	return err
}

func newChart(c *Curve, s size) *chart {
	p := &chart{Curve: c, size: s, own: c.rows(c.Search, c.Points)}
	for _, r := range c.Rivals {
		front := slices.DeleteFunc(c.rows(r.Name, r.Points), func(r row) bool { return !r.front })
		p.rivals = append(p.rivals, front)
	}
	return p
}

// draw draws all. Bars lie below lines and lines below points.
func (p *chart) draw() {
	name := legible.Line(p.title())
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" class="tradeoff" width="%s" height="%s" viewBox="0 0 %s %s" role="img" aria-label="%s" font-family="Helvetica, Arial, sans-serif" font-size="%s">`+"\n",
		px(p.width), px(p.height), px(p.width), px(p.height), html.EscapeString(legible.Clip(name, 200)), px(p.text))
	if p.titled {
		p.printf("<title>%s</title>\n<style>%s</style>\n", html.EscapeString(legible.Clip(name, 200)), style)
		p.printf(`<rect class="bg" width="%s" height="%s" fill="#fff"/>`+"\n", px(p.width), px(p.height))
	}
	p.top = p.pad
	if p.titled {
		p.head()
	}
	p.legend()
	p.plot()
	p.WriteString("</svg>\n")
}

func (c *Curve) title() string {
	return fmt.Sprintf("%s: what fewer multiply-adds cost", filepath.Base(c.Model))
}

// head writes what the picture is about.
func (p *chart) head() {
	room := p.width - 2*p.pad
	p.top += 18
	p.say(p.pad, p.top, "start", "ink bold", 17, legible.Clip(legible.Line(p.title()), int(room/(17*0.58))))
	p.top += 22
	p.say(p.pad, p.top, "start", "dim", p.text, legible.Clip(legible.Line(p.about()), int(room/(p.text*0.52))))
	p.top += 10
}

// about says what was measured on.
func (c *Curve) about() string {
	s := fmt.Sprintf("%s images of %s, bars are 95 %% intervals", legible.Grouped(int64(c.images())), c.Data)
	if c.Search != "" {
		s = fmt.Sprintf("search %s, ", c.Search) + s
	}
	return s
}

// legend writes a line, or several, of what signs mean.
func (p *chart) legend() {
	type item struct {
		text string
		sign func(x, y float64)
	}
	name := p.Search
	if name == "" {
		name = "candidates"
	}
	items := []item{{legible.Line(name) + ", best points", func(x, y float64) {
		p.printf(`<path class="front" d="M%s %sh24"/><circle class="dot" cx="%s" cy="%s" r="%s"/>`, px(x), px(y), px(x+12), px(y), px(p.dot))
	}}}
	if slices.ContainsFunc(p.own, func(r row) bool { return !r.front && r.number > 0 && !r.Chosen }) {
		items = append(items, item{"other candidates", func(x, y float64) {
			p.printf(`<circle class="other" cx="%s" cy="%s" r="%s"/>`, px(x+12), px(y), px(p.dot-1))
		}})
	}
	if was := p.shown(&p.Input); was.Of > 0 {
		items = append(items, item{"input: " + percentOf(was), func(x, y float64) {
			r := p.dot + 1
			p.printf(`<rect class="input" x="%s" y="%s" width="%s" height="%s"/>`, px(x+12-r), px(y-r), px(2*r), px(2*r))
		}})
	}
	for i, r := range p.Rivals {
		items = append(items, item{legible.Line(r.Name), func(x, y float64) {
			p.printf(`<path class="rival r%d" stroke-dasharray="%s" d="M%s %sh24"/>`, i%3, dashes[i%3], px(x), px(y))
		}})
	}
	x := p.pad
	p.top += p.text + 4
	for _, i := range items {
		text := legible.Clip(i.text, 30)
		width := 30 + p.wide(text, false) + 16
		if x > p.pad && x+width > p.width {
			x, p.top = p.pad, p.top+p.text+6
		}
		i.sign(x, p.top-p.text*0.35)
		p.say(x+30, p.top, "start", "dim", p.text, text)
		x += width
	}
	p.top += p.text + 14
}

// plot draws axes and points.
func (p *chart) plot() {
	p.say(p.pad, p.top, "start", "ink", p.text, p.quality())
	p.top += 12
	p.scales()
	bottom := p.y.from
	for _, t := range p.y.ticks() {
		y := p.y.at(t)
		p.printf(`<path class="grid" d="M%s %sH%s"/>`+"\n", px(p.x.from), px(y), px(p.right()))
		p.say(p.x.from-8, y+p.text*0.35, "end", "dim", p.text, p.y.label(t))
	}
	for _, t := range p.x.ticks() {
		x := p.x.at(t)
		p.printf(`<path class="axis" d="M%s %sv5"/>`+"\n", px(x), px(bottom))
		p.say(x, bottom+p.text+8, "middle", "dim", p.text, p.x.label(t))
	}
	p.printf(`<path class="axis" d="M%s %sH%s"/>`+"\n", px(p.x.from), px(bottom), px(p.right()))
	p.say(p.right(), bottom+2*p.text+16, "end", "ink", p.text, p.xTitle())
	if p.below > 0 {
		text := fmt.Sprintf("%d more below", p.below)
		p.say(p.x.from+6, bottom-7, "start", "dim", p.text, text)
		p.taken = append(p.taken, box{p.x.from, bottom - p.text - 10, p.x.from + 12 + p.wide(text, false), bottom})
	}
	p.points()
}

// right is where the plot ends; the last point has some room there.
func (p *chart) right() float64 { return p.x.to + p.dot + 4 }

func (p *chart) xTitle() string {
	whole := p.Input.Cost.MAdds
	if p.size.width < 500 {
		return "multiply-adds (100\u00a0% = " + short(whole) + ")"
	}
	return "multiply-adds, as a share of the input's " + short(whole)
}

// scales fits the axes to the fronts and what is chosen.
func (p *chart) scales() {
	x, y := span{}, span{}
	take := func(r *row) {
		if s := p.shown(&r.Point); s.Of > 0 {
			low, high := s.Interval()
			x.take(p.madds(&r.Point))
			y.take(low)
			y.take(high)
		}
	}
	for i := range p.own {
		if r := &p.own[i]; r.front || r.Chosen || i == 0 {
			take(r)
		}
	}
	least := y.low - (y.high-y.low)/2 // rivals that are worse leave the plot
	for _, front := range p.rivals {
		for i := range front {
			x.take(p.madds(&front[i].Point))
			y.take(max(least, p.shown(&front[i].Point).Value()))
		}
	}
	for i := range p.own { // those between the fronts may be as cheap as can be
		if s := p.shown(&p.own[i].Point); s.Of > 0 && s.Value() >= y.low {
			x.take(p.madds(&p.own[i].Point))
		}
	}
	if !x.some {
		x.take(1)
		y.take(0)
		y.take(1)
	}
	right := p.width - 1.9*p.text // room for half a label
	p.x = newScale(x.low, x.high, max(1, x.high), p.pad+p.margin, right, p.xTicks)
	p.y = newScale(y.low, y.high, 1, p.height-2*p.text-26, p.top+p.dot+4, p.yTicks)
}

// A span is where values lie.
type span struct {
	low, high float64
	some      bool
}

func (s *span) take(x float64) {
	if !s.some {
		*s = span{x, x, true}
		return
	}
	s.low, s.high = min(s.low, x), max(s.high, x)
}

func (p *chart) points() {
	for i := range p.own {
		r := &p.own[i]
		s := p.shown(&r.Point)
		switch {
		case s.Of == 0:
		case !p.y.holds(s.Value()) || !p.x.holds(p.madds(&r.Point)):
			p.below++
		default:
			p.marks = append(p.marks, mark{r, p.x.at(p.madds(&r.Point)), p.y.at(s.Value())})
		}
	}
	for i, front := range p.rivals {
		var xy [][2]float64
		for j := range front {
			xy = append(xy, [2]float64{p.x.at(p.madds(&front[j].Point)), p.y.at(p.shown(&front[j].Point).Value())})
		}
		if xy = above(xy, p.y.from); len(xy) > 1 {
			p.avoid(xy)
			p.printf(`<path class="rival r%d" stroke-dasharray="%s" d="%s"/>`+"\n", i%3, dashes[i%3], path(xy))
		}
	}
	var line [][2]float64
	for _, m := range p.marks {
		if !m.front && !m.Chosen {
			continue
		}
		low, high := p.shown(&m.Point).Interval()
		from, to := p.y.at(low), p.y.at(high)
		p.printf(`<path class="bar" d="M%s %sV%s"/>`+"\n", px(m.x), px(from), px(to))
		p.taken = append(p.taken, box{m.x - 1.5, to, m.x + 1.5, from})
		if m.front {
			line = append(line, [2]float64{m.x, m.y})
		}
	}
	if len(line) > 1 {
		p.printf(`<path class="front" d="%s"/>`+"\n", path(line))
		p.avoid(line)
	}
	for _, m := range p.marks { // those that matter last, so that nothing covers them
		if !m.front && !m.special() {
			p.point(m, "other", p.dot-1)
		}
	}
	for _, m := range p.marks {
		if m.front && !m.special() {
			p.point(m, "dot", p.dot)
		}
	}
	for _, m := range p.marks {
		if m.special() {
			p.taken = append(p.taken, around(m.x, m.y, p.dot+6))
		}
	}
	for _, m := range p.marks {
		if m.Chosen {
			p.label(m)
		}
		if m.special() {
			p.sign(m)
		}
	}
}

// special points are drawn last: the input and what was chosen.
func (m mark) special() bool { return m.number == 0 || m.Chosen }

func (p *chart) point(m mark, class string, r float64) {
	p.taken = append(p.taken, around(m.x, m.y, r+1))
	p.printf(`<circle class="%s" cx="%s" cy="%s" r="%s">%s</circle>`+"\n", class, px(m.x), px(m.y), px(r), p.hover(m))
}

// hover is what viewers of a picture that stands alone show of a point.
func (p *chart) hover(m mark) string {
	if !p.titled {
		return ""
	}
	lines := []string{p.summary(m.row)}
	const most = 30
	for i, move := range m.Moves {
		if i == most {
			lines = append(lines, fmt.Sprintf("and %d more", len(m.Moves)-most))
			break
		}
		lines = append(lines, legible.Clip(legible.Line(move), 200))
	}
	return "<title>" + html.EscapeString(strings.Join(lines, "\n")) + "</title>"
}

// summary is a point in a line.
func (c *Curve) summary(r *row) string {
	s := fmt.Sprintf("%s of the multiply-adds, %s %s", percent(c.madds(&r.Point), 1), c.quality(), percentOf(c.shown(&r.Point)))
	switch {
	case r.number == 0 && r.Chosen:
		return "the input, chosen: " + s
	case r.number == 0:
		return "the input: " + s
	case r.Chosen:
		return "chosen: " + s
	}
	return s
}

// label says which point was chosen, where most is free.
func (p *chart) label(m mark) {
	lines := []string{"chosen: " + percentOf(p.shown(&m.Point)), "at " + percent(p.madds(&m.Point), 1)}
	switch {
	case m.number == 0:
		lines[1] = "the input itself"
	case p.width > narrow.width:
		lines[1] += " of the multiply-adds"
	}
	width := max(p.wide(lines[0], true), p.wide(lines[1], false)) + 6
	line := p.text + 3
	height := 2*line + 4
	at := p.free(m, width, height)
	x, y := min(max(m.x, at.left), at.right), min(max(m.y, at.top), at.bottom)
	if math.Hypot(x-m.x, y-m.y) > 26 {
		p.printf(`<path class="axis" d="M%s %sL%s %s"/>`+"\n", px(m.x), px(m.y), px(x), px(y))
	}
	p.printf(`<rect class="halo" x="%s" y="%s" width="%s" height="%s" rx="3"/>`+"\n", px(at.left), px(at.top), px(width), px(height))
	p.say(at.left+3, at.top+line-2, "start", "ink bold", p.text, lines[0])
	p.say(at.left+3, at.top+2*line-2, "start", "ink", p.text, lines[1])
}

// sign draws a special point.
func (p *chart) sign(m mark) {
	r := p.dot + 1
	if m.number == 0 {
		p.printf(`<rect class="input" x="%s" y="%s" width="%s" height="%s">%s</rect>`+"\n", px(m.x-r), px(m.y-r), px(2*r), px(2*r), p.hover(m))
	} else {
		p.printf(`<circle class="chosen" cx="%s" cy="%s" r="%s">%s</circle>`+"\n", px(m.x), px(m.y), px(r), p.hover(m))
	}
	if m.Chosen {
		p.printf(`<circle class="ring" cx="%s" cy="%s" r="%s"/>`+"\n", px(m.x), px(m.y), px(r+5))
	}
}

// free returns the place for a label of a point that covers least.
func (p *chart) free(m mark, width, height float64) (best box) {
	least := math.Inf(1)
	for distance := p.dot + 10; distance < 150; distance += 16 {
		for _, way := range [][2]float64{{0.7, 0.7}, {-0.7, 0.7}, {0, 1}, {1, 0}, {-1, 0}, {0.7, -0.7}, {-0.7, -0.7}, {0, -1}} {
			x, y := m.x+way[0]*distance, m.y+way[1]*distance
			left, top := x+(math.Round(way[0])-1)*width/2, y+(math.Round(way[1])-1)*height/2
			b := box{left, top, left + width, top + height}
			if b.left < p.x.from+2 || b.right > p.right() || b.top < p.y.to-8 || b.bottom > p.y.from-2 {
				continue
			}
			covered := 0.0
			for _, o := range p.taken {
				if area := b.overlap(o); area > 0 {
					covered += 20 + area
				}
			}
			if covered += distance / 2; covered < least {
				best, least = b, covered
			}
		}
	}
	if math.IsInf(least, 1) { // nothing fits
		left := min(max(m.x-width/2, p.x.from), p.right()-width)
		best = box{left, m.y + p.dot + 8, left + width, m.y + p.dot + 8 + height}
	}
	return best
}

// avoid keeps labels off a line.
func (p *chart) avoid(xy [][2]float64) {
	const step = 6.0
	for i, b := range xy[1:] {
		a := xy[i]
		n := int(math.Hypot(b[0]-a[0], b[1]-a[1])/step) + 1
		for k := range n {
			t := float64(k) / float64(n)
			p.taken = append(p.taken, around(a[0]+t*(b[0]-a[0]), a[1]+t*(b[1]-a[1]), step/2))
		}
	}
}

func around(x, y, r float64) box { return box{x - r, y - r, x + r, y + r} }

// wide estimates the width of a text.
func (p *chart) wide(s string, bold bool) float64 {
	each := 0.5
	if bold {
		each = 0.57
	}
	return float64(utf8.RuneCountInString(s)) * p.text * each
}

func (p *chart) say(x, y float64, anchor, class string, height float64, text string) {
	p.printf(`<text class="%s" x="%s" y="%s" text-anchor="%s" font-size="%s">%s</text>`+"\n", class, px(x), px(y), anchor, px(height), html.EscapeString(text))
}

func (p *chart) printf(format string, args ...any) { fmt.Fprintf(&p.Buffer, format, args...) }

// above returns the beginning of a falling line, up to where it leaves the plot.
func above(xy [][2]float64, bottom float64) (list [][2]float64) {
	for i, at := range xy {
		if at[1] > bottom {
			if i > 0 {
				last := xy[i-1]
				t := (bottom - last[1]) / (at[1] - last[1])
				list = append(list, [2]float64{last[0] + t*(at[0]-last[0]), bottom})
			}
			return list
		}
		list = append(list, at)
	}
	return list
}

func path(xy [][2]float64) string {
	var list []string
	for _, at := range xy {
		list = append(list, px(at[0])+" "+px(at[1]))
	}
	return "M" + strings.Join(list, "L")
}

// px writes a length in pixels.
func px(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(x, 'f', 2, 64), "0"), ".")
}
