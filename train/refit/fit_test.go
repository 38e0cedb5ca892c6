package refit

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/onnxgraph"
)

// block is x -> conv -> relu -> conv -> (+ x) -> relu -> pool -> dense, with
// seeded weights; edit changes them by name.
func block(t *testing.T, edit func(name string, w []float32)) *onnxgraph.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	b := onnxgraph.NewBuilder("block", 13)
	b.Input("x", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Symbol("batch"), onnxgraph.Const(4), onnxgraph.Const(6), onnxgraph.Const(5)})
	weight := func(name string, dims ...int64) string {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(rng.NormFloat64() / 3)
		}
		if edit != nil {
			edit(name, w)
		}
		return b.Init(onnxgraph.NewFloat32s(name, dims, w))
	}
	three := []*onnxgraph.Attribute{onnxgraph.IntsAttr("kernel_shape", 3, 3), onnxgraph.IntsAttr("pads", 1, 1, 1, 1)}
	b.Add(onnxgraph.NewNode("Conv", "c1", []string{"x", weight("w1", 4, 4, 3, 3), weight("b1", 4)}, []string{"y1"}, three...))
	b.Add(onnxgraph.NewNode("Relu", "r1", []string{"y1"}, []string{"z1"}))
	b.Add(onnxgraph.NewNode("Conv", "c2", []string{"z1", weight("w2", 4, 1, 3, 3)}, []string{"y2"}, append(three, onnxgraph.IntAttr("group", 4))...))
	b.Add(onnxgraph.NewNode("BatchNormalization", "n", []string{"y2", weight("s", 4), weight("sb", 4), weight("m", 4), b.Init(onnxgraph.NewFloat32s("v", []int64{4}, []float32{1, 2, 3, 4}))}, []string{"n2"}))
	b.Add(onnxgraph.NewNode("Add", "a", []string{"n2", "x"}, []string{"sum"}))
	b.Add(onnxgraph.NewNode("Relu", "r2", []string{"sum"}, []string{"z2"}))
	b.Add(onnxgraph.NewNode("GlobalAveragePool", "p", []string{"z2"}, []string{"pooled"}))
	b.Add(onnxgraph.NewNode("Flatten", "f", []string{"pooled"}, []string{"flat"}))
	b.Add(onnxgraph.NewNode("Gemm", "g", []string{"flat", weight("w3", 4, 3), weight("b3", 3)}, []string{"out"}))
	b.Output("out", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Symbol("batch"), onnxgraph.Const(3)})
	m, err := b.Model("block.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	return m
}

func samples(n int) *Value {
	v := NewValue(n, []int{4, 6, 5})
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range v.Data {
		v.Data[i] = float32(rng.NormFloat64())
	}
	return v
}

// TestStretchFindsTheWeightsThatWereLost destroys the weights of one operation
// of each kind: a fit with the original as target has to find them again.
func TestStretchFindsTheWeightsThatWereLost(t *testing.T) {
	original := block(t, nil)
	x := samples(400)
	for _, lost := range []struct {
		name, weight, output string
		tolerance            float64
	}{
		{"dense convolution", "w1", "y1", 2e-3},
		{"depthwise convolution before a normalization and a sum", "w2", "y2", 2e-3},
		{"fully connected layer", "w3", "out", 2e-2}, // of pooled values, which vary little
	} {
		broken := block(t, func(name string, w []float32) {
			if name == lost.weight {
				clear(w)
			}
		})
		f := &Fitter{Original: original, Types: original.Infer(), Fit: 320, Held: 80, Seed: 1}
		m, _, reports, err := f.Stretch(context.Background(), broken, Stretch{From: "x", Original: "x", Outputs: []string{lost.output}}, x, x)
		if err != nil {
			t.Fatal(err)
		}
		if len(reports) != 1 || reports[0].Alpha == 0 || reports[0].After > 1e-3 {
			t.Errorf("%s: %+v, want one fit that explains all", lost.name, reports)
		}
		want, _ := original.Graph.Constant(lost.weight).Float32s()
		got, err := m.Graph.Constant(lost.weight).Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > lost.tolerance {
				t.Fatalf("%s: weight %d is %g, was %g", lost.name, i, got[i], want[i])
			}
		}
	}
}

