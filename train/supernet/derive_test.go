package supernet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/train/supernet"
	"github.com/natonnx/natonnx/transformer"
)

func searched(t *testing.T) (*supernet.Search, cellmap.Genotype, transformer.Policy) {
	t.Helper()
	s, err := supernet.New(small(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	g, ok := cellmap.PublishedGenotype("ResBlock")
	if !ok {
		t.Fatal("no ResBlock")
	}
	p, err := transformer.Builtin("nat-gcn")
	if err != nil {
		t.Fatal(err)
	}
	return s, g, p
}

// What is derived is the most accurate of the candidates, and the input is one of
// them, so that it is no less accurate than that.
func TestDeriveChoosesTheBest(t *testing.T) {
	s, g, p := searched(t)
	list, err := s.Derive(t.Context(), g, p, 6, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	inputs := 0
	for i, c := range list {
		if i > 0 && c.Accuracy > list[i-1].Accuracy {
			t.Errorf("candidate %d has %v, the one before %v", i, c.Accuracy, list[i-1].Accuracy)
		}
		if c.Input != c.Equal(g) {
			t.Errorf("candidate %d: input %v", i, c.Input)
		}
		if c.Input {
			inputs++
		}
		for j := range i {
			if c.Equal(list[j].Genotype) {
				t.Errorf("candidates %d and %d are one", i, j)
			}
		}
	}
	if inputs != 1 || len(list) < 2 {
		t.Errorf("%d candidates, %d of them the input", len(list), inputs)
	}
	again, err := s.Derive(t.Context(), g, p, 6, 1, nil)
	if err != nil || len(again) != len(list) || !again[0].Equal(list[0].Genotype) || again[0].Accuracy != list[0].Accuracy {
		t.Errorf("another time %v, %v", again, err)
	}
	darts, _ := cellmap.PublishedGenotype("NAONet")
	if _, err := s.Derive(t.Context(), darts, p, 6, 1, nil); err == nil || !strings.Contains(err.Error(), "5 nodes, the supernet 4") {
		t.Errorf("error %v", err)
	}
}

// A child that is written has the weights that are shared, and computes by them.
func TestExportedChildrenHaveTheSharedWeights(t *testing.T) {
	s, g, _ := searched(t)
	m, err := s.Export(t.Context(), g, "child.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	shared := 0
	for _, w := range m.Graph.Initializers {
		if p := s.Net.Params[w.Name]; p != nil {
			shared++
			v, err := w.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			for i := range v {
				if v[i] != p.Value[i] {
					t.Fatalf("%s is %v, the supernet has %v", w.Name, v[i], p.Value[i])
				}
			}
		}
	}
	if shared < 20 {
		t.Errorf("%d initializers are shared", shared)
	}
	program, err := engine.Compile(t.Context(), m, engine.Options{Finite: true})
	if err != nil {
		t.Fatal(err)
	}
	x, err := engine.New([]int{1, 3, 8, 8}, make([]float32, 3*8*8))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := program.Run(t.Context(), map[string]*engine.Tensor{"input": x}); err != nil || out["output"].Len() != 10 {
		t.Errorf("%v, %v", out, err)
	}
}

// A child's classes depend on what its genotype concatenates, and on nothing else.
func TestChildrenShowWhatGenotypesConcatenate(t *testing.T) {
	s, g, _ := searched(t)
	dead := func(f cellmap.Form) cellmap.Form {
		f.Edges = slices.Clone(f.Edges)
		for i := len(f.Edges) - 2; i < len(f.Edges); i++ {
			f.Edges[i].Op = cellmap.Null
		}
		return f
	}
	g.Normal, g.Reduce = dead(g.Normal), dead(g.Reduce)
	for _, test := range []struct {
		concat []int
		blind  bool
	}{{[]int{2, 3, 4, 5}, false}, {[]int{2, 5}, false}, {[]int{5}, true}} {
		g.Normal.Concat, g.Reduce.Concat = test.concat, test.concat
		m, err := s.Export(t.Context(), g, "child.onnx")
		if err != nil {
			t.Fatal(err)
		}
		program, err := engine.Compile(t.Context(), m, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var logits [2][]float32
		for i := range logits {
			pixels := make([]float32, 3*8*8)
			for j := range pixels {
				pixels[j] = float32(i * (j%7 - 3))
			}
			x, err := engine.New([]int{1, 3, 8, 8}, pixels)
			if err != nil {
				t.Fatal(err)
			}
			out, err := program.Run(t.Context(), map[string]*engine.Tensor{"input": x})
			if err != nil {
				t.Fatal(err)
			}
			logits[i] = out["output"].Float32s()
		}
		if slices.Equal(logits[0], logits[1]) != test.blind {
			t.Errorf("output nodes %v: two images give %v and %v", test.concat, logits[0], logits[1])
		}
	}
}
