package engine

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A gradientCase is one node whose gradient is checked, on inputs in0, in1, ...
type gradientCase struct {
	name   string // of the subtest; "": the operator
	op     string
	opset  int64 // 0: 21
	attrs  []*onnxgraph.Attribute
	inputs []*Tensor // nil: left out. Those that are not float32 are constants.
	// constant lists float32 inputs that are constants.
	constant []int
	last     []int // float32 inputs, of 4 dimensions, that the node finds channels-last in memory
	outputs  int   // 0: 1
}

// checkGradients checks the gradients of single nodes.
func checkGradients(t *testing.T, cases []gradientCase) {
	for _, c := range cases {
		name := c.name
		if name == "" {
			name = c.op
		}
		for _, in := range c.inputs {
			if in != nil {
				name += " " + spell(in.Dims)
			}
		}
		t.Run(name, func(t *testing.T) {
			m, inputs := c.model(t)
			checkGradient(t, m, inputs)
		})
	}
}

// model builds the graph of the node. Its shapes are left open. A subtraction
// before each input and after each output, which reads nothing on its way back,
// sees to it that values are overwritten which the node does not say that it needs.
func (c gradientCase) model(t *testing.T) (*onnxgraph.Model, map[string]*Tensor) {
	t.Helper()
	opset := c.opset
	if opset == 0 {
		opset = 21
	}
	b := onnxgraph.NewBuilder("gradient", opset)
	b.IRVersion = 10
	b.Init(onnxgraph.NewFloat32s("zero", nil, []float32{0}))
	b.Init(onnxgraph.NewFloat32s("one", nil, []float32{1}))
	inputs := map[string]*Tensor{}
	names := make([]string, len(c.inputs))
	for i, in := range c.inputs {
		if in == nil {
			continue
		}
		names[i] = fmt.Sprintf("in%d", i)
		if in.Type() == onnxgraph.Float32 && !slices.Contains(c.constant, i) {
			b.Input(names[i], onnxgraph.Float32, nil)
			inputs[names[i]] = in
			if slices.Contains(c.last, i) { // as pooling leaves it
				b.Add(onnxgraph.NewNode("AveragePool", "", []string{names[i]}, []string{names[i] + "last"}, onnxgraph.IntsAttr("kernel_shape", 1, 1)))
				names[i] += "last"
			}
			b.Add(onnxgraph.NewNode("Sub", "", []string{names[i], "zero"}, []string{names[i] + "value"}))
			names[i] += "value"
			continue
		}
		b.Init(initializer(t, names[i], in))
	}
	outputs := make([]string, max(1, c.outputs))
	for i := range outputs {
		outputs[i] = fmt.Sprintf("result%d", i)
	}
	b.Add(onnxgraph.NewNode(c.op, "node", names, outputs, c.attrs...))
	for i, name := range outputs {
		out := fmt.Sprintf("out%d", i)
		b.Output(out, onnxgraph.Float32, nil)
		b.Add(onnxgraph.NewNode("Sub", "", []string{name, "one"}, []string{out}))
	}
	m, err := b.Model("gradient.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m, inputs
}

// initializer returns a constant of a model.
func initializer(t *testing.T, name string, x *Tensor) *onnxgraph.Tensor {
	t.Helper()
	dims := make([]int64, len(x.Dims))
	for i, d := range x.Dims {
		dims[i] = int64(d)
	}
	switch s := x.data.(type) {
	case []float32:
		return onnxgraph.NewFloat32s(name, dims, s)
	case []int64:
		return onnxgraph.NewInt64s(name, dims, s)
	case []bool:
		return onnxgraph.NewTensor(name, onnxgraph.Bool, dims, mapped(s, func(v bool) byte {
			if v {
				return 1
			}
			return 0
		}))
	}
	t.Fatalf("constants of %v are not supported here", x.Type())
	return nil
}

// sampled returns a float32 tensor of the given dims whose elements are spread
// over [lo, hi], in an order that depends on the dims alone. No two are closer to
// each other than (hi-lo)/n, so that maxima have no ties and bounds can be avoided.
func sampled(lo, hi float64, dims ...int) *Tensor {
	h := fnv.New64a()
	fmt.Fprint(h, lo, hi, dims)
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	data := make([]float32, product(dims))
	for i, k := range r.Perm(len(data)) {
		data[i] = float32(lo + (hi-lo)*(float64(k)+0.5)/float64(len(data)))
	}
	return of(dims, data)
}

// checkGradient compares the gradients of all inputs of a model with central
// differences, to 2e-3 of the largest: of a sum of all outputs with fixed random
// weights, in steps of 1/64 and 1/32, from which the error of third order is
// taken away (Richardson). All inputs are float32, and where the model is not
// smooth they keep 1/32 away from it. For large tensors a sample of the elements
// is compared.
func checkGradient(t *testing.T, m *onnxgraph.Model, inputs map[string]*Tensor) {
	t.Helper()
	g, err := CompileTraining(t.Context(), m, nil, TrainingOptions{InputGradients: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	out, err := g.Forward(ctx, inputs)
	if err != nil {
		t.Fatal(err)
	}
	weights := map[string]*Tensor{}
	for name, y := range out {
		if y.Type() == onnxgraph.Float32 {
			weights[name] = sampled(-1, 1, y.Dims...)
		}
	}
	got, err := g.Backward(ctx, weights)
	if err != nil {
		t.Fatal(err)
	}
	loss := func() float64 {
		out, err := g.Forward(ctx, inputs)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for name, w := range weights {
			for i, v := range out[name].Float32s() {
				sum += float64(v) * float64(w.Float32s()[i])
			}
		}
		return sum
	}
	for name, in := range inputs {
		dx := got[name]
		if dx == nil || !slices.Equal(dx.Dims, in.Dims) {
			t.Errorf("gradient of %s is %v, want %v", name, dx, in)
			continue
		}
		compareDifferences(t, name, in.Float32s(), dx.Float32s(), loss)
	}
}

// compareDifferences compares gradients dx of a loss with its differences.
func compareDifferences(t *testing.T, name string, x, dx []float32, loss func() float64) {
	t.Helper()
	const most = 40
	step := max(1, len(x)/most)
	if step > 1 {
		step |= 1 // not only even places
	}
	largest := 1e-2
	for _, v := range dx {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := 0; i < len(x); i += step {
		want := derivative(&x[i], loss)
		if d := math.Abs(float64(dx[i]) - want); !(d <= 2e-3*largest) {
			t.Errorf("gradient of %s[%d] = %v is %v, differences say %.6f (the largest is %.4g)", name, i, x[i], dx[i], want, largest)
		}
	}
}

// derivative returns that of a loss by one number, from four values around it.
func derivative(v *float32, loss func() float64) float64 {
	at := *v
	defer func() { *v = at }()
	slope := func(h float32) float64 {
		up, down := at+h, at-h
		*v = up
		high := loss()
		*v = down
		return (high - loss()) / (float64(up) - float64(down))
	}
	return (4*slope(1./64) - slope(1./32)) / 3
}
