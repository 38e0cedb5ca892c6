package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
)

// compileNode compiles the graph of one node, whose inputs have no declared shape.
func compileNode(op string, opset int64, o Options, attrs []*onnxgraph.Attribute, inputs []*Tensor, outputs ...onnxgraph.DataType) (*Program, map[string]*Tensor, error) {
	b := onnxgraph.NewBuilder("node", opset)
	b.IRVersion = 10
	in, names, results := map[string]*Tensor{}, make([]string, len(inputs)), make([]string, len(outputs))
	for i, x := range inputs {
		if x != nil {
			names[i] = fmt.Sprintf("in%d", i)
			b.Input(names[i], x.Type(), nil)
			in[names[i]] = x
		}
	}
	for i, typ := range outputs {
		results[i] = fmt.Sprintf("out%d", i)
		b.Output(results[i], typ, nil)
	}
	b.Add(onnxgraph.NewNode(op, "", names, results, attrs...))
	m, err := b.Model("node.onnx")
	if err != nil {
		return nil, nil, err
	}
	p, err := Compile(context.Background(), m, o)
	return p, in, err
}

// runNode runs one node and returns its first output.
func runNode(op string, opset int64, attrs []*onnxgraph.Attribute, result onnxgraph.DataType, inputs ...*Tensor) (*Tensor, error) {
	p, in, err := compileNode(op, opset, Options{}, attrs, inputs, result)
	if err != nil {
		return nil, err
	}
	out, err := p.Run(context.Background(), in)
	return out["out0"], err
}

// row is a tensor of one dimension.
func row[T Element](v ...T) *Tensor { return of([]int{len(v)}, v) }

