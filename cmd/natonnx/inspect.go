package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/urfave/cli/v2"
)

func (t *tool) inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "check a network fully, and show what it is and what it costs",
		ArgsUsage: "IN",
		Description: "Checks the whole model: an invalid one ends with exit code 3 and one line that says where and why; " +
			"-v lists everything that is wrong. Of a valid one, -v also shows what each node costs.",
		Action: t.inspect,
	}
}

// A countFact is how often something occurs.
type countFact struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// An inspectFact is what inspect prints.
type inspectFact struct {
	Schema          schemaV1      `json:"schema_version"`
	Version         string        `json:"natonnx_version"`
	Input           string        `json:"input"`
	Valid           bool          `json:"valid"`
	Problems        []problemFact `json:"problems"`
	IRVersion       int64         `json:"ir_version"`
	Opsets          []opsetFact   `json:"opsets"`
	Producer        string        `json:"producer"`
	ProducerVersion string        `json:"producer_version"`
	Graph           string        `json:"graph"`
	Inputs          []valueFact   `json:"inputs"`
	Outputs         []valueFact   `json:"outputs"`
	Operators       []countFact   `json:"operators"` // most frequent first
	Functions       int           `json:"functions"`
	Metadata        []entryFact   `json:"metadata"`
	Cost            *costFact     `json:"cost"`
	NodeCosts       []nodeFact    `json:"node_costs,omitempty"` // with -v
	Cells           []cellFact    `json:"cells"`
	NoCells         []placeFact   `json:"not_cells"`
}

type problemFact struct {
	At     string `json:"at"`
	Reason string `json:"reason"`
}

type opsetFact struct {
	Domain  string `json:"domain"`
	Version int64  `json:"version"`
}

type entryFact struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type nodeFact struct {
	Index           int    `json:"index"`
	Name            string `json:"name"`
	Operator        string `json:"operator"`
	Params          int64  `json:"params"`
	MultiplyAdds    int64  `json:"multiply_adds"`
	Elementwise     int64  `json:"elementwise"`
	ActivationBytes int64  `json:"activation_bytes"`
}

// newInspectFact has empty lists, so that readers of the JSON meet no null.
func newInspectFact(path string) inspectFact {
	return inspectFact{
		Version: version, Input: path, Problems: []problemFact{}, Opsets: []opsetFact{}, Inputs: []valueFact{}, Outputs: []valueFact{},
		Operators: []countFact{}, Metadata: []entryFact{}, Cells: []cellFact{}, NoCells: []placeFact{},
	}
}

func (t *tool) inspect(c *cli.Context) error {
	args, err := arguments(c, 1)
	if err != nil {
		return err
	}
	m, err := t.open(c.Context, args[0])
	if err != nil {
		return t.invalid(args[0], m, err)
	}
	cells := cellmap.Lift(m)
	cost := m.Cost(cells.Types)
	if t.json {
		return t.writeJSON(inspected(args[0], m, cells, cost, t.verbose))
	}
	if t.quiet {
		return nil
	}
	p := t.page()
	p.model(args[0], m)
	p.modelCost(m, cost)
	p.cells(cells)
	noCells(p, cells.Refused)
	if t.verbose {
		p.nodeCosts(m, cost)
	}
	return nil
}

// invalid says what is wrong with a model, in full where that is asked for.
func (t *tool) invalid(path string, m *onnxgraph.Model, err error) error {
	f := invalidFact(path, m, err)
	if f == nil {
		return err // not about the model
	}
	var list *onnxgraph.InvalidError
	switch {
	case t.json:
		return errors.Join(err, t.writeJSON(f))
	case t.verbose && errors.As(err, &list):
		p := t.page()
		p.text(0, "%s", legible.Plural(len(f.Problems), "problem"))
		for _, problem := range list.Problems {
			p.text(2, "%s", problem)
		}
	}
	return err
}

// invalidFact lists what is wrong with a model; m is nil where it is not readable.
// nil: the error is not about the model.
func invalidFact(path string, m *onnxgraph.Model, err error) *inspectFact {
	var list *onnxgraph.InvalidError
	var format *onnxgraph.FormatError
	f := newInspectFact(path)
	switch {
	case errors.As(err, &list):
		for _, p := range list.Problems {
			f.Problems = append(f.Problems, problemFact{p.At, p.Msg})
		}
	case errors.As(err, &format):
		f.Problems = append(f.Problems, problemFact{format.At, format.Msg})
	default:
		return nil
	}
	if m != nil {
		f.header(m)
	}
	return &f
}

func (f *inspectFact) header(m *onnxgraph.Model) {
	f.IRVersion, f.Producer, f.ProducerVersion, f.Graph, f.Functions = m.IRVersion, m.Producer, m.ProducerVersion, m.Graph.Name, len(m.Functions)
	for _, o := range m.Opsets {
		f.Opsets = append(f.Opsets, opsetFact{o.Domain, o.Version})
	}
	for _, v := range m.Graph.RealInputs() {
		f.Inputs = append(f.Inputs, newValueFact(v.Name, v.Type))
	}
	for _, v := range m.Graph.Outputs {
		f.Outputs = append(f.Outputs, newValueFact(v.Name, v.Type))
	}
	for _, p := range m.Metadata {
		f.Metadata = append(f.Metadata, entryFact{p.Key, p.Value})
	}
	f.Operators = operatorCounts(m.Graph)
}

