package cellmap

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Channels are those between two convolutions of a cell: the first makes them,
// the second is the only one that reads them, and what stands in between treats
// each by itself. Any of them can go without a change of what is outside.
type Channels struct {
	Maker EdgeID // the operation that makes them
	Value string // what the second convolution reads
	Count int
}

// Channels lists a cell's channels between two convolutions, in order.
func (m *Map) Channels(c *Cell) (all []Channels) {
	edges := map[*onnxgraph.Node]EdgeID{}
	for i := range c.Nodes {
		for slot := range c.Nodes[i].Edges {
			for _, n := range c.Nodes[i].Edges[slot].Nodes {
				edges[n] = EdgeID{i + 2, slot}
			}
		}
	}
	c.eachOperator(func(reader *onnxgraph.Node) {
		if _, mine := edges[reader]; !mine || !reader.Is("Conv") {
			return
		}
		r, err := runTo(m.Model, reader.Inputs[0])
		if err != nil {
			return
		}
		if id, mine := edges[r.nodes[0]]; mine {
			all = append(all, Channels{id, reader.Inputs[0], r.count})
		}
	})
	return all
}

// A Narrowed is a value that has only some channels of the one in whose place it stands.
type Narrowed struct {
	Of   string
	Kept []int
}

// Narrow returns a patch of m that keeps only some of the channels that a value
// has, in increasing order, and what the values are that have fewer channels
// then, by their new names. The value is one of [Channels]; m may have been patched since.
// What is left computes as before.
func Narrow(m *onnxgraph.Model, value string, kept []int) (*onnxgraph.Patch, map[string]Narrowed, error) {
	r, err := runTo(m, value)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", m.Path, err)
	}
	for i, k := range kept {
		if k < 0 || k >= r.count || i > 0 && k <= kept[i-1] {
			return nil, nil, fmt.Errorf("%s: %q: channel %d is to be kept, want some of 0 to %d in order, each once", m.Path, value, k, r.count-1)
		}
	}
	if len(kept) == 0 {
		return nil, nil, fmt.Errorf("%s: %q: no channel is to be kept, want one or more", m.Path, value)
	}
	w := &narrower{model: m, kept: kept, patch: &onnxgraph.Patch{Rule: "narrow"}, values: map[string]Narrowed{}}
	last := ""
	for _, n := range r.nodes {
		if last, err = w.node(n, last); err != nil {
			return nil, nil, err
		}
	}
	w.rewire(r.reader, 0, last)
	return w.patch, w.values, w.weights(r.reader, 1, 1)
}

// A run is what makes channels and passes them on, one by one, up to one reader.
type run struct {
	nodes  []*onnxgraph.Node // the maker first
	reader *onnxgraph.Node
	count  int
}

// perChannel are the operators that treat each channel by itself and alike.
var perChannel = []string{"Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Clip", "MaxPool", "AveragePool", "Identity", "Dropout"}

// runTo finds the run that ends in a value; the error says what stands in the way.
func runTo(m *onnxgraph.Model, value string) (*run, error) {
	x := m.Graph.Index()
	r := &run{}
	for {
		n := x.Producer[value]
		uses := x.Consumers[value]
		if n == nil || len(n.Outputs) != 1 || len(uses) != 1 || uses[0].Input != 0 || x.Output[value] != nil {
			return nil, fmt.Errorf("%q is not made by one operation for another one alone", value)
		}
		if r.reader == nil {
			r.reader = uses[0].Node
			if !dense(m, r.reader) {
				return nil, fmt.Errorf("%v is no convolution of constant weights", r.reader)
			}
		}
		r.nodes = append(r.nodes, n)
		switch {
		case dense(m, n):
			slices.Reverse(r.nodes)
			r.count = int(m.Graph.Constant(n.Input(1)).Dims[0])
			if in := m.Graph.Constant(r.reader.Input(1)).Dims[1]; int(in) != r.count {
				return nil, fmt.Errorf("%v reads %d channels, and %v makes %d", r.reader, in, n, r.count)
			}
			return r, nil
		case n.Is(perChannel...) || n.Is("BatchNormalization") && constants(m, n, 1, 5) || depthwise(m, n):
			value = n.Inputs[0]
		default:
			return nil, fmt.Errorf("%v mixes channels, or its weights are not constant", n)
		}
	}
}

// constants reports whether inputs of a node are float32 constants.
func constants(m *onnxgraph.Model, n *onnxgraph.Node, from, to int) bool {
	for i := from; i < to; i++ {
		if t := m.Graph.Constant(n.Input(i)); t == nil || t.Type != onnxgraph.Float32 {
			return false
		}
	}
	return true
}

