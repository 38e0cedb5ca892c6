package draw

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/natonnx/natonnx/cellmap"
)

// Sizes of a picture, in pixels.
const (
	pageMargin  = 20.0
	pageWidth   = 1280.0 // of the panels; a wider panel gets a wider page
	titleText   = 18.0
	headText    = 14.0
	smallText   = 12.0
	lineHeight  = 19.0
	panelMargin = 14.0  // inside a panel's frame
	panelSpace  = 16.0  // between panels
	viewSpace   = 36.0  // between before and after
	headMost    = 560.0 // a panel is not made wider than this by its title
)

// Colours. Highlights are told apart by line style and box as well, and stay
// apart for colour-blind readers; all texts have a contrast of 4.5 or more.
const (
	ink       = "#1f2328"
	inkLight  = "#59636e"
	inkPale   = "#747e89"
	wireInk   = "#59636e"
	wirePale  = "#c3cad2"
	boxInk    = "#8c959f"
	boxFill   = "#f3f5f7"
	frameInk  = "#d1d9e0"
	oldInk    = "#b54708"
	freshInk  = "#0b5cad"
	inputFill = "#dfe4ea"
	white     = "#ffffff"
)

// A look is how an edge is drawn.
type look struct {
	wire   string
	width  float64
	dashed bool
	fill   string // of the label's box
	box    string // its border, or "" for none
	ink    string
	bold   bool
	struck bool
}

func lookOf(op cellmap.Op, r role) look {
	l := look{wire: wireInk, width: 1.5, dashed: op == cellmap.Null, fill: white, ink: ink}
	if op.Class() == cellmap.ClassOther {
		l.fill, l.box = boxFill, boxInk
	}
	switch {
	case r == old:
		l.wire, l.ink, l.struck = oldInk, oldInk, true
		if l.box != "" {
			l.box = oldInk
		}
	case r == fresh:
		l.wire, l.width, l.fill, l.box, l.ink, l.bold = freshInk, 2.75, freshInk, freshInk, white, true
	case r == removed:
		l.wire, l.ink, l.bold = oldInk, oldInk, true
	case op == cellmap.Null || r == idle:
		l.wire, l.ink, l.fill = wirePale, inkPale, white
		if l.box != "" {
			l.box = wirePale
		}
	}
	return l
}

