package distill

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/augment"
	"github.com/natonnx/natonnx/train/dataset"
)

// pictures are n CIFAR-10 records of coloured waves.
func pictures(t testing.TB, n int) *dataset.Dataset {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	var file []byte
	for range n {
		file = append(file, 0)
		for range 3 {
			fx, fy, at := r.Float64(), r.Float64(), 6*r.Float64()
			for i := range 32 * 32 {
				file = append(file, byte(128+127*math.Sin(fx*float64(i%32)+fy*float64(i/32)+at)))
			}
		}
	}
	path := filepath.Join(t.TempDir(), "pictures.bin")
	must(t, os.WriteFile(path, file, 0o600))
	p, err := dataset.ParsePreprocess("cifar10")
	must(t, err)
	d, err := dataset.Open(path, p)
	must(t, err)
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func build(t testing.TB, name string, o fixtures.Options) *onnxgraph.Model {
	t.Helper()
	m, err := fixtures.Build(name, o)
	must(t, err)
	return m
}

// small is a ResNet of 8 to 32 channels, for batch 1, normalization folded.
func small(t testing.TB, seed uint64) *onnxgraph.Model {
	return build(t, "resnet14", fixtures.Options{Seed: seed, Width: 0.5, Dialect: fixtures.Dialect{FoldBN: true}})
}

// depthwise is a network of depthwise and pointwise convolutions and Relu6.
func depthwise(t testing.TB) *onnxgraph.Model {
	n := fixtures.NewNet(fixtures.Options{Size: 32, Classes: 10}, 3)
	x := n.Relu6("stem.act", n.ConvBN("stem.conv", "stem.bn", n.Input(), fixtures.Conv{Out: 16, Kernel: 3, Stride: 2, Pad: 1}))
	for _, path := range []string{"a", "b"} {
		x = n.Relu6(path+".act1", n.ConvBN(path+".dw", path+".bn1", x, fixtures.Conv{Out: 16, Kernel: 3, Pad: 1, Groups: 16}))
		x = n.Relu6(path+".act2", n.ConvBN(path+".pw", path+".bn2", x, fixtures.Conv{Out: 16, Kernel: 1}))
	}
	m, err := n.Model("depthwise.onnx", n.Classifier("fc", n.Flatten("", n.GlobalPool("pool", x))))
	must(t, err)
	return m
}

// values are the contents of all initializers.
func values(t testing.TB, m *onnxgraph.Model) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, x := range m.Graph.Initializers {
		raw, err := x.Raw()
		must(t, err)
		out[x.Name] = raw
	}
	return out
}

// bumped is a model with one initializer changed by f.
func bumped(t testing.TB, m *onnxgraph.Model, name string, f func([]float32)) *onnxgraph.Model {
	t.Helper()
	x := m.Graph.Index().Initializer[name]
	data, err := x.Float32s()
	must(t, err)
	data = slices.Clone(data)
	f(data)
	out, err := m.Apply(&onnxgraph.Patch{Rule: "test", Replace: []*onnxgraph.Tensor{onnxgraph.NewFloat32s(name, x.Dims, data)}})
	must(t, err)
	return out
}

// weight is the name of the weights of a convolution in the middle.
func weight(m *onnxgraph.Model) string {
	var all []string
	for _, n := range m.Graph.Nodes {
		if n.Is("Conv") {
			all = append(all, n.Input(1))
		}
	}
	return all[len(all)/2]
}

var quick = Options{Epochs: 3, Batch: 16, Rate: 2e-3, Augment: &augment.Augment{Flip: true, Shift: 0.1, Mix: 0.5}}

