package engine

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/engine/conv"
	"github.com/natonnx/natonnx/engine/vec"
)

// A matMul computes MatMul: the product of the last two dimensions, the others
// broadcast as NumPy does.
type matMul struct {
	packed *conv.Weights // a constant right operand of two dimensions
	dims   []int         // of it
}

func newMatMul(n *node) (step, error) {
	if err := n.require(2); err != nil {
		return nil, err
	}
	b := toSingle(n.constant(1))
	if b == nil || b.Float32s() == nil || len(b.Dims) != 2 {
		return &matMul{}, nil
	}
	return &matMul{conv.PackMatrix(b.Dims[0], b.Dims[1], b.Float32s(), false), b.Dims}, nil
}

func (*matMul) inFloat32() {}

func (s *matMul) finish() (indices, error) {
	if s.packed != nil {
		return only(1), nil
	}
	return 0, nil
}

// A multiplied is the geometry of one matMul: batches of [m][k] times [k][n].
type multiplied struct {
	m, k, n int
	// a, b and out are the offsets, in matrices, of each batch's operands.
	a, b  []int
	dims  []int // of the result
	fused bool  // b is one matrix: all of a's rows are multiplied by it at once
}

// multiplication works out the geometry for operands of the given dims.
func multiplication(a, b []int) (multiplied, error) {
	var p multiplied
	if len(a) == 0 || len(b) == 0 {
		return p, fmt.Errorf("operands are %s and %s, want one dimension or more", spell(a), spell(b))
	}
	left, right := a, b
	if len(a) == 1 {
		left = []int{1, a[0]}
	}
	if len(b) == 1 {
		right = []int{b[0], 1}
	}
	la, lb := left[:len(left)-2], right[:len(right)-2]
	p.m, p.k, p.n = left[len(left)-2], left[len(left)-1], right[len(right)-1]
	batch, err := broadcast(la, lb)
	if err != nil || right[len(right)-2] != p.k {
		return p, fmt.Errorf("%s times %s do not fit", spell(a), spell(b))
	}
	p.dims = slices.Clone(batch)
	if len(a) > 1 {
		p.dims = append(p.dims, p.m)
	}
	if len(b) > 1 {
		p.dims = append(p.dims, p.n)
	}
	if p.fused = product(lb) == 1; p.fused && product(la) == product(batch) {
		p.m *= product(batch)
		p.a, p.b = []int{0}, []int{0}
		return p, nil
	}
	p.fused = false
	p.a, p.b = offsets(la, batch), offsets(lb, batch)
	return p, nil
}

// offsets returns, for each element of shape to in row-major order, the index
// of the element of shape from that broadcasts to it.
func offsets(from, to []int) []int {
	out := make([]int, product(to))
	skip := len(to) - len(from)
	for i := range out {
		at, step, rest := 0, 1, i
		for d := len(to) - 1; d >= 0; d-- {
			pos := rest % to[d]
			rest /= to[d]
			if d < skip {
				continue
			}
			if n := from[d-skip]; n > 1 {
				at += pos * step
				step *= n
			}
		}
		out[i] = at
	}
	return out
}

func (s *matMul) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	b := optional(in, 1)
	dims := s.dims
	if s.packed == nil {
		dims = b.Dims
	}
	if err := floatOperands(in); err != nil {
		return nil, err
	}
	p, err := multiplication(in[0].Dims, dims)
	if err != nil {
		return nil, err
	}
	out, err := x.lend(p.dims, false)
	if err != nil {
		return nil, err
	}
	to, left := out.data.([]float32), in[0].Float32s()
	if s.packed != nil && p.fused {
		conv.Multiply(x.team, p.m, to, left, s.packed, conv.Plain)
		return []*Tensor{out}, nil
	}
	for i := range p.a {
		w := s.packed
		if w == nil {
			w = conv.PackMatrix(p.k, p.n, b.Float32s()[p.b[i]*p.k*p.n:][:p.k*p.n], false)
		}
		conv.Multiply(x.team, p.m, to[i*p.m*p.n:][:p.m*p.n], left[p.a[i]*p.m*p.k:][:p.m*p.k], w, conv.Plain)
	}
	return []*Tensor{out}, nil
}

func floatOperands(in []*Tensor) error {
	for i, t := range in {
		if t == nil {
			continue
		}
		if _, ok := t.data.([]float32); !ok {
			return fmt.Errorf("input %d is %v, want float32", i, t)
		}
	}
	return nil
}

func (*matMul) reads() (in, out indices) { return only(0, 1), 0 }

func (*matMul) grad(x *exec, in, _, dout []*Tensor, want []bool) ([]*Tensor, error) {
	p, err := multiplication(in[0].Dims, in[1].Dims)
	if err != nil {
		return nil, err
	}
	a, b, dy := in[0].Float32s(), in[1].Float32s(), dout[0].Float32s()
	din := make([]*Tensor, 2)
	for i := range din {
		if !want[i] {
			continue
		}
		if din[i], err = x.lend(in[i].Dims, false); err != nil {
			return nil, err
		}
		clear(din[i].data.([]float32))
	}
	part, err := x.temporary([]int{max(p.m, p.n) * p.k}, false)
	if err != nil {
		return nil, err
	}
	one := part.data.([]float32)
	for i := range p.a {
		g := dy[i*p.m*p.n:][:p.m*p.n]
		if want[0] {
			w := conv.PackMatrix(p.n, p.k, b[p.b[i]*p.k*p.n:][:p.k*p.n], true)
			conv.Multiply(x.team, p.m, one, g, w, conv.Plain)
			to := din[0].data.([]float32)[p.a[i]*p.m*p.k:]
			vec.Add(to, to, one[:p.m*p.k])
		}
		if want[1] {
			conv.MultiplyATB(x.team, p.m, p.k, p.n, one, a[p.a[i]*p.m*p.k:][:p.m*p.k], g)
			to := din[1].data.([]float32)[p.b[i]*p.k*p.n:]
			vec.Add(to, to, one[:p.k*p.n])
		}
	}
	return din, nil
}
