package onnxgraph

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/internal/oracle"
)

// shape reads "batchx3x32x32"; "?" is of unknown rank, "" a scalar.
func shape(s string) Shape {
	switch s {
	case "?":
		return nil
	case "":
		return Shape{}
	}
	var out Shape
	for _, d := range strings.Split(s, "x") {
		var n int64
		if _, err := fmt.Sscan(d, &n); err == nil {
			out = append(out, Const(n))
		} else {
			out = append(out, Symbol(d))
		}
	}
	return out
}

// net builds a graph from lines such as "y = Relu x", with weights and inputs as needed.
type net struct {
	testing.TB
	*Builder
}

func newNet(t testing.TB, opset int64) net { return net{t, NewBuilder("g", opset)} }

func (n net) add(outputs, op, inputs string, attrs ...*Attribute) {
	split := func(s string) []string { return strings.Split(strings.ReplaceAll(s, "_", ""), " ") }
	n.Add(NewNode(op, "n_"+outputs, split(inputs), split(outputs), attrs...))
}

func (n net) input(name, s string)         { n.Input(name, Float32, shape(s)) }
func (n net) ints(name string, v ...int64) { n.Init(NewInt64s(name, []int64{int64(len(v))}, v)) }

func (n net) weights(name string, dims ...int64) {
	size := int64(1)
	for _, d := range dims {
		size *= d
	}
	n.Init(NewFloat32s(name, dims, make([]float32, size)))
}

func (n net) model() *Model {
	n.Helper()
	m, err := n.Model("net.onnx")
	if err != nil {
		n.Fatal(err)
	}
	return m
}

// A residual block with a projection: both branches shrink an unknown height in
// their own way, and fit.
func TestInferSymbolicResidualBlock(t *testing.T) {
	n := newNet(t, 13)
	n.input("x", "batchx16xheightxwidth")
	n.weights("w1", 32, 16, 3, 3)
	n.weights("w2", 32, 32, 3, 3)
	n.weights("w3", 32, 16, 1, 1)
	n.add("a", "Conv", "x w1", IntsAttr("strides", 2, 2), IntsAttr("pads", 1, 1, 1, 1))
	n.add("b", "Relu", "a")
	n.add("c", "Conv", "b w2", IntsAttr("pads", 1, 1, 1, 1))
	n.add("p", "Conv", "x w3", IntsAttr("strides", 2, 2))
	n.add("y", "Add", "c p")
	n.add("pool", "GlobalAveragePool", "y")
	n.add("flat", "Flatten", "pool")
	types := n.model().Infer()
	for name, want := range map[string]string{
		"y":    "batchx32xfloor((height+1)/2)xfloor((width+1)/2)",
		"flat": "batchx32",
	} {
		if got := types.Of(name); got.Shape.String() != want || got.Elem != Float32 {
			t.Errorf("%s: got %v %v, want float32 %s", name, got.Elem, got.Shape, want)
		}
	}
	if !types.Of("c").Shape.Equal(types.Of("p").Shape) {
		t.Errorf("branches differ: %v and %v", types.Of("c").Shape, types.Of("p").Shape)
	}
}

