package engine

import (
	"fmt"
	"slices"
)

// A mover copies elements of its first input into another arrangement.
type mover struct {
	// plan returns the dims of the result and how elements get there.
	plan func(in []*Tensor) ([]int, paving, error)
}

// A paving gives the movement between two tensors with those strides.
type paving func(to, from []int) movement

func (mover) anyLayout() {}

func (s mover) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	dims, pave, err := s.plan(in)
	if err != nil {
		return nil, err
	}
	if v := x.relabel(in[0], dims, pave); v != nil {
		return []*Tensor{v}, nil
	}
	out, err := x.alike(in[0], dims, in[0].last && len(dims) == len(in[0].Dims))
	if err != nil {
		return nil, err
	}
	x.move(out, in[0], pave(out.strides(), in[0].strides()))
	return []*Tensor{out}, nil
}

// relabel returns a view where the result is the input in the same order of
// memory, as where a transposition turns rows of channels into channels last.
func (x *exec) relabel(t *Tensor, dims []int, pave paving) *Tensor {
	if product(dims) != t.Len() {
		return nil
	}
	_, float := t.data.([]float32)
	for _, last := range []bool{false, true} {
		if last && (len(dims) < 3 || !float) {
			break
		}
		if pave(strides(dims, last), t.strides()).tidy().straight(t.Len()) {
			v := x.view(t, dims)
			v.last = last
			return v
		}
	}
	return nil
}

// reads leaves out the elements that are moved: their dims will do.
func (mover) reads() (in, out indices) { return all &^ only(0), 0 }

func (s mover) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	dims, pave, err := s.plan(in)
	if err != nil {
		return nil, err
	}
	dx, err := x.moveBack(dout[0], in[0].Dims, dims, pave)
	return []*Tensor{dx}, err
}

// moveBack returns the gradient of what was moved, given that of the result:
// each element gets the sum of what became of it.
func (x *exec) moveBack(dout *Tensor, dims, moved []int, pave paving) (*Tensor, error) {
	back := func(to, from []int) movement { return pave(from, to).back() }
	if v := x.relabel(dout, dims, back); v != nil {
		return v, nil
	}
	dx, err := x.lend(dims, dout.last && len(dims) == len(moved))
	if err != nil {
		return nil, err
	}
	m := back(dx.strides(), dout.strides()).tidy()
	to, repeats := dx.data.([]float32), slices.Contains(m.to, 0)
	if repeats || product(m.dims) < len(to) {
		clear(to)
	}
	if repeats {
		addAll(m, to, dout.data.([]float32))
	} else {
		x.move(dx, dout, m)
	}
	return dx, nil
}

func newTranspose(n *node) (step, error) {
	perm := convert(n.Ints("perm"))
	named := n.Attr("perm") != nil
	return mover{func(in []*Tensor) ([]int, paving, error) {
		p := perm
		if !named {
			p = reversed(len(in[0].Dims))
		}
		if !permutes(p, len(in[0].Dims)) {
			return nil, nil, fmt.Errorf("perm %v does not permute %d dimensions", p, len(in[0].Dims))
		}
		dims := pick(in[0].Dims, p)
		return dims, func(to, from []int) movement {
			return movement{dims: dims, to: to, from: pick(from, p)}
		}, nil
	}}, n.require(1)
}

func reversed(rank int) []int {
	p := make([]int, rank)
	for i := range p {
		p[i] = rank - 1 - i
	}
	return p
}

func permutes(p []int, rank int) bool {
	s := slices.Clone(p)
	slices.Sort(s)
	for i, v := range s {
		if i != v {
			return false
		}
	}
	return len(p) == rank
}

// pick returns the elements of s that p lists.
func pick(s, p []int) []int {
	return mapped(p, func(i int) int { return s[i] })
}

func newSlice(n *node) (step, error) {
	starts, ends := n.list("starts", 1, 10), n.list("ends", 2, 10)
	axes, steps := n.list("axes", 3, 10), n.list("steps", 4, 10)
	inputs := 1
	if n.opset >= 10 {
		inputs = 3
	}
	return mover{func(in []*Tensor) ([]int, paving, error) {
		var args [4][]int
		for i, list := range []list{starts, ends, axes, steps} {
			var err error
			if args[i], err = list(in); err != nil {
				return nil, nil, err
			}
		}
		c, err := cutOf(in[0].Dims, args[0], args[1], args[2], args[3])
		if err != nil {
			return nil, nil, err
		}
		return c.dims, func(to, from []int) movement {
			by := make([]int, len(from))
			for i := range by {
				by[i] = c.steps[i] * from[i]
			}
			return movement{dims: c.dims, to: to, from: by, fromStart: dot(c.starts, from)}
		}, nil
	}}, n.require(inputs)
}

// A cut is what Slice takes of each dimension.
type cut struct{ dims, starts, steps []int }

