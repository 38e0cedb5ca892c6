package engine

import (
	"fmt"
	"slices"
)

// portion returns the movement of a whole tensor to, or from, a part of a larger
// one that begins at some index along an axis.
func portion(dims []int, axis, at int) paving {
	return func(whole, part []int) movement {
		return movement{dims: dims, to: whole, from: part, toStart: at * whole[axis]}
	}
}

// A joining step puts tensors one behind the other along an axis.
type joining struct{ axis int }

func newConcat(n *node) (step, error) {
	return joining{int(n.Int("axis", 1))}, n.require(max(1, len(n.Inputs)))
}

func (joining) anyLayout() {}

func (s joining) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	a, err := axis(s.axis, len(in[0].Dims))
	if err != nil {
		return nil, err
	}
	dims, last := slices.Clone(in[0].Dims), in[0].last
	for i, t := range in[1:] {
		if !joins(in[0], t, a) {
			return nil, fmt.Errorf("input %d is %v, input 0 is %v: they do not join on axis %d", i+1, t, in[0], a)
		}
		dims[a] += t.Dims[a]
		last = last || t.last
	}
	out, err := x.alike(in[0], dims, last)
	if err != nil {
		return nil, err
	}
	at := 0
	for _, t := range in {
		x.move(out, t, portion(t.Dims, a, at)(out.strides(), t.strides()))
		at += t.Dims[a]
	}
	return []*Tensor{out}, nil
}

// joins reports whether two tensors differ in no more than their size along an axis.
func joins(a, b *Tensor, axis int) bool {
	if a.Type() != b.Type() || len(a.Dims) != len(b.Dims) {
		return false
	}
	for i := range a.Dims {
		if i != axis && a.Dims[i] != b.Dims[i] {
			return false
		}
	}
	return true
}

func (joining) reads() (in, out indices) { return 0, 0 }

func (s joining) grad(x *exec, in, _, dout []*Tensor, want []bool) ([]*Tensor, error) {
	a, err := axis(s.axis, len(in[0].Dims))
	if err != nil {
		return nil, err
	}
	din := make([]*Tensor, len(in))
	at := 0
	for i, t := range in {
		if want[i] {
			if din[i], err = x.part(dout[0], t.Dims, a, at); err != nil {
				return nil, err
			}
		}
		at += t.Dims[a]
	}
	return din, nil
}

// part returns a part of t with those dims that begins at some index along an axis.
func (x *exec) part(t *Tensor, dims []int, axis, at int) (*Tensor, error) {
	p, err := x.alike(t, dims, t.last)
	if err != nil {
		return nil, err
	}
	x.move(p, t, portion(dims, axis, at)(t.strides(), p.strides()).back())
	return p, nil
}

// A splitting step cuts a tensor along an axis.
type splitting struct {
	axis  int
	sizes list
	parts int
	// uneven parts are allowed, where no sizes are given: the last is smaller.
	uneven bool
}

func newSplit(n *node) (step, error) {
	s := splitting{axis: int(n.Int("axis", 0)), sizes: n.list("split", 1, 13), parts: len(n.Outputs)}
	if a := n.Attr("num_outputs"); a != nil && n.opset >= 18 {
		s.uneven = true
		if a.Int != int64(s.parts) {
			return nil, fmt.Errorf("num_outputs is %d beside %d outputs", a.Int, s.parts)
		}
	}
	return s, n.require(1)
}

func (splitting) anyLayout() {}

func (s splitting) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	a, sizes, err := s.split(in)
	if err != nil {
		return nil, err
	}
	out, at := make([]*Tensor, len(sizes)), 0
	for i, n := range sizes {
		dims := slices.Clone(in[0].Dims)
		dims[a] = n
		if out[i], err = x.part(in[0], dims, a, at); err != nil {
			return nil, err
		}
		at += n
	}
	return out, nil
}

// split returns the axis to cut along and the sizes of the parts.
func (s splitting) split(in []*Tensor) (int, []int, error) {
	a, err := axis(s.axis, len(in[0].Dims))
	if err != nil {
		return 0, nil, err
	}
	sizes, err := s.sizes(in)
	if err != nil {
		return 0, nil, fmt.Errorf("split: %w", err)
	}
	size := in[0].Dims[a]
	if sizes == nil {
		if sizes, err = s.equal(size); err != nil {
			return 0, nil, err
		}
	}
	sum := 0
	for _, n := range sizes {
		if n < 0 || n > size-sum {
			return 0, nil, fmt.Errorf("parts of %v of axis %d of %v", sizes, a, in[0])
		}
		sum += n
	}
	if sum != size || len(sizes) != s.parts {
		return 0, nil, fmt.Errorf("parts of %v of axis %d of %v, for %d outputs", sizes, a, in[0], s.parts)
	}
	return a, sizes, nil
}

func (s splitting) equal(size int) ([]int, error) {
	if size%s.parts != 0 && !s.uneven {
		return nil, fmt.Errorf("%d cannot be split into %d equal parts", size, s.parts)
	}
	sizes := make([]int, s.parts)
	each := (size + s.parts - 1) / s.parts
	for i := range sizes {
		sizes[i] = min(each, size)
		size -= sizes[i]
	}
	return sizes, nil
}

func (splitting) reads() (in, out indices) { return all &^ only(0), 0 }

func (s splitting) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	a, sizes, err := s.split(in)
	if err != nil {
		return nil, err
	}
	last := slices.ContainsFunc(dout, func(t *Tensor) bool { return t != nil && t.last })
	dx, err := x.lend(in[0].Dims, last)
	if err != nil {
		return nil, err
	}
	if slices.Contains(dout, nil) {
		clear(dx.data.([]float32))
	}
	at := 0
	for i, n := range sizes {
		if t := dout[i]; t != nil {
			x.move(dx, t, portion(t.Dims, a, at)(dx.strides(), t.strides()))
		}
		at += n
	}
	return []*Tensor{dx}, nil
}
