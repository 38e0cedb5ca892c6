package stack_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/internal/oracle"
)

// published are the parameters and multiply-adds, in millions, of the authors'
// genotypes as their code builds them: with 36 channels and 20 cells for
// CIFAR-10, with 48 and 14 for ImageNet (spec section 5.3).
var published = map[string]struct{ cifarParams, cifarMAdds, imagenetParams, imagenetMAdds float64 }{
	"DARTS":             {3.349, 528.4, 4.719, 529.9},
	"ENAS":              {3.860, 605.7, 5.626, 608.2},
	"Mobilenetv2":       {1.161, 181.6, 1.643, 219.5},
	"NAONet":            {11.464, 1673.8, 14.740, 1627.2},
	"NAT_DARTS":         {2.682, 424.2, 3.979, 440.9},
	"NAT_ENAS":          {3.860, 605.7, 5.626, 608.2},
	"NAT_MobileNetv2":   {1.187, 184.3, 1.689, 223.1},
	"NAT_NAONet":        {8.285, 1219.9, 10.836, 1204.5},
	"NAT_R1":            {2.905, 445.6, 4.435, 474.2},
	"NAT_R2":            {2.257, 357.6, 3.530, 385.3},
	"NAT_R3":            {2.996, 458.3, 4.434, 481.4},
	"NAT_R4":            {5.446, 808.9, 7.470, 808.4},
	"NAT_R5":            {5.283, 794.5, 7.229, 789.4},
	"NAT_ResBlock":      {3.851, 553.7, 5.101, 579.1},
	"NAT_VGG":           {3.851, 553.7, 5.101, 579.1},
	"NATv2_DARTS":       {2.476, 394.2, 3.724, 413.3},
	"NATv2_ENAS":        {3.691, 580.8, 5.377, 583.4},
	"NATv2_MobileNetv2": {1.187, 184.3, 1.689, 223.1},
	"NATv2_NAONet":      {8.968, 1322.5, 11.637, 1295.9},
	"NATv2_ResBlock":    {3.700, 538.3, 4.831, 558.0},
	"NATv2_VGG":         {2.587, 378.1, 3.503, 411.0},
	"R1":                {3.520, 533.9, 5.263, 559.6},
	"R2":                {2.846, 443.3, 4.311, 467.1},
	"R3":                {5.237, 795.2, 7.055, 781.1},
	"R4":                {8.486, 1248.9, 11.120, 1211.5},
	"R5":                {5.345, 801.0, 7.335, 797.9},
	"ResBlock":          {3.798, 548.4, 5.008, 571.9},
	"VGG":               {3.798, 548.4, 5.008, 571.9},
}

func genotype(t testing.TB, name string) cellmap.Genotype {
	t.Helper()
	g, ok := corpus.AllGenotypes(t)[name]
	if !ok {
		t.Fatalf("no genotype %s", name)
	}
	form := func(tuples []corpus.Tuple, concat []int) cellmap.Form {
		f := cellmap.Form{Concat: concat}
		for _, e := range tuples {
			f.Edges = append(f.Edges, cellmap.FormEdge{Op: cellmap.Op(e.Op), From: e.From, To: e.To})
		}
		return f
	}
	return cellmap.Genotype{Normal: form(g.Normal, g.NormalConcat), Reduce: form(g.Reduce, g.ReduceConcat)}
}

func TestPublishedSizes(t *testing.T) {
	for name, want := range published {
		for _, x := range []struct {
			net           stack.Net
			params, madds float64
		}{
			{stack.Net{Channels: 36, Layers: 20, Classes: 10, Size: 32}, want.cifarParams, want.cifarMAdds},
			{stack.Net{Channels: 48, Layers: 14, Classes: 1000, Size: 224, Large: true}, want.imagenetParams, want.imagenetMAdds},
		} {
			x.net.Genotype = genotype(t, name)
			m, err := x.net.Model(name + ".onnx")
			if err != nil {
				t.Fatal(err)
			}
			types := m.Infer()
			cost := m.Cost(types)
			params, madds := float64(cost.Params)/1e6, float64(cost.MAdds)/1e6
			if math.Abs(params-x.params) > 0.0006 || math.Abs(madds-x.madds) > 0.06 {
				t.Errorf("%s at %d: %.3f M parameters and %.1f M multiply-adds, want %v and %v", name, x.net.Size, params, madds, x.params, x.madds)
			}
		}
	}
}