// What ONNX says of element types, beyond its own tests: integers wrap around and
// are divided towards zero; conversions to integers go to the nearest one there
// is; half precision is rounded once.
func TestElementTypes(t *testing.T) {
	number := onnxgraph.IntAttr
	to := func(typ onnxgraph.DataType) []*onnxgraph.Attribute {
		return []*onnxgraph.Attribute{number("to", int64(typ))}
	}
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		op    string
		attrs []*onnxgraph.Attribute
		in    []*Tensor
		want  *Tensor
	}{
		{op: "Add", in: []*Tensor{row[int8](127, -128), row[int8](1, -1)}, want: row[int8](-128, 127)},
		{op: "Mul", in: []*Tensor{row[uint16](65535), row[uint16](3)}, want: row[uint16](65533)},
		{op: "Sub", in: []*Tensor{row[uint64](0), row[uint64](1)}, want: row[uint64](math.MaxUint64)},
		{op: "Div", in: []*Tensor{row[int32](7, -7, math.MinInt32), row[int32](2, 2, -1)}, want: row[int32](3, -3, math.MinInt32)},
		{op: "Div", in: []*Tensor{row[float64](1, -1), row[float64](0, 0)}, want: row(inf, -inf)},
		{op: "Mod", in: []*Tensor{row[int64](-7, 7, -7, math.MinInt64), row[int64](3, -3, -3, -1)}, want: row[int64](2, -2, -1, 0)},
		{op: "Mod", attrs: []*onnxgraph.Attribute{number("fmod", 1)}, in: []*Tensor{row[int64](-7, 7), row[int64](3, -3)}, want: row[int64](-1, 1)},
		{op: "Pow", in: []*Tensor{row[int64](3, -2, 2, -1, 0), row[int64](39, 63, -1, -3, 0)}, want: row[int64](4052555153018976267, math.MinInt64, 0, -1, 1)},
		{op: "Pow", in: []*Tensor{row[int32](4, 9), row(0.5, -0.5)}, want: row[int32](2, 0)},
		{op: "Pow", in: []*Tensor{row[float32](2, -2), row[int8](-2, 3)}, want: row[float32](0.25, -8)},
		{op: "Neg", in: []*Tensor{row[int8](-128, 5)}, want: row[int8](-128, -5)},
		{op: "Abs", in: []*Tensor{row[uint8](200)}, want: row[uint8](200)},
		{op: "Sign", in: []*Tensor{row[int16](-3, 0, 9)}, want: row[int16](-1, 0, 1)},
		{op: "Relu", in: []*Tensor{row[int32](-3, 3)}, want: row[int32](0, 3)},
		{op: "Max", in: []*Tensor{row[uint8](200, 1), row[uint8](100, 2), row[uint8](3, 250)}, want: row[uint8](200, 250)},
		{op: "Clip", in: []*Tensor{row[int64](-9, 0, 9), of([]int{}, []int64{-1}), of([]int{}, []int64{2})}, want: row[int64](-1, 0, 2)},
		{op: "Clip", in: []*Tensor{row[float32](-9, 0, 9), row[float32](3), row[float32](2)}, want: row[float32](2, 2, 2)},
		{op: "Equal", in: []*Tensor{row("a", "b"), row("a")}, want: row(true, false)},
		{op: "Less", in: []*Tensor{row[uint64](math.MaxUint64), row[uint64](1)}, want: row(false)},
		{op: "Where", in: []*Tensor{row(true, false), row("yes"), row("no")}, want: row("yes", "no")},
		{op: "Add", in: []*Tensor{row(toFloat16(1), toFloat16(65504)), row(toFloat16(0x1p-11), toFloat16(65504))}, want: row(toFloat16(1), toFloat16(float32(inf)))},
		{op: "Cast", attrs: to(onnxgraph.Int8), in: []*Tensor{row(-1e9, -128.9, -1.9, 127.5, inf, nan)}, want: row[int8](-128, -128, -1, 127, 127, 0)},
		{op: "Cast", attrs: to(onnxgraph.Uint8), in: []*Tensor{row[float32](-1, 300)}, want: row[uint8](0, 255)},
		{op: "Cast", attrs: to(onnxgraph.Int64), in: []*Tensor{row(0x1p63, -0x1p63, 0x1p62)}, want: row[int64](math.MaxInt64, math.MinInt64, 1<<62)},
		{op: "Cast", attrs: to(onnxgraph.Int8), in: []*Tensor{row[int64](257)}, want: row[int8](1)},
		{op: "Cast", attrs: to(onnxgraph.Uint64), in: []*Tensor{row[int64](-1)}, want: row[uint64](math.MaxUint64)},
		{op: "Cast", attrs: to(onnxgraph.Float32), in: []*Tensor{row[uint64](math.MaxUint64)}, want: row[float32](0x1p64)},
		{op: "Cast", attrs: to(onnxgraph.Float16), in: []*Tensor{row(1+0x1p-11+0x1p-30, 1+0x1p-11, -1-0x1p-11-0x1p-40)}, want: row[Float16](0x3c01, 0x3c00, 0xbc01)},
		{op: "Cast", attrs: to(onnxgraph.Bool), in: []*Tensor{row(0, 0.1, nan)}, want: row(false, true, true)},
		{op: "Cast", attrs: to(onnxgraph.Int64), in: []*Tensor{row("9007199254740993", " -2 ")}, want: row[int64](9007199254740993, -2)},
		{op: "Cast", attrs: to(onnxgraph.Float32), in: []*Tensor{row("1e-3", "+INF", "2")}, want: row[float32](1e-3, float32(inf), 2)},
		{op: "Cast", attrs: to(onnxgraph.String), in: []*Tensor{row[float32](0.1, float32(inf), float32(-inf), float32(nan))}, want: row("0.1", "INF", "-INF", "NaN")},
		{op: "Cast", attrs: to(onnxgraph.String), in: []*Tensor{row[int64](-5)}, want: row("-5")},
		{op: "QuantizeLinear", in: []*Tensor{row[float32](2.5, 3.5, -2.5, 1e9, -1e9, float32(inf)), row[float32](1)}, want: row[uint8](2, 4, 0, 255, 0, 255)},
		{op: "QuantizeLinear", in: []*Tensor{row[float32](2.5, -300), row[float32](0.5), row[int8](-3)}, want: row[int8](2, -128)},
		{op: "QuantizeLinear", in: []*Tensor{row[float32](0.5, 65534.5, 65535.5, float32(-inf)), row[float32](1), row[uint16](65535)}, want: row[uint16](65535, 65535, 65535, 0)},
		{op: "QuantizeLinear", in: []*Tensor{row[float32](-65533.5, -65534.5, -2), row[float32](1), row[uint16](65535)}, want: row[uint16](1, 1, 65533)},
		{op: "LeakyRelu", attrs: []*onnxgraph.Attribute{onnxgraph.FloatAttr("alpha", 3)}, in: []*Tensor{row[float32](-2, 2)}, want: row[float32](-6, 2)},
		{op: "LeakyRelu", attrs: []*onnxgraph.Attribute{onnxgraph.FloatAttr("alpha", -1)}, in: []*Tensor{row[float32](-2, 2)}, want: row[float32](2, 2)},
		{op: "DequantizeLinear", in: []*Tensor{row[int32](math.MinInt32, 5), row[float32](2), row[int32](1)}, want: row[float32](-0x1p32, 8)},
	} {
		got, err := runNode(c.op, 21, c.attrs, c.want.Type(), c.in...)
		if err != nil {
			t.Errorf("%s of %v: %v", c.op, c.in, err)
		} else if fmt.Sprintf("%v %q", got, got.data) != fmt.Sprintf("%v %q", c.want, c.want.data) {
			t.Errorf("%s of %v is %v %v, want %v", c.op, data(c.in), got, got.data, c.want.data)
		}
	}
}

