package engine

import (
	"errors"
	"fmt"
	"math"

	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// An arithmetic step computes an operator of two or more broadcast operands of
// one type and, after Add and Sum, the Relu or Clip that follows.
type arithmetic struct {
	op       string
	most     int     // operands
	float32  bool    // certainly
	constant [2]bool // the operand needs no gradient
	clamp    clamp
}

func newArithmetic(n *node) (step, error) { return arithmeticOf(n, n.OpType, 2) }

// newVariadic makes an operator of any number of operands.
func newVariadic(n *node) (step, error) { return arithmeticOf(n, n.OpType, math.MaxInt) }

func arithmeticOf(n *node, op string, most int) (*arithmetic, error) {
	s := &arithmetic{op: op, most: most, clamp: noClamp}
	s.float32 = n.plan.types.Of(n.Outputs[0]).Elem == onnxgraph.Float32
	s.constant = [2]bool{n.constant(0) != nil, n.constant(1) != nil}
	if len(n.Inputs) > most {
		return nil, fmt.Errorf("%d inputs, want %d", len(n.Inputs), most)
	}
	if most == 2 {
		return s, n.require(2)
	}
	return s, n.require(max(1, len(n.Inputs)))
}

// newMod makes Mod, whose result has the sign of the divisor, or with fmod that
// of the dividend.
func newMod(n *node) (step, error) {
	if n.Int("fmod", 0) != 0 {
		return arithmeticOf(n, "Fmod", 2)
	}
	return arithmeticOf(n, "Mod", 2)
}

func newBitShift(n *node) (step, error) {
	switch way := n.Str("direction", ""); way {
	case "LEFT":
		return arithmeticOf(n, "ShiftLeft", 2)
	case "RIGHT":
		return arithmeticOf(n, "ShiftRight", 2)
	default:
		return nil, fmt.Errorf("direction is %q, want LEFT or RIGHT", way)
	}
}

func (*arithmetic) anyLayout() {}

func (s *arithmetic) fuse(next *node, _ int) (bool, string) {
	lo, hi, ok := clampOf(next)
	if !ok || s.op != "Add" && s.op != "Sum" || !s.float32 || s.clamp != noClamp {
		return false, ""
	}
	s.clamp = clamp{lo, hi}
	return true, ""
}

func (s *arithmetic) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	if in[0].isHalf() {
		return inSingle(x, in, s.run)
	}
	out, err := compute(x, in, s.applied)
	return []*Tensor{out}, err
}

// applied returns the operator for a type. Only float32 has clamps.
func (s *arithmetic) applied(a algebra) applied {
	if s.clamp == noClamp {
		return a.arithmetic(s.op)
	}
	if _, ok := a.(vectorized); !ok {
		return nil
	}
	return func(x *exec, in []*Tensor) (*Tensor, error) {
		return chain(x, in, vec.Add, func(dst []float32) { vec.Clamp(dst, dst, s.clamp.lo, s.clamp.hi) })
	}
}

func (s *arithmetic) reads() (in, out indices) {
	switch s.op {
	case "Mul":
		return s.others(), 0
	case "Div":
		if s.constant[1] {
			return only(1), 0
		}
		return only(1), only(0)
	case "Add", "Sum":
		if s.clamp != noClamp {
			return 0, only(0)
		}
		return 0, 0
	case "Sub", "Mean":
		return 0, 0
	case "PRelu":
		return only(0, 1), 0
	}
	return all, only(0) // Max, Min, Pow
}

// others returns the operands that multiply one which is not constant.
func (s *arithmetic) others() (in indices) {
	for i, constant := range s.constant {
		if !constant {
			in |= only(1 - i)
		}
	}
	return in
}

func (s *arithmetic) grad(x *exec, in, out, dout []*Tensor, want []bool) ([]*Tensor, error) {
	dy, err := s.unclamped(x, dout[0], out[0])
	if err != nil {
		return nil, err
	}
	din := make([]*Tensor, len(in))
	for i, wanted := range want {
		if !wanted {
			continue
		}
		g, err := s.partial(x, i, in, out[0], dy)
		if err != nil {
			return nil, err
		}
		if din[i], err = x.reduced(g, in[i].Dims); err != nil {
			return nil, err
		}
	}
	return din, nil
}

func (s *arithmetic) unclamped(x *exec, dy, y *Tensor) (*Tensor, error) {
	if s.clamp == noClamp {
		return dy, nil
	}
	dy, err := x.slope(dy, y, func(dx, dy, y []float32) { vec.ClampGrad(dx, dy, y, s.clamp.lo, s.clamp.hi) })
	if err == nil {
		x.temps = append(x.temps, dy)
	}
	return dy, err
}

