package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
)

// preamble says how decisions were made.
func (d *decision) preamble(p *page, detail bool) {
	other := "compress would need data: pictures, with labels or without"
	if d.effect.data != nil {
		other = "the data only measure the result, and compress would use them"
	}
	p.text(0, "mode: redesign, %s; %s", d.mode, other)
	if d.opt.Policy == nil {
		p.text(0, "policy: none, so nothing is decided")
		return
	}
	p.text(0, "policy: %s (rules %s, %s, seed %d, per %s)", d.policy, d.opt.Rules.Name, legible.Plural(d.opt.Samples, "sample"), d.opt.Seed, d.per())
	if detail {
		p.text(0, "tried: %s, until one kept the bounds; log-probability %.3f", legible.Plural(d.Tried, "candidate"), d.LogProb)
	}
}

// A group is cells that have the same to be said of them.
type group struct {
	title string
	cells []string
	lines []string
}

// grouped sorts cells into groups by a key, in order of appearance.
type grouped struct {
	list []*group
	at   map[string]*group
}

func (g *grouped) get(key string) *group {
	if g.at == nil {
		g.at = map[string]*group{}
	}
	if g.at[key] == nil {
		g.at[key] = &group{}
		g.list = append(g.list, g.at[key])
	}
	return g.at[key]
}

// kindOf names the kind of a cell.
func kindOf(c *cellmap.Cell) string {
	if c.Shortcut == cellmap.NoShortcut {
		return string(c.Kind)
	}
	return string(c.Kind) + ", " + string(c.Shortcut) + " shortcut"
}

// changes prints the moves, once for all cells that make the same ones.
func (d *decision) changes(p *page) {
	var groups grouped
	moves := d.movesByCell()
	alike := map[*group][][]transformer.PlannedMove{} // line by line, of all cells
	for _, c := range d.Map.Cells {
		if len(moves[c]) == 0 {
			continue
		}
		g := groups.get(c.Type.Name + fmt.Sprint(d.arrows(moves[c])))
		g.title, g.lines = kindOf(c), d.arrows(moves[c])
		g.cells = append(g.cells, c.Name)
		if alike[g] == nil {
			alike[g] = make([][]transformer.PlannedMove, len(g.lines))
		}
		for i, m := range moves[c] {
			alike[g][i] = append(alike[g][i], m)
		}
	}
	p.heading("changed")
	for _, g := range groups.list {
		p.text(2, "%s ×%d: %s", g.title, len(g.cells), strings.Join(g.cells, ", "))
		for i, line := range g.lines {
			p.text(4, "%s%s", line, inherits(alike[g][i]))
		}
	}
	var madds, params int64
	kinds := false
	for _, m := range d.Moves {
		madds, params = madds+m.MAdds, params+m.Params
		kinds = kinds || m.To.Class() == cellmap.ClassOther
	}
	switch {
	case madds <= 0 && params <= 0:
	case kinds:
		p.text(2, "the operations that went or changed had %s multiply-adds and %s parameters more than what is in their place", amount(madds), amount(params))
	default:
		p.text(2, "the operations that went had %s multiply-adds and %s parameters", amount(madds), amount(params))
	}
	d.legacies(p)
}

// inherits says how much of an operation new weights take over, in one cell or several.
func inherits(moves []transformer.PlannedMove) string {
	low, high := 1.0, 0.0
	for _, m := range moves {
		if m.Inherited == nil {
			return ""
		}
		low, high = min(low, *m.Inherited), max(high, *m.Inherited)
	}
	from, to := fmt.Sprintf("%.1f", 100*low), fmt.Sprintf("%.1f", 100*high)
	if from == to {
		return ", inherits " + from + " %"
	}
	return ", inherits " + from + " to " + to + " %"
}

// legacies explains what it is to inherit, where there was something.
func (d *decision) legacies(p *page) {
	if slices.ContainsFunc(d.Moves, func(m transformer.PlannedMove) bool { return m.Inherited != nil }) {
		p.text(2, "inherited: how much of its output, in the mean square, an operation keeps by the weights that its new kind got from the old ones, for images whose neighbouring pixels are alike")
	}
}

func (d *decision) movesByCell() map[*cellmap.Cell][]transformer.PlannedMove {
	moves := map[*cellmap.Cell][]transformer.PlannedMove{}
	for _, m := range d.Moves {
		moves[m.Cell] = append(moves[m.Cell], m)
	}
	return moves
}

func (d *decision) arrows(moves []transformer.PlannedMove) (lines []string) {
	for _, m := range moves {
		lines = append(lines, d.arrow(m.Move))
	}
	return lines
}

// arrow writes a move: the node, the operation and where it comes from, and
// what becomes of it.
func (d *decision) arrow(m cellmap.Move) string {
	if d.gated(m) {
		return wanted(m) + ", gated by zeros"
	}
	return wanted(m)
}

