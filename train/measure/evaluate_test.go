package measure

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/backend"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
)

// fake is a runtime whose networks give the scores that a function says for
// the first value of a sample, whatever the model is.
type fake struct {
	classes int
	score   func(first float32, class int) float32
	runs    *atomic.Int32
	before  func(run int32) error
	opened  func(*fake)
}

func (f fake) Name() string  { return "fake" }
func (f fake) About() string { return "a function" }
func (f fake) Usable() error { return nil }
func (f fake) Close() error  { return nil }

func (f fake) Inputs() []engine.Port  { return nil }
func (f fake) Outputs() []engine.Port { return nil }

func (f fake) Open(_ context.Context, _ *onnxgraph.Model, _ backend.Options) (backend.Session, error) {
	if f.opened != nil {
		f.opened(&f)
	}
	return f, nil
}

func (f fake) Run(ctx context.Context, in map[string]*engine.Tensor) (map[string]*engine.Tensor, error) {
	if f.before != nil {
		if err := f.before(f.runs.Add(1)); err != nil {
			return nil, err
		}
	}
	x := in["x"]
	n := x.Dims[0]
	var out []float32
	for i := range n {
		first := x.Float32s()[i*x.Len()/n]
		for c := range f.classes {
			out = append(out, f.score(first, c))
		}
	}
	y, err := engine.New([]int{n, f.classes}, out)
	return map[string]*engine.Tensor{"y": y}, err
}

