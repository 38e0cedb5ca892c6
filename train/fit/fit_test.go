package fit_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/augment"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/fit"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shapes(t testing.TB, part string, n int) *dataset.Dataset {
	t.Helper()
	d, err := dataset.Open(dataset.Shapes+part, dataset.Preprocess{Size: dataset.Size{H: 16, W: 16}})
	must(t, err)
	return d.First(n)
}

var residual = cellmap.Genotype{Normal: block, Reduce: block}

var block = cellmap.Form{Concat: []int{3}, Edges: []cellmap.FormEdge{
	{Op: "null", From: 0, To: 2}, {Op: "conv_3x3", From: 1, To: 2},
	{Op: cellmap.Skip, From: 1, To: 3}, {Op: "conv_3x3", From: 2, To: 3},
}}

func net(t testing.TB, change func(*stack.Net)) *onnxgraph.Model {
	t.Helper()
	n := stack.Net{Genotype: residual, Channels: 8, Layers: 3, Classes: 10, Size: 16, Seed: 1}
	if change != nil {
		change(&n)
	}
	m, err := n.Model("net.onnx")
	must(t, err)
	return m
}

func train(t testing.TB, m *onnxgraph.Model, o fit.Options) *fit.Training {
	t.Helper()
	x, err := fit.New(t.Context(), m, o)
	must(t, err)
	must(t, x.Run(t.Context()))
	return x
}

// A network learns to tell shapes that it has not seen, and is valid, and the same
// when it is read again.
func TestNetworksLearn(t *testing.T) {
	test := shapes(t, "test", 300)
	x := train(t, net(t, nil), fit.Options{Images: shapes(t, "train", 1200), Test: test, Epochs: 6, Batch: 24, Rate: 0.02, WeightDecay: 3e-4, Augment: &augment.Augment{Flip: true, Shift: 0.1}})
	m, err := x.Model()
	must(t, err)
	must(t, m.Validate())
	path := filepath.Join(t.TempDir(), "net.onnx")
	must(t, m.Save(t.Context(), path))
	again, err := onnxgraph.Open(path)
	must(t, err)
	a, err := fit.Accuracy(t.Context(), again, test, 0, 0)
	must(t, err)
	last := x.Curve()[5]
	if a.Top1.Value() < 0.22 || last.Test.Top1 != a.Top1 || !(last.Loss < x.Curve()[0].Loss) {
		t.Errorf("%.2f are right, the curve ends at %v: %+v", a.Top1.Value(), last.Test.Top1, x.Curve())
	}
}

// A training with all that training needs, stopped after any step, ends as one that
// was not, to the bit.
func TestTrainingsGoOnBitExactly(t *testing.T) {
	options := func() fit.Options {
		return fit.Options{
			Form:   net(t, func(n *stack.Net) { n.Paths, n.Size = true, 16 }),
			Images: shapes(t, "train", 40), Epochs: 2, Batch: 16, DropPath: 0.4, Smoothing: 0.1, WeightDecay: 1e-3,
			Augment: &augment.Augment{Flip: true, Cutout: 4},
		}
	}
	whole := train(t, net(t, nil), options())
	want, err := whole.Model()
	must(t, err)
	stopped := errors.New("stopped")
	for stop := 1; stop < 4; stop++ {
		o := options()
		var saved bytes.Buffer
		o.Report = func(p fit.Progress) error {
			if p.Done < stop {
				return nil
			}
			return stopped
		}
		x, err := fit.New(t.Context(), net(t, nil), o)
		must(t, err)
		if err := x.Run(t.Context()); !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		must(t, gob.NewEncoder(&saved).Encode(x.State()))
		o = options()
		o.Resume = new(fit.State)
		must(t, gob.NewDecoder(&saved).Decode(o.Resume))
		have, err := train(t, net(t, nil), o).Model()
		must(t, err)
		if !bytes.Equal(written(t, have), written(t, want)) {
			t.Errorf("stopped after %d steps, the network is another one", stop)
		}
	}
}

func written(t testing.TB, m *onnxgraph.Model) []byte {
	var b bytes.Buffer
	_, err := m.WriteTo(&b)
	must(t, err)
	return b.Bytes()
}

// A network learns from another one what that says of images without classes.
func TestTeachersTeach(t *testing.T) {
	images := shapes(t, "train", 600)
	teacher, err := train(t, net(t, nil), fit.Options{Images: images, Epochs: 4, Batch: 24, Rate: 0.02}).Model()
	must(t, err)
	student := net(t, func(n *stack.Net) { n.Seed = 6 })
	agree := func(m *onnxgraph.Model) (n int) {
		a, b := scores(t, teacher, images), scores(t, m, images)
		for i := range a {
			if a[i] == b[i] {
				n++
			}
		}
		return n
	}
	before := agree(student)
	taught, err := train(t, student, fit.Options{Images: images, Teacher: teacher, Epochs: 12, Batch: 24, Rate: 0.02}).Model()
	must(t, err)
	if after := agree(taught); after < 250 || after < before+100 {
		t.Errorf("%d of 600 agree after, %d before", after, before)
	}
}

func scores(t testing.TB, m *onnxgraph.Model, images *dataset.Dataset) (top []int) {
	p, err := engine.Compile(t.Context(), m, engine.Options{})
	must(t, err)
	for b, err := range images.Load(t.Context(), dataset.LoadOptions{Batch: 100}) {
		must(t, err)
		x, err := engine.New(append([]int{len(b.Labels)}, images.Shape()...), b.Images)
		must(t, err)
		out, err := p.Run(t.Context(), map[string]*engine.Tensor{"input": x})
		must(t, err)
		for row := range slices.Chunk(out["output"].Float32s(), 10) {
			top = append(top, slices.Index(row, slices.Max(row)))
		}
	}
	return top
}

func TestRefusals(t *testing.T) {
	for want, change := range map[string]func(*fit.Options) *onnxgraph.Model{
		"there are none":                          func(o *fit.Options) *onnxgraph.Model { o.Images = nil; return nil },
		"40 images are too few for steps of 41":   func(o *fit.Options) *onnxgraph.Model { o.Batch = 41; return nil },
		"0 epochs":                                func(o *fit.Options) *onnxgraph.Model { o.Epochs = 0; return nil },
		"is of class 4, want less than 4":         func(o *fit.Options) *onnxgraph.Model { return net(t, func(n *stack.Net) { n.Classes = 4 }) },
		"an image of the data is float32 3x16x16": func(o *fit.Options) *onnxgraph.Model { return loose(t) },
	} {
		o := fit.Options{Images: shapes(t, "train", 40), Epochs: 1, Batch: 8}
		m := change(&o)
		if m == nil {
			m = net(t, nil)
		}
		if _, err := fit.New(t.Context(), m, o); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "net.onnx: ") {
			t.Errorf("error %v, want one of net.onnx with %q", err, want)
		}
	}
}

// loose is a network for other images.
func loose(t testing.TB) *onnxgraph.Model { return net(t, func(n *stack.Net) { n.Size = 8 }) }
