// Package draw makes pictures of cells: SVG, a page for browsers, and Graphviz's
// language for those who lay out their own.
package draw

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/natonnx/natonnx/cellmap"
)

// A Panel is one cell of a picture, before and after decisions. A cell whose
// After is empty or equal to Before is drawn once.
//
// Pictures show cells as Figure 3 of the NAT paper does: nodes -2 and -1 are
// the outputs of the two previous cells, nodes 0, 1, ... are sums of their two
// edges, and out is the output; edges are labelled with their operations.
type Panel struct {
	Title, Subtitle string
	Before, After   cellmap.Form
}

// maxDrawnNodes bounds a drawing: one of more nodes could not be read.
const maxDrawnNodes = 48

func checkPanels(panels []Panel) error {
	for i, p := range panels {
		forms := []cellmap.Form{p.Before}
		if len(p.After.Edges) > 0 {
			forms = append(forms, p.After)
		}
		for _, f := range forms {
			if err := f.Validate(); err != nil {
				return fmt.Errorf("panel %d (%s): %w", i, p.Title, err)
			}
			if n := len(f.Edges) / 2; n > maxDrawnNodes {
				return fmt.Errorf("panel %d (%s): a cell of %d nodes: want at most %d to draw it", i, p.Title, n, maxDrawnNodes)
			}
		}
	}
	return nil
}

// role is what a picture tells of an edge or a node, apart from its operation.
type role uint8

const (
	plain   role = iota
	idle         // it carries nothing to the output
	old          // before: a decision changes it
	fresh        // after: a new operation
	removed      // after: newly null
)

// A view is one cell, ready to be drawn.
type view struct {
	caption string // "Before", "After", "Unchanged" or nothing
	note    string // after the caption
	form    cellmap.Form
	edges   []role // of form.Edges
	nodes   []role // plain or idle, for nodes 0, 1, ...
}

func (p Panel) views() []view {
	if len(p.After.Edges) == 0 {
		return []view{newView(p.Before)}
	}
	if p.Before.Equal(p.After) {
		v := newView(p.Before)
		v.caption = "Unchanged"
		return []view{v}
	}
	before, after := newView(p.Before), newView(likewise(p.Before, p.After))
	for i, e := range before.form.Edges {
		if i >= len(after.form.Edges) || !e.Same(after.form.Edges[i]) {
			before.edges[i] = old
		}
	}
	changed := 0
	for i, e := range after.form.Edges {
		if i < len(before.form.Edges) && e.Same(before.form.Edges[i]) {
			continue
		}
		changed++
		after.edges[i] = fresh
		if e.Op == cellmap.Null {
			after.edges[i] = removed
		}
	}
	before.caption, after.caption = "Before", "After"
	after.note = fmt.Sprintf(": %d of %d edges changed", changed, len(after.form.Edges))
	return []view{before, after}
}

// likewise returns g with the edges of each node in the order that fits f best.
func likewise(f, g cellmap.Form) cellmap.Form {
	g.Edges = slices.Clone(g.Edges)
	fit := func(a, b cellmap.FormEdge) int {
		switch {
		case a.Same(b):
			return 3
		case a.From == b.From:
			return 2
		}
		return 0
	}
	for i := 0; i+1 < min(len(f.Edges), len(g.Edges)); i += 2 {
		a, b, c, d := f.Edges[i], f.Edges[i+1], g.Edges[i], g.Edges[i+1]
		if fit(a, d)+fit(b, c) > fit(a, c)+fit(b, d) {
			g.Edges[i], g.Edges[i+1] = d, c
		}
	}
	return g
}

// newView finds what carries a signal: what is reached from an input, and
// reaches the output, by edges that are not null.
func newView(f cellmap.Form) view {
	n := len(f.Edges)/2 + 2
	live, used := make([]bool, n), make([]bool, n)
	live[0], live[1] = true, true
	for _, e := range f.Edges {
		live[e.To] = live[e.To] || e.Op != cellmap.Null && live[e.From]
	}
	for _, c := range f.Concat {
		used[c] = true
	}
	for i := len(f.Edges) - 1; i >= 0; i-- {
		e := f.Edges[i]
		used[e.From] = used[e.From] || e.Op != cellmap.Null && used[e.To]
	}
	v := view{form: f, edges: make([]role, len(f.Edges)), nodes: make([]role, n)}
	for i := range v.nodes {
		if !live[i] || !used[i] {
			v.nodes[i] = idle
		}
	}
	for i, e := range f.Edges {
		if !live[e.From] || !used[e.To] {
			v.edges[i] = idle
		}
	}
	return v
}

// nodeName returns the name of node i of a form in pictures.
func nodeName(i int) string { return strconv.Itoa(i - 2) }

// opLabel returns the label of an operation in pictures.
func opLabel(op cellmap.Op) string {
	if op == cellmap.Skip {
		return "skip"
	}
	return string(op)
}

// textWidth estimates the width of a text in pixels, on the safe side: the
// widths are those of DejaVu Sans, the widest of the usual sans-serif fonts.
func textWidth(s string, size float64) float64 {
	sum := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("ijlI.,:;'|!", r):
			sum += 0.34
		case strings.ContainsRune("frt-() /", r):
			sum += 0.41
		case strings.ContainsRune("mwMW%@", r):
			sum += 0.99
		case r >= 'A' && r <= 'Z':
			sum += 0.73
		case r == '_' || strings.ContainsRune("scz", r):
			sum += 0.55
		case r < 0x500:
			sum += 0.64
		default:
			sum += 1.1
		}
	}
	return sum * size
}

// clean returns a text as one line of printable characters.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

// fit cuts a text to a width.
func fit(s string, size, width float64) string {
	s = clean(s)
	if textWidth(s, size) <= width {
		return s
	}
	width -= textWidth("…", size)
	end := 0
	for i, r := range s {
		if width -= textWidth(string(r), size); width < 0 {
			break
		}
		end = i + len(string(r))
	}
	return s[:end] + "…"
}

// links returns the edges of all views as they are to be laid out: views of one
// topology get one layout, so that only what changed differs.
func links(views ...view) []link {
	f := views[0].form
	out := len(f.Edges)/2 + 2
	var all []link
	for i, e := range f.Edges {
		l := link{from: e.From, to: e.To, weight: int(e.Op.Class()) + 1}
		for _, v := range views {
			l.label = max(l.label, textWidth(opLabel(v.form.Edges[i].Op), labelText)+2*labelPad)
		}
		all = append(all, l)
	}
	for _, c := range f.Concat {
		all = append(all, link{from: c, to: out, weight: 2})
	}
	return all
}

// charts lays out the views of a panel.
func charts(views []view, vertical bool) []chart {
	n := func(v view) int { return len(v.form.Edges)/2 + 3 }
	if len(views) == 2 && sameTopology(views[0].form, views[1].form) {
		c := plan(n(views[0]), links(views...), vertical)
		return []chart{c, c}
	}
	var all []chart
	for _, v := range views {
		all = append(all, plan(n(v), links(v), vertical))
	}
	return all
}

func sameTopology(f, g cellmap.Form) bool {
	return slices.Equal(f.Concat, g.Concat) && slices.EqualFunc(f.Edges, g.Edges, func(a, b cellmap.FormEdge) bool {
		return a.From == b.From && a.To == b.To
	})
}