func cutOf(dims, starts, ends, axes, steps []int) (cut, error) {
	c := cut{slices.Clone(dims), make([]int, len(dims)), slices.Repeat([]int{1}, len(dims))}
	if axes == nil {
		axes = make([]int, len(starts))
		for i := range axes {
			axes[i] = i
		}
	}
	if steps == nil {
		steps = slices.Repeat([]int{1}, len(starts))
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return c, fmt.Errorf("%d starts, %d ends, %d axes and %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	if _, err := marked(axes, len(dims)); err != nil {
		return c, err
	}
	for i, a := range axes {
		a, _ = axis(a, len(dims))
		if steps[i] == 0 {
			return c, fmt.Errorf("the step along axis %d is 0", a)
		}
		c.starts[a], c.dims[a], c.steps[a] = span(starts[i], ends[i], steps[i], dims[a])
	}
	return c, nil
}

// span returns what of [0, size) a slice takes: from where, how many, in what steps.
func span(start, end, step, size int) (first, n, by int) {
	step = min(max(step, -size-1), size+1)
	lo, hi := 0, size // where start and end may be
	if step < 0 {
		lo, hi = -1, size-1
	}
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	start, end = min(max(start, lo), hi), min(max(end, lo), hi)
	switch {
	case step > 0 && end > start:
		n = (end - start + step - 1) / step
	case step < 0 && end < start:
		n = (start - end - step - 1) / -step
	default:
		start = 0
	}
	return start, n, step
}

// Expand repeats what is 1 as often as the shape says (ONNX, Broadcasting).
func newExpand(n *node) (step, error) {
	return mover{func(in []*Tensor) ([]int, paving, error) {
		shape, err := integers(in[1])
		if err != nil {
			return nil, nil, fmt.Errorf("shape: %w", err)
		}
		if _, err := elements(shape); err != nil {
			return nil, nil, err
		}
		dims, err := broadcast(in[0].Dims, shape)
		if err != nil {
			return nil, nil, err
		}
		return dims, expansion(in[0].Dims, dims), nil
	}}, n.require(2)
}

// expansion returns the movement that broadcasts a tensor to larger dims.
func expansion(dims, to []int) paving {
	return func(large, small []int) movement {
		from := make([]int, len(to))
		for i, d := range dims {
			if d != 1 {
				from[len(to)-len(dims)+i] = small[i]
			}
		}
		return movement{dims: to, to: large, from: from}
	}
}

func newTile(n *node) (step, error) {
	return mover{func(in []*Tensor) ([]int, paving, error) {
		times, err := integers(in[1])
		if err != nil {
			return nil, nil, fmt.Errorf("repeats: %w", err)
		}
		if len(times) != len(in[0].Dims) {
			return nil, nil, fmt.Errorf("%d repeats for %v", len(times), in[0])
		}
		if _, err := elements(append(slices.Clone(times), in[0].Dims...)); err != nil {
			return nil, nil, err
		}
		dims, inner := slices.Clone(in[0].Dims), in[0].Dims
		for i, k := range times {
			dims[i] *= k
		}
		return dims, func(to, from []int) movement {
			outer := make([]int, len(to))
			for i, s := range to {
				outer[i] = s * inner[i]
			}
			return movement{
				dims: append(slices.Clone(times), inner...),
				to:   append(outer, to...),
				from: append(make([]int, len(from)), from...),
			}
		}, nil
	}}, n.require(2)
}

// blocks returns the movement from a wide image to a deep one, whose channels
// hold blocks of it: [row in block][column in block][channel], or, with crd,
// [channel][row in block][column in block].
func blocks(deepDims []int, block int, crd bool) paving {
	channels := deepDims[1] / (block * block)
	return func(deep, wide []int) movement {
		c := deep[1]
		row, column, channel := c*block*channels, c*channels, c
		if crd {
			row, column, channel = c*block, c, c*block*block
		}
		return movement{
			dims: []int{deepDims[0], block, block, channels, deepDims[2], deepDims[3]},
			to:   []int{deep[0], row, column, channel, deep[2], deep[3]},
			from: []int{wide[0], wide[2], wide[3], wide[1], block * wide[2], block * wide[3]},
		}
	}
}

func newDepthToSpace(n *node) (step, error) {
	block, crd := int(n.Int("blocksize", 0)), n.Str("mode", "DCR") == "CRD"
	return mover{func(in []*Tensor) ([]int, paving, error) {
		d := in[0].Dims
		if len(d) != 4 || block < 1 || block > 1<<15 || d[1]%(block*block) != 0 {
			return nil, nil, fmt.Errorf("blocks of %d in %v", block, in[0])
		}
		dims := []int{d[0], d[1] / (block * block), d[2] * block, d[3] * block}
		pave := blocks(d, block, crd)
		return dims, func(to, from []int) movement { return pave(from, to).back() }, nil
	}}, n.require(1)
}

func newSpaceToDepth(n *node) (step, error) {
	block, crd := int(n.Int("blocksize", 0)), n.Str("mode", "DCR") == "CRD" // a mode since opset 28
	return mover{func(in []*Tensor) ([]int, paving, error) {
		d := in[0].Dims
		if len(d) != 4 || block < 1 || block > 1<<15 || d[2]%block != 0 || d[3]%block != 0 {
			return nil, nil, fmt.Errorf("blocks of %d in %v", block, in[0])
		}
		dims := []int{d[0], d[1] * block * block, d[2] / block, d[3] / block}
		return dims, blocks(dims, block, crd), nil
	}}, n.require(1)
}
