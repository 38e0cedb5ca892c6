package train

import (
	"fmt"
	"hash"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An objective is an operator that makes the gradient of the loss by the logits
// from the logits, so that one run of a graph goes forwards, samples, and goes
// backwards.
type objective struct {
	// gradient fills grad, which is zero, from the logits.
	gradient func(logits, grad []float32) error
}

func (o *objective) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	logits, ok := inputs[0].Data().([]float32)
	if !ok {
		return nil, fmt.Errorf("logits are %T, want float32", inputs[0].Data())
	}
	grad := make([]float32, len(logits))
	if err := o.gradient(logits, grad); err != nil {
		return nil, err
	}
	return tensor.New(tensor.WithShape(inputs[0].Shape()...), tensor.WithBacking(grad)), nil
}

// What Gorgonia asks of an operator: one input, an output of its type and shape,
// in memory of its own, and no derivative.

func (*objective) Arity() int { return 1 }

func (*objective) Type() hm.Type {
	t := hm.TypeVariable('a')
	return hm.NewFnType(t, t)
}

func (*objective) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return in[0].(tensor.Shape).Clone(), nil
}

func (*objective) DiffWRT(int) []bool { return []bool{false} }

func (o *objective) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, fmt.Errorf("%v has no derivative", o)
}

func (*objective) ReturnsPtr() bool { return false }

func (*objective) CallsExtern() bool { return false }

func (*objective) OverwritesInput() int { return -1 }

func (*objective) String() string { return "objective" }

func (o *objective) WriteHash(h hash.Hash) { h.Write([]byte(o.String())) }

func (o *objective) Hashcode() uint32 { return hashOf(o) }
