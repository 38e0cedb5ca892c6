// Package torch asks PyTorch for a training step of an ONNX graph, as an
// independent judge of gradients in tests.
package torch

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
)

//go:embed step.py
var script []byte

// A Step is what a training step starts from: cross-entropy on a batch, then
// SGD with PyTorch's definitions.
type Step struct {
	Params          engine.Params
	Input           *engine.Tensor
	Labels          []int
	BatchStatistics bool
	Rate, Momentum  float64
	WeightDecay     float64
}

// A Result is what PyTorch computed.
type Result struct {
	Loss   float64
	Logits []float32
	Grad   map[string][]float32 // of the parameters that are trained
	After  map[string][]float32 // parameters and running statistics after the step
}

type tensor struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Dims    []int  `json:"dims"`
	Trained bool   `json:"trained"`
}

type node struct {
	Op         string         `json:"op"`
	Inputs     []string       `json:"inputs"`
	Outputs    []string       `json:"outputs"`
	Attributes map[string]any `json:"attributes"`
}

type spec struct {
	Tensors         []tensor `json:"tensors"`
	Nodes           []node   `json:"nodes"`
	Output          string   `json:"output"`
	Labels          []int    `json:"labels"`
	BatchStatistics bool     `json:"batch_statistics"`
	Rate            float64  `json:"rate"`
	Momentum        float64  `json:"momentum"`
	WeightDecay     float64  `json:"weight_decay"`
}

// Python is the interpreter that has PyTorch: NATONNX_TORCH, or the system's.
func python() string {
	if p := os.Getenv("NATONNX_TORCH"); p != "" {
		return p
	}
	return "/usr/bin/python3"
}

// Train runs one step of m in PyTorch. The test is skipped where there is no
// PyTorch, and fails instead where NATONNX_ORACLE is "required".
func Train(t testing.TB, m *onnxgraph.Model, s Step) *Result {
	t.Helper()
	if err := exec.Command(python(), "-c", "import torch").Run(); err != nil {
		if os.Getenv("NATONNX_ORACLE") == "required" {
			t.Fatalf("PyTorch is required: %s: %v", python(), err)
		}
		t.Skipf("no PyTorch (Debian: python3-torch): %s: %v", python(), err)
	}
	dir := t.TempDir()
	q := describe(t, dir, m, s)
	program := filepath.Join(dir, "step.py")
	must(t, os.WriteFile(program, script, 0o600))
	if out, err := exec.Command(python(), program, dir).CombinedOutput(); err != nil {
		t.Fatalf("PyTorch: %v\n%s", err, out)
	}
	return collect(t, dir, q)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// describe writes the graph, its parameters and the batch into dir.
func describe(t testing.TB, dir string, m *onnxgraph.Model, s Step) spec {
	q := spec{
		Output: m.Graph.Outputs[0].Name, Labels: s.Labels, BatchStatistics: s.BatchStatistics,
		Rate: s.Rate, Momentum: s.Momentum, WeightDecay: s.WeightDecay,
	}
	add := func(name string, dims []int, data []float32, trained bool) {
		file := fmt.Sprintf("tensor%d.bin", len(q.Tensors))
		must(t, os.WriteFile(filepath.Join(dir, file), encode(data), 0o600))
		q.Tensors = append(q.Tensors, tensor{name, file, dims, trained})
	}
	for _, name := range s.Params.Names() {
		p := s.Params[name]
		add(name, p.Dims, p.Value, !p.Frozen)
	}
	for _, x := range m.Graph.Initializers {
		if f, err := x.Float32s(); err == nil && s.Params[x.Name] == nil {
			c, err := engine.Read(x)
			must(t, err)
			add(x.Name, c.Dims, f, false)
		}
	}
	add(m.Graph.RealInputs()[0].Name, s.Input.Dims, s.Input.Float32s(), false)
	for _, n := range m.Graph.Nodes {
		if c := m.Graph.Constant(n.Outputs[0]); c != nil {
			x, err := engine.Read(c)
			must(t, err)
			add(n.Outputs[0], x.Dims, x.Float32s(), false)
			continue
		}
		d := node{n.OpType, n.Inputs, n.Outputs, map[string]any{}}
		for _, a := range n.Attributes {
			switch a.Type {
			case onnxgraph.AttrInt:
				d.Attributes[a.Name] = a.Int
			case onnxgraph.AttrFloat:
				d.Attributes[a.Name] = a.Float
			case onnxgraph.AttrInts:
				d.Attributes[a.Name] = a.Ints
			}
		}
		q.Nodes = append(q.Nodes, d)
	}
	b, err := json.Marshal(q)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "spec.json"), b, 0o600))
	return q
}

// collect reads what the script wrote.
func collect(t testing.TB, dir string, q spec) *Result {
	r := &Result{Grad: map[string][]float32{}, After: map[string][]float32{}}
	b, err := os.ReadFile(filepath.Join(dir, "result.json"))
	must(t, err)
	must(t, json.Unmarshal(b, r))
	trained := 0
	for i, x := range q.Tensors {
		r.After[x.Name] = read(t, dir, fmt.Sprintf("after%d.bin", i))
		if x.Trained {
			r.Grad[x.Name] = read(t, dir, fmt.Sprintf("grad%d.bin", trained))
			trained++
		}
	}
	r.Logits = read(t, dir, "logits.bin")
	return r
}

func encode(f []float32) []byte {
	b := make([]byte, 0, 4*len(f))
	for _, v := range f {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func read(t testing.TB, dir, name string) []float32 {
	b, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	f := make([]float32, len(b)/4)
	for i := range f {
		f[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return f
}