// SVG draws the panels in rows, as one SVG picture with a white background.
// The same panels give the same bytes.
func SVG(w io.Writer, title string, panels []Panel) error {
	if err := checkPanels(panels); err != nil {
		return err
	}
	p := arrange(panels)
	legend := legendOf(panels)
	width := max(p.w, legend.width(legendLeast))
	top := pageMargin
	if title != "" {
		top += titleText + 14
	}
	legendTop := top + p.h + 14
	height := legendTop + legend.height(width) + pageMargin

	var b svg
	b.open(width+2*pageMargin, height, title)
	b.tag(`<rect width="%s" height="%s" fill="%s"/>`, width+2*pageMargin, height, white)
	if title != "" {
		b.text(pageMargin, pageMargin+titleText*0.8, fit(title, titleText*1.1, width), titleText, ink, `font-weight="bold"`)
	}
	for _, f := range p.frames {
		b.frame(f, pageMargin, top)
	}
	legend.draw(&b, pageMargin, legendTop, width)
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// A frame is a panel with its place on the page.
type frame struct {
	Panel
	x, y, w, h float64
	views      []placed
}

// placed is a view with its place in a panel.
type placed struct {
	view
	chart
	x, y float64
}

type page struct {
	w, h   float64
	frames []frame
}

// A style is how all panels of a picture are laid out.
type style struct {
	charts [][]chart // of each panel's views, all leading to the right or all down
	beside bool      // before and after stand side by side, not one below the other
}

// arrange lays out all panels in one style: one that fits the page's width, and
// of these the one that takes the least room.
func arrange(panels []Panel) page {
	views := make([][]view, len(panels))
	right, down := make([][]chart, len(panels)), make([][]chart, len(panels))
	for i, p := range panels {
		views[i] = p.views()
		right[i], down[i] = charts(views[i], false), charts(views[i], true)
	}
	var best page
	for i, s := range []style{{right, false}, {right, true}, {down, true}} {
		p := flow(panels, views, s)
		fits, fitted := p.w <= pageWidth, best.w <= pageWidth
		if i == 0 || fits && !fitted || fits == fitted && p.w*p.h < best.w*best.h {
			best = p
		}
	}
	return best
}

// flow puts panels in rows.
func flow(panels []Panel, views [][]view, s style) page {
	var p page
	x, y, row := 0.0, 0.0, 0
	for i, panel := range panels {
		f := newFrame(panel, views[i], s.charts[i], s.beside)
		if x > 0 && x+f.w > pageWidth {
			p.even(row)
			x, y, row = 0, p.h+panelSpace, len(p.frames)
		}
		f.x, f.y = x, y
		x += f.w + panelSpace
		p.w, p.h = max(p.w, f.x+f.w), max(p.h, f.y+f.h)
		p.frames = append(p.frames, f)
	}
	p.even(row)
	for i := range p.frames { // the last of a row takes what is left
		if i+1 == len(p.frames) || p.frames[i+1].x == 0 {
			p.frames[i].w = p.w - p.frames[i].x
		}
	}
	return p
}

// even gives all frames from the given one on the height of the row.
func (p *page) even(from int) {
	for i := from; i < len(p.frames); i++ {
		p.frames[i].h = p.h - p.frames[i].y
	}
}

// newFrame lays out a panel.
func newFrame(panel Panel, views []view, charts []chart, beside bool) frame {
	f := frame{Panel: panel}
	x, y := panelMargin, panelMargin+panel.headHeight()
	for i, c := range charts {
		v := placed{views[i], c, x, y}
		w, h := max(c.w, textWidth(v.caption+v.note, smallText)), v.headHeight()+c.h
		f.w, f.h = max(f.w, x+w+panelMargin), max(f.h, y+h+panelMargin)
		f.views = append(f.views, v)
		if beside {
			x += w + viewSpace
		} else {
			y += h + viewSpace/2
		}
	}
	head := max(textWidth(panel.Title, headText*1.1), textWidth(panel.Subtitle, smallText))
	f.w = max(f.w, min(headMost, 2*panelMargin+head))
	return f
}

// headHeight is the room that the caption takes.
func (v view) headHeight() float64 {
	if v.caption == "" {
		return 0
	}
	return lineHeight
}

func (p Panel) headHeight() (h float64) {
	if p.Title != "" {
		h += lineHeight
	}
	if p.Subtitle != "" {
		h += lineHeight
	}
	if h > 0 {
		h += 4
	}
	return h
}

// svg writes SVG text.
type svg struct{ bytes.Buffer }

// tag writes a format whose verbs are all %s; numbers come with one decimal at most.
func (b *svg) tag(format string, args ...any) {
	for i, a := range args {
		if f, ok := a.(float64); ok {
			args[i] = number(f)
		}
	}
	fmt.Fprintf(b, format+"\n", args...)
}

func number(f float64) string {
	s := strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64)
	if s == "-0" {
		return "0"
	}
	return s
}

func escape(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

func (b *svg) open(w, h float64, title string) {
	b.tag(`<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img" font-family="Helvetica, Arial, sans-serif">`,
		w, h, w, h)
	if title != "" {
		b.tag(`<title>%s</title>`, escape(clean(title)))
	}
}

func (b *svg) text(x, y float64, s string, size float64, fill, attributes string) {
	if attributes != "" {
		attributes = " " + attributes
	}
	b.tag(`<text x="%s" y="%s" font-size="%s" fill="%s"%s>%s</text>`, x, y, size, fill, attributes, escape(s))
}

func (b *svg) frame(f frame, dx, dy float64) {
	b.tag(`<g transform="translate(%s %s)">`, f.x+dx, f.y+dy)
	b.tag(`<rect x="0.5" y="0.5" width="%s" height="%s" rx="8" fill="none" stroke="%s"/>`, f.w-1, f.h-1, frameInk)
	y := panelMargin + smallText
	if f.Title != "" {
		b.text(panelMargin, y, fit(f.Title, headText*1.1, f.w-2*panelMargin), headText, ink, `font-weight="bold"`)
		y += lineHeight
	}
	if f.Subtitle != "" {
		b.text(panelMargin, y, fit(f.Subtitle, smallText, f.w-2*panelMargin), smallText, inkLight, "")
	}
	for _, v := range f.views {
		b.view(v.view, v.chart, v.x, v.y)
	}
	b.tag(`</g>`)
}

// view draws a view with its caption at x, y.
func (b *svg) view(v view, c chart, x, y float64) {
	b.tag(`<g transform="translate(%s %s)">`, x, y)
	if v.caption != "" {
		b.tag(`<text y="%s" font-size="%s" fill="%s"><tspan font-weight="bold">%s</tspan>%s</text>`,
			smallText, smallText, inkLight, v.caption, v.note)
	}
	b.tag(`<g transform="translate(0 %s)">`, v.headHeight())
	b.cell(v, c)
	b.tag(`</g></g>`)
}

func (b *svg) cell(v view, c chart) {
	edges := len(v.form.Edges)
	for i, w := range c.wires[edges:] {
		l := lookOf(cellmap.Skip, v.nodes[v.form.Concat[i]])
		b.wire(w, l)
	}
	// What matters most is drawn last, on top.
	order := make([]int, edges)
	for i := range order {
		order[i] = i
	}
	looks := make([]look, edges)
	for i, e := range v.form.Edges {
		looks[i] = lookOf(e.Op, v.edges[i])
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(importance(looks[i]), importance(looks[j])) })
	for _, i := range order {
		b.wire(c.wires[i], looks[i])
	}
	for _, i := range order {
		b.label(c.wires[i].label, v.form.Edges[i], looks[i])
	}
	for i, at := range c.nodes {
		b.node(at, i, len(c.nodes)-1, v)
	}
}

