package backend

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

func TestFindSaysWhatThereIs(t *testing.T) {
	r, err := Find(Default)
	if err != nil || r.Name() != Default {
		t.Fatalf("%v, %v", r, err)
	}
	if _, err = Find("tensorrt"); err == nil || !strings.Contains(err.Error(), "go, ort, onnxgo") {
		t.Errorf("%v", err)
	}
	for _, r := range All() {
		_, err := Find(r.Name())
		if usable := r.Usable(); (usable == nil) != (err == nil) || !errors.Is(err, usable) {
			t.Errorf("%s: usable: %v, found: %v", r.Name(), usable, err)
		}
	}
}

// probe returns standard normal values for all inputs, 1 for an open dimension.
func probe(t *testing.T, s Session, open int) map[string]*engine.Tensor {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	in := map[string]*engine.Tensor{}
	for _, p := range s.Inputs() {
		n, dims := 1, make([]int, len(p.Shape))
		for i, d := range p.Shape {
			dims[i] = open
			if d.Known() {
				dims[i] = int(d.N)
			}
			n *= dims[i]
		}
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(r.NormFloat64())
		}
		x, err := engine.New(dims, data)
		if err != nil {
			t.Fatal(err)
		}
		in[p.Name] = x
	}
	return in
}

// apart returns the largest difference of two tensors, relative to the largest
// element; infinite where they are not alike.
func apart(a, b *engine.Tensor) float64 {
	x, y := a.Float32s(), b.Float32s()
	if a.String() != b.String() || x == nil {
		return math.Inf(1)
	}
	var diff, top float64
	for i := range x {
		diff, top = max(diff, math.Abs(float64(x[i]-y[i]))), max(top, math.Abs(float64(y[i])))
	}
	return diff / max(top, 1e-30)
}

// open opens a model on a runtime, or skips the test where that has a good reason.
func open(t *testing.T, r Runtime, m *onnxgraph.Model) Session {
	t.Helper()
	if err := r.Usable(); err != nil {
		t.Skip(err)
	}
	s, err := r.Open(t.Context(), m, Options{Workers: 2, Finite: true})
	if _, ok := r.(onnxgoRuntime); ok && err != nil {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// agree runs a model on every usable runtime and compares with the default one.
func agree(t *testing.T, m *onnxgraph.Model) {
	own := open(t, goRuntime{}, m)
	in := probe(t, own, 2)
	want, err := own.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range All()[1:] {
		t.Run(r.Name(), func(t *testing.T) {
			s := open(t, r, m)
			for range 2 { // a second run gives the same
				got, err := s.Run(context.Background(), in)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range s.Outputs() {
					if d := apart(got[p.Name], want[p.Name]); !(d < 1e-4) {
						t.Errorf("output %q: %v, that of %s is %v, %g apart", p.Name, got[p.Name], Default, want[p.Name], d)
					}
				}
			}
		})
	}
}

func TestRuntimesAgreeOnFixtures(t *testing.T) {
	for _, name := range []string{"resnet14", "resnet20_padded", "preact_resnet20", "vgg11", "vgg11_bn", "alexnet", "squeezenet1_1", "googlenet",
		"mobilenet_v2", "resnext50_32x4d", "densenet121", "shufflenet_v2_x1_0", "mobilenet_v3_small", "efficientnet_b0"} {
		for _, dynamic := range []bool{false, true} {
			opt := fixtures.Options{Size: 64, Classes: 10, Width: 0.25}
			opt.DynamicBatch = dynamic
			m, err := fixtures.Build(name, opt)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(strings.TrimSuffix(m.Path, ".onnx")+map[bool]string{true: "_batch"}[dynamic], func(t *testing.T) { agree(t, m) })
		}
	}
}

func TestRuntimesAgreeOnRealModels(t *testing.T) {
	for _, path := range corpus.Models(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			m, err := onnxgraph.Open(path)
			if err != nil || m.Validate() != nil {
				t.Skip("weights are missing, or the model is invalid")
			}
			if quantized(m) {
				t.Skip("rounds to 8 bits, so that last bits decide: ONNX Runtime's own levels of optimization differ by a fifth")
			}
			agree(t, m)
		})
	}
}

