package vec

import (
	"slices"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
)

// TestOptimizersAreThoseOfPyTorch: the weights are what PyTorch 1.13 prints for
//
//	for make in [lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=5e-4),
//	             lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
//	             lambda w: torch.optim.SGD([w], lr=0.1, weight_decay=5e-4),
//	             lambda w: torch.optim.Adam([w], lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)]:
//	    w = torch.tensor([0.5, -1.25, 3.0])
//	    optimizer = make(w)
//	    for step in range(1, 4):
//	        w.grad = torch.tensor([0.25, -2.0, 1e-3]) * step
//	        optimizer.step()
//	    print(['%.9g' % v for v in w.tolist()])
func TestOptimizersAreThoseOfPyTorch(t *testing.T) {
	sgd := func(momentum float64, nesterov bool) func(w, v, _, g []float32, step int) {
		return func(w, v, _, g []float32, step int) { SGD(w, v, g, 0.1, momentum, 5e-4, nesterov) }
	}
	eachLevel(t, func(t *testing.T) {
		for _, o := range []struct {
			name string
			step func(w, m, v, g []float32, step int)
			want []float64
		}{
			{"SGD", sgd(0.9, false), []float64{0.262116998, 0.652292669, 2.99820733}},
			{"SGD with Nesterov's momentum", sgd(0.9, true), []float64{0.135845691, 1.66212773, 2.9973371}},
			{"SGD without momentum", sgd(0, false), []float64{0.349930018, -0.0498525165, 2.99895}},
			{"Adam", func(w, m, v, g []float32, step int) { Adam(w, m, v, g, 0.01, 0.9, 0.999, 1e-8, 1e-2, step) },
				[]float64{0.470746994, -1.22076166, 2.96997666}},
		} {
			const times = 7 // so that there is a vector and a tail
			w := slices.Repeat([]float32{0.5, -1.25, 3}, times)
			m, v, g := make([]float32, len(w)), make([]float32, len(w)), make([]float32, len(w))
			for step := 1; step <= 3; step++ {
				for i := range g {
					g[i] = []float32{0.25, -2, 1e-3}[i%3] * float32(step)
				}
				o.step(w, m, v, g, step)
			}
			for i := range w {
				if !near(w[i], o.want[i%3], 2e-7) {
					t.Errorf("%s: weight %d is %v, want %v", o.name, i, w[i], o.want[i%3])
				}
			}
		}
	})
}

// Numbers too small for full precision become 0 in weights, and nowhere else.
func TestOptimizersFlush(t *testing.T) {
	const tiny = 1e-40
	eachLevel(t, func(t *testing.T) {
		w, m, v, g := slices.Repeat([]float32{tiny}, 20), make([]float32, 20), make([]float32, 20), make([]float32, 20)
		Adam(w, m, v, g, 0.1, 0.9, 0.999, 1e-8, 0, 1)
		velocity := slices.Repeat([]float32{tiny}, 20)
		SGD(slices.Repeat([]float32{1}, 20), velocity, g, 0.1, 0.9, 0, false)
		for _, x := range slices.Concat(w, velocity) {
			if x != 0 && use != at(cpu.Portable) {
				t.Fatalf("%v, want 0", x)
			}
		}
		sum := slices.Repeat([]float32{tiny}, 20)
		Add(sum, sum, sum)
		if half := sum[0] / 2; sum[0] == 0 || half == 0 {
			t.Errorf("twice %v is %v, half of which is %v", float32(tiny), sum[0], half)
		}
	})
}
