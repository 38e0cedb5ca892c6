package engine

import (
	"errors"
	"fmt"
	"slices"
)

// require refuses a node that leaves out one of its first inputs.
func (n *node) require(inputs int) error {
	for i := range inputs {
		if !n.has(i) {
			return fmt.Errorf("input %d is missing", i)
		}
	}
	return nil
}

// A list is a list of integers that a node is given; nil where it is left out.
type list func(in []*Tensor) ([]int, error)

// list returns what an attribute holds, and from an opset on, an input.
func (n *node) list(attribute string, input int, since int64) list {
	if n.opset >= since {
		return func(in []*Tensor) ([]int, error) {
			if input >= len(in) || in[input] == nil {
				return nil, nil
			}
			return integers(in[input])
		}
	}
	var fixed []int
	if n.Attr(attribute) != nil {
		fixed = convert(n.Ints(attribute))
	}
	return func([]*Tensor) ([]int, error) { return fixed, nil }
}

// marked returns which of a tensor's axes a list names.
func marked(axes []int, rank int) ([]bool, error) {
	named := make([]bool, rank)
	for _, a := range axes {
		i, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if named[i] {
			return nil, fmt.Errorf("axis %d is named twice", a)
		}
		named[i] = true
	}
	return named, nil
}

// A reshaping gives the elements of its first input other dims.
type reshaping struct {
	dims func(in []*Tensor) ([]int, error)
}

func (reshaping) anyLayout() {}

func (s reshaping) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	dims, err := s.dims(in)
	if err != nil {
		return nil, err
	}
	out, err := x.reshape(in[0], dims)
	return []*Tensor{out}, err
}

func (reshaping) reads() (in, out indices) { return 0, 0 }

func (reshaping) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	dx, err := x.reshape(dout[0], in[0].Dims)
	return []*Tensor{dx}, err
}

// reshape returns t under dims of the same product: a view, but for
// channels-last tensors whose channels do not stay what they are.
func (x *exec) reshape(t *Tensor, dims []int) (*Tensor, error) {
	if t.last && len(dims) > 2 && slices.Equal(t.Dims[:2], dims[:2]) {
		v := x.view(t, dims)
		v.last = true
		return v, nil
	}
	t, err := x.rowMajor(t)
	if err != nil {
		return nil, err
	}
	return x.view(t, dims), nil
}

func newIdentity(n *node) (step, error) {
	return reshaping{func(in []*Tensor) ([]int, error) { return in[0].Dims, nil }}, n.require(1)
}

func newReshape(n *node) (step, error) {
	allowZero := n.Int("allowzero", 0) != 0
	return reshaping{func(in []*Tensor) ([]int, error) {
		to, err := integers(in[1])
		if err != nil {
			return nil, fmt.Errorf("shape: %w", err)
		}
		return reshaped(in[0], to, allowZero)
	}}, n.require(2)
}

// reshaped returns the dims that Reshape asks for: 0 is the input's own unless
// allowZero, and one -1 is what remains.
func reshaped(t *Tensor, to []int, allowZero bool) ([]int, error) {
	wrong := func(why string) error { return fmt.Errorf("cannot reshape %v to %s%s", t, spell(to), why) }
	dims := slices.Clone(to)
	open, rest := -1, t.Len()
	for i, d := range to {
		switch {
		case d == -1 && open >= 0:
			return nil, wrong(": two dims are -1")
		case d == -1:
			open = i
			continue
		case d < 0:
			return nil, wrong(fmt.Sprintf(": a dim is %d", d))
		case d == 0 && !allowZero && i >= len(t.Dims):
			return nil, wrong(fmt.Sprintf(": there is no dim %d to keep", i))
		case d == 0 && !allowZero:
			dims[i] = t.Dims[i]
		}
	}
	if open >= 0 {
		dims[open] = 1
	}
	known, err := elements(dims)
	if err != nil {
		return nil, err
	}
	if open >= 0 && known > 0 {
		dims[open] = rest / known
		known *= dims[open]
	} else if open >= 0 {
		return nil, wrong(": -1 beside a dim of 0")
	}
	if known != rest {
		return nil, wrong("")
	}
	return dims, nil
}

func newFlatten(n *node) (step, error) {
	at := int(n.Int("axis", 1))
	return reshaping{func(in []*Tensor) ([]int, error) {
		dims := in[0].Dims
		a, err := axis(at, len(dims)+1)
		if at < 0 {
			a, err = axis(at, len(dims))
		}
		if err != nil {
			return nil, fmt.Errorf("axis %d of a tensor with %d dimensions", at, len(dims))
		}
		return []int{product(dims[:a]), product(dims[a:])}, nil
	}}, n.require(1)
}

func newSqueeze(n *node) (step, error) {
	axes := n.list("axes", 1, 13)
	return reshaping{func(in []*Tensor) ([]int, error) {
		list, err := axes(in)
		if err != nil {
			return nil, err
		}
		return squeezed(in[0].Dims, list)
	}}, n.require(1)
}

// squeezed drops the named dims of 1, or all such where the list is nil.
func squeezed(dims, axes []int) ([]int, error) {
	named, err := marked(axes, len(dims))
	if err != nil {
		return nil, err
	}
	out := make([]int, 0, len(dims))
	for i, d := range dims {
		if named[i] && d != 1 {
			return nil, fmt.Errorf("cannot squeeze axis %d of %s: it is %d", i, spell(dims), d)
		}
		if !named[i] && (axes != nil || d != 1) {
			out = append(out, d)
		}
	}
	return out, nil
}

func newUnsqueeze(n *node) (step, error) {
	axes := n.list("axes", 1, 13)
	return reshaping{func(in []*Tensor) ([]int, error) {
		list, err := axes(in)
		if err != nil {
			return nil, err
		}
		if list == nil {
			return nil, errors.New("no axes")
		}
		return unsqueezed(in[0].Dims, list)
	}}, n.require(1)
}

// unsqueezed inserts dims of 1 at the named axes of the result.
func unsqueezed(dims, axes []int) ([]int, error) {
	named, err := marked(axes, len(dims)+len(axes))
	if err != nil {
		return nil, err
	}
	out := make([]int, len(named))
	for i := range out {
		out[i] = 1
		if !named[i] {
			out[i], dims = dims[0], dims[1:]
		}
	}
	return out, nil
}