func data(in []*Tensor) (out []any) {
	for _, t := range in {
		out = append(out, t.data)
	}
	return out
}

// Bad operands are errors that say what was found, and take no memory.
func TestArithmeticErrors(t *testing.T) {
	square := of([]int{2, 3}, make([]float32, 6))
	column, line := of([]int{1 << 20, 1}, make([]int8, 1<<20)), of([]int{1, 1 << 20}, make([]int8, 1<<20))
	for _, c := range []struct {
		op    string
		attrs []*onnxgraph.Attribute
		in    []*Tensor
		want  string
	}{
		{"Add", nil, []*Tensor{square, row[float32](1, 2, 3, 4)}, "shapes 2x3 and 4 do not broadcast"},
		{"Add", nil, []*Tensor{square, row[int64](1, 2, 3)}, "input 1 is int64 3, want float32"},
		{"Add", nil, []*Tensor{square}, "input 1 is missing"},
		{"Sub", nil, []*Tensor{square, square, square}, "3 inputs, want 2"},
		{"And", nil, []*Tensor{square, square}, "not defined for float32"},
		{"Div", nil, []*Tensor{row[int8](1), row[int8](0)}, "division by an integer that is 0"},
		{"Mod", nil, []*Tensor{row[uint32](1, 2), row[uint32](1, 0)}, "division by an integer that is 0"},
		{"Add", nil, []*Tensor{column, line}, "needs 1024.00 GiB of memory"},
		{"Equal", nil, []*Tensor{column, line}, "needs 1024.00 GiB of memory"},
		{"Exp", nil, []*Tensor{row[int8](1)}, "not defined for int8"},
		{"Where", nil, []*Tensor{row(true), row[int8](1), row[int16](1)}, "want bool and two of one type"},
		{"Clip", nil, []*Tensor{square, square}, "input 1 is float32 2x3, want one float32"},
		{"Cast", []*onnxgraph.Attribute{onnxgraph.IntAttr("to", int64(onnxgraph.Float8E5M2))}, []*Tensor{square}, "casts to float8e5m2 are not supported"},
		{"Cast", []*onnxgraph.Attribute{onnxgraph.IntAttr("to", 6)}, []*Tensor{row("1", "x")}, `element 1 is "x", want a number`},
		{"BitShift", nil, []*Tensor{row[uint8](1), row[uint8](1)}, "want LEFT or RIGHT"},
		{"QuantizeLinear", nil, []*Tensor{square, row[float32](1, 2)}, "float32 2 for axis 1 of 2x3, want 3 elements"},
		{"QuantizeLinear", []*onnxgraph.Attribute{onnxgraph.IntAttr("axis", 7)}, []*Tensor{square, row[float32](1, 2)}, "axis 7"},
		{"QuantizeLinear", nil, []*Tensor{square, row[float32](1, 2, 3), row[uint8](1)}, "want equal dims"},
		{"QuantizeLinear", []*onnxgraph.Attribute{onnxgraph.IntAttr("block_size", 2)}, []*Tensor{square, square}, "want 2x2"},
		{"DequantizeLinear", nil, []*Tensor{square, row[float32](1)}, "input 0 is float32 2x3, want an integer"},
	} {
		_, err := runNode(c.op, 21, c.attrs, onnxgraph.Float32, c.in...)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "node.onnx: graph.node[0]") {
			t.Errorf("%s of %v: %v, want the node and %q", c.op, c.in, err, c.want)
		}
	}
}