// A network of which a layer was damaged comes back to what it did, on images
// that it was not trained on, and nothing but its weights is another.
func TestRunRecovers(t *testing.T) {
	ctx := context.Background()
	images := pictures(t, 160)
	train, others := images.Split(128, 1)
	for name, teacher := range map[string]*onnxgraph.Model{
		"folded":     small(t, 0),
		"normalized": build(t, "resnet14", fixtures.Options{Width: 0.5}),
		"depthwise":  depthwise(t),
	} {
		student := bumped(t, teacher, weight(teacher), func(w []float32) {
			for i := range w {
				w[i] = 0
			}
		})
		o := quick
		o.Epochs = 5
		out, r, err := Run(ctx, teacher, student, train, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		must(t, out.Validate())
		if len(r.Features) == 0 || r.Logits == "" || r.Steps != 40 || r.Done != 40 || r.Batch != 16 || r.Probe != 128 || !r.Improved {
			t.Errorf("%s: report %+v", name, r)
		}
		before, after := distance(t, teacher, student, others), distance(t, teacher, out, others)
		if !(after < 0.6*before) {
			t.Errorf("%s: outputs were %.4f from the teacher's, %.4f after training", name, before, after)
		}
		onlyWeights(t, student, out)
	}
}

// distance is the root of the mean squared difference of the outputs.
func distance(t testing.TB, a, b *onnxgraph.Model, images *dataset.Dataset) float64 {
	t.Helper()
	ctx := context.Background()
	var out [2][]float32
	for i, m := range []*onnxgraph.Model{a, b} {
		m, err := m.AnyBatch()
		must(t, err)
		p, err := engine.Compile(ctx, m, engine.Options{})
		must(t, err)
		for batch, err := range images.Load(ctx, dataset.LoadOptions{Batch: images.Len()}) {
			must(t, err)
			x, err := engine.New(append([]int{len(batch.Indices)}, images.Shape()...), batch.Images)
			must(t, err)
			y, err := p.Run(ctx, map[string]*engine.Tensor{p.Inputs()[0].Name: x})
			must(t, err)
			out[i] = y[p.Outputs()[0].Name].Float32s()
		}
	}
	sum := 0.0
	for i, v := range out[0] {
		sum += math.Pow(float64(v-out[1][i]), 2)
	}
	return math.Sqrt(sum / float64(len(out[0])))
}

// onlyWeights asserts that two models differ in learnable parameters alone.
func onlyWeights(t *testing.T, before, after *onnxgraph.Model) {
	t.Helper()
	was, is := values(t, before), values(t, after)
	learnable := map[string]bool{}
	for _, p := range before.Parameters(before.Infer()) {
		learnable[p.Name] = true
	}
	var changed []string
	for name, raw := range was {
		if !bytes.Equal(raw, is[name]) {
			changed = append(changed, name)
			if !learnable[name] {
				t.Errorf("%s was changed, which is no parameter", name)
			}
		}
	}
	if len(was) != len(is) || len(changed) < len(learnable)/2 {
		t.Errorf("%d initializers became %d, %d of them other ones", len(was), len(is), len(changed))
	}
	back := &onnxgraph.Patch{Rule: "test"}
	for _, name := range changed {
		x := before.Graph.Index().Initializer[name]
		data, err := x.Float32s()
		must(t, err)
		back.Replace = append(back.Replace, onnxgraph.NewFloat32s(name, x.Dims, data))
	}
	restored, err := after.Apply(back)
	must(t, err)
	same, err := before.Apply(back) // both encode these tensors alike
	must(t, err)
	if !bytes.Equal(written(t, restored), written(t, same)) {
		t.Error("more than weights was changed")
	}
}

func written(t testing.TB, m *onnxgraph.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := m.WriteTo(&b)
	must(t, err)
	return b.Bytes()
}

// Neither the number of cores nor another run changes a bit; a seed does.
func TestRunRepeats(t *testing.T) {
	teacher, student, images := small(t, 1), small(t, 2), pictures(t, 50)
	o := quick
	o.Epochs = 1
	train := func(workers int, seed uint64) []byte {
		o.Workers, o.Seed = workers, seed
		out, _, err := Run(context.Background(), teacher, student, images, o)
		must(t, err)
		return written(t, out)
	}
	one := train(1, 5)
	for _, workers := range []int{1, 2, 3} {
		if !bytes.Equal(one, train(workers, 5)) {
			t.Errorf("%d workers gave other weights than 1", workers)
		}
	}
	if bytes.Equal(one, train(2, 6)) {
		t.Error("another seed gave the same weights")
	}
}

// The gradient of the loss is its slope, by finite differences.
func TestGradientIsTheSlope(t *testing.T) {
	ctx := context.Background()
	images := pictures(t, 8)
	o, err := Options{Batch: 8, Feature: 3}.withDefaults()
	must(t, err)
	s, err := newSchool(ctx, small(t, 1), small(t, 2), images, o)
	must(t, err)
	x := make([]float32, 0)
	for b, err := range images.Load(ctx, dataset.LoadOptions{Batch: 8}) {
		must(t, err)
		x = append(x, b.Images...)
	}
	must(t, s.fit(ctx))
	loss := func() float64 {
		losses, err := s.look(ctx, x, nil)
		must(t, err)
		sum := 0.0
		for i, g := range s.goals {
			sum += g.weight * losses[i]
		}
		return sum
	}
	s.params.ZeroGrad()
	_, err = s.look(ctx, x, func(gradients map[string]*engine.Tensor) error {
		_, err := s.student.Backward(ctx, gradients)
		return err
	})
	must(t, err)
	for _, name := range s.params.Names() {
		p := s.params[name]
		norm := 0.0
		for _, g := range p.Grad {
			norm += float64(g) * float64(g)
		}
		was, step := slices.Clone(p.Value), 1e-3/math.Sqrt(norm)
		at := func(sign float64) float64 {
			for i, g := range p.Grad {
				p.Value[i] = was[i] + float32(sign*step*float64(g))
			}
			return loss()
		}
		slope := (at(1) - at(-1)) / (2 * step)
		copy(p.Value, was)
		if math.Abs(slope-norm) > 0.03*norm {
			t.Errorf("%s: the slope along the gradient is %g, its squared norm %g", name, slope, norm)
		}
	}
}

// An interrupted training gives what it has, and says that it was interrupted.
func TestRunIsInterrupted(t *testing.T) {
	teacher, images := small(t, 1), pictures(t, 64)
	student := bumped(t, teacher, weight(teacher), func(w []float32) { clear(w) })
	ctx, cancel := context.WithCancel(context.Background())
	o := quick
	o.Epochs = 1000
	o.Progress = func(done, total int, loss float64) {
		if done == 9 {
			cancel()
		}
	}
	out, r, err := Run(ctx, teacher, student, images, o)
	if !errors.Is(err, context.Canceled) || out == nil || r.Done != 9 || r.Steps != 4000 || !r.Improved {
		t.Fatalf("got %v, %+v, %v", out, r, err)
	}
	if out, r, err := Run(ctx, teacher, student, images, quick); !errors.Is(err, context.Canceled) || out != nil || r != nil {
		t.Errorf("begun when interrupted: got %v, %v, %v", out, r, err)
	}
}

// A batch that the memory does not hold goes through in parts, to the same end.
func TestRunInParts(t *testing.T) {
	ctx := context.Background()
	teacher, student, images := small(t, 1), small(t, 2), pictures(t, 40)
	o := Options{Epochs: 1, Batch: 20}
	whole, a, err := Run(ctx, teacher, student, images, o)
	must(t, err)
	o.Memory = 6 << 20
	parts, b, err := Run(ctx, teacher, student, images, o)
	must(t, err)
	if a.Part != 20 || b.Part >= 20 || b.Part < 2 {
		t.Errorf("%d and %d images at a time, want 20 and fewer", a.Part, b.Part)
	}
	if moved, apart := distance(t, student, whole, images), distance(t, whole, parts, images); apart > moved/100 {
		t.Errorf("in parts, outputs are off by %g, training moved them by %g", apart, moved)
	}
}

// What has nothing to learn stays as it is.
func TestRunKeepsWhatIsBetter(t *testing.T) {
	teacher, images := small(t, 1), pictures(t, 16)
	out, r, err := Run(context.Background(), teacher, teacher, images, quick)
	must(t, err)
	if r.Improved || out != teacher || r.Before.Logits > 1e-6 {
		t.Errorf("the teacher itself was trained: %+v", r)
	}
}

// Weights in Constant nodes are trained too, and become initializers; outputs
// that are no scores of classes are matched as they are.
func TestRunTrainsConstants(t *testing.T) {
	one, side := onnxgraph.Const(1), onnxgraph.Const(32)
	net := func(w float32, pooled bool) *onnxgraph.Model {
		b := onnxgraph.NewBuilder("constant", 17)
		b.Input("x", onnxgraph.Float32, onnxgraph.Shape{one, onnxgraph.Const(3), side, side})
		data := make([]float32, 15)
		for i := range data {
			data[i] = w * float32(i%4)
		}
		value := onnxgraph.NewFloat32s("", []int64{5, 3, 1, 1}, data)
		b.Add(onnxgraph.NewNode("Constant", "c", nil, []string{"w"}, onnxgraph.TensorAttr("value", value)))
		b.Add(onnxgraph.NewNode("Conv", "conv", []string{"x", "w"}, []string{"y"}))
		out, shape := "y", onnxgraph.Shape{one, onnxgraph.Const(5), side, side}
		if pooled {
			b.Add(onnxgraph.NewNode("GlobalAveragePool", "pool", []string{"y"}, []string{"z"}))
			out, shape = "z", onnxgraph.Shape{one, onnxgraph.Const(5), one, one}
		}
		b.Output(out, onnxgraph.Float32, shape)
		m, err := b.Model("constant.onnx")
		must(t, err)
		return m
	}
	for _, pooled := range []bool{true, false} {
		out, r, err := Run(context.Background(), net(1, pooled), net(0.5, pooled), pictures(t, 64), Options{Epochs: 20, Batch: 16, Rate: 0.02})
		must(t, err)
		must(t, out.Validate())
		if slices.Equal(r.Features, []string{"y"}) != pooled || len(out.Graph.Initializers) != 1 || len(out.Graph.Nodes) != len(net(1, pooled).Graph.Nodes)-1 {
			t.Fatalf("%+v, initializers %v, nodes %v", r, out.Graph.Initializers, out.Graph.Nodes)
		}
		got, err := out.Graph.Initializers[0].Float32s()
		must(t, err)
		for i, v := range got {
			if want := float64(i % 4); math.Abs(float64(v)-want) > 0.1 {
				t.Errorf("pooled %v: weight %d is %v, the teacher's %v", pooled, i, v, want)
			}
		}
	}
}

// Logits are compared, not what a softmax makes of them; without a pooling
// nothing else is.
func TestGoals(t *testing.T) {
	net := func(end string) *onnxgraph.Model {
		b := onnxgraph.NewBuilder("g", 17)
		b.Input("x", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(3), onnxgraph.Const(32), onnxgraph.Const(32)})
		w := b.Init(onnxgraph.NewFloat32s("w", []int64{3072, 4}, make([]float32, 3072*4)))
		b.Add(onnxgraph.NewNode("Flatten", "flat", []string{"x"}, []string{"f"}))
		b.Add(onnxgraph.NewNode("MatMul", "fc", []string{"f", w}, []string{"l"}))
		out := "l"
		if end != "" {
			b.Add(onnxgraph.NewNode(end, "end", []string{"l"}, []string{"p"}))
			out = "p"
		}
		b.Output(out, onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(4)})
		m, err := b.Model("g.onnx")
		must(t, err)
		return m
	}
	for _, end := range []string{"", "Softmax"} {
		n, err := open(net(end), []int{3, 32, 32})
		must(t, err)
		list, err := goals(n, n, Options{Feature: 1, Temperature: 4})
		must(t, err)
		if len(list) != 1 || list[0].student != "l" || list[0].temperature != 4 {
			t.Errorf("with %q at the end: %+v", end, list)
		}
	}
}

