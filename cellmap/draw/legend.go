package draw

import "github.com/natonnx/natonnx/cellmap"

// A legend explains what the panels show, and nothing else.
type legend struct{ items []legendItem }

type legendItem struct {
	op   cellmap.Op
	role role
	node string // in place of an edge
	text string
}

const (
	legendRow    = 24.0
	legendNode   = 22.0  // of a node
	legendSample = 104.0 // width of the sample of an edge
	legendLeast  = 640.0 // width on narrow pages
	legendSpace  = 22.0
)

func legendOf(panels []Panel) legend {
	type kind struct {
		class cellmap.Class
		role  role
	}
	seen := map[kind]bool{}
	for _, p := range panels {
		for _, v := range p.views() {
			for i, e := range v.form.Edges {
				k := kind{e.Op.Class(), v.edges[i]}
				if k.role != plain {
					k.class = 0
				}
				seen[k] = true
			}
		}
	}
	var l legend
	add := func(class cellmap.Class, r role, op cellmap.Op, text string) {
		if seen[kind{class, r}] {
			l.items = append(l.items, legendItem{op: op, role: r, text: text})
		}
	}
	add(cellmap.ClassOther, plain, "conv_3x3", "operation")
	add(cellmap.ClassSkip, plain, cellmap.Skip, "identity")
	add(cellmap.ClassNull, plain, cellmap.Null, "no connection")
	add(0, old, "conv_3x3", "changes")
	add(0, fresh, cellmap.Skip, "new")
	add(0, removed, cellmap.Null, "removed")
	add(0, idle, "conv_3x3", "does not reach the output")
	l.items = append(l.items,
		legendItem{node: "-2", text: "output of cell k-2"},
		legendItem{node: "-1", text: "output of cell k-1"},
		legendItem{node: "0", text: "sum of its two edges"})
	return l
}

func (i legendItem) sampleWidth() float64 {
	if i.node != "" {
		return legendNode
	}
	return legendSample
}

func (i legendItem) width() float64 { return i.sampleWidth() + 8 + textWidth(i.text, smallText) }

// sample draws the edge or the node that the item explains.
func (i legendItem) sample(b *svg) {
	mid := legendRow / 2
	if i.node != "" {
		r := legendNode / 2
		fill := white
		if i.node != nodeName(2) {
			fill = inputFill
		}
		b.tag(`<circle cx="%s" cy="%s" r="%s" fill="%s" stroke="%s" stroke-width="1.5"/>`, r, mid, r-0.75, fill, ink)
		b.text(r, mid+4, i.node, 11.0, ink, `text-anchor="middle" font-weight="bold"`)
		return
	}
	look := lookOf(i.op, i.role)
	end := point{legendSample - arrowLength, mid}
	b.wire(wire{start: point{0, mid}, curves: []curve{{point{0, mid}, end, end}}, tip: point{legendSample, mid}}, look)
	w := textWidth(opLabel(i.op), labelText) + 2*labelPad
	b.label(rect{(end.x - w) / 2, mid - labelHeight/2, w, labelHeight}, cellmap.FormEdge{Op: i.op}, look)
}

// width is that of the legend in one row, and height that in a given width.
func (l legend) width(limit float64) float64 {
	x, widest := 0.0, 0.0
	l.each(limit, func(i legendItem, x0, _ float64) { x = x0 + i.width(); widest = max(widest, x) })
	return widest
}

func (l legend) height(width float64) float64 {
	h := 0.0
	l.each(width, func(_ legendItem, _, y float64) { h = y + legendRow })
	return h
}

func (l legend) each(width float64, f func(i legendItem, x, y float64)) {
	x, y := 0.0, 0.0
	for _, i := range l.items {
		w := i.width()
		if x > 0 && x+w > width {
			x, y = 0, y+legendRow
		}
		f(i, x, y)
		x += w + legendSpace
	}
}

func (l legend) draw(b *svg, dx, dy, width float64) {
	l.each(width, func(i legendItem, x, y float64) {
		b.tag(`<g transform="translate(%s %s)">`, dx+x, dy+y)
		i.sample(b)
		b.text(i.sampleWidth()+8, legendRow/2+4, i.text, smallText, inkLight, "")
		b.tag(`</g>`)
	})
}
