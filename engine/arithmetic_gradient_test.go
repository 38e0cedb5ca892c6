package engine

import (
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
)

func TestArithmeticGradients(t *testing.T) {
	var cases []gradientCase
	shapes := []struct {
		a, b []int
		last []int
	}{
		{a: []int{2, 3}, b: []int{2, 3}},
		{a: []int{2, 3, 4}, b: []int{}},
		{a: []int{3, 1}, b: []int{1, 4}},
		{a: []int{4}, b: []int{2, 3, 4}},
		{a: []int{2, 3, 2, 5}, b: []int{3, 1, 1}, last: []int{0}},
		{a: []int{2, 3, 2, 5}, b: []int{2, 3, 1, 1}, last: []int{0}},
		{a: []int{2, 3, 2, 5}, b: []int{2, 1, 2, 5}, last: []int{0, 1}},
		{a: []int{2, 1, 2, 5}, b: []int{2, 3, 2, 5}, last: []int{1}},
		{a: []int{2, 3, 2, 5}, b: []int{2, 3, 2, 5}, last: []int{1}},
		{a: []int{1, 1, 1, 1}, b: []int{2, 3, 2, 5}, last: []int{1}},
	}
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean"} {
		for _, s := range shapes {
			a, b := sampled(0.5, 2.5, s.a...), sampled(0.6, 2.3, s.b...)
			if op == "Max" || op == "Min" {
				separate(b.Float32s())
				separate(a.Float32s())
				for i := range b.Float32s() {
					b.Float32s()[i] += 0.125
				}
			}
			cases = append(cases, gradientCase{op: op, inputs: []*Tensor{a, b}, last: s.last})
		}
	}
	three := []*Tensor{sampled(-1, 1, 2, 3), sampled(-1.5, 1, 3), sampled(-1, 1.2, 2, 1)}
	cases = append(cases,
		gradientCase{op: "Sum", inputs: three},
		gradientCase{op: "Mean", inputs: three},
		gradientCase{op: "Sum", inputs: three[:1]},
		gradientCase{op: "Max", opset: 8, inputs: []*Tensor{of([]int{3}, []float32{1, 5, 2}), of([]int{3}, []float32{4, 2, 1}), of([]int{1}, []float32{3})}},
		gradientCase{name: "Mul by a constant", op: "Mul", inputs: []*Tensor{sampled(-1, 1, 2, 3), sampled(1, 2, 3)}, constant: []int{1}},
		gradientCase{name: "Div a constant", op: "Div", inputs: []*Tensor{sampled(-1, 1, 2, 3), sampled(1, 2, 3)}, constant: []int{0}},
		gradientCase{name: "square", op: "Pow", inputs: []*Tensor{sampled(-2, 2, 7), of([]int{}, []float32{2})}, constant: []int{1}},
		gradientCase{name: "cube", op: "Pow", inputs: []*Tensor{sampled(-2, 2, 7), of([]int{}, []int64{3})}},
		gradientCase{op: "PRelu", inputs: []*Tensor{away(sampled(-2, 2, 2, 3, 4), 0), sampled(-1, 1, 3, 1)}},
		gradientCase{op: "PRelu", inputs: []*Tensor{away(sampled(-2, 2, 2, 3, 4, 2), 0), sampled(-1, 1, 3, 1, 1)}, last: []int{0}},
		gradientCase{op: "Where", inputs: []*Tensor{of([]int{2, 1}, []bool{true, false}), sampled(-1, 1, 2, 3), sampled(-1, 1, 3)}},
		gradientCase{op: "Where", inputs: []*Tensor{of([]int{3, 1, 1}, []bool{true, false, true}), sampled(-1, 1, 2, 3, 2, 2), sampled(-1, 1, 1)}, last: []int{1}},
		gradientCase{op: "Cast", attrs: []*onnxgraph.Attribute{onnxgraph.IntAttr("to", int64(onnxgraph.Float32))}, inputs: []*Tensor{sampled(-1, 1, 2, 3)}},
	)
	checkGradients(t, cases)
}

