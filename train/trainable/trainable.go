// Package trainable opens networks to be trained: with any batch, with all their
// parameters as initializers, and written back when they have changed.
package trainable

import (
	"context"
	"fmt"
	"strings"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A Network is a model that takes any batch of the images.
type Network struct {
	Model *onnxgraph.Model
	Types *onnxgraph.Types // for one image
	Input string
}

// Open refuses images that the network does not take.
func Open(m *onnxgraph.Model, image []int) (*Network, error) {
	m, err := m.AnyBatch()
	if err != nil {
		return nil, err
	}
	in := m.Graph.RealInputs()[0]
	want, fits := in.Type.Shape[1:], in.Type.Elem == onnxgraph.Float32
	fits = fits && len(want) == len(image)
	at := onnxgraph.Shape{onnxgraph.Const(1)}
	for i, d := range image {
		fits = fits && (!want[i].Known() || want[i].N == int64(d))
		at = append(at, onnxgraph.Const(int64(d)))
	}
	if !fits {
		return nil, fmt.Errorf("%s: input %q is %v %v, an image of the data is float32 %s", m.Path, in.Name, in.Type.Elem, in.Type.Shape,
			strings.Trim(strings.ReplaceAll(fmt.Sprint(image), " ", "x"), "[]"))
	}
	return &Network{m, m.InferAt(map[string]onnxgraph.Shape{in.Name: at}), in.Name}, nil
}

// Output returns the value that says what the network thinks, and whether that
// is logits of classes: the first output of a row per image, before its softmax,
// or else the first one of float32.
func (n *Network) Output() (name string, logits bool, err error) {
	for _, v := range n.Model.Graph.Outputs {
		t := n.Types.Of(v.Name)
		if t.Elem != onnxgraph.Float32 {
			continue
		}
		if len(t.Shape) >= 2 && Size(t.Shape[2:]) == 1 {
			return n.beforeSoftmax(v.Name), true, nil
		}
		if name == "" {
			name = v.Name
		}
	}
	if name == "" {
		err = fmt.Errorf("%s: has no output of float32 to learn from", n.Model.Path)
	}
	return name, false, err
}

func (n *Network) beforeSoftmax(name string) string {
	if p := n.Model.Graph.Index().Producer[name]; p != nil && p.Is("Softmax", "LogSoftmax") {
		return p.Input(0)
	}
	return name
}

// Size is the product of dimensions, -1 where one is not known.
func Size(s onnxgraph.Shape) int64 {
	n := int64(1)
	for _, d := range s {
		if !d.Known() {
			return -1
		}
		n *= d.N
	}
	return n
}

// Lift makes initializers of the parameters that are in Constant nodes.
func Lift(m *onnxgraph.Model) (*onnxgraph.Model, error) {
	lifted, err := m.Apply(lifting(m, func(string) bool { return true }))
	if err != nil {
		return nil, err
	}
	learnt := map[string]bool{}
	for _, t := range lifted.Parameters(lifted.Infer()) {
		learnt[t.Name] = true
	}
	return m.Apply(lifting(m, func(name string) bool { return learnt[name] }))
}

// lifting is the patch that turns Constant nodes into initializers, where a name
// for these is wanted.
func lifting(m *onnxgraph.Model, wanted func(name string) bool) *onnxgraph.Patch {
	p, x := &onnxgraph.Patch{Rule: "train"}, m.Graph.Index()
	for _, n := range m.Graph.Nodes {
		if !n.Is("Constant") {
			continue
		}
		t, uses := m.Graph.Constant(n.Outputs[0]), x.Consumers[n.Outputs[0]]
		if t == nil || t.Type != onnxgraph.Float32 || x.Output[n.Outputs[0]] != nil {
			continue
		}
		name := n.Outputs[0] + "/weights"
		if !wanted(name) || !rewirable(uses) || x.Producer[name] != nil || x.Initializer[name] != nil || x.Input[name] != nil {
			continue
		}
		data, err := t.Float32s()
		if err != nil {
			continue // whoever runs the model says why
		}
		p.Init = append(p.Init, onnxgraph.NewFloat32s(name, t.Dims, data))
		for _, u := range uses {
			p.Rewire = append(p.Rewire, onnxgraph.Rewire{Node: u.Node, Input: u.Input, To: name})
		}
	}
	return p
}

func rewirable(uses []onnxgraph.Use) bool {
	for _, u := range uses {
		if u.Input < 0 {
			return false
		}
	}
	return len(uses) > 0
}

// Write returns the model with the parameters' values.
func Write(m *onnxgraph.Model, params engine.Params) (*onnxgraph.Model, error) {
	p := &onnxgraph.Patch{Rule: "train"}
	for _, t := range m.Graph.Initializers {
		if x := params[t.Name]; x != nil {
			p.Replace = append(p.Replace, onnxgraph.NewFloat32s(t.Name, t.Dims, x.Value))
		}
	}
	return m.Apply(p)
}

// ReadParams returns the parameters of a model, all of which must be finite.
func ReadParams(ctx context.Context, m *onnxgraph.Model) (engine.Params, error) {
	params, err := engine.ReadParams(ctx, m)
	if err != nil {
		return nil, err
	}
	trained := 0
	for _, name := range params.Names() {
		if i := vec.FirstNonFinite(params[name].Value); i >= 0 {
			return nil, &engine.NonFiniteError{Path: m.Path, Value: name, Element: i, Number: params[name].Value[i]}
		}
		if !params[name].Frozen {
			trained++
		}
	}
	if trained == 0 {
		return nil, fmt.Errorf("%s: has no parameters that could be trained", m.Path)
	}
	return params, nil
}
