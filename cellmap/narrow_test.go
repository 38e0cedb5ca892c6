package cellmap_test

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A network that keeps some channels computes what the whole one does when the
// others count for nothing in the convolutions that read them.
func TestNarrowDropsWhatItSays(t *testing.T) {
	models := map[string]*onnxgraph.Model{}
	for name := range small {
		models[name] = build(t, name)
	}
	for _, file := range realModels(t) {
		models[filepath.Base(file)] = open(t, file)
	}
	narrowed := 0
	for name, m := range models {
		t.Run(name, func(t *testing.T) {
			lifted := cellmap.Lift(m)
			rng := rand.New(rand.NewPCG(1, 2))
			zeroed, out := &onnxgraph.Patch{Rule: "zero"}, m
			for _, c := range lifted.Cells {
				for _, ch := range lifted.Channels(c) {
					kept := rng.Perm(ch.Count)[:1+rng.IntN(ch.Count)]
					slices.Sort(kept)
					zeroed.Replace = append(zeroed.Replace, without(t, m, ch.Value, kept))
					p, values, err := cellmap.Narrow(out, ch.Value, kept)
					if err != nil {
						t.Fatal(err)
					}
					if out, err = out.Apply(p); err != nil {
						t.Fatal(err)
					}
					for now, v := range values {
						if m.Graph.Index().Producer[v.Of] == nil || out.Graph.Index().Producer[now] == nil || !slices.Equal(v.Kept, kept) {
							t.Errorf("%q stands for %q", now, v.Of)
						}
					}
					narrowed++
				}
			}
			if len(zeroed.Replace) == 0 {
				t.Skip("no cell has channels between convolutions")
			}
			whole, err := m.Apply(zeroed)
			if err != nil {
				t.Fatal(err)
			}
			path := save(t, out)
			oracle.Check(t, path)
			if out.Cost(out.Infer()).MAdds >= m.Cost(m.Infer()).MAdds {
				t.Error("the narrow network costs no less")
			}
			if _, rel := oracle.MaxDiff(run(t, out, path), run(t, whole, save(t, whole))); rel > 1e-4 {
				t.Errorf("outputs differ by %g", rel)
			}
		})
	}
	if narrowed < 20 {
		t.Errorf("%d narrowings, want more", narrowed)
	}
}

// without returns the weights of the convolution that reads a value, with zeros
// for all channels but some.
func without(t *testing.T, m *onnxgraph.Model, value string, kept []int) *onnxgraph.Tensor {
	w := m.Graph.Constant(m.Graph.Index().Consumers[value][0].Node.Input(1))
	values, err := w.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	values = slices.Clone(values)
	taps := int(w.Dims[2] * w.Dims[3])
	for i := range values {
		if !slices.Contains(kept, i/taps%int(w.Dims[1])) {
			values[i] = 0
		}
	}
	return onnxgraph.NewFloat32s(w.Name, w.Dims, values)
}

func TestNarrowRefuses(t *testing.T) {
	m := build(t, "resnet20")
	lifted := cellmap.Lift(m)
	ch := lifted.Channels(lifted.Cells[0])[0]
	for _, test := range []struct {
		value string
		kept  []int
	}{
		{ch.Value, nil}, {ch.Value, []int{2, 1}}, {ch.Value, []int{-1, 1}}, {ch.Value, []int{0, ch.Count}}, {ch.Value, []int{1, 1}},
		{"nothing", []int{0}}, {lifted.Cells[0].Output, []int{0}}, {m.Graph.Outputs[0].Name, []int{0}},
	} {
		if _, _, err := cellmap.Narrow(m, test.value, test.kept); err == nil {
			t.Errorf("%q, channels %v: no error", test.value, test.kept)
		}
	}
}
