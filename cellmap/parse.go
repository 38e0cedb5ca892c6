package cellmap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// entryNode is the cell node that stands for the block's input while parsing.
const entryNode = 1

// minNodes is how many intermediate nodes a cell has at least: NAT's cells have
// four, and blocks of fewer operations begin with a skip from node 1, as the
// published VGG and ResBlock do.
const minNodes = 4

// A term is what a value inside a block means while the block is parsed:
// a node of the cell, or an edge whose target is not yet known.
type term struct {
	node int   // index of the node, for a node's value
	edge *Edge // not nil: an open edge
}

// parser turns the operators of one block into the nodes of a cell.
type parser struct {
	*lifter
	cell  *Cell
	terms map[string]term
	// head is the node that the block's operations see as its input: node 1, or
	// its sum with a skip that an earlier lowering added.
	head int
}

// parse reads a single-entry single-exit stretch of the network as a cell, or
// says why it is none. The nodes are in topological order. Without a kind, the
// kind is read off the structure.
func (l *lifter) parse(kind Kind, in, out string, nodes []*onnxgraph.Node) (*Cell, error) {
	p := &parser{lifter: l, cell: &Cell{Kind: kind, Inputs: [2]string{"", in}, Output: out},
		terms: map[string]term{in: {node: entryNode}}, head: entryNode}
	if k := len(l.out.Cells); k > 0 { // node 0, for skips that were added before
		if _, same := p.terms[l.out.Cells[k-1].Inputs[1]]; !same {
			p.terms[l.out.Cells[k-1].Inputs[1]] = term{node: 0}
		}
	}
	for _, n := range nodes {
		if err := p.read(n); err != nil {
			return nil, err
		}
	}
	last, err := p.node(out)
	if err != nil {
		return nil, err
	}
	c := p.cell
	if c.Concat == nil {
		c.Concat = []int{last}
	}
	if kind == InvertedResidual {
		c.close()
	}
	if kind == "" {
		c.classify(p.head)
	}
	if len(c.Nodes) < minNodes && p.head == entryNode {
		c.insertEntry()
	}
	return c, nil
}

// classify names a branching block by its closing node.
func (c *Cell) classify(head int) {
	if c.Join != nil {
		c.Kind = Concatenation
		return
	}
	c.Kind = Residual
	for _, n := range c.Nodes {
		for _, e := range n.Edges {
			if e.Op.Family() == DWConv {
				c.Kind = InvertedResidual
			}
		}
	}
	for _, e := range c.Nodes[len(c.Nodes)-1].Edges {
		switch {
		case e.Op == Skip && e.From == head:
			c.Shortcut = Identity
		case e.Op != Null && e.From == head:
			c.Shortcut = Projection
		}
	}
}

// read takes in one operator.
func (p *parser) read(n *onnxgraph.Node) error {
	fail := func(reason string) error { return Refusal{Where: n.String(), Reason: reason} }
	if p.cell.Join != nil {
		return fail("stands behind the concatenation that ends the block")
	}
	switch p.roleOf(n) {
	case rolePad:
		return p.readPad(n)
	case roleOp:
		return p.readOp(n)
	case roleAffine:
		return p.readAffine(n)
	case roleAct:
		return p.readAct(n)
	case rolePass:
		t, ok := p.terms[n.Input(0)]
		if !ok {
			return fail("reads a value from outside the block")
		}
		if t.edge != nil { // the value keeps its single reader
			t.edge.Nodes, t.edge.Value = append(t.edge.Nodes, n), n.Outputs[0]
		} else {
			p.cell.passes = append(p.cell.passes, n)
		}
		p.terms[n.Outputs[0]] = t
		return nil
	case roleSum:
		return p.readSum(n)
	case roleConcat:
		return p.readConcat(n)
	}
	return fail(p.whyNot(n))
}

// readPad opens an edge that the one convolution or pooling behind completes
// (exports of TensorFlow pad before they convolve).
func (p *parser) readPad(n *onnxgraph.Node) error {
	out := n.Outputs[0]
	readers := p.index.Consumers[out]
	if len(readers) != 1 || p.roleOf(readers[0].Node) != roleOp || p.index.Output[out] != nil {
		return Refusal{Where: n.String(), Reason: "pads for something else than one convolution or pooling"}
	}
	from, err := p.node(n.Input(0))
	p.terms[out] = term{edge: &Edge{From: from, Nodes: []*onnxgraph.Node{n}, Value: out}}
	return err
}

