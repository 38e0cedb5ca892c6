package oracle_test

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// scaleBy is a network that multiplies its input by two and counts its elements.
func scaleBy(t *testing.T) string {
	t.Helper()
	b := onnxgraph.NewBuilder("scale", 13)
	shape := onnxgraph.Shape{onnxgraph.Symbol("batch"), onnxgraph.Const(3)}
	b.Input("x", onnxgraph.Float32, shape)
	two := b.Init(onnxgraph.NewFloat32s("two", nil, []float32{2}))
	b.Add(onnxgraph.NewNode("Mul", "mul", []string{"x", two}, []string{"y"}))
	b.Add(onnxgraph.NewNode("Shape", "shape", []string{"x"}, []string{"n"}))
	b.Output("y", onnxgraph.Float32, shape)
	b.Output("n", onnxgraph.Int64, onnxgraph.Shape{onnxgraph.Const(2)})
	m, err := b.Model("scale.onnx")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "scale.onnx")
	if err := m.Save(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOracleRunsAndInfers(t *testing.T) {
	path := scaleBy(t)
	oracle.Check(t, path)
	x := oracle.Tensor{Shape: []int64{2, 3}, Floats: []float32{1, -2, 3, 4, 0.5, -6}}
	got := oracle.Run(t, path, map[string]oracle.Tensor{"x": x})
	want := map[string]oracle.Tensor{
		"y": {Shape: []int64{2, 3}, Floats: []float32{2, -4, 6, 8, 1, -12}},
		"n": {Shape: []int64{2}, Ints: []int64{2, 3}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Run = %v, want %v", got, want)
	}
	if s := oracle.Shapes(t, path); !reflect.DeepEqual(s["y"], []any{"batch", int64(3)}) {
		t.Errorf("Shapes: y is %v, want [batch 3]", s["y"])
	}
}

func TestOracleObjects(t *testing.T) {
	good := scaleBy(t)
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"unknown operator": []byte(strings.Replace(string(raw), "Mul", "Mux", 1)),
		"truncated":        raw[:len(raw)/2],
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "_")+".onnx")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := oracle.Accepts(t, path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	oracle.Check(t, good) // an objection leaves the process usable
}

// A machine without the judges skips, or fails where they are required.
func TestWithoutOracle(t *testing.T) {
	if os.Getenv("ORACLE_TEST_CHILD") != "" {
		oracle.Check(t, scaleBy(t))
		return
	}
	for required, want := range map[string]string{"": "--- SKIP", "required": "--- FAIL"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWithoutOracle$", "-test.v")
		cmd.Env = append(os.Environ(), "ORACLE_TEST_CHILD=1", "NATONNX_PYTHON="+filepath.Join(t.TempDir(), "none"), "NATONNX_ORACLE="+required)
		out, _ := cmd.CombinedOutput() // a failure is expected of one of them
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "NATONNX_PYTHON") {
			t.Errorf("NATONNX_ORACLE=%q: want %q and a hint, got:\n%s", required, want, out)
		}
	}
}

func TestMaxDiff(t *testing.T) {
	f := func(v ...float32) oracle.Tensor { return oracle.Tensor{Shape: []int64{int64(len(v))}, Floats: v} }
	inf, nan := math.Inf(1), float32(math.NaN())
	for _, c := range []struct {
		a, b     oracle.Tensor
		abs, rel float64
	}{
		{f(1, 2), f(1, 2), 0, 0},
		{f(1, 2.5), f(1, 2), 0.5, 0.25},
		{f(1, -5), f(1, -4), 1, 0.25},
		{f(1), f(0), 1, inf},
		{f(nan), f(nan), inf, inf},
		{f(1, 2), f(1), inf, inf},
		{oracle.Tensor{Shape: []int64{1}, Ints: []int64{1}}, f(1), inf, inf},
	} {
		if abs, rel := oracle.MaxDiff(c.a, c.b); abs != c.abs || rel != c.rel {
			t.Errorf("MaxDiff(%v, %v) = %g, %g, want %g, %g", c.a, c.b, abs, rel, c.abs, c.rel)
		}
	}
}

func TestProbeDependsOnSeedAlone(t *testing.T) {
	a, b, c := oracle.Probe(1, []int64{2, 3}), oracle.Probe(1, []int64{2, 3}), oracle.Probe(2, []int64{2, 3})
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) || len(a.Floats) != 6 {
		t.Errorf("Probe: %v, %v, %v", a, b, c)
	}
}