// Blocks' outputs are matched once for each size of image, and only where they
// stand for the same in both networks: where a whole block is gone that has no
// activation of its own, its input has taken its place.
func TestJunctions(t *testing.T) {
	for _, c := range []struct {
		net  string
		cell int // of which all operations are removed
		want []string
	}{
		{"resnet14", -1, []string{"/layer1/layer1.1/relu_1/Relu_output_0", "/layer2/layer2.1/relu_1/Relu_output_0", "/layer3/layer3.0/relu_1/Relu_output_0"}},
		{"preact_resnet20", -1, []string{"/layer2/layer2.0/relu/Relu_output_0", "/layer3/layer3.0/relu/Relu_output_0", "/layer3/layer3.1/Add_output_0"}},
		{"preact_resnet20", 7, []string{"/layer2/layer2.0/relu/Relu_output_0", "/layer3/layer3.0/relu/Relu_output_0"}},
		{"resnet14", 1, []string{"/layer1/layer1.1/relu_1/Relu_output_0", "/layer2/layer2.1/relu_1/Relu_output_0", "/layer3/layer3.0/relu_1/Relu_output_0"}},
	} {
		teacher := build(t, c.net, fixtures.Options{Width: 0.5})
		student := without(t, teacher, c.cell)
		a, err := open(teacher, []int{3, 32, 32})
		must(t, err)
		b, err := open(student, []int{3, 32, 32})
		must(t, err)
		if got := junctions(a, b); !slices.Equal(got, c.want) {
			t.Errorf("%s without cell %d: %q, want %q", c.net, c.cell, got, c.want)
		}
	}
}

