package distill

import (
	"context"
	"fmt"
	"math"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// lift makes initializers of the parameters that are in Constant nodes.
func lift(m *onnxgraph.Model) (*onnxgraph.Model, error) {
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
	p, x := &onnxgraph.Patch{Rule: "distill"}, m.Graph.Index()
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

// write returns the model with the parameters' values.
func write(m *onnxgraph.Model, params engine.Params) (*onnxgraph.Model, error) {
	p := &onnxgraph.Patch{Rule: "distill"}
	for _, t := range m.Graph.Initializers {
		if x := params[t.Name]; x != nil {
			p.Replace = append(p.Replace, onnxgraph.NewFloat32s(t.Name, t.Dims, x.Value))
		}
	}
	return m.Apply(p)
}

// readParams returns the parameters of a model, all of which must be finite.
func readParams(ctx context.Context, m *onnxgraph.Model) (engine.Params, error) {
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

// A moving is the exponential moving average of parameters over the steps.
type moving struct {
	values map[string][]float32
	steps  float64
}

func newMoving(params engine.Params) *moving {
	m := &moving{values: map[string][]float32{}}
	for name, x := range params {
		m.values[name] = make([]float32, len(x.Value))
		copy(m.values[name], x.Value)
	}
	return m
}

// add counts the present values in; young averages forget faster.
func (m *moving) add(params engine.Params) {
	m.steps++
	keep := min(average, m.steps/(m.steps+9))
	for name, mean := range m.values {
		for i, v := range params[name].Value {
			mean[i] += (v - mean[i]) * float32(1-keep)
		}
	}
}

// swap exchanges the parameters' values and their averages, in place: programs
// hold on to the parameters' memory.
func (m *moving) swap(params engine.Params) {
	for name, mean := range m.values {
		for i, v := range params[name].Value {
			params[name].Value[i], mean[i] = mean[i], v
		}
	}
}

// length is the Euclidean norm of all that is trained.
func length(params engine.Params) float64 {
	sum := 0.0
	for _, name := range params.Names() { // in a fixed order
		if x := params[name]; !x.Frozen {
			sum += vec.Dot(x.Value, x.Value)
		}
	}
	return math.Sqrt(sum)
}
