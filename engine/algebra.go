package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

type integer interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

type float interface{ float32 | float64 }

type number interface{ integer | float }

// An applied operator computes a result of the step's inputs, all of one type.
type applied func(x *exec, in []*Tensor) (*Tensor, error)

// An algebra is what operators do with the elements of one type. It returns nil
// for an operator that the type does not have.
type algebra interface {
	arithmetic(op string) applied // the result has the type of the operands
	comparison(op string) applied // the result is bool
	exact(op string) applied      // of the curves, those that integers have
}

// algebras has no entry for half precision, which is computed in float32.
var algebras = map[onnxgraph.DataType]algebra{
	onnxgraph.Float32: vectorized{},
	onnxgraph.Float64: real[float64]{},
	onnxgraph.Int8:    whole[int8]{},
	onnxgraph.Int16:   whole[int16]{},
	onnxgraph.Int32:   whole[int32]{},
	onnxgraph.Int64:   whole[int64]{},
	onnxgraph.Uint8:   whole[uint8]{},
	onnxgraph.Uint16:  whole[uint16]{},
	onnxgraph.Uint32:  whole[uint32]{},
	onnxgraph.Uint64:  whole[uint64]{},
	onnxgraph.Bool:    logic{},
	onnxgraph.String:  text{},
}

// logic is what bool has.
type logic struct{}

func (logic) arithmetic(op string) applied { return nil }

func (logic) comparison(op string) applied {
	switch op {
	case "Equal":
		return compared(func(a, b bool) bool { return a == b })
	case "And":
		return compared(func(a, b bool) bool { return a && b })
	case "Or":
		return compared(func(a, b bool) bool { return a || b })
	case "Xor":
		return compared(func(a, b bool) bool { return a != b })
	}
	return nil
}

func (logic) exact(op string) applied {
	if op == "Not" {
		return mapping(func(v bool) bool { return !v })
	}
	return nil
}

// text is what strings have.
type text struct{}

func (text) arithmetic(string) applied { return nil }
func (text) exact(string) applied      { return nil }

func (text) comparison(op string) applied {
	if op == "Equal" {
		return compared(func(a, b string) bool { return a == b })
	}
	return nil
}

// ordered is what all numbers have.
type ordered[T number] struct{}

func (ordered[T]) exact(op string) applied {
	switch op {
	case "Neg":
		return mapping(func(v T) T { return -v })
	case "Abs":
		return mapping(func(v T) T { return max(v, -v) })
	case "Relu":
		return mapping(func(v T) T { return max(v, 0) })
	}
	return nil
}

func (ordered[T]) comparison(op string) applied {
	switch op {
	case "Equal":
		return compared(func(a, b T) bool { return a == b })
	case "Less":
		return compared(func(a, b T) bool { return a < b })
	case "LessOrEqual":
		return compared(func(a, b T) bool { return a <= b })
	case "Greater":
		return compared(func(a, b T) bool { return a > b })
	case "GreaterOrEqual":
		return compared(func(a, b T) bool { return a >= b })
	}
	return nil
}

func (ordered[T]) arithmetic(op string) applied {
	switch op {
	case "Add", "Sum":
		return folded(func(a, b T) T { return a + b })
	case "Sub":
		return folded(func(a, b T) T { return a - b })
	case "Mul":
		return folded(func(a, b T) T { return a * b })
	case "Max":
		return folded(func(a, b T) T { return max(a, b) })
	case "Min":
		return folded(func(a, b T) T { return min(a, b) })
	case "PRelu":
		return folded(func(a, b T) T {
			if a < 0 {
				return a * b
			}
			return a
		})
	}
	return nil
}

// real is what floats have.
type real[T float] struct{ ordered[T] }

func (r real[T]) arithmetic(op string) applied {
	switch op {
	case "Div":
		return folded(func(a, b T) T { return a / b })
	case "Pow":
		return folded(func(a, b T) T { return T(math.Pow(float64(a), float64(b))) })
	case "Fmod":
		return folded(func(a, b T) T { return T(math.Mod(float64(a), float64(b))) })
	case "Mod":
		return folded(func(a, b T) T { return T(floored(float64(a), float64(b))) })
	case "Mean":
		return mean[T]
	}
	return r.ordered.arithmetic(op)
}

// floored is the remainder that has the sign of b, as in Python.
func floored(a, b float64) float64 {
	r := math.Mod(a, b)
	switch {
	case r == 0:
		return math.Copysign(0, b)
	case (r < 0) != (b < 0):
		return r + b
	}
	return r
}

func mean[T float](x *exec, in []*Tensor) (*Tensor, error) {
	add := func(dst, a, b []T) {
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
	}
	return chain(x, in, add, func(dst []T) {
		for i := range dst {
			dst[i] /= T(len(in))
		}
	})
}

// vectorized is what float32 has: mostly vectors.
type vectorized struct{ real[float32] }

var vectors = map[string]func(dst, a, b []float32){
	"Add": vec.Add, "Sum": vec.Add, "Sub": vec.Sub, "Mul": vec.Mul, "Div": vec.Div,
	"Max": vec.Max, "Min": vec.Min, "Pow": powers,
}

func (s vectorized) arithmetic(op string) applied {
	if f := vectors[op]; f != nil {
		return func(x *exec, in []*Tensor) (*Tensor, error) { return chain(x, in, f, nil) }
	}
	return s.real.arithmetic(op)
}