func (p *parser) readOp(n *onnxgraph.Node) error {
	op, stride, err := p.operation(n)
	if err != nil {
		return Refusal{Where: n.String(), Reason: err.Error()}
	}
	for _, o := range n.Outputs[1:] {
		if o != "" && len(p.index.Consumers[o]) > 0 {
			return Refusal{Where: n.String(), Reason: "its second output is read too"}
		}
	}
	e := p.terms[n.Input(0)].edge
	if e != nil && len(e.Nodes) > 0 && p.pointwiseOf(e.Nodes[len(e.Nodes)-1]) == n {
		e.Nodes, e.Value = append(e.Nodes, n), n.Outputs[0]
		p.terms[e.Value] = term{edge: e}
		return nil
	}
	if e == nil || e.Op != "" { // else a padding has opened it
		from, err := p.node(n.Input(0))
		if err != nil {
			return err
		}
		e = &Edge{From: from}
	}
	e.Op, e.Stride, e.Nodes, e.Value = op, stride, append(e.Nodes, n), n.Outputs[0]
	p.terms[e.Value] = term{edge: e}
	return nil
}

// readAffine adds a normalization, bias or scale to the operation before it.
// On a node's own value a scale is a gated skip, and a normalization is part of
// the activation (networks with pre-activation normalize before they branch).
func (p *parser) readAffine(n *onnxgraph.Node) error {
	in := p.dataInputs(n)[0]
	t, ok := p.terms[in]
	if p.fromPrevious(onnxgraph.Use{Node: n, Input: 0}) {
		t = term{node: 0}
	}
	switch {
	case !ok:
		return Refusal{Where: n.String(), Reason: "reads a value from outside the block"}
	case t.edge != nil && p.onlyReader(in, n):
		t.edge.Nodes, t.edge.Value = append(t.edge.Nodes, n), n.Outputs[0]
		p.terms[n.Outputs[0]] = t
		return nil
	case n.Is("Mul") && t.edge == nil:
		e := &Edge{Op: Skip, Stride: 1, From: t.node, Nodes: []*onnxgraph.Node{n}, Value: n.Outputs[0]}
		p.terms[e.Value] = term{edge: e}
		return nil
	}
	return p.readAct(n)
}

// readAct makes an element-wise function the activation of the node that it
// closes. Where the node's value is read elsewhere too, the function gets a
// node of its own behind a skip.
func (p *parser) readAct(n *onnxgraph.Node) error {
	in := p.dataInputs(n)[0]
	t, ok := p.terms[in]
	if !ok {
		return Refusal{Where: n.String(), Reason: "reads a value from outside the block"}
	}
	node, err := p.node(in)
	if err != nil {
		return err
	}
	fresh := t.edge != nil || node > entryNode
	if !fresh || !p.onlyReader(in, n) {
		node = p.addNode([2]Edge{{Op: Null}, {Op: Skip, Stride: 1, From: node}}, nil, in)
	}
	at := &p.cell.Nodes[node-2]
	at.Act, at.Value = append(at.Act, n), n.Outputs[0]
	p.terms[at.Value] = term{node: node}
	return nil
}

// readSum makes a node of the operands. A projection of the block's input
// stands on its edge; any other operation has a node of its own before the sum,
// so that the closing node of a residual block reads skip + skip, as published.
func (p *parser) readSum(n *onnxgraph.Node) error {
	if len(p.dataInputs(n)) != len(n.Inputs) || len(n.Inputs) < 2 {
		return Refusal{Where: n.String(), Reason: "adds a value to itself or a constant to several"}
	}
	var edges []Edge
	for i, name := range n.Inputs {
		if !p.sameShape(name, n.Outputs[0]) {
			return Refusal{Where: n.String(), Reason: fmt.Sprintf("operand %d broadcasts: %v into %v", i, p.types.Of(name).Shape, p.types.Of(n.Outputs[0]).Shape)}
		}
		e, err := p.operand(onnxgraph.Use{Node: n, Input: i})
		if err != nil {
			return err
		}
		edges = append(edges, e)
	}
	slices.SortStableFunc(edges, func(a, b Edge) int { return a.From - b.From })
	node := p.addNode([2]Edge{edges[0], edges[1]}, n, "")
	for _, e := range edges[2:] { // chain what is more than two
		node = p.addNode([2]Edge{{Op: Skip, Stride: 1, From: node, Fixed: true}, e}, n, "")
	}
	p.cell.Nodes[node-2].Value = n.Outputs[0]
	p.terms[n.Outputs[0]] = term{node: node}
	if strings.HasPrefix(n.Name, added) && node == 2 && edges[1].Op == Skip && edges[1].From == entryNode {
		p.head = node
	}
	return nil
}

