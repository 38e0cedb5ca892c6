package cellmap

import (
	"errors"
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// SkipInit says how a skip that takes the place of a null edge begins.
type SkipInit uint8

const (
	// ZeroGate scales the skip per channel by a parameter that starts at zero:
	// the network computes what it did, and training can open the gate.
	ZeroGate SkipInit = iota
	// IdentitySkip is the plain skip of the paper.
	IdentitySkip
)

// Lower returns the patch that carries out the moves. The patched network
// computes exactly what its cells say: a null edge contributes nothing, a skip
// contributes its source, everything else is as it was. Operators that nobody
// reads any more are removed with their weights; what they would have added as
// a constant is folded into a neighbouring bias where that is exact. No moves
// give the empty patch. The error is a [Refusal] where the moves together
// cannot be carried out.
//
// An operation of another kind takes the place of a convolution or pooling, and
// leaves what follows it on the edge, and its bias, as they are:
//   - conv_kxk becomes a convolution of fewer taps;
//   - sep_conv_kxk becomes a depthwise and a pointwise convolution with nothing in
//     between. The authors' has two such rounds with activations between, which
//     could inherit nothing;
//   - dil_conv_kxk becomes the same with dilation 2, or what there was if more;
//   - a pooling becomes that pooling, whose borders do not count.
//
// Convolutions inherit the weights that reproduce the output best, in the mean
// square and for images whose neighbouring pixels are alike: least squares for
// the taps, and the first term of a singular value decomposition for depthwise
// and pointwise. [Map.Inherited] tells how well. Strides, groups and the size of
// the image stay.
func (m *Map) Lower(moves []Move, init SkipInit) (*onnxgraph.Patch, error) {
	return m.lowerer(init).lower(moves)
}

// Draft is [Map.Lower] with zeros for inherited weights. The result costs the
// same, and no weights are read for them.
func (m *Map) Draft(moves []Move, init SkipInit) (*onnxgraph.Patch, error) {
	l := m.lowerer(init)
	l.draft = true
	return l.lower(moves)
}

func (m *Map) lowerer(init SkipInit) *lowerer {
	return &lowerer{Map: m, init: init, patch: &onnxgraph.Patch{Rule: "lower"}, moved: map[*Cell]map[EdgeID]Op{},
		mends: map[*onnxgraph.Node]Mend{}, removed: map[*onnxgraph.Node]bool{}, renamed: map[string]string{}, taken: map[string]bool{}}
}

func (l *lowerer) lower(moves []Move) (*onnxgraph.Patch, error) {
	m := l.Map
	for _, move := range moves {
		if err := m.Allowed(move); err != nil {
			return nil, err
		}
		if l.moved[move.Cell] == nil {
			l.moved[move.Cell] = map[EdgeID]Op{}
		}
		l.moved[move.Cell][move.Edge] = move.To
	}
	if len(l.moved) == 0 {
		return l.patch, nil
	}
	inCells := map[*onnxgraph.Node]bool{}
	for _, c := range m.Cells {
		if err := l.cell(c); err != nil {
			return nil, err
		}
		c.eachOperator(func(n *onnxgraph.Node) { inCells[n] = true })
	}
	for _, n := range m.Model.Graph.Nodes {
		for i, name := range n.Inputs {
			if to, ok := l.renamed[name]; ok && !inCells[n] {
				l.rewire(n, i, to)
			}
		}
	}
	return l.patch, nil
}

// eachOperator visits the network's operators that make up the cell.
func (c *Cell) eachOperator(visit func(*onnxgraph.Node)) {
	for i := range c.Nodes {
		for _, n := range c.Nodes[i].operators() {
			visit(n)
		}
	}
	for _, n := range c.passes {
		visit(n)
	}
	if c.Join != nil {
		visit(c.Join)
	}
}

// lowerer builds one patch for all cells, in order.
type lowerer struct {
	*Map
	init    SkipInit
	draft   bool
	patch   *onnxgraph.Patch
	moved   map[*Cell]map[EdgeID]Op
	mends   map[*onnxgraph.Node]Mend // by the sum
	removed map[*onnxgraph.Node]bool // whose place others take
	renamed map[string]string        // values of the network that are now called otherwise
	taken   map[string]bool          // names that the patch adds
}

// A lowered is what a node of a cell has become: a sum of values of the
// network plus a constant per channel. It has one value and no constant once it
// is materialised; it has no values where it is constant.
type lowered struct {
	values   []string
	constant constant
}

func (v lowered) isConstant() bool { return len(v.values) == 0 }

// cell lowers one cell.
func (l *lowerer) cell(c *Cell) error {
	ops := l.moved[c]
	if !c.reaches(ops) {
		return Refusal{Where: c.Name, Reason: "the cell's output would not depend on its input any more"}
	}
	state := make([]lowered, 2, len(c.Nodes)+2)
	for i, name := range c.Inputs {
		state[i] = lowered{values: []string{l.current(name)}}
	}
	for i := range c.Nodes {
		v, err := l.node(c, i+2, ops, state)
		var unread *unreadable
		if errors.As(err, &unread) {
			return unread.err
		}
		if err != nil {
			return Refusal{Where: fmt.Sprintf("%s: node %d", c.Name, Label(i+2)), Reason: err.Error()}
		}
		state = append(state, v)
	}
	return l.output(c, state)
}

func (l *lowerer) current(name string) string {
	if to, ok := l.renamed[name]; ok {
		return to
	}
	return name
}

// output connects what the cell has become to what reads it.
func (l *lowerer) output(c *Cell, state []lowered) error {
	for i, k := range c.Concat {
		v := state[k]
		if v.isConstant() {
			return Refusal{Where: c.Name, Reason: fmt.Sprintf("node %d would be constant, and the cell's output needs it", Label(k))}
		}
		switch {
		case c.Join != nil:
			l.rewire(c.Join, i, v.values[0])
		case v.values[0] != c.Output:
			if err := l.movable(c.Output); err != nil {
				return err
			}
			l.renamed[c.Output] = v.values[0]
		}
	}
	return nil
}

// movable reports whether all readers of a value can be pointed elsewhere.
func (l *lowerer) movable(name string) error {
	x := l.Model.Graph.Index()
	if x.Output[name] != nil {
		return Refusal{Where: fmt.Sprintf("value %q", name), Reason: "is an output of the graph as it is; a change would need another name for it"}
	}
	for _, u := range x.Consumers[name] {
		if u.Input < 0 {
			return Refusal{Where: fmt.Sprintf("value %q", name), Reason: fmt.Sprintf("is read inside a subgraph of %v", u.Node)}
		}
	}
	return nil
}

// node lowers one node of a cell.
func (l *lowerer) node(c *Cell, k int, ops map[EdgeID]Op, state []lowered) (lowered, error) {
	n := &c.Nodes[k-2]
	var sum lowered
	for slot := range n.Edges {
		e, op := &n.Edges[slot], n.Edges[slot].Op
		if to, ok := ops[EdgeID{k, slot}]; ok {
			op = to
		}
		v, err := l.edge(c, k, e, op, state[e.From])
		if err != nil {
			return lowered{}, err
		}
		sum.values = append(sum.values, v.values...)
		if sum.constant, err = sum.constant.plus(v.constant); err != nil {
			return lowered{}, err
		}
	}
	if n.Value == "" { // inside a longer sum: the last of its nodes adds up
		return sum, nil
	}
	if sum.isConstant() {
		v, err := l.applyConstant(n.Act, sum.constant)
		if err == nil && n.makesValue() {
			err = l.private(c, n.Value)
		}
		return lowered{constant: v}, err
	}
	var pre string
	var err error
	if mend, ok := l.mends[n.Sum]; ok && n.Sum != nil && len(sum.values) == 1 {
		pre, err = l.mend(c, k, mend.Form, sum.values[0])
	} else {
		pre, err = l.add(c, k, n, sum)
	}
	if err != nil {
		return lowered{}, err
	}
	if len(n.Act) > 0 {
		l.rewireActivation(n, pre)
		return lowered{values: []string{n.Value}}, nil
	}
	if pre != n.Value && n.makesValue() {
		if err := l.movable(n.Value); err != nil {
			return lowered{}, err
		}
		l.renamed[n.Value] = pre
	}
	return lowered{values: []string{pre}}, nil
}

// makesValue reports whether the node's value is computed by the node, not
// passed on by a lone skip.
func (n *Node) makesValue() bool {
	return n.Sum != nil || len(n.Act) > 0 || n.Edges[1].Value != ""
}

// private reports whether only the cell itself reads a value.
func (l *lowerer) private(c *Cell, name string) error {
	mine := map[*onnxgraph.Node]bool{}
	c.eachOperator(func(n *onnxgraph.Node) { mine[n] = true })
	for _, u := range l.Model.Graph.Index().Consumers[name] {
		if !mine[u.Node] {
			return fmt.Errorf("would be constant, but %v reads it", u.Node)
		}
	}
	return l.movable(name)
}

// rewireActivation applies the activation of a node to another value.
func (l *lowerer) rewireActivation(n *Node, pre string) {
	before := l.flow.dataInputs(n.Act[0])[0]
	for _, a := range n.Act {
		for i, name := range a.Inputs {
			if name == before {
				l.rewire(a, i, pre)
			}
		}
	}
}

// edge lowers one edge that now has operation op: what it adds to its node.
func (l *lowerer) edge(c *Cell, k int, e *Edge, op Op, from lowered) (lowered, error) {
	switch {
	case op == Null:
		return lowered{}, nil
	case op == Skip && e.Op == Null && l.init == ZeroGate:
		return lowered{values: []string{l.gate(c, k, from.values[0])}}, nil
	case op == Skip && len(e.Nodes) == 0, op == Skip && e.Op != Skip:
		return from, nil
	case op != e.Op:
		return l.succeeded(e, op, from)
	case from.isConstant():
		v, err := l.applyConstant(e.Nodes, from.constant)
		return lowered{constant: v}, err
	}
	first := e.Nodes[0]
	for i, name := range first.Inputs {
		if l.flow.data[name] {
			l.rewire(first, i, from.values[0])
		}
	}
	return lowered{values: []string{e.Value}}, nil
}

// gate adds a skip from a value, scaled per channel by zeros that training can open.
func (l *lowerer) gate(c *Cell, k int, from string) string {
	t := l.Types.Of(c.value(k))
	channels := t.Shape[1].N
	zeros := make([]byte, channels*t.Elem.Bits()/8)
	name := l.name(c, k, gate)
	l.patch.Init = append(l.patch.Init, onnxgraph.NewTensor(name, t.Elem, []int64{1, channels, 1, 1}, zeros))
	return l.addNode("Mul", l.name(c, k, "skip"), from, name)
}

func (l *lowerer) addNode(op, out string, inputs ...string) string {
	l.patch.Add = append(l.patch.Add, onnxgraph.NewNode(op, out, inputs, []string{out}))
	return out
}

// add returns the name of the sum: the one it had where nothing changed.
func (l *lowerer) add(c *Cell, k int, n *Node, sum lowered) (string, error) {
	if n.Sum != nil && sum.constant.isZero() && len(sum.values) == len(n.Sum.Inputs) {
		l.rewireSum(n.Sum, sum.values)
		return n.Sum.Outputs[0], nil
	}
	values := sum.values
	if !sum.constant.isZero() && !l.foldIntoBias(c, k, values, sum.constant) {
		t, err := sum.constant.tensor(l.name(c, k, "constant"), l.Types.Of(c.value(k)))
		if err != nil {
			return "", err
		}
		l.patch.Init = append(l.patch.Init, t)
		values = append(values, t.Name)
	}
	acc := values[0]
	for _, v := range values[1:] {
		acc = l.addNode("Add", l.name(c, k, "sum"), acc, v)
	}
	return acc, nil
}

// rewireSum points a sum at its operands, leaving in place those that it has already.
func (l *lowerer) rewireSum(sum *onnxgraph.Node, values []string) {
	left := slices.Clone(values)
	var free []int
	for i, name := range sum.Inputs {
		if at := slices.Index(left, name); at >= 0 {
			left = slices.Delete(left, at, at+1)
		} else {
			free = append(free, i)
		}
	}
	for i, at := range free {
		l.rewire(sum, at, left[i])
	}
}

// rewire records that an input reads another value, unless it does already.
func (l *lowerer) rewire(n *onnxgraph.Node, input int, to string) {
	if n.Inputs[input] != to {
		l.patch.Rewire = append(l.patch.Rewire, onnxgraph.Rewire{Node: n, Input: input, To: to})
	}
}

// name makes a name that nothing in the graph has: natonnx/layer1.0/node1/gate.
func (l *lowerer) name(c *Cell, k int, what string) string {
	return l.unique(fmt.Sprintf("%s%s/node%d/%s", added, c.Name, Label(k), what))
}

// unique makes a name that nothing in the graph has.
func (l *lowerer) unique(base string) string {
	x := l.Model.Graph.Index()
	name := base
	for i := 2; l.taken[name] || x.Producer[name] != nil || x.Initializer[name] != nil || x.Input[name] != nil; i++ {
		name = fmt.Sprintf("%s%d", base, i)
	}
	l.taken[name] = true
	return name
}
