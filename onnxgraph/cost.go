package onnxgraph

import (
	"math"
	"slices"
)

// Cost is what a model costs to hold and to run once, worked out from shapes.
type Cost struct {
	// Params counts the elements of learnable constants: what nodes read as
	// weights, each tensor once. The running mean and variance of a batch
	// normalisation, quantisation scales and shapes are none.
	Params int64
	// MAdds counts multiply-adds of convolutions and matrix products, per
	// output position, groups counted. A bias is free.
	MAdds int64
	// Elementwise counts other arithmetic, beside MAdds: one per output element,
	// and for poolings and reductions one per element that is looked at.
	Elementwise int64
	// PeakActivation is the greatest number of bytes alive at a node when nodes
	// run in file order: its outputs and all that it or a later node still
	// reads. Weights do not count, and no buffer is reused in place.
	PeakActivation int64
	// BatchAssumed says that a symbolic batch was counted as 1.
	BatchAssumed bool
	// Unknown are the nodes whose cost is not known, for want of shapes or of
	// an entry for the operator; the sums leave them out.
	Unknown []*Node
	// Nodes holds the cost of each node, in file order. The sums above are theirs.
	Nodes []NodeCost
}

// NodeCost is the part of one node. A weight belongs to the first node that
// reads it. Activation is the size of the outputs in bytes.
type NodeCost struct {
	Node                                   *Node
	Params, MAdds, Elementwise, Activation int64
}

// Cost works out what the main graph costs, given the types of its values.
// What is computed from constants alone costs nothing at run time, and is
// itself a constant to the nodes that read it.
func (m *Model) Cost(t *Types) *Cost {
	k := newCounting(m, t)
	cost := &Cost{Nodes: make([]NodeCost, len(m.Graph.Nodes))}
	for i, n := range m.Graph.Nodes {
		k.Node = n
		c, ok := k.node()
		if !ok {
			cost.Unknown = append(cost.Unknown, n)
		}
		cost.Nodes[i] = c
		cost.Params = satAdd(cost.Params, c.Params)
		cost.MAdds = satAdd(cost.MAdds, c.MAdds)
		cost.Elementwise = satAdd(cost.Elementwise, c.Elementwise)
	}
	cost.PeakActivation = k.peak(m.Graph)
	cost.BatchAssumed = k.assumed
	return cost
}

// Parameters returns the initializers that hold learnable parameters: those
// that [Cost] counts. Types are those of Infer.
func (m *Model) Parameters(t *Types) []*Tensor {
	k := newCounting(m, t)
	for _, n := range m.Graph.Nodes {
		k.Node = n
		k.node()
	}
	var out []*Tensor
	for _, x := range m.Graph.Initializers {
		if k.counted[x.Name] {
			out = append(out, x)
		}
	}
	return out
}

// satAdd adds counts, stopping at the greatest number.
func satAdd(a, b int64) int64 {
	if c, ok := addInt(a, b); ok {
		return c
	}
	return math.MaxInt64
}

// counting is the walk that counts costs, standing at one node.
type counting struct {
	call
	// origin names, for each value that is a constant, the constant that its
	// elements come from.
	origin  map[string]string
	counted map[string]bool  // constants that are in Params
	bytes   map[string]int64 // of values that nodes compute
	batch   map[string]bool  // symbols that stand for the batch
	assumed bool
}

func newCounting(m *Model, t *Types) *counting {
	g := m.Graph
	k := &counting{
		call:    call{types: t, opset: max(m.OpsetVersion(), 1)},
		origin:  make(map[string]string, len(g.Initializers)),
		counted: map[string]bool{},
		bytes:   make(map[string]int64, len(g.Nodes)),
		batch:   map[string]bool{},
	}
	for _, list := range [][]*Tensor{g.Initializers, g.SparseInitializers} {
		for _, x := range list {
			k.origin[x.Name] = x.Name
		}
	}
	for _, v := range g.Inputs {
		if _, constant := k.origin[v.Name]; constant {
			continue
		}
		if s := v.Type.Shape; len(s) > 0 && !s[0].Known() {
			_, symbol := linear(s[0].Sym)
			k.batch[symbol] = true
		}
		if b := k.size(v.Name); b.Known() {
			k.bytes[v.Name] = b.N
		}
	}
	return k
}

// node counts the current node; ok is false where something about it is not known.
func (k *counting) node() (c NodeCost, ok bool) {
	c.Node = k.Node
	op, known := lookup(k.Node)
	if known && k.fixed(op) {
		return c, true
	}
	params := k.params(op, known)
	ok = known
	for _, part := range []struct {
		into  *int64
		count Dim
	}{
		{&c.Params, params},
		{&c.MAdds, k.count(op.madds)},
		{&c.Elementwise, k.count(op.elementwise)},
		{&c.Activation, k.outputs()},
	} {
		if part.count.Known() && part.count.N >= 0 {
			*part.into = part.count.N
		} else {
			ok = false
		}
	}
	return c, ok
}

func (k *counting) count(f func(*counting) Dim) Dim {
	if f == nil {
		return Const(0)
	}
	return f(k)
}

