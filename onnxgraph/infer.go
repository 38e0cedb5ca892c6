package onnxgraph

// Types holds what is known of the type of every value of a main graph:
// inputs, initializers and the outputs of nodes.
type Types struct {
	of      map[string]Type
	ints    map[string][]Dim     // elements of small integer tensors; nil: looked at, unknown
	tensors map[string]*Tensor   // initializers and Constant nodes
	floats  map[string][]float32 // value_float and value_floats of Constant nodes
}

// Of returns the type of a value, or the zero Type where nothing is known of it.
func (t *Types) Of(name string) Type { return t.of[name] }

// rankLimit is the most dimensions that a shape is followed with; no real
// tensor comes near it.
const rankLimit = 64

// Infer works out the types of all values of the main graph, in file order.
// Symbolic dimensions are carried through: a convolution that keeps its input's
// size keeps the symbol, and the same arithmetic on the same symbol gives Equal
// dimensions. Small integer tensors are followed element by element, so that
// shapes computed inside the graph are known. What inference cannot tell (an
// operator that it does not know, whatever subgraphs and functions make) is
// taken from value_info and the declared outputs, where they tell.
func (m *Model) Infer() *Types { return m.InferAt(nil) }

// InferAt is Infer for inputs of the given shapes, by name, instead of those
// that the model declares.
func (m *Model) InferAt(inputs map[string]Shape) *Types {
	g := m.Graph
	t := &Types{
		of:      make(map[string]Type, len(g.Nodes)+len(g.Initializers)),
		ints:    map[string][]Dim{},
		tensors: make(map[string]*Tensor, len(g.Initializers)),
		floats:  map[string][]float32{},
	}
	declared := make(map[string]Type, len(g.ValueInfo)+len(g.Outputs))
	for _, list := range [][]*Value{g.Outputs, g.ValueInfo} {
		for _, v := range list {
			declared[v.Name] = v.Type
		}
	}
	for _, v := range g.Inputs {
		typ := v.Type
		if s, ok := inputs[v.Name]; ok {
			typ.Shape = s
		}
		t.set(v.Name, typ)
	}
	for _, x := range g.SparseInitializers {
		t.set(x.Name, tensorType(x.Type, x.Shape()))
	}
	for _, x := range g.Initializers {
		t.set(x.Name, tensorType(x.Type, x.Shape()))
		t.tensors[x.Name] = x
	}
	opset := max(m.OpsetVersion(), 1)
	for _, n := range g.Nodes {
		t.infer(&call{n, t, opset}, declared)
	}
	return t
}

// infer sets the types, and where small and whole the elements, of a node's outputs.
func (t *Types) infer(c *call, declared map[string]Type) {
	op, known := lookup(c.Node)
	var types []Type
	if known {
		types = op.infer(c)
	}
	for i, name := range c.Outputs {
		if name == "" {
			continue
		}
		var got Type
		if i < len(types) {
			got = types[i]
		}
		t.set(name, refine(got, declared[name]))
	}
	if c.Is("Constant") && len(c.Outputs) == 1 {
		t.remember(c)
	}
	if known && op.fold != nil && len(c.Outputs) > 0 && !t.tooBig(c.Outputs[0]) {
		if ints := op.fold(c); len(ints) <= foldLimit {
			t.ints[c.Outputs[0]] = ints
		}
	}
}

// remember keeps the payload of a Constant node where later nodes find it.
func (t *Types) remember(c *call) {
	switch a := c.constant(); {
	case a == nil:
	case a.Tensor != nil:
		t.tensors[c.Outputs[0]] = a.Tensor
	case a.Type == AttrFloat:
		t.floats[c.Outputs[0]] = []float32{a.Float}
	case a.Type == AttrFloats:
		t.floats[c.Outputs[0]] = a.Floats
	}
}

func (t *Types) set(name string, typ Type) {
	if len(typ.Shape) > rankLimit {
		typ.Shape = nil
	}
	for i, d := range typ.Shape {
		if d.Known() && d.N < 0 {
			shape := append(Shape{}, typ.Shape...)
			for j := i; j < len(shape); j++ {
				if shape[j].Known() && shape[j].N < 0 {
					shape[j] = Unknown
				}
			}
			typ.Shape = shape
			break
		}
	}
	t.of[name] = typ
}

// refine completes an inferred type by a declared one. Where they differ the
// inferred one stands, symbols included: people rename a file's batch and leave
// the old value_info behind.
func refine(got, declared Type) Type {
	if got.Kind == "" || declared.Kind != got.Kind {
		if got.Elem == Undefined && got.Shape == nil && declared.Kind != "" {
			return declared
		}
		return got
	}
	if got.Elem == Undefined {
		got.Elem = declared.Elem
	}
	if got.Shape == nil {
		got.Shape = declared.Shape
	} else if len(got.Shape) == len(declared.Shape) {
		got.Shape = got.Shape.refine(declared.Shape)
	}
	return got
}

// refine replaces dimensions of s by those of o, a shape of the same rank,
// where they are unknown.
func (s Shape) refine(o Shape) Shape {
	var out Shape
	for i, d := range s {
		if d.Sym == "?" && o[i].Sym != "?" {
			if out == nil {
				out = append(Shape{}, s...)
			}
			out[i] = o[i]
		}
	}
	if out == nil {
		return s
	}
	return out
}

// tensorType is the type of a tensor, or the zero Type where neither is known.
func tensorType(elem DataType, shape Shape) Type {
	if elem == Undefined && shape == nil {
		return Type{}
	}
	return Type{"tensor", elem, shape}
}

// A call is a node with what is known of its inputs: all that an operator's
// entry works from.
type call struct {
	*Node
	types *Types
	opset int64
}

func (c *call) has(i int) bool { return c.Input(i) != "" }

// shape returns the shape of input i; nil where absent or of unknown rank.
func (c *call) shape(i int) Shape { return c.types.of[c.Input(i)].Shape }

func (c *call) elem(i int) DataType { return c.types.of[c.Input(i)].Elem }

// result returns the shape of output i, once inferred.
func (c *call) result(i int) Shape {
	if i >= len(c.Outputs) || c.Outputs[i] == "" {
		return nil
	}
	return c.types.of[c.Outputs[i]].Shape
}

// axis brings an axis into 0..rank-1; ok is false where it is outside.
func axis(a int64, rank int) (int, bool) {
	if a < 0 {
		a += int64(rank)
	}
	return int(a), a >= 0 && a < int64(rank)
}

func allAxes(rank int) []int64 {
	out := make([]int64, rank)
	for i := range out {
		out[i] = int64(i)
	}
	return out
}

// unknownShape is a shape of which only the rank is known.
func unknownShape(rank int) Shape {
	if rank < 0 || rank > rankLimit {
		return nil
	}
	s := make(Shape, rank)
	for i := range s {
		s[i] = Unknown
	}
	return s
}
