package learn

import (
	"math"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/engine"
)

// The figures of this file are what PyTorch 1.13 computes for the same tensors
// with torch.nn.functional.cross_entropy (label_smoothing, ignore_index), mse_loss
// and kl_div (batchmean, times the temperature's square), and with the schedulers
// CosineAnnealingLR and MultiStepLR.

func tensor(t *testing.T, dims []int, data ...float32) *engine.Tensor {
	t.Helper()
	x, err := engine.New(dims, data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestLossesEqualPyTorch(t *testing.T) {
	x := tensor(t, []int{3, 3}, 1, 2, -1, 0.5, -0.25, 3, 0, 0, 0)
	y := tensor(t, []int{3, 3}, 0.2, -1, 2, 1, 1, 1, 3, 0, -3)
	for _, c := range []struct {
		name string
		loss func() (float64, *engine.Tensor, error)
		want float64
		grad []float64
	}{
		{"cross-entropy", func() (float64, *engine.Tensor, error) { return CrossEntropy(x, []int{1, 0, 2}, 0) },
			1.3539066, []float64{0.0864988, -0.0982051, 0.0117063, -0.308922, 0.0115311, 0.2973909, 0.1111111, 0.1111111, -0.2222222}},
		{"smoothed", func() (float64, *engine.Tensor, error) { return CrossEntropy(x, []int{1, 0, 2}, 0.1) },
			1.3789067, []float64{0.0753877, -0.0759829, 0.0005952, -0.2866998, 0.00042, 0.2862798, 0.1, 0.1, -0.2}},
		{"ignoring one", func() (float64, *engine.Tensor, error) { return CrossEntropy(x, []int{1, Ignore, 2}, 0) },
			0.7238122, []float64{0.1297482, -0.1473077, 0.0175595, 0, 0, 0, 0.1666667, 0.1666667, -0.3333333}},
		{"mean squared", func() (float64, *engine.Tensor, error) { return MeanSquared(x, y) },
			4.7169442, []float64{0.1777778, 0.6666667, -0.6666667, -0.1111111, -0.2777778, 0.4444444, -0.6666667, 0, 0.6666667}},
		{"distillation", func() (float64, *engine.Tensor, error) { return Distill(x, y, 4) },
			2.2363012, []float64{0.0583468, 0.2937908, -0.3521374, -0.0838185, -0.145475, 0.2292936, -0.3419525, 0.0729768, 0.2689755}},
	} {
		loss, grad, err := c.loss()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if math.Abs(loss-c.want) > 1e-6 {
			t.Errorf("%s: %v, want %v", c.name, loss, c.want)
		}
		for i, g := range grad.Float32s() {
			if math.Abs(float64(g)-c.grad[i]) > 1e-6 {
				t.Errorf("%s: gradient[%d] is %v, want %v", c.name, i, g, c.grad[i])
			}
		}
	}
}

func TestLossesRefuse(t *testing.T) {
	x := tensor(t, []int{2, 3}, 1, 2, 3, 4, 5, 6)
	image := tensor(t, []int{1, 2, 3, 1}, 1, 2, 3, 4, 5, 6)
	whole, err := engine.New([]int{2, 3}, make([]int64, 6))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		loss func() (float64, *engine.Tensor, error)
	}{
		{"1 labels for a batch of 2", func() (float64, *engine.Tensor, error) { return CrossEntropy(x, []int{1}, 0) }},
		{"label 3 of sample 1, want 0 to 2", func() (float64, *engine.Tensor, error) { return CrossEntropy(x, []int{1, 3}, 0) }},
		{"float32 1x2x3x1", func() (float64, *engine.Tensor, error) { return CrossEntropy(image, []int{1}, 0) }},
		{"int64 2x3", func() (float64, *engine.Tensor, error) { return CrossEntropy(whole, []int{1, 1}, 0) }},
		{"temperature 0", func() (float64, *engine.Tensor, error) { return Distill(x, x, 0) }},
		{"the target is", func() (float64, *engine.Tensor, error) { return MeanSquared(x, tensor(t, []int{1}, 1)) }},
	} {
		if _, _, err := c.loss(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Schedule
		want []float64
	}{
		{"cosine", Cosine(0.1, 0.001, 10), []float64{0.1, 0.0975773, 0.09054634, 0.07959537, 0.06579634, 0.0505, 0.03520366, 0.02140463, 0.01045366, 0.0034227, 0.001, 0.001}},
		{"steps", Steps(0.1, 0.1, 3, 6), []float64{0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001}},
		{"warm-up", Warmup(4, Constant(0.2)), []float64{0.05, 0.1, 0.15, 0.2, 0.2}},
	} {
		for i, want := range c.want {
			if got := c.s(i); math.Abs(got-want) > 1e-8 {
				t.Errorf("%s: step %d has rate %v, want %v", c.name, i, got, want)
			}
		}
	}
}

// An optimizer finds the least of a bowl, leaves alone what is frozen or has no
// gradient, and goes on from its state as if it had never stopped.
func TestOptimizersDescendAndResume(t *testing.T) {
	for name, fresh := range map[string]func() Optimizer{
		"SGD":      func() Optimizer { return &SGD{Momentum: 0.9} },
		"Nesterov": func() Optimizer { return &SGD{Momentum: 0.9, Nesterov: true} },
		"Adam":     func() Optimizer { return NewAdam() },
	} {
		p := engine.Params{
			"x":      {Dims: []int{2}, Value: []float32{3, -2}, Grad: make([]float32, 2)},
			"frozen": {Dims: []int{1}, Value: []float32{7}, Grad: []float32{1}, Frozen: true},
			"unseen": {Dims: []int{1}, Value: []float32{5}},
		}
		o := fresh()
		run := func(steps int) {
			for range steps {
				for i, v := range p["x"].Value {
					p["x"].Grad[i] = 2 * v
				}
				o.Step(p, 0.05)
			}
		}
		run(20)
		state, at := map[string][]float32{}, append([]float32{}, p["x"].Value...)
		for k, v := range o.State() {
			state[k] = append([]float32{}, v...)
		}
		run(400)
		end := append([]float32{}, p["x"].Value...)
		for _, v := range end {
			if math.Abs(float64(v)) > 1e-2 {
				t.Errorf("%s: came to %v, the least is at 0", name, end)
			}
		}
		if p["frozen"].Value[0] != 7 || p["unseen"].Value[0] != 5 {
			t.Errorf("%s: changed what it should not", name)
		}
		o = fresh()
		o.Restore(state)
		copy(p["x"].Value, at)
		run(400)
		if p["x"].Value[0] != end[0] || p["x"].Value[1] != end[1] {
			t.Errorf("%s: resumed, it came to %v, before to %v", name, p["x"].Value, end)
		}
	}
}

func TestClipNorm(t *testing.T) {
	p := engine.Params{
		"a": {Dims: []int{2}, Value: make([]float32, 2), Grad: []float32{3, 0}},
		"b": {Dims: []int{1}, Value: make([]float32, 1), Grad: []float32{4}},
	}
	if n := ClipNorm(p, 10); n != 5 || p["b"].Grad[0] != 4 {
		t.Errorf("norm %v, want 5 and gradients as they were", n)
	}
	if ClipNorm(p, 1); math.Abs(float64(p["a"].Grad[0])-0.6) > 1e-6 || math.Abs(float64(p["b"].Grad[0])-0.8) > 1e-6 {
		t.Errorf("clipped to %v and %v, want 0.6 and 0.8", p["a"].Grad, p["b"].Grad)
	}
}