func quantized(m *onnxgraph.Model) bool {
	return slices.ContainsFunc(m.Graph.Nodes, func(n *onnxgraph.Node) bool { return n.Is("QuantizeLinear") })
}

func small(t *testing.T) *onnxgraph.Model {
	t.Helper()
	m, err := fixtures.Build("resnet14", fixtures.Options{Width: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Sessions are run from several goroutines at once.
func TestSessionsAreConcurrent(t *testing.T) {
	for _, r := range All() {
		t.Run(r.Name(), func(t *testing.T) {
			s := open(t, r, small(t))
			in := probe(t, s, 1)
			want, err := s.Run(context.Background(), in)
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					got, err := s.Run(context.Background(), in)
					if err != nil || apart(got[s.Outputs()[0].Name], want[s.Outputs()[0].Name]) != 0 {
						t.Errorf("%v, %v", got, err)
					}
				})
			}
			all.Wait()
		})
	}
}

// What runs cannot do ends in an error that names the model.
func TestErrorsNameTheModel(t *testing.T) {
	for _, r := range All() {
		t.Run(r.Name(), func(t *testing.T) {
			m := small(t)
			s := open(t, r, m)
			in := probe(t, s, 1)
			name := s.Inputs()[0].Name

			ended, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := s.Run(ended, in); !errors.Is(err, context.Canceled) {
				t.Errorf("ended context: %v", err)
			}
			if _, err := s.Run(context.Background(), nil); err == nil || !strings.Contains(err.Error(), m.Path) || !strings.Contains(err.Error(), name) {
				t.Errorf("no input: %v", err)
			}
			wrong, err := engine.New([]int{1, 7}, make([]float32, 7))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Run(context.Background(), map[string]*engine.Tensor{name: wrong}); err == nil || !strings.Contains(err.Error(), m.Path) {
				t.Errorf("wrong shape: %v", err)
			}
			in[name].Float32s()[5] = float32(math.Inf(1))
			_, err = s.Run(context.Background(), in)
			var bad *engine.NonFiniteError
			if !errors.As(err, &bad) {
				t.Errorf("infinite input: %v", err)
			}
		})
	}
}

func TestMemoryLimitIsKeptOrRefused(t *testing.T) {
	m := small(t)
	for _, r := range All() {
		t.Run(r.Name(), func(t *testing.T) {
			if err := r.Usable(); err != nil {
				t.Skip(err)
			}
			s, err := r.Open(t.Context(), m, Options{Memory: 1000})
			if err != nil {
				if r.Name() == Default || !strings.Contains(err.Error(), "memory limit") {
					t.Error(err)
				}
				return
			}
			_, err = s.Run(context.Background(), probe(t, s, 1))
			var memory *engine.MemoryError
			if !errors.As(err, &memory) {
				t.Errorf("ran: %v", err)
			}
		})
	}
}

// Where onnx-go would compute something else, it is not asked.
func TestOnnxgoRefusesWhatItMisreads(t *testing.T) {
	for name, n := range map[string]*onnxgraph.Node{
		"groups":  onnxgraph.NewNode("Conv", "n", []string{"x", "w"}, []string{"y"}, onnxgraph.IntAttr("group", 2), onnxgraph.IntsAttr("kernel_shape", 3, 3)),
		"padding": onnxgraph.NewNode("Conv", "n", []string{"x", "w"}, []string{"y"}, onnxgraph.IntsAttr("kernel_shape", 3, 3), onnxgraph.IntsAttr("pads", 0, 0, 1, 1)),
		"ceiling": onnxgraph.NewNode("MaxPool", "n", []string{"x"}, []string{"y"}, onnxgraph.IntsAttr("kernel_shape", 2, 2), onnxgraph.IntAttr("ceil_mode", 1)),
		"clip":    onnxgraph.NewNode("Clip", "n", []string{"x"}, []string{"y"}),
	} {
		if err := served(&onnxgraph.Graph{}, n); err == nil || !strings.Contains(err.Error(), "onnx-go") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMain lets tests find ONNX Runtime beside the judges' Python.
func TestMain(m *testing.M) {
	if python := os.Getenv("NATONNX_PYTHON"); python != "" && os.Getenv("VIRTUAL_ENV") == "" {
		os.Setenv("VIRTUAL_ENV", filepath.Dir(filepath.Dir(python)))
	}
	os.Exit(m.Run())
}