func TestCurveGradients(t *testing.T) {
	number, text := onnxgraph.FloatAttr, onnxgraph.StringAttr
	var cases []gradientCase
	for _, c := range []struct {
		op     string
		lo, hi float64
		kinks  []float32
		attrs  []*onnxgraph.Attribute
	}{
		{op: "Relu", lo: -2, hi: 2, kinks: []float32{0}},
		{op: "LeakyRelu", lo: -2, hi: 2, kinks: []float32{0}, attrs: []*onnxgraph.Attribute{number("alpha", 0.1)}},
		{op: "Sigmoid", lo: -4, hi: 4},
		{op: "Tanh", lo: -3, hi: 3},
		{op: "HardSigmoid", lo: -5, hi: 5, kinks: []float32{-2.5, 2.5}},
		{op: "HardSigmoid", lo: -5, hi: 5, kinks: []float32{-3, 3}, attrs: []*onnxgraph.Attribute{number("alpha", 1./6)}},
		{op: "HardSwish", lo: -5, hi: 5, kinks: []float32{-3, 3}},
		{op: "Elu", lo: -2, hi: 2, kinks: []float32{0}, attrs: []*onnxgraph.Attribute{number("alpha", 0.7)}},
		{op: "Celu", lo: -2, hi: 2, kinks: []float32{0}, attrs: []*onnxgraph.Attribute{number("alpha", 0.7)}},
		{op: "Selu", lo: -2, hi: 2, kinks: []float32{0}},
		{op: "Softplus", lo: -3, hi: 3},
		{op: "Softsign", lo: 0.1, hi: 3},
		{op: "Gelu", lo: -3, hi: 3},
		{op: "Gelu", lo: -3, hi: 3, attrs: []*onnxgraph.Attribute{text("approximate", "tanh")}},
		{op: "Mish", lo: -3, hi: 3},
		{op: "Swish", lo: -3, hi: 3, attrs: []*onnxgraph.Attribute{number("alpha", 1.3)}},
		{op: "ThresholdedRelu", lo: -2, hi: 2, kinks: []float32{1}},
		{op: "Shrink", lo: -2, hi: 2, kinks: []float32{-0.5, 0.5}, attrs: []*onnxgraph.Attribute{number("bias", 0.2)}},
		{op: "Neg", lo: -2, hi: 2},
		{op: "Abs", lo: -2, hi: 2, kinks: []float32{0}},
		{op: "Sign", lo: 1, hi: 2},
		{op: "Floor", lo: 1.1, hi: 1.9},
		{op: "Ceil", lo: 1.1, hi: 1.9},
		{op: "Round", lo: 0.6, hi: 1.4},
		{op: "Reciprocal", lo: 0.5, hi: 3},
		{op: "Sqrt", lo: 0.5, hi: 3},
		{op: "Exp", lo: -2, hi: 2},
		{op: "Log", lo: 0.5, hi: 3},
		{op: "Erf", lo: -2, hi: 2},
		{op: "Sin", lo: -2, hi: 2},
		{op: "Cos", lo: -2, hi: 2},
		{op: "Tan", lo: -1, hi: 1},
		{op: "Asin", lo: -0.8, hi: 0.8},
		{op: "Acos", lo: -0.8, hi: 0.8},
		{op: "Atan", lo: -2, hi: 2},
		{op: "Sinh", lo: -2, hi: 2},
		{op: "Cosh", lo: -2, hi: 2},
		{op: "Asinh", lo: -2, hi: 2},
		{op: "Acosh", lo: 1.5, hi: 3},
		{op: "Atanh", lo: -0.8, hi: 0.8},
	} {
		opset := int64(22)
		if c.op == "Swish" {
			opset = 24
		}
		for _, last := range [][]int{nil, {0}} {
			in := away(sampled(c.lo, c.hi, 2, 3, 5, 2), c.kinks...)
			cases = append(cases, gradientCase{op: c.op, opset: opset, attrs: c.attrs, inputs: []*Tensor{in}, last: last})
		}
	}
	bounds := []*Tensor{of([]int{}, []float32{-0.5}), of([]int{}, []float32{0.75})}
	x := away(sampled(-2, 2, 2, 3, 5, 2), -0.5, 0.75)
	cases = append(cases,
		gradientCase{op: "Clip", inputs: []*Tensor{x, bounds[0], bounds[1]}, constant: []int{1, 2}, last: []int{0}},
		gradientCase{op: "Clip", inputs: []*Tensor{x, nil, bounds[1]}, constant: []int{2}},
		gradientCase{op: "Clip", inputs: []*Tensor{x, bounds[0]}, constant: []int{1}},
		gradientCase{op: "Clip", opset: 10, inputs: []*Tensor{x}, attrs: []*onnxgraph.Attribute{number("min", -0.5), number("max", 0.75)}},
	)
	checkGradients(t, cases)
}

// away moves numbers that are too near to a kink for differences.
func away(x *Tensor, kinks ...float32) *Tensor {
	for i, v := range x.Float32s() {
		for _, k := range kinks {
			if d := v - k; d > -0.04 && d < 0.04 {
				x.Float32s()[i] = k + 0.05
			}
		}
	}
	return x
}

// separate rounds numbers to quarters, so that those of two tensors can be kept
// apart.
func separate(x []float32) {
	for i, v := range x {
		x[i] = float32(int(v*4)) / 4
	}
}
