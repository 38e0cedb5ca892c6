package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A casting computes Cast and CastLike. What does not fit an integer becomes its
// nearest one, and NaN 0, on every machine.
type casting struct {
	to   onnxgraph.DataType // Undefined: that of the second input
	from onnxgraph.DataType // Undefined: not known before the run
}

func newCast(n *node) (step, error) {
	c := casting{onnxgraph.DataType(n.Int("to", 0)), n.plan.types.Of(n.Input(0)).Elem}
	if kinds[c.to] == nil {
		return nil, fmt.Errorf("casts to %v are not supported", c.to)
	}
	return c, n.require(1)
}

func newCastLike(n *node) (step, error) {
	return casting{from: n.plan.types.Of(n.Input(0)).Elem}, n.require(2)
}

func (casting) anyLayout() {}

func (c casting) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	to := c.to
	if to == onnxgraph.Undefined {
		to = in[1].Type()
	}
	if to == in[0].Type() {
		return []*Tensor{x.view(in[0], in[0].Dims)}, nil
	}
	out, err := cast(x, in[0], to)
	return []*Tensor{out}, err
}

func (casting) reads() (in, out indices) { return 0, 0 }

// grad lets the gradient through to float32. Other types have none.
func (c casting) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	din := make([]*Tensor, len(in))
	if c.from == onnxgraph.Float32 || c.from == onnxgraph.Undefined {
		din[0] = x.view(dout[0], dout[0].Dims)
	}
	return din, nil
}

// cast returns a tensor in another type, row-major; itself where it has that type.
func cast(x *exec, t *Tensor, to onnxgraph.DataType) (*Tensor, error) {
	if t.Type() == to {
		return t, nil
	}
	t, err := x.rowMajor(t)
	if err != nil {
		return nil, err
	}
	out, err := x.typed(to, t.Dims, false)
	if err != nil {
		return nil, err
	}
	switch family(t.Type()) {
	case onnxgraph.Int64:
		err = castAs[int64](out.data, t)
	case onnxgraph.Uint64:
		err = castAs[uint64](out.data, t)
	default:
		err = castAs[float64](out.data, t)
	}
	return out, err
}

// as is cast for a tensor that the running step gives back when it returns.
func (x *exec) as(t *Tensor, typ onnxgraph.DataType) (*Tensor, error) {
	out, err := cast(x, t, typ)
	if err == nil && out != t {
		x.temps = append(x.temps, out)
	}
	return out, err
}

// castAs sets to, a slice of any type, to the numbers or words of a tensor.
func castAs[S wide](to any, t *Tensor) error {
	words, ok := t.data.([]string)
	if ok {
		return parse(to, words)
	}
	s, err := widen[S](t)
	if err != nil {
		return err
	}
	if words, ok = to.([]string); ok {
		bits := min(64, int(t.Type().Bits()))
		apply(words, s, func(v S) string { return format(v, bits) })
		return nil
	}
	castNumbers(to, s)
	return nil
}

// castNumbers sets to, a slice of numbers, to those in from.
func castNumbers[S wide](to any, from []S) {
	switch d := to.(type) {
	case []float32:
		convertTo(d, from)
	case []float64:
		convertTo(d, from)
	case []int8:
		convertTo(d, from)
	case []int16:
		convertTo(d, from)
	case []int32:
		convertTo(d, from)
	case []int64:
		convertTo(d, from)
	case []uint8:
		convertTo(d, from)
	case []uint16:
		convertTo(d, from)
	case []uint32:
		convertTo(d, from)
	case []uint64:
		convertTo(d, from)
	case []Float16:
		apply(d, from, func(v S) Float16 { return toFloat16(odd(float64(v))) })
	case []BFloat16:
		apply(d, from, func(v S) BFloat16 { return toBFloat16(odd(float64(v))) })
	case []bool:
		apply(d, from, func(v S) bool { return v != 0 })
	}
}

func apply[S, D any](to []D, from []S, f func(S) D) {
	for i, v := range from {
		to[i] = f(v)
	}
}

func convertTo[D, S number](to []D, from []S) {
	if !isFloat[S]() || isFloat[D]() {
		apply(to, from, func(v S) D { return D(v) })
		return
	}
	lo, hi := limits[D]()
	apply(to, from, func(v S) D { return saturated(float64(v), lo, hi) })
}

func isFloat[T number]() bool {
	var half T = 1
	half /= 2
	return half != 0
}

// limits returns the least and the largest of an integer type.
func limits[T number]() (lo, hi T) {
	for hi = 1; hi*2+1 > hi; hi = hi*2 + 1 {
	}
	return -hi - 1, hi
}

// saturated truncates v to an integer in [lo, hi]; NaN is 0.
func saturated[T number](v float64, lo, hi T) T {
	switch {
	case v != v:
		return 0
	case v <= float64(lo):
		return lo
	case v >= float64(hi):
		return hi
	}
	return T(v)
}

// odd rounds v to a float32 such that rounding that once more, to half
// precision, is right: what lies between two float32 becomes the odd one.
func odd(v float64) float32 {
	f := float32(v)
	bits := math.Float32bits(f)
	if float64(f) == v || v != v || math.IsInf(float64(f), 0) {
		return f
	}
	if math.Abs(float64(f)) > math.Abs(v) {
		bits--
	}
	return math.Float32frombits(bits | 1)
}

// format writes a number in as few digits as tell it from others of its type.
func format[S wide](v S, bits int) string {
	if !isFloat[S]() {
		return fmt.Sprint(v)
	}
	f := float64(v)
	if math.IsInf(f, 0) {
		return strings.Replace(strings.ToUpper(fmt.Sprint(f)), "+", "", 1)
	}
	return strconv.FormatFloat(f, 'g', -1, max(bits, 32))
}

// parse reads numbers such as 42, 3.14, 1e-5, INF and NaN.
func parse(to any, from []string) error {
	whole, wide := make([]int64, len(from)), make([]float64, len(from))
	exact := true
	for i, s := range from {
		var err error
		s = strings.TrimSpace(s)
		if whole[i], err = strconv.ParseInt(s, 10, 64); err != nil {
			exact = false
		}
		if wide[i], err = strconv.ParseFloat(s, 64); err != nil && !math.IsInf(wide[i], 0) {
			return fmt.Errorf("element %d is %q, want a number", i, s)
		}
	}
	if exact {
		castNumbers(to, whole)
	} else {
		castNumbers(to, wide)
	}
	return nil
}
