// Package oracle lets tests ask judges that are independent of this project:
// the ONNX checker and shape inference, and ONNX Runtime on the CPU. It runs
// them in one Python process per test binary.
//
// The interpreter is $NATONNX_PYTHON, or else python3; it needs the packages
// onnx, onnxruntime and numpy. Where it lacks them tests skip, unless
// $NATONNX_ORACLE is "required": then they fail, so that a CI run cannot
// quietly prove nothing.
package oracle

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A Tensor is an input or output of a network: either Floats or Ints is set.
type Tensor struct {
	Shape  []int64
	Floats []float32
	Ints   []int64
}

// Check fails the test unless [Accepts] finds nothing wrong with the model.
func Check(t testing.TB, path string) {
	t.Helper()
	if err := Accepts(t, path); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Accepts returns what the ONNX checker (with shape inference) or the loader
// of ONNX Runtime object to in a model file, or nil.
func Accepts(t testing.TB, path string) error {
	t.Helper()
	_, err := ask(t, request{Do: "check", Path: path})
	return err
}

// Run runs a model in ONNX Runtime and returns its outputs by name. Graph
// optimisations are off, so that graphs are compared as they are written.
func Run(t testing.TB, path string, inputs map[string]Tensor) map[string]Tensor {
	t.Helper()
	r, err := ask(t, request{Do: "run", Path: path, inputs: inputs})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return r.outputs
}

// Shapes returns the shapes that the ONNX project's shape inference finds, by
// value name: an int64, a symbol (string) or nil (unknown) for each dimension.
// Values of unknown rank are absent.
func Shapes(t testing.TB, path string) map[string][]any {
	t.Helper()
	r, err := ask(t, request{Do: "shapes", Path: path})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, shape := range r.Shapes {
		for i, d := range shape {
			if n, ok := d.(float64); ok {
				shape[i] = int64(n)
			}
		}
	}
	return r.Shapes
}

// MaxDiff returns the largest difference between elements of two tensors, and
// the same relative to the largest magnitude in b. Both are infinite where
// shapes or types differ or an element is not finite.
func MaxDiff(a, b Tensor) (abs, rel float64) {
	x, y := a.values(), b.values()
	if !slices.Equal(a.Shape, b.Shape) || len(x) != len(y) || (a.Ints == nil) != (b.Ints == nil) {
		return math.Inf(1), math.Inf(1)
	}
	var top float64
	for i := range x {
		d := math.Abs(x[i] - y[i])
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return math.Inf(1), math.Inf(1)
		}
		abs, top = max(abs, d), max(top, math.Abs(y[i]))
	}
	if abs == 0 {
		return 0, 0
	}
	return abs, abs / top
}

func (t Tensor) values() []float64 {
	out := make([]float64, 0, len(t.Floats)+len(t.Ints))
	for _, v := range t.Floats {
		out = append(out, float64(v))
	}
	for _, v := range t.Ints {
		out = append(out, float64(v))
	}
	return out
}

// Probe returns a float tensor of standard normal values that depend on the seed alone.
func Probe(seed uint64, shape []int64) Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	r := rand.New(rand.NewPCG(seed, 0))
	t := Tensor{Shape: shape, Floats: make([]float32, n)}
	for i := range t.Floats {
		t.Floats[i] = float32(r.NormFloat64())
	}
	return t
}

// ask puts a question to the process of this test binary. It skips the test
// where there is none; an error is the judge's objection.
func ask(t testing.TB, q request) (*reply, error) {
	t.Helper()
	p, err := start()
	if err != nil {
		unavailable(t, err)
	}
	abs, err := filepath.Abs(q.Path)
	if err != nil {
		t.Fatal(err)
	}
	q.Path = abs
	r, err := p.ask(q)
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

func unavailable(t testing.TB, err error) {
	t.Helper()
	const hint = "install onnx, onnxruntime and numpy, and set NATONNX_PYTHON to that interpreter"
	if os.Getenv("NATONNX_ORACLE") == "required" {
		t.Fatalf("no oracle: %v (%s)", err, hint)
	}
	t.Skipf("no oracle: %v (%s)", err, hint)
}
