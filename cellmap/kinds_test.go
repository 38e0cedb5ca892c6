package cellmap_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// kinds are what the moves of NAT++ lead to, beside skip and null.
var kinds = []cellmap.Op{"conv_1x1", "conv_3x3", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
	"max_pool_3x3", "max_pool_5x5", "avg_pool_3x3", "avg_pool_5x5"}

// movesTo lists the moves to these operations that the network allows one by one.
func movesTo(m *cellmap.Map, ops ...cellmap.Op) (out []cellmap.Move) {
	for _, c := range m.Cells {
		for i := range c.Nodes {
			for slot, e := range c.Nodes[i].Edges {
				for _, to := range ops {
					move := cellmap.Move{Cell: c, Edge: cellmap.EdgeID{Node: i + 2, Slot: slot}, To: to}
					if e.Op != to && m.Allowed(move) == nil {
						out = append(out, move)
					}
				}
			}
		}
	}
	return out
}

// block is a network of one residual block: a convolution with these weights
// (outputs x inputs of a group x height x width), then a rectifier and the sum.
func block(t *testing.T, dims []int64, group int64, weights []float32, attributes ...*onnxgraph.Attribute) *onnxgraph.Model {
	t.Helper()
	b := onnxgraph.NewBuilder("block", 13)
	channels := dims[1] * group
	b.Input("x", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(channels), onnxgraph.Const(9), onnxgraph.Const(11)})
	bias := make([]float32, dims[0])
	for i := range bias {
		bias[i] = float32(i) / 8
	}
	b.Init(onnxgraph.NewFloat32s("w", dims, weights))
	b.Init(onnxgraph.NewFloat32s("b", dims[:1], bias))
	pads := onnxgraph.IntsAttr("pads", dims[2]/2, dims[3]/2, dims[2]/2, dims[3]/2)
	b.Add(onnxgraph.NewNode("Relu", "block/act", []string{"x"}, []string{"in"}))
	b.Add(onnxgraph.NewNode("Conv", "block/conv", []string{"in", "w", "b"}, []string{"y"}, append([]*onnxgraph.Attribute{pads, onnxgraph.IntAttr("group", group)}, attributes...)...))
	b.Add(onnxgraph.NewNode("Sigmoid", "block/act2", []string{"y"}, []string{"z"}))
	b.Add(onnxgraph.NewNode("Add", "block/sum", []string{"z", "in"}, []string{"out"}))
	b.Output("out", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(dims[0]), onnxgraph.Const(9), onnxgraph.Const(11)})
	m, err := b.Model("block.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	return m
}

// theMove is the one move of a network of one operation.
func theMove(t *testing.T, m *cellmap.Map, to cellmap.Op) cellmap.Move {
	t.Helper()
	for _, c := range m.Cells {
		for i := range c.Nodes {
			for slot, e := range c.Nodes[i].Edges {
				if e.Op.Class() == cellmap.ClassOther {
					return cellmap.Move{Cell: c, Edge: cellmap.EdgeID{Node: i + 2, Slot: slot}, To: to}
				}
			}
		}
	}
	t.Fatalf("no operation in %d cells, refused %v", len(m.Cells), m.Refused)
	return cellmap.Move{}
}

func noise(seed uint64, n int64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64())
	}
	return out
}

