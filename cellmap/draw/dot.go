package draw

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
)

// DOT writes the panels as a graph for Graphviz: a cluster for each cell,
// before and after.
func DOT(w io.Writer, title string, panels []Panel) error {
	if err := checkPanels(panels); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("digraph cells {\n")
	fmt.Fprintf(&b, "\tgraph [rankdir=LR, labelloc=t, fontname=Helvetica, label=%s]\n", dotQuote(title))
	b.WriteString("\tnode [shape=circle, width=0.45, fixedsize=true, fontname=\"Helvetica-Bold\", fontsize=12]\n")
	b.WriteString("\tedge [fontname=Helvetica, fontsize=11]\n")
	// Graphviz stacks the clusters of such a graph from the bottom to the top.
	for i, p := range slices.Backward(panels) {
		for j, v := range slices.Backward(p.views()) {
			dotCell(&b, fmt.Sprintf("p%d_%d", i, j), dotTitle(p, v), v)
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func dotTitle(p Panel, v view) string {
	var parts []string
	for _, s := range []string{p.Title, p.Subtitle, v.caption + v.note} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// dotCell writes one cell; id makes its names unique.
func dotCell(b *strings.Builder, id, title string, v view) {
	fmt.Fprintf(b, "\tsubgraph cluster_%s {\n\t\tgraph [label=%s, color=%q]\n", id, dotQuote(title), frameInk)
	for i, r := range v.nodes {
		style := ""
		switch {
		case r == idle:
			style = fmt.Sprintf(", style=dashed, color=%q, fontcolor=%q", wirePale, inkPale)
		case i < 2:
			style = fmt.Sprintf(", style=filled, fillcolor=%q", inputFill)
		}
		fmt.Fprintf(b, "\t\t%s_n%d [label=%q%s]\n", id, i, nodeName(i), style)
	}
	fmt.Fprintf(b, "\t\t%s_out [label=out, style=filled, fillcolor=%q, fontcolor=%q]\n", id, ink, white)
	for i, e := range v.form.Edges {
		l := lookOf(e.Op, v.edges[i])
		style := "solid"
		if l.dashed {
			style = "dashed"
		}
		text := l.ink
		if v.edges[i] == fresh {
			text = l.wire
		}
		fmt.Fprintf(b, "\t\t%s_n%d -> %s_n%d [label=%q, style=%s, penwidth=%s, color=%q, fontcolor=%q]\n",
			id, e.From, id, e.To, opLabel(e.Op), style, number(l.width), l.wire, text)
	}
	for _, c := range v.form.Concat {
		fmt.Fprintf(b, "\t\t%s_n%d -> %s_out [color=%q]\n", id, c, id, lookOf(cellmap.Skip, v.nodes[c]).wire)
	}
	b.WriteString("\t}\n")
}

// dotQuote makes any text a quoted string of the DOT language.
func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean(s)) + `"`
}