// without is a network without the operations of one cell.
func without(t testing.TB, m *onnxgraph.Model, cell int) *onnxgraph.Model {
	t.Helper()
	if cell < 0 {
		return m
	}
	read := cellmap.Lift(m)
	var moves []cellmap.Move
	for i, n := range read.Cells[cell].Nodes {
		for slot, e := range n.Edges {
			if e.Op.Class() == cellmap.ClassOther {
				moves = append(moves, cellmap.Move{Cell: read.Cells[cell], Edge: cellmap.EdgeID{Node: i + 2, Slot: slot}, To: cellmap.Null})
			}
		}
	}
	p, err := read.Lower(moves, cellmap.ZeroGate)
	must(t, err)
	out, err := m.Apply(p)
	must(t, err)
	return out
}

func TestRunRefuses(t *testing.T) {
	good, images := small(t, 1), pictures(t, 20)
	first := weight(good)
	nan := bumped(t, good, first, func(w []float32) { w[3] = float32(math.NaN()) })
	for _, c := range []struct {
		name             string
		teacher, student *onnxgraph.Model
		images           *dataset.Dataset
		options          Options
		want             string
	}{
		{"images of another shape", build(t, "resnet14", fixtures.Options{Width: 0.5, Size: 16}), good, images, quick, "an image of the data is float32 3x32x32"},
		{"another input", good, build(t, "resnet14", fixtures.Options{Width: 0.5, Size: 16}), images, quick, "an image of the data is float32 3x32x32"},
		{"other classes", good, build(t, "resnet14", fixtures.Options{Width: 0.5, Classes: 7}), images, quick, "is 1x7"},
		{"a weight that is no number", good, nan, images, quick, first},
		{"a teacher's weight that is no number", nan, good, images, quick, "element"},
		{"no images", good, good, images.First(0), quick, "there are none"},
		{"a rate that is no number", good, good, images, Options{Rate: math.NaN()}, "want numbers that are not negative"},
		{"mixing too much", good, good, images, Options{Augment: &augment.Augment{Mix: 2}}, "want shares from 0 to 1"},
		{"a rate that is too high", good, small(t, 2), images, Options{Epochs: 4, Batch: 4, Rate: 1e20}, "a lower rate may help"},
		{"too little memory", good, good, images, Options{Memory: 10000}, "memory"},
	} {
		out, r, err := Run(context.Background(), c.teacher, c.student, c.images, c.options)
		if err == nil || !strings.Contains(err.Error(), c.want) || out != nil || r != nil {
			t.Errorf("%s: got %v, %v, want %q", c.name, out, err, c.want)
		}
	}
}