// fromPrevious reports whether a read is that of a skip which an earlier lowering
// added in the first cell: both its inputs are one value, and such skips are
// from node 0.
func (p *parser) fromPrevious(u onnxgraph.Use) bool {
	return len(p.out.Cells) == 0 && isAddedSkip(u) && u.Node.Inputs[u.Input] == p.cell.Inputs[1]
}

// operand returns the edge by which a value enters a sum.
func (p *parser) operand(u onnxgraph.Use) (Edge, error) {
	name := u.Node.Inputs[u.Input]
	t := p.terms[name]
	switch {
	case p.fromPrevious(u):
		return Edge{Op: Skip, Stride: 1}, nil
	case t.edge != nil && (t.edge.From == p.head || t.edge.Op == Skip || strings.HasPrefix(u.Node.Name, added)):
		return *t.edge, nil
	}
	node, err := p.node(name)
	return Edge{Op: Skip, Stride: 1, From: node}, err
}

func (p *parser) readConcat(n *onnxgraph.Node) error {
	if n.Outputs[0] != p.cell.Output {
		return Refusal{Where: n.String(), Reason: "concatenates inside the block; only the block's output can be a concatenation"}
	}
	for _, name := range n.Inputs {
		node, err := p.node(name)
		if err != nil {
			return err
		}
		if node == entryNode {
			node = p.addNode([2]Edge{{Op: Null}, {Op: Skip, Stride: 1, From: entryNode}}, nil, name)
		}
		if slices.Contains(p.cell.Concat, node) {
			return Refusal{Where: n.String(), Reason: "concatenates a value with itself"}
		}
		p.cell.Concat = append(p.cell.Concat, node)
	}
	p.cell.Join = n
	p.terms[n.Outputs[0]] = term{node: p.cell.Concat[len(p.cell.Concat)-1]}
	return nil
}

// node returns the cell node that a value is, closing an open edge into a node
// of its own.
func (p *parser) node(name string) (int, error) {
	t, ok := p.terms[name]
	if !ok {
		return 0, Refusal{Where: fmt.Sprintf("value %q", name), Reason: "is read inside the block but made outside it"}
	}
	if t.edge != nil {
		t = term{node: p.addNode([2]Edge{{Op: Null}, *t.edge}, nil, name)}
		p.terms[name] = t
	}
	return t.node, nil
}

func (p *parser) addNode(edges [2]Edge, sum *onnxgraph.Node, value string) int {
	p.cell.Nodes = append(p.cell.Nodes, Node{Edges: edges, Sum: sum, Value: value})
	return len(p.cell.Nodes) + 1
}

// onlyReader reports whether n alone reads the value.
func (f *dataflow) onlyReader(name string, n *onnxgraph.Node) bool {
	for _, u := range f.index.Consumers[name] {
		if u.Node != n {
			return false
		}
	}
	return f.index.Output[name] == nil
}

// sameShape reports whether two values may be taken to have one shape: an
// unknown shape is no objection.
func (l *lifter) sameShape(a, b string) bool {
	x, y := l.types.Of(a).Shape, l.types.Of(b).Shape
	if x == nil || y == nil {
		return true
	}
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i].Known() && y[i].Known() && x[i] != y[i] {
			return false
		}
	}
	return true
}

// insertEntry puts a node before all others that passes node 1 on.
func (c *Cell) insertEntry() {
	for i := range c.Nodes {
		for k := range c.Nodes[i].Edges {
			if e := &c.Nodes[i].Edges[k]; e.From >= entryNode {
				e.From++
			}
		}
	}
	for i := range c.Concat {
		c.Concat[i]++
	}
	entry := Node{Edges: [2]Edge{{Op: Null}, {Op: Skip, Stride: 1, From: entryNode}}, Value: c.Inputs[1]}
	c.Nodes = slices.Insert(c.Nodes, 0, entry)
}

// close adds a last node that passes on the one before it: the published form
// of an inverted residual without a shortcut.
func (c *Cell) close() {
	last := len(c.Nodes) + 1
	c.Nodes = append(c.Nodes, Node{
		Edges: [2]Edge{{Op: Null}, {Op: Skip, Stride: 1, From: last}}, Value: c.Nodes[last-2].Value,
	})
	c.Concat = []int{last + 1}
}