// partial returns the gradient of operand i under the dims of the result.
func (s *arithmetic) partial(x *exec, i int, in []*Tensor, y, dy *Tensor) (*Tensor, error) {
	switch s.op {
	case "Add", "Sum":
		return dy, nil
	case "Sub":
		if i == 0 {
			return dy, nil
		}
		return x.derive(scaled(-1), dy)
	case "Mean":
		return x.derive(scaled(1/float32(len(in))), dy)
	case "Mul":
		return x.derive(func(dst []float32, v [][]float32) { vec.Mul(dst, v[0], v[1]) }, dy, in[1-i])
	case "Div":
		if i == 0 {
			return x.derive(func(dst []float32, v [][]float32) { vec.Div(dst, v[0], v[1]) }, dy, in[1])
		}
		return x.derive(byDivisor, dy, in[1], y)
	case "Max", "Min":
		return x.derive(shared, append([]*Tensor{dy, y, in[i]}, in...)...)
	case "Pow":
		if i == 0 {
			return x.derive(byBase, dy, in[0], in[1])
		}
		return x.derive(byExponent, dy, in[0], in[1], y)
	case "PRelu":
		if i == 0 {
			return x.derive(byLeaking, dy, in[0], in[1])
		}
		return x.derive(byLeak, dy, in[0])
	}
	return nil, errors.New("the operator has no gradient")
}

func scaled(by float32) func(dst []float32, v [][]float32) {
	return func(dst []float32, v [][]float32) { vec.Scale(dst, v[0], by) }
}

// byDivisor is -dy*y/b.
func byDivisor(dst []float32, v [][]float32) {
	dy, b, y := v[0], v[1], v[2]
	for i := range dst {
		dst[i] = -dy[i] * y[i] / b[i]
	}
}

// shared gives operands that are equally large, or small, equal shares of dy.
// v: dy, y, the operand, all operands.
func shared(dst []float32, v [][]float32) {
	dy, y, mine := v[0], v[1], v[2]
	for i := range dst {
		dst[i] = 0
		if mine[i] != y[i] {
			continue
		}
		equal := float32(0)
		for _, operand := range v[3:] {
			if operand[i] == y[i] {
				equal++
			}
		}
		dst[i] = dy[i] / equal
	}
}

// byBase is dy*b*a^(b-1), 0 where b is.
func byBase(dst []float32, v [][]float32) {
	dy, a, b := v[0], v[1], v[2]
	for i := range dst {
		switch b[i] {
		case 0:
			dst[i] = 0
		case 2:
			dst[i] = dy[i] * 2 * a[i]
		default:
			dst[i] = dy[i] * b[i] * float32(math.Pow(float64(a[i]), float64(b[i])-1))
		}
	}
}

// byExponent is dy*y*ln(a), 0 where a is and b is not negative.
func byExponent(dst []float32, v [][]float32) {
	dy, a, b, y := v[0], v[1], v[2], v[3]
	for i := range dst {
		dst[i] = 0
		if a[i] != 0 || b[i] < 0 {
			dst[i] = dy[i] * y[i] * float32(math.Log(float64(a[i])))
		}
	}
}

// byLeaking is the gradient of PRelu's input.
func byLeaking(dst []float32, v [][]float32) {
	dy, a, slope := v[0], v[1], v[2]
	for i := range dst {
		dst[i] = dy[i]
		if a[i] <= 0 {
			dst[i] *= slope[i]
		}
	}
}

// byLeak is the gradient of PRelu's slope, before it is summed.
func byLeak(dst []float32, v [][]float32) {
	dy, a := v[0], v[1]
	for i := range dst {
		dst[i] = dy[i] * min(a[i], 0)
	}
}

// newPow makes Pow, whose exponent may have a type of its own.
func newPow(n *node) (step, error) {
	s, err := arithmeticOf(n, n.OpType, 2)
	return &pow{s}, err
}

type pow struct{ *arithmetic }

func (p *pow) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	base, exponent := in[0].Type(), in[1].Type()
	if base == exponent {
		return p.arithmetic.run(x, in)
	}
	common := base
	if !fractional(base) && fractional(exponent) {
		common = onnxgraph.Float64
	}
	wide := make([]*Tensor, 2)
	for i, t := range in {
		var err error
		if wide[i], err = x.as(t, common); err != nil {
			return nil, err
		}
	}
	out, err := p.arithmetic.run(x, wide)
	if err != nil || common == base {
		return out, err
	}
	rounded, err := cast(x, out[0], base)
	return []*Tensor{rounded}, err
}

func (p *pow) grad(x *exec, in, out, dout []*Tensor, want []bool) ([]*Tensor, error) {
	exponent, err := x.as(in[1], onnxgraph.Float32)
	if err != nil {
		return nil, err
	}
	return p.arithmetic.grad(x, []*Tensor{in[0], exponent}, out, dout, want)
}

// fractional reports whether a type is one of floating point.
func fractional(t onnxgraph.DataType) bool {
	switch t {
	case onnxgraph.Float32, onnxgraph.Float64, onnxgraph.Float16, onnxgraph.BFloat16:
		return true
	}
	return false
}