// One image is little, and no error.
func TestRunOnOneImage(t *testing.T) {
	_, r, err := Run(context.Background(), small(t, 1), small(t, 2), pictures(t, 1), Options{Epochs: 2})
	must(t, err)
	if r.Batch != 1 || r.Steps != 2 || r.Done != 2 {
		t.Errorf("%+v", r)
	}
}

// The input's batch does not matter, nor whether initializers are inputs too.
func TestRunTakesDialects(t *testing.T) {
	images := pictures(t, 16)
	for name, d := range map[string]fixtures.Dialect{
		"any batch": {DynamicBatch: true}, "old": {Names: fixtures.Legacy, Opset: 9, ListInitializers: true, ReshapeTail: true}, "dynamo": {Names: fixtures.Dynamo},
	} {
		teacher := build(t, "resnet14", fixtures.Options{Seed: 1, Width: 0.5, Dialect: d})
		student := build(t, "resnet14", fixtures.Options{Seed: 2, Width: 0.5, Dialect: d})
		out, r, err := Run(context.Background(), teacher, student, images, quick)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		must(t, out.Validate())
		if len(r.Features) == 0 || !slices.Equal(slices.Sorted(maps.Keys(values(t, student))), slices.Sorted(maps.Keys(values(t, out)))) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// The average of weights forgets where they began, lags behind where they go, and
// changes places with them in the memory that programs read.
func TestMoving(t *testing.T) {
	value := []float32{5}
	params := engine.Params{"w": {Dims: []int{1}, Value: value}}
	m := newMoving(params)
	for i := range 3000 {
		value[0] = float32(i) / 3000
		m.add(params)
	}
	m.swap(params)
	if mean := value[0]; mean < 0.7 || mean > 0.9 {
		t.Errorf("the average of 0 to 1 over 3000 steps is %v, want some 500 steps less than 1", mean)
	}
	if m.swap(params); value[0] != float32(2999)/3000 {
		t.Errorf("swapped twice, the value is %v", value[0])
	}
}
