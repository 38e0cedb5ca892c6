package engine

import (
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
)

func TestGradientsOfWindowsAndProducts(t *testing.T) {
	ints := onnxgraph.IntsAttr
	apart := func(dims ...int) *Tensor { // elements differ by more than a step: maxima stay maxima
		n := float64(product(dims))
		return sampled(-n/10, n/10, dims...)
	}
	norm := func(c int) []*Tensor {
		return []*Tensor{sampled(-2, 2, 4, c, 3, 3), sampled(0.5, 1.5, c), sampled(-1, 1, c), sampled(-0.5, 0.5, c), sampled(0.5, 2, c)}
	}
	checkGradients(t, []gradientCase{
		{name: "3x3", op: "Conv", attrs: attrs{ints("pads", 1, 1, 1, 1)}, inputs: []*Tensor{sampled(-1, 1, 2, 3, 5, 6), sampled(-1, 1, 4, 3, 3, 3), sampled(-1, 1, 4)}},
		{name: "stride 2", op: "Conv", attrs: attrs{ints("pads", 1, 1, 1, 1), ints("strides", 2, 2)}, inputs: []*Tensor{sampled(-1, 1, 2, 3, 6, 7), sampled(-1, 1, 17, 3, 3, 3)}},
		{name: "1x1 stride 2", op: "Conv", attrs: attrs{ints("strides", 2, 2)}, inputs: []*Tensor{sampled(-1, 1, 2, 5, 5, 5), sampled(-1, 1, 3, 5, 1, 1)}},
		{name: "dilated, asymmetric", op: "Conv", attrs: attrs{ints("pads", 0, 2, 1, 1), ints("dilations", 2, 1)}, inputs: []*Tensor{sampled(-1, 1, 1, 2, 7, 6), sampled(-1, 1, 3, 2, 2, 3)}},
		{name: "SAME_UPPER", op: "Conv", attrs: attrs{onnxgraph.StringAttr("auto_pad", "SAME_UPPER"), ints("strides", 2, 2)}, inputs: []*Tensor{sampled(-1, 1, 1, 2, 6, 5), sampled(-1, 1, 2, 2, 3, 3)}},
		{name: "two groups", op: "Conv", attrs: attrs{onnxgraph.IntAttr("group", 2), ints("pads", 1, 1, 1, 1)}, inputs: []*Tensor{sampled(-1, 1, 2, 4, 4, 4), sampled(-1, 1, 6, 2, 3, 3)}},
		{name: "depthwise", op: "Conv", attrs: attrs{onnxgraph.IntAttr("group", 5), ints("pads", 1, 1, 1, 1)}, inputs: []*Tensor{sampled(-1, 1, 2, 5, 4, 6), sampled(-1, 1, 5, 1, 3, 3), sampled(-1, 1, 5)}},
		{name: "depthwise stride 2", op: "Conv", attrs: attrs{onnxgraph.IntAttr("group", 3), ints("pads", 1, 1, 1, 1), ints("strides", 2, 2)}, inputs: []*Tensor{sampled(-1, 1, 2, 3, 5, 6), sampled(-1, 1, 3, 1, 3, 3)}},
		{name: "one dimension", op: "Conv", attrs: attrs{ints("pads", 1, 1)}, inputs: []*Tensor{sampled(-1, 1, 2, 3, 8), sampled(-1, 1, 4, 3, 3)}},
		{name: "three dimensions", op: "Conv", inputs: []*Tensor{sampled(-1, 1, 1, 2, 3, 4, 4), sampled(-1, 1, 3, 2, 2, 3, 3)}},

		{op: "Gemm", inputs: []*Tensor{sampled(-1, 1, 3, 5), sampled(-1, 1, 5, 4), sampled(-1, 1, 4)}},
		{name: "scaled, transposed", op: "Gemm", attrs: attrs{onnxgraph.IntAttr("transA", 1), onnxgraph.IntAttr("transB", 1), onnxgraph.FloatAttr("alpha", 0.5), onnxgraph.FloatAttr("beta", 2)}, inputs: []*Tensor{sampled(-1, 1, 5, 3), sampled(-1, 1, 4, 5), sampled(-1, 1, 3, 1)}},
		{name: "scalar C", op: "Gemm", inputs: []*Tensor{sampled(-1, 1, 2, 3), sampled(-1, 1, 3, 2), sampled(-1, 1, 1)}},
		{op: "MatMul", inputs: []*Tensor{sampled(-1, 1, 3, 5), sampled(-1, 1, 5, 4)}},
		{op: "MatMul", inputs: []*Tensor{sampled(-1, 1, 2, 3, 4, 5), sampled(-1, 1, 5, 6)}},
		{op: "MatMul", inputs: []*Tensor{sampled(-1, 1, 2, 1, 4, 5), sampled(-1, 1, 3, 5, 2)}},
		{op: "MatMul", inputs: []*Tensor{sampled(-1, 1, 5), sampled(-1, 1, 3, 5, 2)}},
		{op: "MatMul", inputs: []*Tensor{sampled(-1, 1, 3, 5), sampled(-1, 1, 5)}},

		{name: "batch statistics", op: "BatchNormalization", attrs: attrs{onnxgraph.IntAttr("training_mode", 1)}, inputs: norm(3), constant: []int{3, 4}},
		{name: "batch statistics, channels-last", op: "BatchNormalization", attrs: attrs{onnxgraph.IntAttr("training_mode", 1)}, inputs: norm(3), constant: []int{3, 4}, last: []int{0}},
		{name: "running statistics", op: "BatchNormalization", inputs: norm(17), constant: []int{3, 4}},
		{name: "without pixels", op: "BatchNormalization", attrs: attrs{onnxgraph.IntAttr("training_mode", 1)}, inputs: append([]*Tensor{sampled(-2, 2, 6, 4)}, norm(4)[1:]...), constant: []int{3, 4}},

		{op: "MaxPool", attrs: attrs{ints("kernel_shape", 3, 3), ints("strides", 2, 2), ints("pads", 1, 1, 1, 1)}, inputs: []*Tensor{apart(2, 3, 5, 6)}},
		{name: "ceil", op: "MaxPool", attrs: attrs{ints("kernel_shape", 2, 2), ints("strides", 2, 2), onnxgraph.IntAttr("ceil_mode", 1)}, inputs: []*Tensor{apart(1, 2, 5, 5)}},
		{op: "AveragePool", attrs: attrs{ints("kernel_shape", 3, 3), ints("strides", 2, 2), ints("pads", 1, 1, 1, 1)}, inputs: []*Tensor{sampled(-1, 1, 2, 3, 5, 6)}},
		{name: "padding counts", op: "AveragePool", attrs: attrs{ints("kernel_shape", 3, 3), ints("pads", 1, 1, 1, 1), onnxgraph.IntAttr("count_include_pad", 1)}, inputs: []*Tensor{sampled(-1, 1, 2, 3, 5, 6)}},
		{op: "GlobalAveragePool", inputs: []*Tensor{sampled(-1, 1, 2, 3, 4, 5)}},
		{op: "GlobalMaxPool", inputs: []*Tensor{apart(2, 3, 4, 5)}},
	})
}