// Shapes that exporters compute inside the graph.
func TestInferComputedShapes(t *testing.T) {
	n := newNet(t, 11)
	n.input("x", "batchx64x7x7")
	n.ints("zero", 0)
	n.ints("one", 1)
	n.ints("two", 2)
	n.ints("minus", -1)
	n.ints("end", 1<<63-1)
	n.ints("ones4", 1, 1, 1, 1)
	n.Init(NewInt64s("index", nil, []int64{0}))
	n.add("s", "Shape", "x")
	n.add("b", "Gather", "s index")
	n.add("b1", "Unsqueeze", "b", IntsAttr("axes", 0))
	n.add("to", "Concat", "b1 minus", IntAttr("axis", 0))
	n.add("view", "Reshape", "x to")
	// chunk: half of the channels
	n.add("c", "Gather", "s one")
	n.add("half", "Div", "c two")
	n.add("left", "Slice", "x zero half one")
	n.add("right", "Slice", "x half end one")
	// upsample to twice the size
	n.add("hw", "Slice", "s two end zero")
	n.add("hw2", "Mul", "hw two")
	n.add("bc", "Slice", "s zero two zero")
	n.add("sizes", "Concat", "bc hw2", IntAttr("axis", 0))
	n.add("up", "Resize", "x _ _ sizes")
	// expand as torch writes it: -1 keeps a size
	n.ints("want", -1, -1, 14, 14)
	n.add("keep", "Equal", "want minus")
	n.add("given", "Where", "keep ones4 want")
	n.input("v", "batchx64x1x1")
	n.add("wide", "Expand", "v given")
	n.add("last", "Slice", "s minus end zero")
	n.add("fill", "ConstantOfShape", "last")
	types := n.model().Infer()
	for name, want := range map[string]string{
		"view": "batchx3136", "left": "batchx32x7x7", "right": "batchx32x7x7", "up": "batchx64x14x14",
		"wide": "batchx64x14x14", "fill": "7",
	} {
		if got := types.Of(name).Shape.String(); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// One operator, as its versions write it.
func TestInferVersions(t *testing.T) {
	for _, c := range []struct {
		opset int64
		op    string
		x     string
		ints  [][]int64 // further inputs; nil: absent
		attrs []*Attribute
		want  string
	}{
		{9, "Slice", "4x10", nil, []*Attribute{IntsAttr("starts", 1), IntsAttr("ends", -2), IntsAttr("axes", 1)}, "4x7"},
		{10, "Slice", "4x10", [][]int64{{9}, {-100}, {1}, {-3}}, nil, "4x4"},
		{10, "Slice", "nx10", [][]int64{{1}, {1 << 40}}, nil, "n-1x10"},
		{10, "Slice", "nx10", [][]int64{{0}, {-1}}, nil, "n-1x10"},
		{10, "Slice", "nx10", [][]int64{{0}, {5}}, nil, "?x10"},
		{10, "Slice", "4x10", [][]int64{{0, 0}, {1, 1}, {0, 0}}, nil, "1x10"},
		{11, "Squeeze", "1x4x1", nil, []*Attribute{IntsAttr("axes", -1)}, "1x4"},
		{13, "Squeeze", "1x4x1", [][]int64{{0}}, nil, "4x1"},
		{13, "Squeeze", "1x4x1", nil, nil, "4"},
		{13, "Squeeze", "nx4x1", nil, nil, "?"},
		{11, "Unsqueeze", "4", nil, []*Attribute{IntsAttr("axes", 0, 2)}, "1x4x1"},
		{13, "Unsqueeze", "4", [][]int64{{-1}}, nil, "4x1"},
		{13, "Unsqueeze", "4", [][]int64{{0, 0}}, nil, "?"},
		{11, "ReduceSum", "2x3x4", nil, []*Attribute{IntsAttr("axes", 1), IntAttr("keepdims", 0)}, "2x4"},
		{13, "ReduceSum", "2x3x4", [][]int64{{-1}}, nil, "2x3x1"},
		{13, "ReduceSum", "2x3x4", nil, []*Attribute{IntAttr("noop_with_empty_axes", 1)}, "2x3x4"},
		{13, "ReduceMean", "nx3x4x4", nil, []*Attribute{IntsAttr("axes", 2, 3), IntAttr("keepdims", 0)}, "nx3"},
		{18, "ReduceMean", "nx3x4x4", [][]int64{{2, 3}}, []*Attribute{IntAttr("keepdims", 0)}, "nx3"},
		{18, "ReduceMean", "2x3", nil, nil, "1x1"},
		{10, "Pad", "nx3x4", nil, []*Attribute{IntsAttr("pads", 0, 0, 1, 0, 0, 2)}, "nx3x7"},
		{11, "Pad", "nx3x4", [][]int64{{0, 0, 1, 0, 0, 2}}, nil, "nx3x7"},
		{18, "Pad", "nx3xh", [][]int64{{1, 2}, nil, {-1}}, nil, "nx3xh+3"},
		{11, "Split", "7x4", nil, []*Attribute{IntsAttr("split", 5, 2)}, "5x4 2x4"},
		{13, "Split", "7x4", [][]int64{{5, 2}}, nil, "5x4 2x4"},
		{13, "Split", "nx4", nil, []*Attribute{IntAttr("axis", -1)}, "nx2 nx2"},
		{18, "Split", "7x4", nil, []*Attribute{IntAttr("num_outputs", 2)}, "4x4 3x4"},
		{4, "Reshape", "2x6", nil, []*Attribute{IntsAttr("shape", 3, -1)}, "3x4"},
		{5, "Reshape", "nx512x1x1", [][]int64{{0, -1}}, nil, "nx512"},
		{5, "Reshape", "nx3x4", [][]int64{{-1, 12}}, nil, "nx12"},
		{5, "Reshape", "nx3x4", [][]int64{{-1, 5}}, nil, "?x5"},
		{14, "Reshape", "0x3", [][]int64{{3, 0}}, []*Attribute{IntAttr("allowzero", 1)}, "3x0"},
		{9, "Flatten", "nx3x4", nil, nil, "nx12"},
		{9, "Flatten", "2x3x4", nil, []*Attribute{IntAttr("axis", 0)}, "1x24"},
		{11, "Flatten", "2x3x4", nil, []*Attribute{IntAttr("axis", -1)}, "6x4"},
		{7, "Upsample", "1x3x4x5", nil, []*Attribute{{Name: "scales", Type: AttrFloats, Floats: []float32{1, 1, 2, 1.5}}}, "1x3x8x7"},
		{12, "Transpose", "nx3xhxw", nil, []*Attribute{IntsAttr("perm", 0, 2, 3, 1)}, "nxhxwx3"},
		{12, "Transpose", "2x3", nil, nil, "3x2"},
		{12, "DepthToSpace", "nx12xhx4", nil, []*Attribute{IntAttr("blocksize", 2)}, "nx3x2*hx8"},
		{12, "SpaceToDepth", "nx3x8x8", nil, []*Attribute{IntAttr("blocksize", 2)}, "nx12x4x4"},
		{12, "Tile", "nx3", [][]int64{{2, 3}}, nil, "2*nx9"},
		{12, "AveragePool", "nx8xhxh", nil, []*Attribute{IntsAttr("kernel_shape", 2, 2), IntsAttr("strides", 2, 2)}, "nx8xfloor(h/2)xfloor(h/2)"},
		{12, "MaxPool", "nx8xhx10", nil, []*Attribute{IntsAttr("kernel_shape", 3, 3), IntsAttr("strides", 2, 2), IntAttr("ceil_mode", 1)}, "nx8xfloor(h/2)x5"},
		{12, "MaxPool", "nx8x9xh", nil, []*Attribute{IntsAttr("kernel_shape", 3, 3), IntsAttr("strides", 2, 2), StringAttr("auto_pad", "SAME_UPPER")}, "nx8x5xfloor((h+1)/2)"},
		{12, "Concat", "nx3", nil, []*Attribute{IntAttr("axis", 1)}, "nx3"},
		{15, "Shape", "nx3x4", nil, []*Attribute{IntAttr("start", -2)}, "2"},
		{11, "TopK", "nx10", [][]int64{{3}}, nil, "nx3 nx3"},
	} {
		n := newNet(t, c.opset)
		n.input("x", c.x)
		inputs := []string{"x"}
		for i, v := range c.ints {
			name := ""
			if v != nil {
				name = fmt.Sprint("i", i)
				n.Builder.Init(NewInt64s(name, []int64{int64(len(v))}, v))
			}
			inputs = append(inputs, name)
		}
		outputs := []string{"y"}
		if strings.Contains(c.want, " ") {
			outputs = []string{"y", "z"}
		}
		n.Add(NewNode(c.op, "", inputs, outputs, c.attrs...))
		types := n.model().Infer()
		var got []string
		for _, o := range outputs {
			got = append(got, types.Of(o).Shape.String())
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s-%d of %s with %v %v: got %s, want %s", c.op, c.opset, c.x, c.ints, c.attrs, s, c.want)
		}
	}
}

// What makes no sense is unknown.
func TestInferAbsurdAttributes(t *testing.T) {
	for _, attr := range []*Attribute{
		IntsAttr("strides", 0, 1), IntsAttr("strides", -1, 1), IntsAttr("dilations", 1<<62, 1), IntsAttr("kernel_shape", 0, 3),
		IntsAttr("kernel_shape", 1<<62, 3), IntsAttr("pads", -1<<62, 1, 1, 1), IntsAttr("pads", 1<<62, 0, 1<<62, 0),
	} {
		n := newNet(t, 13)
		n.input("x", "1x3x8x8")
		n.weights("w", 4, 3, 3, 3)
		n.add("y", "Conv", "x w", attr)
		m := n.model()
		types := m.Infer()
		if got := types.Of("y").Shape; len(got) != 4 || !got[1].Equal(Const(4)) || got[2] != Unknown {
			t.Errorf("%s %v: got %v, want 1x4x?x..", attr.Name, attr.Ints, got)
		}
		if c := m.Cost(types); len(c.Unknown) != 1 || c.MAdds != 0 {
			t.Errorf("%s %v: cost %+v, want it unknown", attr.Name, attr.Ints, c)
		}
	}
}

// Declared types serve where inference does not know, and only there.
func TestInferFallsBackOnDeclarations(t *testing.T) {
	n := newNet(t, 13)
	n.input("x", "batchx3x8x8")
	n.add("a", "Relu", "x")
	n.Add(NewNode("Strange", "", []string{"a"}, []string{"b"}))
	n.add("c", "Relu", "b")
	n.ints("zero", 0)
	n.add("d", "Slice", "a zero k")
	m := n.model()
	tensor := func(s string) Type { return Type{"tensor", Float32, shape(s)} }
	m.Graph.ValueInfo = []*Value{
		{"a", tensor("1x7x7x7")}, // stale
		{"b", tensor("Nx5")},
		{"d", tensor("Kx3x8x8")},
	}
	types := m.Infer()
	for name, want := range map[string]string{"a": "batchx3x8x8", "b": "Nx5", "c": "Nx5", "d": "Kx3x8x8", "nobody": "?"} {
		if got := types.Of(name).Shape.String(); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// On real networks, inference with a symbolic batch and size says in symbols
// what inference with those numbers says.
func TestInferSymbolsHoldInNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, path := range corpus.Models(t) {
		m, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		input := m.Graph.RealInputs()[0]
		if len(input.Type.Shape) != 4 {
			continue
		}
		m.Graph.ValueInfo = nil
		forget(m)
		input.Type.Shape = shape("batchx3xheightxwidth")
		symbolic := m.Infer()
		compared := 0
		for range 5 {
			symbols := map[string]int64{"batch": 1 + r.Int64N(8), "height": 190 + r.Int64N(80), "width": 190 + r.Int64N(80)}
			input.Type.Shape = Shape{Const(symbols["batch"]), Const(3), Const(symbols["height"]), Const(symbols["width"])}
			concrete := m.Infer()
			for _, n := range m.Graph.Nodes {
				got, want := symbolic.Of(n.Outputs[0]).Shape, concrete.Of(n.Outputs[0]).Shape
				for i := range got {
					if v, ok := valueOf(t, got[i], symbols); ok && i < len(want) && want[i].Known() {
						if compared++; v != want[i].N {
							t.Fatalf("%s: %v: %v with %v, want %v", path, n, got, symbols, want)
						}
					}
				}
			}
		}
		if compared < 10*len(m.Graph.Nodes) {
			t.Errorf("%s: only %d dimensions were known in symbols", path, compared)
		}
	}
}

// On real networks, inference knows all that the ONNX project's own finds of
// the values that there are (one file declares some that nobody makes).
func TestInferKnowsWhatONNXKnows(t *testing.T) {
	for _, path := range corpus.Models(t) {
		if strings.HasSuffix(path, "aerox_vgg11.onnx") {
			continue // a Pad of the wrong opset, which ONNX refuses
		}
		m, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		x := m.Graph.Index()
		types := m.Infer()
		compared := 0
		for name, want := range oracle.Shapes(t, path) {
			if x.Producer[name] == nil {
				continue
			}
			got := types.Of(name).Shape
			if len(got) != len(want) {
				t.Errorf("%s: %q: got %v, want %v", path, name, got, want)
				continue
			}
			for i, d := range want {
				if n, ok := d.(int64); ok {
					if compared++; got[i] != Const(n) && got[i] != Symbol("s77") { // one file declares s77 and 1 for the same
						t.Errorf("%s: %q: got %v, want %v", path, name, got, want)
					}
				}
			}
		}
		t.Logf("%s: %d dimensions agree", path, compared)
		if compared == 0 {
			t.Errorf("%s: nothing to compare", path)
		}
	}
}