// tenClasses is a model of that batch ("" is any) on 3x32x32 pixels.
func tenClasses(t *testing.T, batch onnxgraph.Dim, classes int64) *onnxgraph.Model {
	t.Helper()
	b := onnxgraph.NewBuilder("g", 17)
	b.Input("x", onnxgraph.Float32, onnxgraph.Shape{batch, onnxgraph.Const(3), onnxgraph.Const(32), onnxgraph.Const(32)})
	b.Init(onnxgraph.NewFloat32s("w", []int64{3072, classes}, make([]float32, 3072*classes)))
	b.Add(onnxgraph.NewNode("Flatten", "", []string{"x"}, []string{"f"}))
	b.Add(onnxgraph.NewNode("MatMul", "", []string{"f", "w"}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, onnxgraph.Shape{batch, onnxgraph.Const(classes)})
	m, err := b.Model("net.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// records writes CIFAR-10 records, all pixels of a record being one value.
func records(t *testing.T, labels, pixels []byte) *dataset.Dataset {
	t.Helper()
	var file []byte
	for i := range labels {
		record := make([]byte, 3073)
		for k := range record {
			record[k] = pixels[i]
		}
		record[0] = labels[i]
		file = append(file, record...)
	}
	path := filepath.Join(t.TempDir(), "test_batch.bin")
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(path, dataset.Preprocess{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// near scores a class the higher the nearer the pixel's value is to it.
func near(first float32, class int) float32 {
	d := first*255 - float32(class)
	return -d * d
}

func openFake(t *testing.T, m *onnxgraph.Model, f fake) *Model {
	t.Helper()
	f.runs = &atomic.Int32{}
	if f.classes == 0 {
		f.classes = 10
	}
	out, err := Open(t.Context(), m, Options{Runtime: f, Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Batches of every kind give the same counts as by hand.
func TestEvaluateCounts(t *testing.T) {
	// The pixel says which class the network takes, and who comes next to it.
	data := records(t, []byte{0, 1, 2, 3, 9, 9, 9}, []byte{0, 1, 2, 4, 4, 5, 9})
	for _, batch := range []onnxgraph.Dim{onnxgraph.Symbol("n"), onnxgraph.Const(1), onnxgraph.Const(4)} {
		for _, size := range []int{1, 2, 7, 100} {
			m := openFake(t, tenClasses(t, batch, 10), fake{score: near})
			other := openFake(t, tenClasses(t, onnxgraph.Const(2), 10), fake{score: func(first float32, class int) float32 {
				return near(min(first, 4.0/255), class)
			}})
			e, err := Evaluate(context.Background(), m, other, data, EvaluateOptions{Batch: size})
			if err != nil {
				t.Fatal(err)
			}
			// Right: 0, 1, 2, and the last. Among five nearest: class 3 from 4;
			// class 9 is not from 4 (2 to 6), but not from 5 either (3 to 7).
			if e.Samples != 7 || e.Accuracy.Top1 != (Share{4, 7}) || *e.Accuracy.Top5 != (Share{5, 7}) {
				t.Errorf("batch %v, %d read: %d samples, top-1 %v, top-5 %v", batch, size, e.Samples, e.Accuracy.Top1, *e.Accuracy.Top5)
			}
			if c := e.Against; c.Agreement != (Share{5, 7}) || c.Accuracy.Top1 != (Share{3, 7}) || c.Inputs != 7 || math.Abs(c.MaxAbs-65) > 1e-3 { // class 0 at pixel 9: 81 - 16
				t.Errorf("batch %v, %d read: agreement %v, the other's top-1 %v, distance %+v", batch, size, c.Agreement, c.Accuracy.Top1, c.Distance)
			}
		}
	}
}

// What fails is named, and what was measured before stays.
func TestEvaluateStops(t *testing.T) {
	data := records(t, make([]byte, 6), make([]byte, 6))
	broken := errors.New("node 7 is broken")
	m := openFake(t, tenClasses(t, onnxgraph.Symbol("n"), 10), fake{score: near, before: func(run int32) error {
		if run == 3 {
			return broken
		}
		return nil
	}})
	e, err := Evaluate(context.Background(), m, nil, data, EvaluateOptions{Batch: 2})
	if !errors.Is(err, broken) || e.Samples != 4 || e.Accuracy.Top1 != (Share{4, 4}) {
		t.Errorf("%v after %d samples", err, e.Samples)
	}

	ctx, cancel := context.WithCancel(context.Background())
	m = openFake(t, tenClasses(t, onnxgraph.Symbol("n"), 10), fake{score: near, before: func(run int32) error {
		if run == 2 {
			cancel()
		}
		return nil
	}})
	e, err = Evaluate(ctx, m, nil, data, EvaluateOptions{Batch: 2})
	if !errors.Is(err, context.Canceled) || e.Samples == 0 || e.Samples == 6 {
		t.Errorf("%v after %d samples", err, e.Samples)
	}
}

func TestMisfits(t *testing.T) {
	data := records(t, []byte{0}, []byte{0})
	for name, test := range map[string]struct {
		m    *Model
		want []string
	}{
		"classes": {openFake(t, tenClasses(t, onnxgraph.Const(1), 1000), fake{score: near}), []string{"net.onnx", "1000 classes", "CIFAR-10", "10"}},
		"size": {&Model{Path: "net.onnx", Classifies: true, Input: engine.Port{Name: "x", Shape: onnxgraph.Shape{
			onnxgraph.Const(1), onnxgraph.Const(3), onnxgraph.Const(224), onnxgraph.Const(224)}}}, []string{"net.onnx", "1x3x224x224", "3x32x32"}},
		"no scores": {&Model{Path: "net.onnx"}, []string{"net.onnx", "no output of scores"}},
	} {
		_, err := Evaluate(context.Background(), test.m, nil, data, EvaluateOptions{})
		var misfit *MisfitError
		if !errors.As(err, &misfit) {
			t.Fatalf("%s: %v", name, err)
		}
		for _, part := range test.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
	}
}

// Too little memory is an error that names the network, on the engine itself.
func TestMemoryLimit(t *testing.T) {
	data := records(t, []byte{0, 1}, []byte{0, 1})
	for batch, want := range map[onnxgraph.Dim]string{onnxgraph.Const(1): "2 runs at a time", onnxgraph.Symbol("n"): "net.onnx: a run needs"} {
		m, err := Open(t.Context(), tenClasses(t, batch, 10), Options{Workers: 2, Memory: 16})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Evaluate(context.Background(), m, nil, data, EvaluateOptions{})
		var memory *engine.MemoryError
		if !errors.As(err, &memory) || !strings.Contains(err.Error(), want) {
			t.Errorf("batch %v: %v", batch, err)
		}
	}
}

// A weight that is no number is named, and not counted as a wrong answer.
func TestNonFinite(t *testing.T) {
	data := records(t, []byte{0, 1}, []byte{0, 1})
	b := onnxgraph.NewBuilder("g", 17)
	shape := onnxgraph.Shape{onnxgraph.Symbol("n"), onnxgraph.Const(3), onnxgraph.Const(32), onnxgraph.Const(32)}
	b.Input("x", onnxgraph.Float32, shape)
	weights := make([]float32, 3072*10)
	weights[77] = float32(math.NaN())
	b.Init(onnxgraph.NewFloat32s("w", []int64{3072, 10}, weights))
	b.Add(onnxgraph.NewNode("Flatten", "", []string{"x"}, []string{"f"}))
	b.Add(onnxgraph.NewNode("MatMul", "", []string{"f", "w"}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Symbol("n"), onnxgraph.Const(10)})
	graph, err := b.Model("net.onnx")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(t.Context(), graph, Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Evaluate(context.Background(), m, nil, data, EvaluateOptions{})
	var bad *engine.NonFiniteError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "net.onnx") || e.Samples != 0 {
		t.Errorf("%v after %d samples", err, e.Samples)
	}
}

func TestOpenRefusesWhatIsNoPictureNetwork(t *testing.T) {
	b := onnxgraph.NewBuilder("g", 17)
	for _, name := range []string{"a", "b"} {
		b.Input(name, onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1)})
	}
	b.Add(onnxgraph.NewNode("Add", "", []string{"a", "b"}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1)})
	m, err := b.Model("two.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), m, Options{}); err == nil || !strings.Contains(err.Error(), "two.onnx: has 2 inputs") {
		t.Errorf("%v", err)
	}
}