// weightsOf reads an initializer of a model by the end of its name.
func weightsOf(t *testing.T, m *onnxgraph.Model, suffix string) []float32 {
	t.Helper()
	for _, init := range m.Graph.Initializers {
		if strings.HasSuffix(init.Name, suffix) {
			v, err := init.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no initializer ...%s in %v", suffix, names(m.Graph.Initializers))
	return nil
}

// lowered carries out one move.
func lowered(t *testing.T, m *cellmap.Map, move cellmap.Move) *onnxgraph.Model {
	t.Helper()
	path, err := apply(t, m, []cellmap.Move{move}, cellmap.ZeroGate)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// A convolution that is made of outer products is depthwise and pointwise already.
func TestSeparableConvolutionKeepsItsFunction(t *testing.T) {
	const outs, ins, taps = 6, 6, 9
	for _, group := range []int64{1, 2} {
		depthwise, pointwise := noise(1, ins*taps), noise(2, outs*ins)
		var w []float32
		for o := range outs {
			for i := range ins / int(group) {
				c := o/(outs/int(group))*(ins/int(group)) + i
				for k := range taps {
					w = append(w, pointwise[o*ins+i]*depthwise[c*taps+k])
				}
			}
		}
		m := block(t, []int64{outs, ins / group, 3, 3}, group, w)
		lifted := cellmap.Lift(m)
		move := theMove(t, lifted, "sep_conv_3x3")
		if share, ok, err := lifted.Inherited(move); !ok || err != nil || share < 1-1e-9 {
			t.Errorf("in %d groups: inherits %v, %v, %v; want 1", group, share, ok, err)
		}
		out := lowered(t, lifted, move)
		if n := len(out.Graph.Nodes); n != len(m.Graph.Nodes)+1 {
			t.Errorf("%d nodes, want one more than %d", n, len(m.Graph.Nodes))
		}
		if _, rel := oracle.MaxDiff(run(t, m, save(t, m)), run(t, m, save(t, out))); rel > 1e-5 {
			t.Errorf("in %d groups: output differs by %g", group, rel)
		}
	}
}

// What a larger kernel has inside a smaller one stays, to the last bit, where
// there is nothing else.
func TestCentreOfKernelStays(t *testing.T) {
	w := noise(3, 4*4*25)
	var centre []float32
	for i := range w {
		if y, x := i%25/5, i%5; y >= 1 && y <= 3 && x >= 1 && x <= 3 {
			centre = append(centre, w[i])
		} else {
			w[i] = 0
		}
	}
	m := block(t, []int64{4, 4, 5, 5}, 1, w)
	lifted := cellmap.Lift(m)
	move := theMove(t, lifted, "conv_3x3")
	if share, ok, err := lifted.Inherited(move); !ok || err != nil || share < 1-1e-9 {
		t.Errorf("inherits %v, %v, %v; want 1", share, ok, err)
	}
	out := lowered(t, lifted, move)
	if got := weightsOf(t, out, "w/conv_3x3"); !slices.Equal(got, centre) {
		t.Error("the weights of the centre changed")
	}
	if _, rel := oracle.MaxDiff(run(t, m, save(t, m)), run(t, m, save(t, out))); rel > 1e-6 {
		t.Errorf("output differs by %g", rel)
	}
}

// alike is the model of images that inherited weights are best for, written
// down once more: the mean product of two pixels dy and dx apart.
func alike(dy, dx int) float64 {
	return math.Pow(cellmap.Correlation, math.Abs(float64(dy))+math.Abs(float64(dx)))
}

// loss is the mean square of what one kernel per output and input makes of such
// images, relative to the first: of the difference of two kernels on a grid of
// size x size taps.
func loss(kernel []float64, size int) (sum float64) {
	for i, a := range kernel {
		for j, b := range kernel {
			if a != 0 && b != 0 {
				sum += a * b * alike(i/size-j/size, i%size-j%size)
			}
		}
	}
	return sum
}

// Inherited weights are the best there are: no small change of them comes nearer
// to the old output. (That is enough: where the nearest matrix of rank 1 is
// looked for, no other matrix is nearest among its neighbours.)
func TestInheritedWeightsAreOptimal(t *testing.T) {
	const outs, ins = 5, 4
	for _, c := range []struct {
		to             cellmap.Op
		kernel, spread int // of the heir
	}{{"conv_1x1", 1, 1}, {"sep_conv_3x3", 3, 1}, {"dil_conv_3x3", 3, 2}} {
		w := noise(5, outs*ins*9)
		lifted := cellmap.Lift(projected(t, outs, ins, w))
		move := theMove(t, lifted, c.to)
		out := lowered(t, lifted, move)
		taps := c.kernel * c.kernel
		product := make([]float64, outs*ins*taps) // what the heir's kernels are, output by output
		if c.kernel == 1 {
			for i, v := range weightsOf(t, out, "/conv_1x1") {
				product[i] = float64(v)
			}
		} else {
			depthwise, pointwise := weightsOf(t, out, "/depthwise"), weightsOf(t, out, "/pointwise")
			for i := range product {
				product[i] = float64(pointwise[i/taps]) * float64(depthwise[i/taps%ins*taps+i%taps])
			}
		}
		const size = 5
		residual := func(product []float64, pair int) float64 {
			var k [size * size]float64
			for i := range 9 {
				k[(1+i/3)*size+1+i%3] = float64(w[pair*9+i])
			}
			for i := range taps {
				k[(2+(i/c.kernel-c.kernel/2)*c.spread)*size+2+(i%c.kernel-c.kernel/2)*c.spread] -= product[pair*taps+i]
			}
			return loss(k[:], size)
		}
		var lost, all float64
		zero := make([]float64, len(product))
		for pair := range outs * ins {
			lost += residual(product, pair)
			all += residual(zero, pair)
		}
		share, ok, err := lifted.Inherited(move)
		if !ok || err != nil || math.Abs(1-lost/all-share) > 1e-6 {
			t.Errorf("%s: inherits %v (%v, %v), by the definition %v", c.to, share, ok, err, 1-lost/all)
		}
		rng := rand.New(rand.NewPCG(9, 9))
		for try := range 200 {
			other := slices.Clone(product)
			if c.kernel == 1 {
				other[rng.IntN(len(other))] += 1e-3 * rng.NormFloat64()
			} else { // stay separable: change a depthwise kernel or a pointwise weight
				in := rng.IntN(ins)
				change := make([]float64, taps)
				for i := range change {
					change[i] = 1e-2 * rng.NormFloat64()
				}
				depthwise := weightsOf(t, out, "/depthwise")
				pointwise := weightsOf(t, out, "/pointwise")
				for o := range outs {
					p := float64(pointwise[o*ins+in]) + 1e-2*rng.NormFloat64()
					for i := range taps {
						other[(o*ins+in)*taps+i] = p * (float64(depthwise[in*taps+i]) + change[i])
					}
				}
			}
			var now float64
			for pair := range outs * ins {
				now += residual(other, pair)
			}
			if now < lost*(1-1e-9) {
				t.Errorf("%s: change %d loses %v, and the weights lose %v", c.to, try, now, lost)
			}
		}
	}
}

// projected is a residual block whose convolution changes the channels, beside a
// projection.
func projected(t *testing.T, outs, ins int64, w []float32) *onnxgraph.Model {
	t.Helper()
	b := onnxgraph.NewBuilder("projected", 13)
	b.Input("x", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(ins), onnxgraph.Const(8), onnxgraph.Const(8)})
	b.Init(onnxgraph.NewFloat32s("w", []int64{outs, ins, 3, 3}, w))
	b.Init(onnxgraph.NewFloat32s("p", []int64{outs, ins, 1, 1}, noise(7, outs*ins)))
	b.Add(onnxgraph.NewNode("Relu", "act", []string{"x"}, []string{"in"}))
	b.Add(onnxgraph.NewNode("Conv", "block/conv", []string{"in", "w"}, []string{"y"}, onnxgraph.IntsAttr("pads", 1, 1, 1, 1)))
	b.Add(onnxgraph.NewNode("Sigmoid", "block/act", []string{"y"}, []string{"z"}))
	b.Add(onnxgraph.NewNode("Conv", "block/projection", []string{"in", "p"}, []string{"s"}))
	b.Add(onnxgraph.NewNode("Add", "block/sum", []string{"z", "s"}, []string{"out"}))
	b.Output("out", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(outs), onnxgraph.Const(8), onnxgraph.Const(8)})
	m, err := b.Model("projected.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// dense is the plainest form of moves to other convolutions, as a judge of
// [cellmap.Map.Lower]: each convolution becomes one that holds, around its middle,
// the product of the weights that the lowered network has. The other moves are
// carried out by [naive].
func dense(t testing.TB, m *cellmap.Map, moves []cellmap.Move, result *onnxgraph.Model) *onnxgraph.Model {
	t.Helper()
	p := &onnxgraph.Patch{Rule: "dense"}
	var rest []cellmap.Move
	made := result.Graph.Index()
	constant := func(name string) []float32 {
		v, err := result.Graph.Constant(name).Float32s()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, move := range moves {
		if move.To.Class() != cellmap.ClassOther {
			rest = append(rest, move)
			continue
		}
		var old *onnxgraph.Node
		for _, n := range move.Old().Nodes {
			if n.Is("Conv", "MaxPool", "AveragePool") {
				old = n
			}
		}
		heir := made.Producer[old.Outputs[0]]
		if heir == nil { // nobody reads it: a null or a skip has cut it off
			continue
		}
		first := heir
		if n := made.Producer[heir.Inputs[0]]; n.Is("Conv") && len(n.Inputs) == 2 && strings.Contains(n.Outputs[0], "natonnx/depthwise/") {
			first = n
		}
		if heir.Int("group", 1) != old.Int("group", 1) {
			t.Fatalf("%v: %v has other groups than %v", move, heir, old)
		}
		w := m.Model.Graph.Constant(old.Input(1)).Dims
		k, _ := move.To.Size()
		taps := int(k * k)
		step := 1
		if d := first.Ints("dilations"); d != nil {
			step = int(d[0])
		}
		size := max(int(w[2]), (int(k)-1)*step+1)
		kernels := make([]float32, int(w[0]*w[1])*size*size)
		own, pointwise := constant(first.Input(1)), constant(heir.Input(1))
		outs := int(w[0] / old.Int("group", 1))
		for pair := range int(w[0] * w[1]) {
			o, in := pair/int(w[1]), pair%int(w[1])
			for i := range taps {
				y, x := i/int(k)-int(k)/2, i%int(k)-int(k)/2
				var v float32
				if first == heir {
					v = own[pair*taps+i]
				} else {
					v = pointwise[pair] * own[(o/outs*int(w[1])+in)*taps+i]
				}
				kernels[pair*size*size+(size/2+y*step)*size+size/2+x*step] = v
			}
		}
		pads := slices.Repeat([]int64{0}, 4)
		copy(pads, old.Ints("pads"))
		for i := range pads {
			pads[i] += (int64(size) - w[2+i%2]) / 2
		}
		name := "dense/" + old.Outputs[0]
		p.Init = append(p.Init, onnxgraph.NewFloat32s(name, []int64{w[0], w[1], int64(size), int64(size)}, kernels))
		inputs := slices.Clone(old.Inputs)
		inputs[1] = name
		attributes := []*onnxgraph.Attribute{onnxgraph.IntsAttr("pads", pads...), onnxgraph.IntAttr("group", old.Int("group", 1))}
		if s := old.Ints("strides"); s != nil {
			attributes = append(attributes, onnxgraph.IntsAttr("strides", s...))
		}
		p.Remove = append(p.Remove, old)
		p.Add = append(p.Add, onnxgraph.NewNode("Conv", old.Name, inputs, old.Outputs[:1], attributes...))
	}
	out, err := m.Model.Apply(p)
	if err != nil {
		t.Fatal(err)
	}
	if len(rest) == 0 {
		return out
	}
	again := cellmap.Lift(out)
	for i, move := range rest {
		for _, c := range again.Cells {
			if c.Output == move.Cell.Output {
				rest[i].Cell = c
			}
		}
		if rest[i].Cell == move.Cell {
			t.Fatalf("the plain form has no cell %s", move.Cell.Name)
		}
	}
	return naive(t, again, rest)
}

// Convolutions of other kinds, among skips and nulls, compute what their weights
// say: strides, borders, groups and normalizations are those of the old ones.
func TestKindsAreExact(t *testing.T) {
	tried := map[string]int{}
	for name := range small {
		t.Run(name, func(t *testing.T) {
			m := build(t, name)
			lifted := cellmap.Lift(m)
			changes := movesTo(lifted, slices.DeleteFunc(slices.Clone(kinds), cellmap.Op.IsPool)...)
			if len(changes) == 0 {
				t.Skip("no convolution can become another one")
			}
			others := allMoves(lifted)
			rng := rand.New(rand.NewPCG(3, 4))
			for round := range 6 {
				moves := pick(rng, changes, 1+rng.IntN(5))
				if round%2 > 0 {
					moves = pick(rng, append(moves, pick(rng, others, 3)...), 6)
				}
				path, err := apply(t, lifted, moves, cellmap.IdentitySkip)
				var refusal cellmap.Refusal
				if errors.As(err, &refusal) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				oracle.Check(t, path)
				want := dense(t, lifted, moves, open(t, path))
				if _, rel := oracle.MaxDiff(run(t, m, path), run(t, m, save(t, want))); rel > 1e-4 {
					t.Errorf("%v: output differs by %g", moves, rel)
				}
				for _, move := range moves {
					tried[move.To.Family()]++
				}
			}
		})
	}
	for _, family := range []string{cellmap.Conv, cellmap.SepConv, cellmap.DilConv} {
		if len(tried) > 0 && tried[family] == 0 {
			t.Errorf("no move to a %s was carried out", family)
		}
	}
}

// A pooling looks at the pixels that it should, borders apart.
func TestConvolutionBecomesPooling(t *testing.T) {
	const channels, height, width = 4, 9, 11
	m := block(t, []int64{channels, channels, 5, 5}, 1, noise(1, channels*channels*25))
	lifted := cellmap.Lift(m)
	x := oracle.Probe(7, []int64{1, channels, height, width})
	values := x.Floats
	at := func(c, y, x int) (float64, bool) {
		if y < 0 || x < 0 || y >= height || x >= width {
			return 0, false
		}
		return math.Max(float64(values[(c*height+y)*width+x]), 0), true
	}
	for _, to := range []cellmap.Op{"avg_pool_3x3", "max_pool_5x5"} {
		got := run(t, m, save(t, lowered(t, lifted, theMove(t, lifted, to)))).Floats
		k, _ := to.Size()
		for i := range got {
			c, y, x := i/(height*width), i/width%height, i%width
			var sum, n float64
			top := math.Inf(-1)
			for dy := -int(k) / 2; dy <= int(k)/2; dy++ {
				for dx := -int(k) / 2; dx <= int(k)/2; dx++ {
					if v, ok := at(c, y+dy, x+dx); ok {
						sum, n, top = sum+v, n+1, math.Max(top, v)
					}
				}
			}
			pooled := sum / n
			if to.Family() == cellmap.MaxPool {
				pooled = top
			}
			self, _ := at(c, y, x)
			if want := 1/(1+math.Exp(-pooled)) + self; math.Abs(want-float64(got[i])) > 1e-5 {
				t.Fatalf("%s: channel %d at %d,%d: %v, want %v", to, c, y, x, got[i], want)
			}
		}
	}
}

// All convolutions and poolings of a network at once, kind by kind: ONNX accepts
// the result, ONNX Runtime computes what the engine computes, what the move saves
// is what the network saves, and a draft costs the same.
func TestKindsOnNetworks(t *testing.T) {
	models := map[string]*onnxgraph.Model{}
	for name := range small {
		models[name] = build(t, name)
	}
	for _, file := range realModels(t) {
		models[filepath.Base(file)] = open(t, file)
	}
	for name, m := range models {
		t.Run(name, func(t *testing.T) {
			lifted := cellmap.Lift(m)
			before := m.Cost(lifted.Types)
			tolerance := 1e-4
			if slices.ContainsFunc(m.Graph.Nodes, func(n *onnxgraph.Node) bool { return n.Is("QuantizeLinear") }) {
				tolerance = 0.5 // rounding to 8 bits tips over, as it does in the original
			}
			for _, to := range kinds {
				moves := movesTo(lifted, to)
				if len(moves) == 0 {
					continue
				}
				if testing.Short() && to != "sep_conv_3x3" {
					continue
				}
				path, err := apply(t, lifted, moves, cellmap.ZeroGate)
				if err != nil {
					t.Errorf("%s: %v", to, err)
					continue
				}
				oracle.Check(t, path)
				out := open(t, path)
				after := out.Cost(out.Infer())
				var madds, params int64
				for _, move := range moves {
					x, y := lifted.Saving(move, before)
					madds, params = madds+x, params+y
				}
				if before.MAdds-after.MAdds != madds || before.Params-after.Params != params {
					t.Errorf("%s: saves %d multiply-adds and %d parameters, and the moves say %d and %d", to, before.MAdds-after.MAdds, before.Params-after.Params, madds, params)
				}
				patch, err := lifted.Draft(moves, cellmap.ZeroGate)
				if err != nil {
					t.Fatal(err)
				}
				draft, err := m.Apply(patch)
				if err != nil {
					t.Fatal(err)
				}
				if cost := draft.Cost(draft.Infer()); cost.MAdds != after.MAdds || cost.Params != after.Params {
					t.Errorf("%s: a draft has %d multiply-adds and %d parameters, the result %d and %d", to, cost.MAdds, cost.Params, after.MAdds, after.Params)
				}
				if _, rel := oracle.MaxDiff(run(t, m, path), computed(t, m, out)); !(rel < tolerance) {
					t.Errorf("%s: ONNX Runtime and the engine differ by %g", to, rel)
				}
			}
		})
	}
}

// computed is run by the engine.
func computed(t *testing.T, m, out *onnxgraph.Model) oracle.Tensor {
	t.Helper()
	in := m.Graph.RealInputs()[0]
	shape, dims := []int64{2}, []int{2}
	if d := in.Type.Shape[0]; d.Known() {
		shape[0], dims[0] = d.N, int(d.N)
	}
	for _, d := range in.Type.Shape[1:] {
		shape, dims = append(shape, d.N), append(dims, int(d.N))
	}
	x, err := engine.New(dims, oracle.Probe(7, shape).Floats)
	if err != nil {
		t.Fatal(err)
	}
	p, err := engine.Compile(context.Background(), out, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	y, err := p.Run(context.Background(), map[string]*engine.Tensor{in.Name: x})
	if err != nil {
		t.Fatal(err)
	}
	got := y[out.Graph.Outputs[0].Name]
	result := oracle.Tensor{Floats: got.Float32s()}
	for _, d := range got.Dims {
		result.Shape = append(result.Shape, int64(d))
	}
	return result
}

// A transformed network is read as the cells that it was made of, with the new
// kinds in their places.
func TestLiftUnderstandsKinds(t *testing.T) {
	for _, name := range []string{"resnet18", "resnet50", "preact_resnet20", "resnet20", "vgg16", "vgg16_bn", "mobilenet_v2", "squeezenet1_1", "googlenet"} {
		for _, to := range []cellmap.Op{"conv_1x1", "sep_conv_3x3", "dil_conv_3x3", "avg_pool_3x3"} {
			lifted := cellmap.Lift(build(t, name))
			moves := movesTo(lifted, to)
			// An inverted residual without a shortcut is told by its depthwise
			// convolution, and a stage by one of more than one tap: these stay.
			moves = slices.DeleteFunc(moves, func(m cellmap.Move) bool {
				return m.Cell.Kind == cellmap.InvertedResidual && m.Cell.Shortcut == cellmap.NoShortcut ||
					m.Cell.Kind == cellmap.Stage && (to.IsPool() || to == "conv_1x1")
			})
			want := make([]cellmap.Form, len(lifted.Cells))
			for i, c := range lifted.Cells {
				want[i] = c.Form()
			}
			for _, move := range moves {
				want[move.Cell.Index].Edges[2*(move.Edge.Node-2)+move.Edge.Slot].Op = to
			}
			path, err := apply(t, lifted, moves, cellmap.ZeroGate)
			if err != nil {
				t.Fatal(err)
			}
			again := cellmap.Lift(open(t, path))
			if len(again.Cells) != len(want) {
				t.Errorf("%s, %s: %d cells, want %d", name, to, len(again.Cells), len(want))
				continue
			}
			for i, c := range again.Cells {
				named := !to.IsPool() || name != "resnet20" // whose cells have their names from weights
				if named && c.Name != lifted.Cells[i].Name {
					t.Errorf("%s, %s: cell %q was %q", name, to, c.Name, lifted.Cells[i].Name)
				}
				if !c.Form().Equal(want[i]) {
					t.Errorf("%s, %s, %s: %v, want %v", name, to, c.Name, c.Form(), want[i])
				}
			}
		}
	}
}

// A separable convolution that an earlier lowering made can become another one.
func TestSeparableBecomesSmaller(t *testing.T) {
	m := block(t, []int64{6, 6, 5, 5}, 1, noise(4, 6*6*25))
	lifted := cellmap.Lift(m)
	first := lowered(t, lifted, theMove(t, lifted, "sep_conv_5x5"))
	again := cellmap.Lift(first)
	for _, to := range []cellmap.Op{"sep_conv_3x3", "dil_conv_3x3", "dil_conv_5x5", "max_pool_3x3"} {
		move := theMove(t, again, to)
		if move.Old().Op != "sep_conv_5x5" {
			t.Fatalf("the edge is %s, want sep_conv_5x5", move.Old().Op)
		}
		if to == "dil_conv_5x5" { // costs the same
			if err := again.Allowed(move); err == nil || !strings.Contains(err.Error(), "multiply-adds") {
				t.Errorf("%v: %v, want a refusal for its cost", move, err)
			}
			continue
		}
		out := lowered(t, again, move)
		third := cellmap.Lift(out)
		if got := theMove(t, third, cellmap.Skip).Old().Op; got != to {
			t.Errorf("%s is read as %s", to, got)
		}
		oracle.Check(t, save(t, out))
	}
}

func TestKindsRefused(t *testing.T) {
	ordinary := func(t *testing.T) *onnxgraph.Model { return block(t, []int64{4, 4, 3, 3}, 1, noise(1, 4*4*9)) }
	for _, c := range []struct {
		name string
		m    func(t *testing.T) *onnxgraph.Model
		to   cellmap.Op
		want string
	}{
		{"larger", ordinary, "conv_5x5", "the kernel of conv_5x5 is larger than that of conv_3x3"},
		{"not NAT++", ordinary, "conv_1x3", "no rules lead to conv_1x3"},
		{"nonsense", ordinary, "magic_3x3", "no rules lead to magic_3x3"},
		{"huge", ordinary, "sep_conv_7x7", "no rules lead to sep_conv_7x7"},
		{"no number", ordinary, "conv_03x3", "no rules lead to conv_03x3"},
		{"channels", func(t *testing.T) *onnxgraph.Model { return projected(t, 5, 4, noise(1, 5*4*9)) }, "avg_pool_3x3", "4 -> 5 channels: a pooling keeps their number"},
		{"depthwise", func(t *testing.T) *onnxgraph.Model { return block(t, []int64{4, 1, 3, 3}, 4, noise(1, 4*9)) }, "sep_conv_3x3", "dw_conv_3x3 is depthwise already"},
		{"depthwise to dense", func(t *testing.T) *onnxgraph.Model { return block(t, []int64{4, 1, 3, 3}, 4, noise(1, 4*9)) }, "conv_1x1", "dw_conv_3x3 has too few weights for conv_1x1"},
		{"cost", func(t *testing.T) *onnxgraph.Model { return block(t, []int64{1, 1, 3, 3}, 1, noise(1, 9)) }, "sep_conv_3x3", "sep_conv_3x3 would take 10 multiply-adds per output position here, and conv_3x3 takes 9"},
		{"no padding", func(t *testing.T) *onnxgraph.Model {
			m := block(t, []int64{4, 4, 3, 3}, 1, noise(1, 4*4*9))
			conv := m.Graph.Nodes[1]
			return patched(t, m, &onnxgraph.Patch{Rule: "test", Remove: m.Graph.Nodes[1:4:4], Init: []*onnxgraph.Tensor{onnxgraph.NewFloat32s("p", []int64{4, 4, 3, 3}, noise(2, 4*4*9))}, Add: []*onnxgraph.Node{
				onnxgraph.NewNode("Conv", "block/conv", conv.Inputs, []string{"y"}),
				onnxgraph.NewNode("Sigmoid", "block/act2", []string{"y"}, []string{"z"}),
				onnxgraph.NewNode("Conv", "block/side", []string{"in", "p"}, []string{"side"}),
				onnxgraph.NewNode("Add", "block/sum", []string{"z", "side"}, []string{"out"})}})
		}, "conv_1x1", "its padding is 0 and 0, and conv_1x1 in its place wants 2 less"},
		{"computed weight", func(t *testing.T) *onnxgraph.Model {
			m := ordinary(t)
			return patched(t, m, &onnxgraph.Patch{Rule: "test", Add: []*onnxgraph.Node{onnxgraph.NewNode("Neg", "", []string{"w"}, []string{"w2"})},
				Rewire: []onnxgraph.Rewire{{Node: m.Graph.Nodes[1], Input: 1, To: "w2"}}})
		}, "sep_conv_3x3", "its weight is computed, and sep_conv_3x3 inherits only from one that is stored in the file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := cellmap.Lift(c.m(t))
			err := m.Allowed(theMove(t, m, c.to))
			var refusal cellmap.Refusal
			if !errors.As(err, &refusal) || refusal.Reason != c.want {
				t.Errorf("got %v, want a refusal: %s", err, c.want)
			}
		})
	}
	t.Run("not finite", func(t *testing.T) {
		w := noise(1, 4*4*9)
		w[7] = float32(math.NaN())
		m := cellmap.Lift(block(t, []int64{4, 4, 3, 3}, 1, w))
		_, err := m.Lower([]cellmap.Move{theMove(t, m, "sep_conv_3x3")}, cellmap.ZeroGate)
		var refusal cellmap.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, "not finite") {
			t.Errorf("got %v, want a refusal", err)
		}
	})
	t.Run("null", func(t *testing.T) {
		m := cellmap.Lift(ordinary(t))
		move := cellmap.Move{Cell: m.Cells[0], Edge: cellmap.EdgeID{Node: 2, Slot: 0}, To: "avg_pool_3x3"}
		if err := m.Allowed(move); err == nil || !strings.Contains(err.Error(), "null has nothing that avg_pool_3x3 could inherit") {
			t.Errorf("got %v", err)
		}
	})
}

func patched(t *testing.T, m *onnxgraph.Model, p *onnxgraph.Patch) *onnxgraph.Model {
	t.Helper()
	out, err := m.Apply(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Validate(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Only the convolutions that change are read, and nothing else changes.
func TestKindsLeaveTheRestAlone(t *testing.T) {
	m, err := fixtures.Build("resnet20", fixtures.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lifted := cellmap.Lift(m)
	move := movesTo(lifted, "sep_conv_3x3")[0]
	out := lowered(t, lifted, move)
	was := map[string]*onnxgraph.Tensor{}
	for _, init := range m.Graph.Initializers {
		was[init.Name] = init
	}
	fresh := 0
	for _, init := range out.Graph.Initializers {
		old := was[init.Name]
		if old == nil {
			fresh++
			continue
		}
		a, errA := old.Raw()
		b, errB := init.Raw()
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			t.Errorf("%s changed: %v, %v", init.Name, errA, errB)
		}
	}
	if fresh != 2 || len(out.Graph.Initializers) != len(m.Graph.Initializers)+1 {
		t.Errorf("%d new weights and %d in all, want 2 in place of one of %d", fresh, len(out.Graph.Initializers), len(m.Graph.Initializers))
	}
	changed := 0
	made := out.Graph.Index().Producer
	for _, n := range m.Graph.Nodes {
		if got := made[n.Outputs[0]]; got == nil || got.OpType != n.OpType || got.Name != n.Name || fmt.Sprint(got.Inputs) != fmt.Sprint(n.Inputs) {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d nodes changed, want 1", changed)
	}
}