func importance(l look) int {
	switch l.wire {
	case wirePale:
		return 0
	case wireInk:
		return 1
	}
	return 2
}

func (b *svg) wire(w wire, l look) {
	dash := ""
	if l.dashed {
		dash = ` stroke-dasharray="4 4"`
	}
	b.tag(`<path d="%s" fill="none" stroke="%s" stroke-width="%s"%s/>`, w.path(), l.wire, l.width, dash)
	half := 3.5 + l.width/4
	back := polar(w.tip, -arrowLength-l.width/2, w.angle)
	dx, dy := half*math.Sin(w.angle), half*math.Cos(w.angle)
	b.tag(`<path d="M%s %sL%s %sL%s %sZ" fill="%s"/>`, w.tip.x, w.tip.y, back.x-dx, back.y+dy, back.x+dx, back.y-dy, l.wire)
}

// path writes the course of a wire; what is straight becomes one line.
func (w wire) path() string {
	var b svg
	fmt.Fprintf(&b, "M%s %s", number(w.start.x), number(w.start.y))
	here := w.start
	var pending *point
	for _, c := range w.curves {
		if level(here, c) {
			pending, here = &c.end, c.end
			continue
		}
		if pending != nil {
			fmt.Fprintf(&b, "L%s %s", number(pending.x), number(pending.y))
			pending = nil
		}
		fmt.Fprintf(&b, "C%s %s %s %s %s %s", number(c.a.x), number(c.a.y), number(c.b.x), number(c.b.y), number(c.end.x), number(c.end.y))
		here = c.end
	}
	if pending != nil {
		fmt.Fprintf(&b, "L%s %s", number(pending.x), number(pending.y))
	}
	return b.String()
}

// level reports whether a curve is a line along one axis.
func level(from point, c curve) bool {
	same := func(a, b, c, d float64) bool {
		return math.Abs(a-b) < 0.05 && math.Abs(a-c) < 0.05 && math.Abs(a-d) < 0.05
	}
	return same(from.x, c.a.x, c.b.x, c.end.x) || same(from.y, c.a.y, c.b.y, c.end.y)
}

func (b *svg) label(at rect, e cellmap.FormEdge, l look) {
	s := opLabel(e.Op)
	x, y := at.x+at.w/2, at.y+at.h/2
	w := min(at.w, textWidth(s, labelText)+2*labelPad)
	border := ""
	if l.box != "" {
		border = fmt.Sprintf(` stroke="%s"`, l.box)
	}
	b.tag(`<rect x="%s" y="%s" width="%s" height="%s" rx="4" fill="%s"%s/>`, x-w/2, at.y, w, at.h, l.fill, border)
	attributes := `text-anchor="middle"`
	if l.bold {
		attributes += ` font-weight="bold"`
	}
	if l.struck {
		attributes += ` text-decoration="line-through"`
	}
	b.text(x, y+labelText*0.35, s, labelText, l.ink, attributes)
}

func (b *svg) node(at point, i, out int, v view) {
	fill, stroke, color, name, dash := white, ink, ink, nodeName(i), ""
	switch {
	case i == out:
		fill, stroke, color, name = ink, ink, white, "out"
	case v.nodes[i] == idle:
		stroke, color, dash = wirePale, inkPale, ` stroke-dasharray="3 3"`
	case i < 2:
		fill = inputFill
	}
	b.tag(`<circle cx="%s" cy="%s" r="%s" fill="%s" stroke="%s" stroke-width="1.5"%s/>`, at.x, at.y, nodeRadius-0.75, fill, stroke, dash)
	b.text(at.x, at.y+4.5, name, 13.0, color, `text-anchor="middle" font-weight="bold"`)
}
