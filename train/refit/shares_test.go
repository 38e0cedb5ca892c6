package refit

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A channel's share is the variance of what comes out when the others count for
// nothing: networks with all other weights at zero say how much that is.
func TestSharesAreVariancesOfParts(t *testing.T) {
	const channels = 3
	two := func(alone int) *onnxgraph.Model {
		rng := rand.New(rand.NewPCG(1, 2))
		normal := func(name string, dims ...int64) *onnxgraph.Tensor {
			w := make([]float32, 1)
			for _, d := range dims {
				w = append(w, make([]float32, (int(d)-1)*len(w))...)
			}
			for i := range w {
				w[i] = float32(rng.NormFloat64())
				if name == "w2" && alone >= 0 && i/9%channels != alone {
					w[i] = 0
				}
			}
			return onnxgraph.NewFloat32s(name, dims, w)
		}
		b := onnxgraph.NewBuilder("two", 13)
		b.Input("x", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Symbol("batch"), onnxgraph.Const(4), onnxgraph.Const(6), onnxgraph.Const(5)})
		kernel := []*onnxgraph.Attribute{onnxgraph.IntsAttr("kernel_shape", 3, 3), onnxgraph.IntsAttr("pads", 1, 1, 1, 1)}
		strided := append([]*onnxgraph.Attribute{onnxgraph.IntsAttr("strides", 2, 2)}, kernel...)
		b.Add(onnxgraph.NewNode("Conv", "c1", []string{"x", b.Init(normal("w1", channels, 4, 3, 3))}, []string{"y1"}, kernel...))
		b.Add(onnxgraph.NewNode("Relu", "r1", []string{"y1"}, []string{"z1"}))
		b.Add(onnxgraph.NewNode("Conv", "c2", []string{"z1", b.Init(normal("w2", 2, channels, 3, 3)), b.Init(normal("b2", 2))}, []string{"y2"}, strided...))
		one := func(name string, v ...float32) string { return b.Init(onnxgraph.NewFloat32s(name, []int64{2}, v)) }
		b.Add(onnxgraph.NewNode("BatchNormalization", "n", []string{"y2", one("s", 3, 0.5), one("sb", 1, 2), one("m", 0, 1), one("v", 1, 4)}, []string{"out"}))
		b.Output("out", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Symbol("batch"), onnxgraph.Const(2), onnxgraph.Const(3), onnxgraph.Const(3)})
		m, err := b.Model("two.onnx")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m, x := two(-1), samples(40)
	f := &Fitter{Original: m, Types: m.Infer(), Fit: 40, Seed: 1}
	got, err := f.Shares(context.Background(), "z1", "x", x)
	if err != nil {
		t.Fatal(err)
	}
	for c := range channels {
		alone := two(c)
		y, err := (&Fitter{Original: alone, Types: alone.Infer()}).Advance(context.Background(), alone, "x", "out", x)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.0
		for o := range 2 {
			var sum, squares, n float64
			for i := range y.Len() {
				for _, v := range y.Slice(i, i+1).Data[o*9:][:9] {
					sum, squares, n = sum+float64(v), squares+float64(v)*float64(v), n+1
				}
			}
			want += squares/n - sum*sum/(n*n)
		}
		if math.Abs(got[c]-want) > 1e-3*want {
			t.Errorf("channel %d: share %g, want %g", c, got[c], want)
		}
	}
}
