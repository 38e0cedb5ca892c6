package onnxgraph

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
)

// survive infers and counts, and checks what must hold of any model.
func survive(t testing.TB, m *Model) {
	t.Helper()
	types := m.Infer()
	c := m.Cost(types)
	var params, madds, elementwise int64
	for i, n := range m.Graph.Nodes {
		for _, name := range n.Outputs {
			s := types.Of(name).Shape
			if len(s) > rankLimit || slices.ContainsFunc(s, func(d Dim) bool { return d.Known() && d.N < 0 }) {
				t.Fatalf("%v: output %q has shape %v", n, name, s)
			}
		}
		k := c.Nodes[i]
		if k.Node != n || min(k.Params, k.MAdds, k.Elementwise, k.Activation) < 0 {
			t.Fatalf("%v: cost %+v", n, k)
		}
		params, madds, elementwise = satAdd(params, k.Params), satAdd(madds, k.MAdds), satAdd(elementwise, k.Elementwise)
	}
	if params != c.Params || madds != c.MAdds || elementwise != c.Elementwise || c.PeakActivation < 0 {
		t.Fatalf("%+v is not the sum of its nodes", c)
	}
}

// FuzzInfer looks for a model that parses and that inference cannot take. Go
// spends long on making finds smaller: add -fuzzminimizetime 5x.
func FuzzInfer(f *testing.F) {
	for _, name := range []string{"light_vgg19.onnx", "zigzag_resnet18.onnx"} { // real ones, where they are there
		if b, err := os.ReadFile(corpus.Shared("models", "topology", name)); err == nil {
			f.Add(b)
		}
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		f.Add(nonsense(f, r, 8))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Parse("fuzz.onnx", b); err == nil {
			survive(t, m)
		}
	})
}

// nonsense is a model of some operators of the table, each once, with random
// attributes and inputs: mostly wrong ones.
func nonsense(t testing.TB, r *rand.Rand, nodes int) []byte {
	numbers := []int64{0, 1, 2, 3, 7, -1, -2, 64, 65, 1 << 20, 1<<31 - 1, 1 << 40, 1 << 62, math.MaxInt64, math.MinInt64}
	pick := func() int64 { return numbers[r.IntN(len(numbers))] }
	list := func() []int64 {
		out := make([]int64, r.IntN(6))
		for i := range out {
			out[i] = pick()
		}
		return out
	}
	n := NewBuilder("nonsense", r.Int64N(25))
	names := []string{"", "x", "y", "s", "f", "i"}
	for _, name := range names[1:4] {
		s := make(Shape, r.IntN(6))
		for i := range s {
			s[i] = []Dim{Const(1), Const(4), Const(max(pick(), 0)), Symbol("height"), Symbol("batch"), Unknown}[r.IntN(6)]
		}
		n.Input(name, []DataType{Float32, Int64, Bool}[r.IntN(3)], s)
	}
	n.Init(NewFloat32s("f", []int64{4}, []float32{1, 2, 0.5, float32(math.Inf(1))}))
	small := list()
	n.Init(NewInt64s("i", []int64{int64(len(small))}, small))
	ops := make([]string, 0, len(operators))
	for op := range operators {
		ops = append(ops, op)
	}
	slices.Sort(ops)
	r.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	for _, op := range ops[:min(nodes, len(ops))] {
		var inputs, outputs []string
		for range r.IntN(5) {
			inputs = append(inputs, names[r.IntN(len(names))])
		}
		for range r.IntN(4) {
			name := op + string(rune('a'+len(outputs)))
			outputs, names = append(outputs, name), append(names, name)
		}
		var attrs []*Attribute
		for _, a := range []string{"axis", "keepdims", "group", "to", "blocksize", "transA", "transB", "start", "end", "num_outputs",
			"ceil_mode", "stash_type", "size", "value_int", "allowzero", "batch_dims", "noop_with_empty_axes", "k", "broadcast"} {
			if r.IntN(4) == 0 {
				attrs = append(attrs, IntAttr(a, pick()))
			}
		}
		for _, a := range []string{"axes", "pads", "paddings", "strides", "dilations", "kernel_shape", "starts", "ends", "split", "perm",
			"shape", "output_shape", "output_padding", "value_ints", "repeats"} {
			if r.IntN(3) == 0 {
				attrs = append(attrs, IntsAttr(a, list()...))
			}
		}
		if r.IntN(3) == 0 {
			attrs = append(attrs, StringAttr("auto_pad", []string{"SAME_UPPER", "VALID", "NOTSET", ""}[r.IntN(4)]))
		}
		n.Add(NewNode(op, op, inputs, outputs, attrs...))
	}
	m, err := n.Model("nonsense.onnx")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, m.src.size)
	if _, err := m.src.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// Any operator with any attributes and any inputs.
func TestInferSurvivesNonsense(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		m, err := Parse("nonsense.onnx", nonsense(t, r, len(operators)))
		if err != nil {
			t.Fatal(err)
		}
		survive(t, m)
	}
}

// Real models with damaged bytes, as far as they still parse.
func TestInferSurvivesDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	parsed := 0
	for _, path := range corpus.Conformance(t) {
		b, err := os.ReadFile(path)
		if err != nil || len(b) > 1<<14 {
			continue
		}
		for range 10 {
			d := slices.Clone(b)
			for range 1 + r.IntN(3) {
				d[r.IntN(len(d))] ^= 1 << r.IntN(8)
			}
			if m, err := Parse(path, d); err == nil {
				parsed++
				survive(t, m)
			}
		}
	}
	t.Logf("%d damaged models still parse", parsed)
	if parsed < 1000 {
		t.Errorf("only %d damaged models still parse: nothing was tested", parsed)
	}
}

// chain is a residual network of n nodes with a symbolic batch and size, whose
// flattening is computed in the graph again and again.
func chain(t testing.TB, nodes int) *Model {
	b := newNet(t, 13)
	b.input("x0", "batchx8xheightxwidth")
	b.weights("w", 8, 8, 3, 3)
	b.ints("zero", 0)
	b.ints("minus", -1)
	name := "x0"
	for i := 0; len(b.nodes) < nodes; i++ {
		at := func(s string) string { return s + strconv.Itoa(i) }
		b.add(at("c"), "Conv", name+" w", IntsAttr("pads", 1, 1, 1, 1))
		b.add(at("r"), "Relu", at("c"))
		b.add(at("a"), "Add", at("r")+" "+name)
		b.add(at("s"), "Shape", at("a"))
		b.add(at("g"), "Gather", at("s")+" zero")
		b.add(at("k"), "Concat", at("g")+" minus", IntAttr("axis", 0))
		b.add(at("v"), "Reshape", at("a")+" "+at("k"))
		b.add(at("u"), "Reshape", at("v")+" "+at("s"))
		name = at("u")
	}
	return b.model()
}

// Linear: the time per node must not grow with the graph.
func BenchmarkInferAndCost(b *testing.B) {
	for _, nodes := range []int{5_000, 10_000, 20_000} {
		b.Run(strconv.Itoa(nodes), func(b *testing.B) {
			m := chain(b, nodes)
			for b.Loop() {
				m.Cost(m.Infer())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(m.Graph.Nodes)), "ns/node")
		})
	}
}
