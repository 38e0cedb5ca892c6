package engine

import (
	"fmt"
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A comparison has broadcast operands of one type and a bool result.
type comparison struct{ op string }

func newComparison(n *node) (step, error) { return comparison{n.OpType}, n.require(2) }

func (c comparison) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	if in[0].isHalf() {
		return inSingle(x, in, c.run)
	}
	out, err := compute(x, in, func(a algebra) applied { return a.comparison(c.op) })
	return []*Tensor{out}, err
}

// A check computes a bool from every element of a float tensor.
type check func(v float64) bool

func newIsNaN(n *node) (step, error) {
	return check(func(v float64) bool { return v != v }), n.require(1)
}

func newIsInf(n *node) (step, error) {
	below, above := n.Int("detect_negative", 1) != 0, n.Int("detect_positive", 1) != 0
	return check(func(v float64) bool { return below && math.IsInf(v, -1) || above && math.IsInf(v, 1) }), n.require(1)
}

func (c check) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	out, err := x.typed(onnxgraph.Bool, in[0].Dims, false)
	if err != nil {
		return nil, err
	}
	to := out.data.([]bool)
	switch s := widened(in[0]).data.(type) {
	case []float32:
		apply(to, s, func(v float32) bool { return c(float64(v)) })
	case []float64:
		apply(to, s, c)
	default:
		return nil, fmt.Errorf("input 0 is %v, want a float type", in[0])
	}
	return []*Tensor{out}, nil
}

// An exact step computes one of the operators that only bool or integers have
// from every element of its input.
type exact struct{ op string }

func newExact(n *node) (step, error) { return exact{n.OpType}, n.require(1) }

func (e exact) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	out, err := compute(x, in, func(a algebra) applied { return a.exact(e.op) })
	return []*Tensor{out}, err
}

// A where chooses between two broadcast operands.
type where struct{}

func newWhere(n *node) (step, error) { return where{}, n.require(3) }

func (where) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	if in[0].Type() != onnxgraph.Bool || in[1].Type() != in[2].Type() {
		return nil, fmt.Errorf("inputs are %v, %v and %v, want bool and two of one type", in[0], in[1], in[2])
	}
	dims, err := common(in...)
	if err != nil {
		return nil, err
	}
	out, err := x.alike(in[1], dims, false)
	if err != nil {
		return nil, err
	}
	choosers[out.Type()](x, out, in)
	return []*Tensor{out}, nil
}

var choosers = map[onnxgraph.DataType]func(x *exec, out *Tensor, in []*Tensor){
	onnxgraph.Float32:  choose[float32],
	onnxgraph.Float64:  choose[float64],
	onnxgraph.Int8:     choose[int8],
	onnxgraph.Int16:    choose[int16],
	onnxgraph.Int32:    choose[int32],
	onnxgraph.Int64:    choose[int64],
	onnxgraph.Uint8:    choose[uint8],
	onnxgraph.Uint16:   choose[uint16],
	onnxgraph.Uint32:   choose[uint32],
	onnxgraph.Uint64:   choose[uint64],
	onnxgraph.Bool:     choose[bool],
	onnxgraph.String:   choose[string],
	onnxgraph.Float16:  choose[Float16],
	onnxgraph.BFloat16: choose[BFloat16],
}

// choose sets out, all row-major, to the second input where the first is true,
// else to the third.
func choose[T Element](x *exec, out *Tensor, in []*Tensor) {
	operands, _ := x.align(len(out.Dims), in...) // no order changes, so nothing is reserved
	w := newNest(out.Dims, operands)
	to := out.data.([]T)
	x.team.Ranges(len(to), piece, func(_, from, end int) {
		condition, yes, no := readerOf[bool](&w, 0, operands[0]), readerOf[T](&w, 1, operands[1]), readerOf[T](&w, 2, operands[2])
		w.blocks(from, end, func(at, pos, n int, off []int) {
			c, a, b := condition.part(off[0], pos, n), yes.part(off[1], pos, n), no.part(off[2], pos, n)
			for i, first := range c {
				if first {
					to[at+i] = a[i]
				} else {
					to[at+i] = b[i]
				}
			}
		})
	})
}

func (where) reads() (in, out indices) { return only(0), 0 }

func (where) grad(x *exec, in, _, dout []*Tensor, want []bool) ([]*Tensor, error) {
	din := make([]*Tensor, 3)
	zero := of([]int{}, []float32{0})
	for i, operands := range [][]*Tensor{1: {in[0], dout[0], zero}, 2: {in[0], zero, dout[0]}} {
		if i == 0 || !want[i] {
			continue
		}
		g, err := x.temporary(dout[0].Dims, false)
		if err != nil {
			return nil, err
		}
		choose[float32](x, g, operands)
		if din[i], err = x.reduced(g, in[i].Dims); err != nil {
			return nil, err
		}
	}
	return din, nil
}
