package engine

import (
	"errors"
	"fmt"
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A literal gives a tensor that its node holds.
type literal struct{ value *Tensor }

func (s literal) run(*exec, []*Tensor) ([]*Tensor, error) { return []*Tensor{s.value}, nil }

func newConstant(n *node) (step, error) {
	for _, a := range n.Attributes {
		t, err := held(a)
		if t != nil || err != nil {
			return literal{t}, err
		}
	}
	return nil, errors.New("no attribute holds a value that is supported")
}

// held returns what an attribute of a Constant holds, nil if it is none of those.
func held(a *onnxgraph.Attribute) (*Tensor, error) {
	switch a.Name {
	case "value":
		if a.Tensor == nil {
			return nil, errors.New("attribute value is no tensor")
		}
		return Read(a.Tensor)
	case "value_int":
		return of([]int{}, []int64{a.Int}), nil
	case "value_ints":
		return of([]int{len(a.Ints)}, a.Ints), nil
	case "value_float":
		return of([]int{}, []float32{a.Float}), nil
	case "value_floats":
		return of([]int{len(a.Floats)}, a.Floats), nil
	case "value_string":
		return of([]int{}, []string{string(a.String)}), nil
	case "value_strings":
		return of([]int{len(a.Strings)}, mapped(a.Strings, func(b []byte) string { return string(b) })), nil
	}
	return nil, nil
}

// A constantOfShape fills a tensor of computed dims with one value.
type constantOfShape struct{ value *Tensor }

func newConstantOfShape(n *node) (step, error) {
	s := constantOfShape{of([]int{1}, []float32{0})}
	if a := n.Attr("value"); a != nil && a.Tensor != nil {
		var err error
		if s.value, err = Read(a.Tensor); err != nil {
			return nil, err
		}
		if s.value.Len() != 1 {
			return nil, fmt.Errorf("attribute value is %v, want one element", s.value)
		}
	}
	return s, n.require(1)
}

func (s constantOfShape) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	dims, err := integers(in[0])
	if err != nil {
		return nil, err
	}
	out, err := x.alike(s.value, dims, false)
	if err != nil {
		return nil, err
	}
	kinds[out.Type()].fill(out.data, s.value.data)
	return []*Tensor{out}, nil
}

// A ranging step counts from its first input to its second in steps of its third.
type ranging struct{}

func newRange(n *node) (step, error) { return ranging{}, n.require(3) }

func (ranging) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	for i, t := range in[:3] {
		if t.Len() != 1 || t.Type() != in[0].Type() {
			return nil, fmt.Errorf("input %d is %v, want one %v", i, t, in[0].Type())
		}
	}
	var out *Tensor
	var err error
	if family(in[0].Type()) == onnxgraph.Int64 {
		out, err = count[int64](x, in)
	} else {
		out, err = count[float64](x, in)
	}
	return []*Tensor{out}, err
}

func count[A wide](x *exec, in []*Tensor) (*Tensor, error) {
	var arg [3]A
	for i := range arg {
		v, err := widen[A](in[i])
		if err != nil {
			return nil, err
		}
		arg[i] = v[0]
	}
	start, limit, delta := arg[0], arg[1], arg[2]
	n := math.Ceil((float64(limit) - float64(start)) / float64(delta))
	if math.IsNaN(n) || n > boundless {
		return nil, fmt.Errorf("cannot count from %v to %v in steps of %v", start, limit, delta)
	}
	dims := []int{int(max(n, 0))}
	if err := x.room(in[0].Type(), dims); err != nil {
		return nil, err
	}
	s := make([]A, dims[0])
	for i := range s {
		s[i] = start + A(i)*delta
	}
	return narrow(in[0].Type(), dims, s)
}

// A sizing step tells the dims of its input, or how many elements it has.
type sizing struct {
	start, end int
	total      bool
}

func newShape(n *node) (step, error) {
	return sizing{start: int(n.Int("start", 0)), end: int(n.Int("end", math.MaxInt64))}, n.require(1)
}

func newSize(n *node) (step, error) { return sizing{total: true}, n.require(1) }

func (sizing) anyLayout() {}

func (s sizing) run(_ *exec, in []*Tensor) ([]*Tensor, error) {
	if s.total {
		return []*Tensor{of([]int{}, []int64{int64(in[0].Len())})}, nil
	}
	dims := in[0].Dims
	start, end := within(s.start, len(dims)), within(s.end, len(dims))
	list := mapped(dims[start:max(start, end)], func(d int) int64 { return int64(d) })
	return []*Tensor{of([]int{len(list)}, list)}, nil
}

// within brings a bound that may count from the end into [0, n].
func within(i, n int) int {
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n)
}