// A result that does not fit the limit is an error before it is reserved, for
// every element type.
func TestBroadcastWithinLimit(t *testing.T) {
	for _, in := range [][]*Tensor{
		{of([]int{1 << 10, 1}, make([]float32, 1<<10)), of([]int{1 << 10}, make([]float32, 1<<10))},
		{of([]int{1 << 10, 1}, make([]uint16, 1<<10)), of([]int{1 << 10}, make([]uint16, 1<<10))},
	} {
		p, inputs, err := compileNode("Add", 14, Options{Memory: 1 << 20}, nil, in, in[0].Type())
		if err != nil {
			t.Fatal(err)
		}
		var me *MemoryError
		if _, err := p.Run(context.Background(), inputs); !errors.As(err, &me) || me.Limit != 1<<20 {
			t.Errorf("%v: %v, want a MemoryError", in, err)
		}
	}
}

// Values that are kept are neither overwritten nor fused away. So a graph of
// elementwise operators gives the same numbers, bit for bit, whether all values
// are kept or memory is used again wherever it can be.
func TestReuseAndFusionChangeNothing(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 5))
		b := onnxgraph.NewBuilder("elementwise", 17)
		inputs := map[string]*Tensor{}
		values := []string{"a", "b"}
		for i, name := range values {
			b.Input(name, onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(2), onnxgraph.Const(3), onnxgraph.Const(4), onnxgraph.Const(5)})
			inputs[name] = sampled(float64(i)-1, 2, 2, 3, 4, 5)
		}
		b.Init(onnxgraph.NewFloat32s("channel", []int64{3, 1, 1}, []float32{0.5, 1, 2}))
		pick := func() string { return values[max(r.IntN(len(values)), r.IntN(len(values)))] }
		for i := range 14 {
			name := fmt.Sprintf("v%d", i)
			var n *onnxgraph.Node
			switch op := []string{"Add", "Sub", "Mul", "Max", "Sum", "Relu", "Tanh", "Clip", "AveragePool", "Identity", "channel"}[r.IntN(11)]; op {
			case "Relu", "Tanh", "Identity":
				n = onnxgraph.NewNode(op, "", []string{pick()}, []string{name})
			case "Clip":
				n = onnxgraph.NewNode(op, "", []string{pick()}, []string{name})
			case "AveragePool":
				n = onnxgraph.NewNode(op, "", []string{pick()}, []string{name}, onnxgraph.IntsAttr("kernel_shape", 1, 1))
			case "channel":
				n = onnxgraph.NewNode("Mul", "", []string{"channel", pick()}, []string{name})
			case "Sum":
				n = onnxgraph.NewNode(op, "", []string{pick(), pick(), pick()}, []string{name})
			default:
				n = onnxgraph.NewNode(op, "", []string{pick(), pick()}, []string{name})
			}
			b.Add(n)
			values = append(values, name)
		}
		b.Output("v13", onnxgraph.Float32, nil)
		m, err := b.Model("elementwise.onnx")
		if err != nil {
			t.Fatal(err)
		}
		var results [2][]float32
		for i, keep := range [][]string{nil, values[2:13]} {
			p, err := Compile(t.Context(), m, Options{Keep: keep, Workers: 1 + i})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second run finds the memory of the first
				out, err := p.Run(context.Background(), inputs)
				if err != nil {
					t.Fatal(err)
				}
				results[i] = out["v13"].Float32s()
			}
		}
		if !slices.Equal(results[0], results[1]) {
			t.Errorf("seed %d: results differ", seed)
		}
	}
}

