package engine

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/engine/vec"
)

// A gathering step takes what a tensor of indices names along an axis.
type gathering struct{ axis int }

func newGather(n *node) (step, error) {
	return gathering{int(n.Int("axis", 0))}, n.require(2)
}

// picks sees the tensor that is gathered from as [outer][size][inner], and
// returns those and the indices, counted from the beginning.
func (s gathering) picks(in []*Tensor) (a, outer, inner int, picks []int, err error) {
	dims := in[0].Dims
	if a, err = axis(s.axis, len(dims)); err != nil {
		return
	}
	if picks, err = integers(in[1]); err != nil {
		return a, 0, 0, nil, fmt.Errorf("indices: %w", err)
	}
	for i, p := range picks {
		if p < -dims[a] || p >= dims[a] {
			return a, 0, 0, nil, fmt.Errorf("index %d is %d, axis %d has %d elements", i, p, a, dims[a])
		}
		if p < 0 {
			picks[i] += dims[a]
		}
	}
	return a, product(dims[:a]), product(dims[a+1:]), picks, nil
}

func (s gathering) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	a, outer, inner, picks, err := s.picks(in)
	if err != nil {
		return nil, err
	}
	out, err := x.alike(in[0], slices.Concat(in[0].Dims[:a], in[1].Dims, in[0].Dims[a+1:]), false)
	if err != nil {
		return nil, err
	}
	if out.Len() > 0 {
		kinds[out.Type()].take(out.data, in[0].data, outer, in[0].Dims[a], inner, picks)
	}
	return []*Tensor{out}, nil
}

func (gathering) reads() (in, out indices) { return only(1), 0 }

// grad adds up what was taken several times in the order of the indices.
func (s gathering) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	a, outer, inner, picks, err := s.picks(in)
	if err != nil {
		return nil, err
	}
	dx, err := x.zeros(in[0].Dims, false)
	if err != nil {
		return nil, err
	}
	to, from, size := dx.data.([]float32), dout[0].data.([]float32), in[0].Dims[a]
	for o := 0; o < outer && len(from) > 0; o++ {
		for _, p := range picks {
			row := to[(o*size+p)*inner:][:inner]
			vec.Add(row, row, from)
			from = from[inner:]
		}
	}
	return []*Tensor{dx}, nil
}
