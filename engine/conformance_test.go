package engine

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

// The ONNX project's own tests of single operators and small graphs, with the
// tolerances of its runner. $ONNX_NODE_TESTS may name another folder of such
// tests, as the project's Python package generates them. The floor is what was
// reached: it may only rise.
func TestConformance(t *testing.T) {
	t.Run("installed", func(t *testing.T) { conform(t, corpus.Conformance(t), 719) })
	t.Run("generated", func(t *testing.T) {
		dir := os.Getenv("ONNX_NODE_TESTS")
		if dir == "" {
			t.Skip("set ONNX_NODE_TESTS to a folder of node tests that the onnx package wrote")
		}
		var paths []string
		filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Base(path) == "model.onnx" {
				paths = append(paths, path)
			}
			return nil
		})
		if len(paths) == 0 {
			t.Fatalf("no model.onnx below %s", dir)
		}
		conform(t, paths, 1)
	})
}

// exceptions are tests of supported operators that cannot pass, and why.
var exceptions = map[string]string{
	"test_training_dropout":              random,
	"test_training_dropout_default":      random,
	"test_training_dropout_default_mask": random,
	"test_training_dropout_mask":         random,

	"test_PReLU_1d_multiparam": opset6,
	"test_PReLU_2d_multiparam": opset6,
	"test_PReLU_3d_multiparam": opset6,

	"test_castlike_BFLOAT16_to_FLOAT":          misshapen,
	"test_castlike_BFLOAT16_to_FLOAT_expanded": misshapen,
	"test_castlike_FLOAT_to_BFLOAT16":          misshapen,
	"test_castlike_FLOAT_to_BFLOAT16_expanded": misshapen,

	"test_attention_4d_causal_fp16_expanded": "its softmax is rounded to half precision after every step, the engine's once",
}

const (
	random    = "what training drops is random"
	opset6    = "before opset 7 operands are broadcast in another way"
	misshapen = "old data: an input does not have the shape that the model declares"
)

func conform(t *testing.T, paths []string, floor int) {
	ran, passed, missing := 0, 0, map[string]int{}
	out := 0
	for _, path := range paths {
		dir := filepath.Dir(path)
		if filepath.Base(path) != "model.onnx" || filepath.Base(filepath.Dir(dir)) == "real" {
			continue
		}
		name := filepath.Base(dir)
		m, err := onnxgraph.Open(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		reasons := outOfScope(m)
		if why := exceptions[name]; why != "" && len(reasons) == 0 {
			reasons = []string{why + ":"}
		}
		if len(reasons) > 0 {
			out++
			for _, r := range reasons {
				missing[r]++
			}
			continue
		}
		ran++
		if err := conforms(m, dir); err != nil {
			t.Errorf("%s (opset %d): %v", name, m.OpsetVersion(), err)
			continue
		}
		passed++
	}
	t.Logf("%d tests ran, %d passed, %d out of scope", ran, passed, out)
	if passed < floor {
		t.Errorf("%d tests passed, want at least %d", passed, floor)
	}
	reasons := make([]string, 0, len(missing))
	for r := range missing {
		reasons = append(reasons, r)
	}
	slices.SortFunc(reasons, func(a, b string) int {
		if d := missing[b] - missing[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, r := range reasons {
		reasons[i] = fmt.Sprintf("%s %d", r, missing[r])
	}
	t.Logf("out of scope for: %s", strings.Join(reasons, ", "))
}

// outOfScope lists what of a model the engine does not claim to run: operators,
// element types, kinds of values.
func outOfScope(m *onnxgraph.Model) []string {
	found := map[string]bool{}
	for _, n := range m.Graph.Nodes {
		switch {
		case n.Domain != "":
			found[n.Domain+"."+n.OpType] = true
		case operators[n.OpType] == nil:
			found[n.OpType] = true
		}
		for _, a := range n.Attributes {
			if a.Tensor != nil {
				found[unsupported(a.Tensor.Type)] = true
			}
		}
		if n.Is("Cast") {
			found[unsupported(onnxgraph.DataType(n.Int("to", 0)))] = true
		}
	}
	for _, v := range slices.Concat(m.Graph.Inputs, m.Graph.Outputs) {
		if v.Type.Kind == "tensor" {
			found[unsupported(v.Type.Elem)] = true
		} else {
			found["a "+v.Type.Kind] = true
		}
	}
	delete(found, "")
	out := make([]string, 0, len(found))
	for r := range found {
		out = append(out, r)
	}
	return out
}

func unsupported(typ onnxgraph.DataType) string {
	if kinds[typ] == nil {
		return typ.String()
	}
	return ""
}

// conforms runs a model on each of its data sets.
func conforms(m *onnxgraph.Model, dir string) error {
	p, err := Compile(context.Background(), m, Options{})
	if err != nil {
		return err
	}
	sets, _ := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	if len(sets) == 0 {
		return fmt.Errorf("no test_data_set")
	}
	for _, set := range sets {
		in := map[string]*Tensor{}
		for i, v := range p.Inputs() {
			if in[v.Name], err = readFile(filepath.Join(set, fmt.Sprintf("input_%d.pb", i)), v.Type); err != nil {
				return err
			}
		}
		got, err := p.Run(context.Background(), in)
		if err != nil {
			return err
		}
		for i, v := range p.Outputs() {
			want, err := readFile(filepath.Join(set, fmt.Sprintf("output_%d.pb", i)), got[v.Name].Type())
			if err != nil {
				return err
			}
			if err := agrees(got[v.Name], want); err != nil {
				return fmt.Errorf("%s: output %q: %w", filepath.Base(set), v.Name, err)
			}
		}
	}
	return nil
}

// readFile reads a tensor. Older data hold bfloat16 as uint16.
func readFile(path string, typ onnxgraph.DataType) (*Tensor, error) {
	x, err := onnxgraph.ReadTensor(path)
	if err != nil {
		return nil, err
	}
	t, err := Read(x)
	if err != nil {
		return nil, err
	}
	if s, ok := t.data.([]uint16); ok && typ == onnxgraph.BFloat16 {
		return of(t.Dims, mapped(s, func(v uint16) BFloat16 { return BFloat16(v) })), nil
	}
	return t, nil
}

// agrees compares as the ONNX project's runner does: floats to 1e-3 relative
// (2^-6 for bfloat16) and 1e-7 absolute, all else exactly.
func agrees(got, want *Tensor) error {
	if got.Type() != want.Type() || !slices.Equal(got.Dims, want.Dims) {
		return fmt.Errorf("%v, want %v", got, want)
	}
	if !fractional(got.Type()) {
		if g, w := fmt.Sprintf("%q", got.data), fmt.Sprintf("%q", want.data); g != w {
			return fmt.Errorf("%v, want %v", got.data, want.data)
		}
		return nil
	}
	g, err := widen[float64](got)
	if err != nil {
		return err
	}
	w, err := widen[float64](want)
	if err != nil {
		return err
	}
	relative := 1e-3
	if got.Type() == onnxgraph.BFloat16 {
		relative = 0x1p-6
	}
	for i := range g {
		same := g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i])
		if !same && !(math.Abs(g[i]-w[i]) <= 1e-7+relative*math.Abs(w[i])) {
			return fmt.Errorf("element %d of %v is %v, want %v", i, got, g[i], w[i])
		}
	}
	return nil
}