// Relu and Clip are part of the addition before them, forwards and backwards.
func TestAddTakesUpClamps(t *testing.T) {
	for _, c := range []struct {
		op, next string
		opset    int64
		attrs    []*onnxgraph.Attribute
		want     []float32
	}{
		{"Add", "Relu", 13, nil, []float32{0, 0, 1.5, 9}},
		{"Sum", "Relu", 13, nil, []float32{0, 0, 1.5, 9}},
		{"Add", "Clip", 7, []*onnxgraph.Attribute{onnxgraph.FloatAttr("max", 6)}, []float32{-3, -1, 1.5, 6}},
	} {
		b := onnxgraph.NewBuilder("residual", c.opset)
		shape := onnxgraph.Shape{onnxgraph.Symbol("n")}
		b.Input("a", onnxgraph.Float32, shape)
		b.Input("b", onnxgraph.Float32, shape)
		b.Add(onnxgraph.NewNode(c.op, "", []string{"a", "b"}, []string{"sum"}))
		b.Add(onnxgraph.NewNode(c.next, "", []string{"sum"}, []string{"y"}, c.attrs...))
		b.Output("y", onnxgraph.Float32, shape)
		m, err := b.Model("residual.onnx")
		if err != nil {
			t.Fatal(err)
		}
		p, err := Compile(t.Context(), m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		in := map[string]*Tensor{"a": row[float32](-1, -2, 1, 4), "b": row[float32](-2, 1, 0.5, 5)}
		out, err := p.Run(context.Background(), in)
		if err != nil || !slices.Equal(out["y"].Float32s(), c.want) {
			t.Errorf("%s and %s: %v, %v, want %v", c.op, c.next, out["y"].Float32s(), err, c.want)
		}
		if len(p.calls) != 1 {
			t.Errorf("%s and %s are %d steps, want 1", c.op, c.next, len(p.calls))
		}
		checkGradient(t, m, in)
	}
}

// An operand that is used twice gets both gradients.
func TestGradientOfSharedOperand(t *testing.T) {
	for _, op := range []string{"Add", "Mul", "Sub"} {
		b := onnxgraph.NewBuilder("shared", 13)
		b.Input("x", onnxgraph.Float32, nil)
		b.Add(onnxgraph.NewNode("Tanh", "", []string{"x"}, []string{"t"}))
		b.Add(onnxgraph.NewNode(op, "", []string{"t", "t"}, []string{"u"}))
		b.Add(onnxgraph.NewNode("Mul", "", []string{"u", "x"}, []string{"y"}))
		b.Output("y", onnxgraph.Float32, nil)
		m, err := b.Model("shared.onnx")
		if err != nil {
			t.Fatal(err)
		}
		checkGradient(t, m, map[string]*Tensor{"x": sampled(-1, 1, 2, 3)})
	}
}

// Blocks along an axis, the last of which may be shorter, against the definition.
func TestBlockedQuantization(t *testing.T) {
	x := row[int8](1, 2, 3, 4, 5)
	attrs := []*onnxgraph.Attribute{onnxgraph.IntAttr("axis", 0), onnxgraph.IntAttr("block_size", 2)}
	scales, zeros := row[float32](1, 10, 100), row[int8](0, 1, 2)
	got, err := runNode("DequantizeLinear", 21, attrs, onnxgraph.Float32, x, scales, zeros)
	if err != nil || !slices.Equal(got.Float32s(), []float32{1, 2, 20, 30, 300}) {
		t.Fatalf("%v, %v", got, err)
	}
	back, err := runNode("QuantizeLinear", 21, attrs, onnxgraph.Int8, got, scales, zeros)
	if err != nil || !slices.Equal(back.data.([]int8), x.data.([]int8)) {
		t.Fatalf("%v, %v", back, err)
	}
}

// Whatever the types and shapes of operands are, an operator computes or says
// that it cannot.
func TestNoOperandPanics(t *testing.T) {
	make := map[onnxgraph.DataType]func(dims []int) *Tensor{
		onnxgraph.Float32: ones[float32], onnxgraph.Float64: ones[float64], onnxgraph.Float16: ones[Float16],
		onnxgraph.Int8: ones[int8], onnxgraph.Int64: ones[int64], onnxgraph.Uint16: ones[uint16],
		onnxgraph.Bool: heap[bool], onnxgraph.String: heap[string],
	}
	shapes := [][2][]int{{{}, {}}, {{0}, {1}}, {{2, 3}, {3}}, {{1}, {2, 0}}, {{1, 2, 1, 2}, {2, 1, 2}}}
	for op := range operators {
		for result, a := range make {
			for _, second := range []onnxgraph.DataType{onnxgraph.Float32, onnxgraph.Int64, onnxgraph.Bool, onnxgraph.String} {
				b := make[second]
				for _, dims := range shapes {
					for n := 1; n <= 3; n++ {
						in := []*Tensor{a(dims[0]), b(dims[1]), b(dims[1])}[:n]
						where := fmt.Sprintf("%s of %v", op, in)
						func() {
							defer func() {
								if p := recover(); p != nil {
									t.Errorf("%s: panic: %v", where, p)
								}
							}()
							if got, err := runNode(op, 21, nil, result, in...); err == nil && got == nil {
								t.Errorf("%s gives nothing, and no error", where)
							}
						}()
					}
				}
			}
		}
	}
}

// ones returns a tensor of those dims, all 1 (or the least half-precision number).
func ones[T number | Float16](dims []int) *Tensor {
	t := heap[T](dims)
	for i := range t.data.([]T) {
		t.data.([]T)[i] = 1
	}
	return t
}

// Only float32 outputs have gradients.
func TestGradientOfIntegersIsRefused(t *testing.T) {
	b := onnxgraph.NewBuilder("integers", 13)
	b.Input("x", onnxgraph.Int64, nil)
	b.Input("w", onnxgraph.Float32, nil)
	b.Add(onnxgraph.NewNode("Cast", "", []string{"w"}, []string{"v"}, onnxgraph.IntAttr("to", int64(onnxgraph.Int64))))
	b.Add(onnxgraph.NewNode("Mul", "", []string{"x", "v"}, []string{"y"}))
	b.Output("y", onnxgraph.Int64, nil)
	m, err := b.Model("integers.onnx")
	if err != nil {
		t.Fatal(err)
	}
	g, err := CompileTraining(t.Context(), m, nil, TrainingOptions{InputGradients: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Forward(context.Background(), map[string]*Tensor{"x": row[int64](1, 2), "w": row[float32](3)}); err != nil {
		t.Fatal(err)
	}
	_, err = g.Backward(context.Background(), map[string]*Tensor{"y": row[float32](1, 1)})
	if err == nil || !strings.Contains(err.Error(), "the output int64 2") {
		t.Errorf("%v, want a refusal", err)
	}
}