// TestStepMinimizesTheRidge checks the solution of the normal equations by the
// objective itself: no small change of any weight may lower it.
func TestStepMinimizesTheRidge(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	r := &regression{k: 7, out: 2, low: math.Inf(-1), high: math.Inf(1), effort: thorough}
	fill := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	r.x, r.z, r.w0 = fill(50*7), fill(50*2), fill(2*7)
	r.xh, r.zh = r.x, r.z
	team := cpu.NewTeam(1)
	gram := r.gram(team)
	const alpha = 0.05
	w, ok := r.step(gram, r.right(team, r.w0), alpha, &mat.Cholesky{})
	if !ok {
		t.Fatal("no solution")
	}
	trace := 0.0
	for i := range r.k {
		trace += gram[i*r.k+i]
	}
	objective := func(w []float32) float64 {
		sum := 0.0
		for i := range 50 {
			for o := range r.out {
				y := 0.0
				for k := range r.k {
					y += float64(r.x[i*r.k+k]) * float64(w[o*r.k+k])
				}
				sum += (y - float64(r.z[i*r.out+o])) * (y - float64(r.z[i*r.out+o]))
			}
		}
		for i := range w {
			d := float64(w[i] - r.w0[i])
			sum += alpha * trace / float64(r.k) * d * d
		}
		return sum
	}
	least := objective(w)
	for i := range w {
		for _, d := range []float32{-1e-2, 1e-2} {
			v := append([]float32(nil), w...)
			v[i] += d
			if objective(v) < least {
				t.Errorf("weight %d moved by %g lowers the objective from %g to %g", i, d, least, objective(v))
			}
		}
	}
}

// TestLimitsLetGo checks that targets cut off by a Relu do not count: fitted
// through the Relu, the error behind it is smaller than fitted without.
func TestLimitsLetGo(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	trial := func(low float64) *regression {
		rng = rand.New(rand.NewPCG(7, 8))
		r := &regression{k: 3, out: 1, low: low, high: math.Inf(1), effort: thorough, w0: make([]float32, 3)}
		for range 600 {
			a, b := rng.NormFloat64(), rng.NormFloat64()
			r.x = append(r.x, float32(a), float32(b), 1)
			z := a + b*b - 1 // far below zero only a linear part is not enough
			if a < 0 {
				z -= 5 * a * a
			}
			r.z = append(r.z, float32(z))
		}
		r.xh, r.zh = r.x, r.z
		return r
	}
	team := cpu.NewTeam(1)
	through, without := trial(0), trial(math.Inf(-1))
	a := through.solve(team)
	b := without.solve(team)
	if behind := through.error(team, b.weights); a.after >= 0.9*behind {
		t.Errorf("error %g behind the Relu, want clearly less than %g of the plain fit", a.after, behind)
	}
}

func TestPositionsAreDistinct(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, of := range []int{1, 2, 49, 64, 1024, 12544} {
		for _, n := range []int{1, of/2 + 1, of} {
			seen := map[int]bool{}
			for _, p := range positions(n, of, rng) {
				if p < 0 || p >= of || seen[p] {
					t.Fatalf("%d of %d: position %d twice or outside", n, of, p)
				}
				seen[p] = true
			}
		}
	}
}

// TestFitsDoNotDependOnWorkers compares weights bit by bit.
func TestFitsDoNotDependOnWorkers(t *testing.T) {
	original := block(t, nil)
	broken := block(t, func(name string, w []float32) {
		if name == "w1" {
			clear(w)
		}
	})
	x := samples(100)
	var first []float32
	for _, workers := range []int{1, 2, 5} {
		f := &Fitter{Original: original, Types: original.Infer(), Fit: 80, Held: 20, Seed: 1, Workers: workers}
		m, _, _, err := f.Stretch(context.Background(), broken, Stretch{From: "x", Original: "x", Outputs: []string{"y1", "y2", "out"}}, x, x)
		if err != nil {
			t.Fatal(err)
		}
		w, _ := m.Graph.Constant("w1").Float32s()
		if first == nil {
			first = w
		}
		for i := range w {
			if w[i] != first[i] {
				t.Fatalf("%d workers: weight %d is %g, with one worker %g", workers, i, w[i], first[i])
			}
		}
	}
}
