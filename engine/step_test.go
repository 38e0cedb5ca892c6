package engine_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/internal/torch"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A whole training step of real architectures, from the same weights and batch
// as PyTorch: outputs, loss, every gradient, every parameter and every running
// statistic after the step.
func TestTrainingStepEqualsPyTorch(t *testing.T) {
	for _, c := range []struct {
		network string
		options fixtures.Options
		batch   int
		running bool // the statistics in use
	}{
		{"resnet20", fixtures.Options{}, 8, false},
		{"resnet20", fixtures.Options{}, 4, true},
		{"mobilenet_v2", fixtures.Options{Size: 64, Classes: 10}, 6, false},
		{"vgg11_bn", fixtures.Options{Size: 32, Classes: 10, Width: 0.25}, 4, false},
		{"resnet50", fixtures.Options{Size: 64, Classes: 10, Width: 0.25}, 4, false},
	} {
		name := c.network
		if c.running {
			name += ", running statistics"
		}
		t.Run(name, func(t *testing.T) {
			if testing.Short() && c.network != "resnet20" {
				t.Skip("trains large networks")
			}
			c.options.DynamicBatch = true
			c.options.Seed = 3
			m, err := fixtures.Build(c.network, c.options)
			if err != nil {
				t.Fatal(err)
			}
			compareStep(t, m, c.batch, !c.running)
		})
	}
}

func compareStep(t *testing.T, m *onnxgraph.Model, batch int, batchStatistics bool) {
	params, err := engine.ReadParams(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	x, labels := randomBatch(t, m, batch)
	want := torch.Train(t, m, torch.Step{
		Params: params, Input: x, Labels: labels, BatchStatistics: batchStatistics,
		Rate: 0.05, Momentum: 0.9, WeightDecay: 1e-3,
	})
	run, err := engine.CompileTraining(t.Context(), m, params, engine.TrainingOptions{BatchStatistics: batchStatistics})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	out, err := run.Forward(ctx, map[string]*engine.Tensor{m.Graph.RealInputs()[0].Name: x})
	if err != nil {
		t.Fatal(err)
	}
	name := m.Graph.Outputs[0].Name
	loss, grad, err := learn.CrossEntropy(out[name], labels, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Backward(ctx, map[string]*engine.Tensor{name: grad}); err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	near := func(what string, got, want []float32, floor float64) {
		d := distance(got, want, floor)
		worst = math.Max(worst, d)
		if !(d <= 1e-4) {
			t.Errorf("%s differs by %.2g of its size, want at most 1e-4", what, d)
		}
	}
	near("logits", out[name].Float32s(), want.Logits, 0)
	if math.Abs(loss-want.Loss) > 1e-5*want.Loss {
		t.Errorf("loss is %v, PyTorch has %v", loss, want.Loss)
	}
	// A bias in front of batch statistics has no gradient but rounding: what is
	// far smaller than the other gradients is compared with them.
	largest := 0.0
	for _, g := range want.Grad {
		largest = math.Max(largest, math.Sqrt(float64(vec.Dot(g, g))))
	}
	for name, g := range want.Grad {
		near("gradient of "+name, params[name].Grad, g, 1e-3*largest)
	}
	(&learn.SGD{Momentum: 0.9, WeightDecay: 1e-3}).Step(params, 0.05)
	for name, p := range params {
		near(name+" after the step", p.Value, want.After[name], 1e-3*largest)
	}
	t.Logf("%d parameters, largest difference %.2g", len(params), worst)
}

// distance is the Euclidean norm of the difference relative to that of want, or
// to floor if that is more.
func distance(got, want []float32, floor float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var diff, size float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		diff += d * d
		size += float64(w) * float64(w)
	}
	return math.Sqrt(diff) / math.Max(math.Sqrt(size), math.Max(floor, 1e-9))
}

func randomBatch(t *testing.T, m *onnxgraph.Model, batch int) (*engine.Tensor, []int) {
	t.Helper()
	dims := []int{batch}
	n := batch
	for _, d := range m.Graph.RealInputs()[0].Type.Shape[1:] {
		dims = append(dims, int(d.N))
		n *= int(d.N)
	}
	r := rand.New(rand.NewPCG(7, 7))
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	x, err := engine.New(dims, data)
	if err != nil {
		t.Fatal(err)
	}
	labels := make([]int, batch)
	for i := range labels {
		labels[i] = r.IntN(10)
	}
	return x, labels
}