// wanted writes a move that need not be possible.
func wanted(m cellmap.Move) string {
	return fmt.Sprintf("node %d: %s from %d -> %s", cellmap.Label(m.Edge.Node), opName(m.Old().Op), cellmap.Label(m.Old().From), opName(m.To))
}

func opName(op cellmap.Op) string {
	if op == cellmap.Skip {
		return "skip"
	}
	return string(op)
}

// refusals prints the moves that the policy wanted and the network does not
// allow, by the reason.
func (d *decision) refusals(p *page) {
	var groups grouped
	for _, m := range d.Refused {
		g := groups.get(m.Reason)
		g.title = m.Reason
		g.lines = append(g.lines, wanted(m.Move))
		if last := len(g.cells) - 1; last < 0 || g.cells[last] != m.Cell.Name {
			g.cells = append(g.cells, m.Cell.Name)
		}
	}
	if len(groups.list) == 0 {
		return
	}
	p.heading("not possible, though the policy wanted it: %s", legible.Plural(len(d.Refused), "move"))
	for _, g := range groups.list {
		p.text(2, "%s in %s: %s", legible.Plural(len(g.lines), "move"), strings.Join(g.cells, ", "), g.title)
	}
}

// noCells prints the stretches of the network that are no cells.
func noCells(p *page, refused []cellmap.Refusal) {
	var groups grouped
	for _, r := range refused {
		g := groups.get(r.Reason)
		g.title = r.Reason
		g.cells = append(g.cells, r.Where)
	}
	if len(groups.list) == 0 {
		return
	}
	p.heading("not cells")
	for _, g := range groups.list {
		where := g.cells[0]
		if n := len(g.cells) - 1; n > 0 {
			where += fmt.Sprintf(" and %s", legible.Plural(n, "more place"))
		}
		p.text(2, "%s: %s", where, g.title)
	}
}

// costs prints what the network cost before and after.
func (d *decision) costs(p *page) {
	p.heading("cost")
	p.table(costTable(newCostFact(d.Map.Model, d.Before), newCostFact(d.Result, d.After)))
	costNotes(p, d.Map.Model, d.Before)
}

// costTable compares two costs.
func costTable(before, after costFact) *table {
	t := &table{indent: 2, numbers: []bool{false, true, true, true}, optional: 1}
	t.add("", "before", "after", "change")
	for _, row := range []struct {
		name          string
		before, after int64
		write         func(int64) string
	}{
		{"parameters", before.Params, after.Params, amount},
		{"multiply-adds", before.MultiplyAdds, after.MultiplyAdds, amount},
		{"element-wise", before.Elementwise, after.Elementwise, amount},
		{"activation memory", before.ActivationBytes, after.ActivationBytes, size},
		{"nodes", int64(before.Nodes), int64(after.Nodes), amount},
		{"file size", before.FileBytes, after.FileBytes, size},
	} {
		t.add(row.name, row.write(row.before), row.write(row.after), change(row.before, row.after))
	}
	return t
}

// costNotes prints what the cost leaves out.
func costNotes(p *page, m *onnxgraph.Model, c *onnxgraph.Cost) {
	if c.BatchAssumed {
		p.text(2, "the batch is symbolic and counted as 1")
	}
	if n := len(c.Unknown); n > 0 {
		p.text(2, "left out, as their cost is unknown: %s (%s)", legible.Plural(n, "node"), strings.Join(operators(c.Unknown), ", "))
	}
	if hasExternalData(m) {
		p.text(2, "the file size leaves out external data")
	}
}

// operators lists the operators of nodes, each once, in order of appearance.
func operators(nodes []*onnxgraph.Node) (list []string) {
	seen := map[string]bool{}
	for _, n := range nodes {
		if op := qualified(n); !seen[op] {
			seen[op] = true
			list = append(list, op)
		}
	}
	return list
}

// qualified is the name of a node's operator, with its domain if it is not ONNX's.
func qualified(n *onnxgraph.Node) string {
	if n.Domain == "" {
		return n.OpType
	}
	return n.Domain + "::" + n.OpType
}

func hasExternalData(m *onnxgraph.Model) bool {
	for _, t := range m.Graph.Initializers {
		if t.External != nil {
			return true
		}
	}
	return false
}

// nothing prints why no move was made.
func (d *decision) nothing(p *page) { p.heading("nothing to do: %s", d.whyNothing()) }

func (d *decision) whyNothing() string {
	switch {
	case d.opt.Policy == nil:
		return "no policy decides"
	case len(d.Map.Cells) == 0:
		return "no cells were found"
	case len(d.Refused) > 0:
		return "what the policy wants is not possible"
	}
	return "the policy prefers the network as it is"
}

// verdict prints what the change means for whoever uses the network.
func (d *decision) verdict(p *page) {
	d.effect.print(p)
	switch d.retrain() {
	case "required":
		p.text(0, "retraining: required; the network computes something else now")
	case "optional":
		p.text(0, "retraining: optional; the new skips are gated by zeros, so the network computes what it did until training opens them")
	}
}