// In training a normalization takes up the addition and the Relu behind it; the
// gradient is that of all three, also where the sum has other readers.
func TestGradientOfFusedResidualBlock(t *testing.T) {
	for _, shared := range []bool{false, true} {
		b := onnxgraph.NewBuilder("g", 17)
		shape := onnxgraph.Shape{onnxgraph.Const(3), onnxgraph.Const(4), onnxgraph.Const(4), onnxgraph.Const(4)}
		b.Input("x", onnxgraph.Float32, shape)
		b.Input("w", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(4), onnxgraph.Const(4), onnxgraph.Const(3), onnxgraph.Const(3)})
		for _, name := range []string{"scale", "bias"} {
			b.Input(name, onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(4)})
		}
		b.Init(onnxgraph.NewFloat32s("mean", []int64{4}, make([]float32, 4)))
		b.Init(onnxgraph.NewFloat32s("variance", []int64{4}, []float32{1, 1, 1, 1}))
		add := func(op, out string, in []string, attrs ...*onnxgraph.Attribute) {
			b.Add(onnxgraph.NewNode(op, out, in, []string{out}, attrs...))
		}
		add("Conv", "conv", []string{"x", "w"}, onnxgraph.IntsAttr("pads", 1, 1, 1, 1))
		add("BatchNormalization", "norm", []string{"conv", "scale", "bias", "mean", "variance"}, onnxgraph.IntAttr("training_mode", 1))
		add("Add", "sum", []string{"x", "norm"})
		add("Relu", "relu", []string{"sum"}) // far from its kink, since the bias is large
		last := "relu"
		if shared {
			add("Mul", "mul", []string{"relu", "sum"})
			last = "mul"
		}
		b.Output(last, onnxgraph.Float32, shape)
		m, err := b.Model("block.onnx")
		if err != nil {
			t.Fatal(err)
		}
		checkGradient(t, m, map[string]*Tensor{
			"x": sampled(-1, 1, 3, 4, 4, 4), "w": sampled(-0.5, 0.5, 4, 4, 3, 3),
			"scale": sampled(0.5, 1, 4), "bias": sampled(7, 9, 4),
		})
	}
}
