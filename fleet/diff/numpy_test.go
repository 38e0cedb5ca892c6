package diff

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNumPy compares the distances of tensors with those that NumPy finds.
func TestNumPy(t *testing.T) {
	python := os.Getenv("NATONNX_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import onnx, numpy").CombinedOutput(); err != nil {
		if os.Getenv("NATONNX_ORACLE") == "required" {
			t.Fatalf("%s: %v: %s", python, err, out)
		}
		t.Skipf("%s has no onnx and numpy", python)
	}
	dir := t.TempDir()
	before, after := filepath.Join(dir, "a.onnx"), filepath.Join(dir, "b.onnx")
	m := built(t, "resnet14", small())
	if err := m.Save(context.Background(), before); err != nil {
		t.Fatal(err)
	}
	data := bytesOf(t, m)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := 0; i < len(m.Graph.Initializers); i += 3 {
		data = editNth(data, graphInitializer, i, func(b []byte) []byte {
			return edit(b, func(raw []byte) []byte {
				raw = bytes.Clone(raw)
				for k := 0; k+3 < len(raw); k += 4 * (1 + rng.IntN(50)) {
					raw[k+1+rng.IntN(2)] ^= byte(1 << rng.IntN(7)) // the mantissa
				}
				return raw
			}, tensorRaw)
		})
	}
	if err := os.WriteFile(after, data, 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "testdata/tensors.py", before, after).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		MaxAbs, Relative float64
		Differing        int64
	}
	out = bytes.ReplaceAll(out, []byte("max_abs"), []byte("MaxAbs"))
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	d := compared(t, m, parsed(t, data))
	if len(d.Tensors.Changed) != len(want) || len(want) < 5 {
		t.Errorf("%d tensors changed, NumPy finds %d", len(d.Tensors.Changed), len(want))
	}
	for _, c := range d.Tensors.Changed {
		w, v := want[c.After.Name], c.Values
		if *v.MaxAbs != w.MaxAbs || *v.Differing != w.Differing || math.Abs(*v.Relative-w.Relative) > 1e-9*w.Relative {
			t.Errorf("%s: largest %g, relative %g, %d differ; NumPy finds %+v", c.After.Name, *v.MaxAbs, *v.Relative, *v.Differing, w)
		}
	}
}