// powers sets dst to a to the power of b, fast for the exponents of formulas.
func powers(dst, a, b []float32) {
	for i, v := range a {
		switch b[i] {
		case 2:
			dst[i] = v * v
		case 3:
			dst[i] = v * v * v
		default:
			dst[i] = float32(math.Pow(float64(v), float64(b[i])))
		}
	}
}

// whole is what integers have: sums wrap around.
type whole[T integer] struct{ ordered[T] }

func (w whole[T]) exact(op string) applied {
	switch op {
	case "Sign":
		return mapping(sign[T])
	case "BitwiseNot":
		return mapping(func(v T) T { return ^v })
	}
	return w.ordered.exact(op)
}

func sign[T integer](v T) T {
	switch {
	case v > 0:
		return 1
	case v < 0:
		var one T = 1
		return -one
	}
	return 0
}

func (w whole[T]) arithmetic(op string) applied {
	switch op {
	case "Div":
		return divided(func(a, b T) T { return a / b })
	case "Mod":
		return divided(modulo[T])
	case "Fmod":
		return divided(func(a, b T) T { return a % b })
	case "Pow":
		return folded(power[T])
	case "BitwiseAnd":
		return folded(func(a, b T) T { return a & b })
	case "BitwiseOr":
		return folded(func(a, b T) T { return a | b })
	case "BitwiseXor":
		return folded(func(a, b T) T { return a ^ b })
	case "ShiftLeft":
		return folded(func(a, b T) T { return a << uint64(b) })
	case "ShiftRight":
		return folded(func(a, b T) T { return a >> uint64(b) })
	}
	return w.ordered.arithmetic(op)
}

// modulo has the sign of b.
func modulo[T integer](a, b T) T {
	r := a % b
	if r != 0 && (r < 0) != (b < 0) {
		r += b
	}
	return r
}

// power is a to the power of b by squaring; 1/a is rounded towards zero.
func power[T integer](a, b T) T {
	var p T = 1
	if b < 0 {
		if a != 1 && a+1 != 0 {
			return 0
		}
		b = -(b % 2) // of 1 and -1
	}
	for ; b > 0; b /= 2 {
		if b%2 == 1 {
			p *= a
		}
		a *= a
	}
	return p
}

// divided refuses divisors of 0.
func divided[T integer](f func(a, b T) T) applied {
	divide := folded(f)
	return func(x *exec, in []*Tensor) (*Tensor, error) {
		if slices.Contains(in[1].data.([]T), 0) {
			return nil, errors.New("division by an integer that is 0")
		}
		return divide(x, in)
	}
}

// folded applies f to operands from the left.
func folded[T number](f func(a, b T) T) applied {
	return func(x *exec, in []*Tensor) (*Tensor, error) {
		return chain(x, in, func(dst, a, b []T) {
			for i := range dst {
				dst[i] = f(a[i], b[i])
			}
		}, nil)
	}
}

// chain applies f to operands from the left, and then finish, unless it is nil.
func chain[T number](x *exec, in []*Tensor, f func(dst, a, b []T), finish func(dst []T)) (*Tensor, error) {
	dims, err := common(in...)
	if err != nil {
		return nil, err
	}
	operands, err := x.align(len(dims), in...)
	if err != nil {
		return nil, err
	}
	x.spare(operands)
	out, err := x.target(in[0].Type(), dims, operands)
	if err != nil {
		return nil, err
	}
	spread(x, out.data.([]T), dims, operands, func(dst []T, v [][]T) {
		if len(v) == 1 {
			copy(dst, v[0])
		} else {
			f(dst, v[0], v[1])
		}
		for _, b := range v[min(2, len(v)):] {
			f(dst, dst, b)
		}
		if finish != nil {
			finish(dst)
		}
	})
	return out, nil
}

func compared[T Element](f func(a, b T) bool) applied {
	return func(x *exec, in []*Tensor) (*Tensor, error) {
		dims, err := common(in...)
		if err != nil {
			return nil, err
		}
		operands, err := x.align(len(dims), in...)
		if err != nil {
			return nil, err
		}
		out, err := x.typed(onnxgraph.Bool, dims, false)
		if err != nil {
			return nil, err
		}
		spread(x, out.data.([]bool), dims, operands, func(dst []bool, v [][]T) {
			a, b := v[0], v[1]
			for i := range dst {
				dst[i] = f(a[i], b[i])
			}
		})
		return out, nil
	}
}

// mapping applies f to every element.
func mapping[T Element](f func(v T) T) applied {
	return func(x *exec, in []*Tensor) (*Tensor, error) {
		out, err := x.alike(in[0], in[0].Dims, in[0].last)
		if err != nil {
			return nil, err
		}
		dst := out.data.([]T)
		for i, v := range in[0].data.([]T) {
			dst[i] = f(v)
		}
		return out, nil
	}
}

// compute applies an operator of the algebra of the first input's type, to
// which all others must agree.
func compute(x *exec, in []*Tensor, choose func(algebra) applied) (*Tensor, error) {
	typ := in[0].Type()
	for i, t := range in[1:] {
		if t == nil || t.Type() != typ {
			return nil, fmt.Errorf("input %d is %v, want %v", i+1, t, typ)
		}
	}
	if a := algebras[typ]; a != nil {
		if f := choose(a); f != nil {
			return f(x, in)
		}
	}
	return nil, fmt.Errorf("not defined for %v", typ)
}