func convolves(m *onnxgraph.Model, n *onnxgraph.Node) bool {
	return n.Is("Conv") && constants(m, n, 1, 2) && (n.Input(2) == "" || constants(m, n, 2, 3)) && len(m.Graph.Constant(n.Input(1)).Dims) == 4
}

// dense reports whether each result of a node comes from all channels.
func dense(m *onnxgraph.Model, n *onnxgraph.Node) bool {
	return convolves(m, n) && n.Int("group", 1) == 1
}

// depthwise reports whether each channel of a node's result comes from the one of its number.
func depthwise(m *onnxgraph.Model, n *onnxgraph.Node) bool {
	if !convolves(m, n) {
		return false
	}
	d := m.Graph.Constant(n.Input(1)).Dims
	return d[1] == 1 && n.Int("group", 1) == d[0]
}

// narrower builds the patch of one narrowing.
type narrower struct {
	model  *onnxgraph.Model
	kept   []int
	patch  *onnxgraph.Patch
	values map[string]Narrowed
}

// node narrows a node that reads the value called in ("": as it does now), and
// returns what its result is called then.
func (w *narrower) node(n *onnxgraph.Node, in string) (out string, err error) {
	old := n.Outputs[0]
	out = "natonnx/" + old + "/narrowed"
	w.values[out] = Narrowed{old, w.kept}
	if depthwise(w.model, n) {
		return out, w.depthwise(n, in, out)
	}
	if in != "" {
		w.rewire(n, 0, in)
	}
	w.patch.Rename = append(w.patch.Rename, onnxgraph.Rename{Node: n, To: out})
	switch {
	case n.Is("Conv"):
		err = w.weights(n, 1, 0)
		if err == nil && n.Input(2) != "" {
			err = w.weights(n, 2, 0)
		}
	case n.Is("BatchNormalization"):
		for i := 1; i < 5 && err == nil; i++ {
			err = w.weights(n, i, 0)
		}
	}
	return out, err
}

// depthwise puts a convolution of fewer groups in the place of one.
func (w *narrower) depthwise(n *onnxgraph.Node, in, out string) error {
	inputs := []string{in}
	for i := 1; i < len(n.Inputs) && n.Input(i) != ""; i++ {
		t, err := w.slice(n, i, 0)
		if err != nil {
			return err
		}
		inputs = append(inputs, t)
	}
	attributes := []*onnxgraph.Attribute{onnxgraph.IntAttr("group", int64(len(w.kept)))}
	for _, a := range n.Attributes {
		if a.Name != "group" {
			attributes = append(attributes, a)
		}
	}
	w.patch.Remove = append(w.patch.Remove, n)
	w.patch.Add = append(w.patch.Add, onnxgraph.NewNode("Conv", n.Name, inputs, []string{out}, attributes...))
	return nil
}

func (w *narrower) rewire(n *onnxgraph.Node, input int, to string) {
	w.patch.Rewire = append(w.patch.Rewire, onnxgraph.Rewire{Node: n, Input: input, To: to})
}

// weights makes a node read only the kept parts of a constant along an axis.
func (w *narrower) weights(n *onnxgraph.Node, input, axis int) error {
	name, err := w.slice(n, input, axis)
	if err == nil {
		w.rewire(n, input, name)
	}
	return err
}

// slice adds the kept parts of a constant as an initializer.
func (w *narrower) slice(n *onnxgraph.Node, input, axis int) (string, error) {
	t := w.model.Graph.Constant(n.Input(input))
	values, err := t.Float32s()
	if err != nil {
		return "", fmt.Errorf("%s: %v: %w", w.model.Path, n, err)
	}
	if axis >= len(t.Dims) || int(t.Dims[axis]) <= w.kept[len(w.kept)-1] {
		return "", fmt.Errorf("%s: %v: input %d is %v: it has no channel %d", w.model.Path, n, input, t.Shape(), w.kept[len(w.kept)-1])
	}
	outer, inner := 1, 1
	for i, d := range t.Dims {
		switch {
		case i < axis:
			outer *= int(d)
		case i > axis:
			inner *= int(d)
		}
	}
	var some []float32
	for o := range outer {
		for _, k := range w.kept {
			some = append(some, values[(o*int(t.Dims[axis])+k)*inner:][:inner]...)
		}
	}
	dims := slices.Clone(t.Dims)
	dims[axis] = int64(len(w.kept))
	name := fmt.Sprintf("natonnx/%s/narrowed/%d.%d", n.Outputs[0], input, axis)
	w.patch.Init = append(w.patch.Init, onnxgraph.NewFloat32s(name, dims, some))
	return name, nil
}