// fixed reports whether the node computes from constants only, and notes that
// its outputs are constants then.
func (k *counting) fixed(op operator) bool {
	for _, name := range k.Inputs {
		if _, ok := k.origin[name]; !ok && name != "" {
			return false
		}
	}
	for i, name := range k.Outputs {
		k.origin[name] = name
		if from := k.Input(0); op.passes && i == 0 && from != "" {
			k.origin[name] = k.origin[from]
		}
	}
	return true
}

// params counts the learnable constants that the node is the first to read.
func (k *counting) params(op operator, known bool) Dim {
	sum := Const(0)
	for i, name := range k.Inputs {
		from, constant := k.origin[name]
		weight := slices.Contains(op.weights, i)
		if !constant || k.counted[from] || !(weight && op.integer || k.elem(i).isFloat()) {
			continue
		}
		n := product(k.types.of[from].Shape)
		if weight || (op.operands || !known) && n != Const(1) {
			k.counted[from] = true
			sum = sum.plus(n)
		}
	}
	return sum
}

// outputs returns the bytes of what the node computes.
func (k *counting) outputs() Dim {
	sum := Const(0)
	for _, name := range k.Outputs {
		if name == "" {
			continue
		}
		b := k.size(name)
		if b.Known() {
			k.bytes[name] = b.N
		}
		sum = sum.plus(b)
	}
	return sum
}

// size returns the bytes of a value; strings count as none.
func (k *counting) size(name string) Dim {
	t := k.types.of[name]
	bits := t.Elem.Bits()
	if t.Kind != "tensor" || bits == 0 && t.Elem != String {
		return Unknown
	}
	return k.elements(t.Shape).times(Const(bits)).ceilOver(8)
}

// elements returns the number of elements, the batch counted as 1: a symbolic
// or unknown first dimension, and the symbol of the inputs' first dimension
// wherever it stands.
func (k *counting) elements(s Shape) Dim {
	if s == nil {
		return Unknown
	}
	n := Const(1)
	for i, d := range s {
		d = k.number(d)
		if i == 0 && !d.Known() {
			d, k.assumed = Const(1), true
		}
		n = n.times(d)
	}
	if n.Known() && n.N < 0 {
		return Unknown
	}
	return n
}

// number puts 1 for the symbol of the batch.
func (k *counting) number(d Dim) Dim {
	if coefficient, symbol := linear(d.Sym); k.batch[symbol] {
		k.assumed = true
		return Const(coefficient).plus(Const(d.N))
	}
	return d
}

// peak walks the graph in file order and returns the most bytes alive at a node.
func (k *counting) peak(g *Graph) int64 {
	last := make(map[string]int, len(g.Nodes)) // the last node that reads a value
	for i, n := range g.Nodes {
		n.reads(func(name string) { last[name] = i })
	}
	for _, v := range g.Outputs {
		last[v.Name] = len(g.Nodes)
	}
	var live, most int64
	for _, v := range g.Inputs {
		if _, read := last[v.Name]; read {
			live = satAdd(live, k.bytes[v.Name])
		}
	}
	free := func(name string) {
		live -= k.bytes[name]
		delete(k.bytes, name)
	}
	for i, n := range g.Nodes {
		for _, name := range n.Outputs {
			live = satAdd(live, k.bytes[name])
		}
		most = max(most, live)
		n.reads(func(name string) {
			if last[name] == i {
				free(name)
			}
		})
		for _, name := range n.Outputs {
			if _, read := last[name]; !read {
				free(name)
			}
		}
	}
	return most
}

// perOutput counts one for each element of the first output.
func perOutput(k *counting) Dim { return k.elements(k.result(0)) }

// perInput counts one for each element of the first input.
func perInput(k *counting) Dim { return k.elements(k.shape(0)) }

// sumWork counts, for each element of the output, one for each input but the first.
func sumWork(k *counting) Dim {
	return perOutput(k).times(Const(int64(max(len(k.Inputs)-1, 0))))
}

func poolWork(k *counting) Dim {
	return perOutput(k).times(product(dims(k.Ints("kernel_shape"))))
}

func lrnWork(k *counting) Dim { return perOutput(k).times(Const(k.Int("size", 1))) }

// convMAdds is for weights at input w: output positions times channels of one
// group times kernel.
func convMAdds(w int) func(*counting) Dim {
	return func(k *counting) Dim { return perOutput(k).times(perFilter(k.shape(w))) }
}

// convTransposeMAdds meets every weight of a group once per input position.
func convTransposeMAdds(k *counting) Dim { return perInput(k).times(perFilter(k.shape(1))) }

// perFilter is the number of weights per unit of the first axis.
func perFilter(w Shape) Dim {
	if len(w) < 3 {
		return Unknown
	}
	return product(w[1:])
}

func gemmMAdds(k *counting) Dim {
	a := k.shape(0)
	if len(a) != 2 {
		return Unknown
	}
	return perOutput(k).times(k.number(a[1-k.Int("transA", 0)&1]))
}

func matMulMAdds(k *counting) Dim {
	a := k.shape(0)
	if len(a) == 0 {
		return Unknown
	}
	return perOutput(k).times(k.number(a[len(a)-1]))
}
