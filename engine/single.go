package engine

import (
	"fmt"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A single step computes in float32 alone. Half precision, double precision and
// small integers are converted for it, and its results back to the type of its
// first input.
type single interface{ inFloat32() }

// toSingle returns t as float32; other things than numbers stay as they are.
func toSingle(t *Tensor) *Tensor {
	if t == nil || t.data == nil || t.Type() == onnxgraph.Float32 {
		return t
	}
	wide, err := widen[float64](t)
	if err != nil {
		return t
	}
	return &Tensor{Dims: t.Dims, data: numbers[float32](wide), last: t.last}
}

// compute runs a step, in float32 where it knows no other type.
func (x *exec) compute(s step, in []*Tensor) ([]*Tensor, error) {
	if _, ok := s.(single); !ok || len(in) == 0 || in[0] == nil || in[0].Type() == onnxgraph.Float32 {
		return s.run(x, in)
	}
	typ := in[0].Type()
	floats := make([]*Tensor, len(in))
	for i, t := range in {
		floats[i] = toSingle(t)
	}
	if floats[0].Type() != onnxgraph.Float32 {
		return nil, fmt.Errorf("input 0 is %v, want numbers", in[0])
	}
	out, err := s.run(x, floats)
	if err != nil {
		return nil, err
	}
	for i, t := range out {
		if t == nil || t.Type() != onnxgraph.Float32 {
			continue
		}
		wide, err := x.rowMajor(t)
		if err != nil {
			return nil, err
		}
		if out[i], err = narrow(typ, t.Dims, numbers[float64](wide.data.([]float32))); err != nil {
			return nil, err
		}
		x.release(t)
	}
	return out, nil
}