func inspected(path string, m *onnxgraph.Model, cells *cellmap.Map, cost *onnxgraph.Cost, nodes bool) inspectFact {
	f := newInspectFact(path)
	f.Valid, f.NoCells = true, placeFacts(cells.Refused)
	f.header(m)
	total := newCostFact(m, cost)
	f.Cost = &total
	for _, c := range cells.Cells {
		f.Cells = append(f.Cells, newCellFact(cells, c))
	}
	if nodes {
		for _, n := range cost.Nodes {
			f.NodeCosts = append(f.NodeCosts, nodeFact{n.Node.Index, n.Node.Name, qualified(n.Node), n.Params, n.MAdds, n.Elementwise, n.Activation})
		}
	}
	return f
}

// operatorCounts counts the operators of a graph, most frequent first.
func operatorCounts(g *onnxgraph.Graph) []countFact {
	at := map[string]int{}
	list := []countFact{}
	for _, n := range g.Nodes {
		op := qualified(n)
		if _, ok := at[op]; !ok {
			at[op] = len(list)
			list = append(list, countFact{Name: op})
		}
		list[at[op]].Count++
	}
	slices.SortStableFunc(list, func(a, b countFact) int { return cmp.Compare(b.Count, a.Count) })
	return list
}

// model prints what a model says of itself.
func (p *page) model(path string, m *onnxgraph.Model) {
	p.text(0, "%s: a valid ONNX model", path)
	var terms, meanings []string
	row := func(term, format string, args ...any) {
		terms, meanings = append(terms, term), append(meanings, clean(fmt.Sprintf(format, args...)))
	}
	row("opset", "%s", opsets(m))
	row("IR version", "%d", m.IRVersion)
	if m.Producer != "" {
		row("producer", "%s", strings.TrimSpace(m.Producer+" "+m.ProducerVersion))
	}
	for _, v := range m.Graph.RealInputs() {
		row("input", "%s", valueText(v))
	}
	for _, v := range m.Graph.Outputs {
		row("output", "%s", valueText(v))
	}
	var ops []string
	for _, c := range operatorCounts(m.Graph) {
		ops = append(ops, fmt.Sprintf("%d %s", c.Count, c.Name))
	}
	row("operators", "%s", strings.Join(ops, ", "))
	if n := len(m.Functions); n > 0 {
		row("functions", "%d, kept as they are", n)
	}
	for _, e := range m.Metadata {
		row("metadata", "%s = %s", e.Key, legible.Clip(e.Value, 200))
	}
	p.terms(terms, meanings)
}

func opsets(m *onnxgraph.Model) string {
	var list []string
	for _, o := range m.Opsets {
		s := fmt.Sprint(o.Version)
		if o.Domain != "" && o.Domain != "ai.onnx" {
			s = o.Domain + " " + s
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func valueText(v *onnxgraph.Value) string {
	if v.Type.Kind != "tensor" {
		return v.Name + ": " + v.Type.Kind
	}
	return fmt.Sprintf("%s: %v %v", v.Name, v.Type.Elem, v.Type.Shape)
}

func (p *page) modelCost(m *onnxgraph.Model, c *onnxgraph.Cost) {
	f := newCostFact(m, c)
	p.heading("cost")
	p.terms([]string{"parameters", "multiply-adds", "element-wise", "activation memory", "nodes", "file size"},
		[]string{amount(f.Params), amount(f.MultiplyAdds), amount(f.Elementwise), size(f.ActivationBytes), amount(int64(f.Nodes)), size(f.FileBytes)})
	costNotes(p, m, c)
}

// cells prints the cells by kind: 8 residual: 5 identity, 3 projection.
func (p *page) cells(m *cellmap.Map) {
	p.heading("%s of %s", legible.Plural(len(m.Cells), "cell"), legible.Plural(len(m.CellTypes), "type"))
	type kind struct {
		count     int
		shortcuts []countFact
	}
	kinds, order := map[cellmap.Kind]*kind{}, []cellmap.Kind{}
	for _, c := range m.Cells {
		k := kinds[c.Kind]
		if k == nil {
			k = &kind{}
			kinds[c.Kind], order = k, append(order, c.Kind)
		}
		k.count++
		i := slices.IndexFunc(k.shortcuts, func(s countFact) bool { return s.Name == string(c.Shortcut) })
		if i < 0 {
			i, k.shortcuts = len(k.shortcuts), append(k.shortcuts, countFact{Name: string(c.Shortcut)})
		}
		k.shortcuts[i].Count++
	}
	for _, name := range order {
		k := kinds[name]
		var parts []string
		for _, s := range k.shortcuts {
			parts = append(parts, fmt.Sprintf("%d %s", s.Count, cmp.Or(s.Name, "without shortcut")))
		}
		if len(parts) == 1 && k.shortcuts[0].Name == "" {
			parts = nil
		}
		p.text(2, "%s", strings.TrimSuffix(legible.Plural(k.count, string(name)+" block")+": "+strings.Join(parts, ", "), ": "))
	}
}

func (p *page) nodeCosts(m *onnxgraph.Model, c *onnxgraph.Cost) {
	p.heading("nodes")
	t := &table{indent: 2, numbers: []bool{true, false, false, true, true, true}, optional: 2}
	t.add("", "operator", "name", "params", "madds", "output")
	for _, n := range c.Nodes {
		t.add(fmt.Sprint(n.Node.Index), qualified(n.Node), n.Node.Name, amount(n.Params), amount(n.MAdds), size(n.Activation))
	}
	p.table(t)
}
