package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A Param is a named float32 tensor that training changes.
type Param struct {
	Dims   []int
	Value  []float32
	Grad   []float32 // what [Training.Backward] adds to; nil until then
	Frozen bool      // gets no gradient: running statistics, and what the user fixes
}

// Params are parameters by name. Models that name the same ones share them.
type Params map[string]*Param

// ReadParams returns the learnable parameters of a model, and, frozen, the
// running statistics of its normalizations.
func ReadParams(ctx context.Context, m *onnxgraph.Model) (Params, error) {
	p := Params{}
	for _, t := range m.Parameters(m.Infer()) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.read(m, t, false); err != nil {
			return nil, err
		}
	}
	for _, n := range m.Graph.Nodes {
		if !n.Is("BatchNormalization") {
			continue
		}
		for _, i := range []int{3, 4} {
			if t := m.Graph.Index().Initializer[n.Input(i)]; t != nil && p[t.Name] == nil {
				if err := p.read(m, t, true); err != nil {
					return nil, err
				}
			}
		}
	}
	return p, nil
}

func (p Params) read(m *onnxgraph.Model, t *onnxgraph.Tensor, frozen bool) error {
	if t.Type != onnxgraph.Float32 {
		return fmt.Errorf("%s: graph.initializer %q: parameters of %v cannot be trained, want float32", m.Path, t.Name, t.Type)
	}
	v, err := t.Float32s()
	if err != nil {
		return fmt.Errorf("%s: graph.initializer %q: %w", m.Path, t.Name, err)
	}
	p[t.Name] = &Param{Dims: shapeOf(t), Value: slices.Clone(v), Frozen: frozen}
	return nil
}

func shapeOf(t *onnxgraph.Tensor) []int {
	dims := make([]int, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = int(d)
	}
	return dims
}

// Names returns the names of the parameters, sorted.
func (p Params) Names() []string {
	names := make([]string, 0, len(p))
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ZeroGrad sets all gradients to zero.
func (p Params) ZeroGrad() {
	for _, x := range p {
		clear(x.Grad)
	}
}