// Every genotype as a small network: valid, and the same in natonnx's engine as
// in ONNX Runtime.
func TestNetworksRun(t *testing.T) {
	for name := range published {
		size := 9 // odd sizes are padded
		if strings.HasSuffix(name, "NAONet") {
			size = 8 // but for its poolings of 2x2
		}
		n := stack.Net{Genotype: genotype(t, name), Channels: 4, Layers: 3, Classes: 5, Size: size, Seed: 1}
		path := filepath.Join(t.TempDir(), "net.onnx")
		m, err := n.Model(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Save(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		oracle.Check(t, path)
		x := oracle.Probe(1, []int64{2, 3, int64(size), int64(size)})
		want := oracle.Run(t, path, map[string]oracle.Tensor{"input": x})["output"]
		p, err := engine.Compile(t.Context(), m, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		in, err := engine.New([]int{2, 3, size, size}, x.Floats)
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.Run(t.Context(), map[string]*engine.Tensor{"input": in})
		if err != nil {
			t.Fatal(err)
		}
		if _, rel := oracle.MaxDiff(oracle.Tensor{Shape: []int64{2, 5}, Floats: out["output"].Float32s()}, want); rel > 1e-5 {
			t.Errorf("%s: the engine differs from ONNX Runtime by %v", name, rel)
		}
	}
}

// Networks that cannot be built say why.
func TestRefusals(t *testing.T) {
	good := stack.Net{Genotype: genotype(t, "DARTS"), Channels: 4, Layers: 3, Classes: 5, Size: 8}
	for want, change := range map[string]func(n *stack.Net){
		"3 channels":     func(n *stack.Net) { n.Channels = 3 },
		"0 layers":       func(n *stack.Net) { n.Layers = 0 },
		"0 classes":      func(n *stack.Net) { n.Classes = 0 },
		`"conv_4x4"`:     func(n *stack.Net) { n.Genotype.Normal.Edges[0].Op = "conv_4x4" },
		`"max_pool_3x5"`: func(n *stack.Net) { n.Genotype.Reduce.Edges[0].Op = "max_pool_3x5" },
		"even sizes":     func(n *stack.Net) { n.Genotype, n.Size = genotype(t, "NAONet"), 9 },
		"normal":         func(n *stack.Net) { n.Genotype.Normal.Edges = n.Genotype.Normal.Edges[1:] },
	} {
		n := good
		n.Genotype.Normal.Edges, n.Genotype.Reduce.Edges = slices.Clone(n.Genotype.Normal.Edges), slices.Clone(n.Genotype.Reduce.Edges)
		change(&n)
		if _, err := n.Model("x.onnx"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %s", err, want)
		}
	}
}

// What only training needs: the auxiliary classifier has the size that the published
// parameters of DARTS imply (5.980 M with it, 4.719 M without), and paths that are all
// kept change nothing.
func TestTrainingForms(t *testing.T) {
	n := stack.Net{Genotype: genotype(t, "DARTS"), Channels: 48, Layers: 14, Classes: 1000, Size: 224, Large: true}
	params := func(n stack.Net) int64 {
		m, err := n.Model("net.onnx")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
		return m.Cost(m.Infer()).Params
	}
	without := params(n)
	n.Auxiliary = true
	if more := params(n) - without; more != 768*128+2*128+768*128*4+769*1000 {
		t.Errorf("the auxiliary classifier has %d parameters", more)
	}
	n = stack.Net{Genotype: genotype(t, "DARTS"), Channels: 4, Layers: 5, Classes: 10, Size: 32, Seed: 1}
	x, err := engine.New([]int{2, 3, 32, 32}, pseudo(2*3*32*32))
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*engine.Tensor{"input": x}
	run := func(n stack.Net) map[string]*engine.Tensor {
		m, err := n.Model("net.onnx")
		if err != nil {
			t.Fatal(err)
		}
		p, err := engine.Compile(t.Context(), m, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Inputs()[1:] {
			ones := make([]float32, 2*v.Shape[0].N)
			for i := range ones {
				ones[i] = 1
			}
			if in[v.Name], err = engine.New([]int{int(v.Shape[0].N), 2, 1, 1, 1}, ones); err != nil {
				t.Fatal(err)
			}
		}
		out, err := p.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := run(n)["output"].Float32s()
	n.Paths, n.Auxiliary = true, true
	out := run(n)
	for i, v := range out["output"].Float32s() {
		if math.Abs(float64(v-want[i])) > 1e-5 {
			t.Fatalf("score %d is %v with all paths, %v without", i, v, want[i])
		}
	}
	if second := out[stack.Auxiliary]; second == nil || second.Len() != 20 {
		t.Errorf("the auxiliary output is %v", second)
	}
}

func pseudo(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sin(float64(i * i)))
	}
	return x
}
