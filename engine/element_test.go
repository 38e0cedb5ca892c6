package engine

import (
	"math"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Halves agree with the decoder of onnxgraph, and rounding with the nearest half.
func TestHalfPrecision(t *testing.T) {
	raw := make([]byte, 2<<16)
	for i := range 1 << 16 {
		raw[2*i], raw[2*i+1] = byte(i), byte(i>>8)
	}
	for typ, get := range map[onnxgraph.DataType]func(bits uint16) (float32, uint16){
		onnxgraph.Float16: func(b uint16) (float32, uint16) {
			v := Float16(b).Float32()
			return v, uint16(toFloat16(v))
		},
		onnxgraph.BFloat16: func(b uint16) (float32, uint16) {
			v := BFloat16(b).Float32()
			return v, uint16(toBFloat16(v))
		},
	} {
		want, err := onnxgraph.NewTensor("all", typ, []int64{1 << 16}, raw).Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			v, back := get(uint16(i))
			if v != w && (v == v || w == w) {
				t.Errorf("%v %04x is %v, want %v", typ, i, v, w)
			}
			if v == v && int(back) != i {
				t.Errorf("%v %04x comes back as %04x", typ, i, back)
			}
		}
	}
}

func TestHalvesAreRoundedToNearest(t *testing.T) {
	for _, c := range []struct {
		v    float32
		half Float16
		b    BFloat16
	}{
		{1 + 1./2048, 0x3c00, 0x3f80},          // half way to the next half: to even
		{1 + 3./2048, 0x3c02, 0x3f80},          // up to even
		{1 + 1.01/2048, 0x3c01, 0x3f80},        // above half way
		{1 + 1./256, 0x3c04, 0x3f80},           // half way to the next bfloat16
		{1 + 3./256, 0x3c0c, 0x3f82},           //
		{65519, 0x7bff, 0x4780},                // the largest that is not rounded to infinity
		{65520, 0x7c00, 0x4780},                //
		{-1e30, 0xfc00, 0xf14a},                //
		{1.5 / (1 << 24), 0x0002, 0x33c0},      // no leading one
		{0.5 / (1 << 24), 0x0000, 0x3300},      // half way to zero
		{-0.51 / (1 << 24), 0x8001, 0xb303},    //
		{2047.6 / (1 << 25), 0x0400, 0x3880},   // up to the smallest with a leading one
		{float32(math.Inf(1)), 0x7c00, 0x7f80}, //
		{float32(math.Copysign(0, -1)), 0x8000, 0x8000},
	} {
		if h, b := toFloat16(c.v), toBFloat16(c.v); h != c.half || b != c.b {
			t.Errorf("%v is float16 %04x and bfloat16 %04x, want %04x and %04x", c.v, h, b, c.half, c.b)
		}
	}
	nan := float32(math.NaN())
	if h, b := toFloat16(nan).Float32(), toBFloat16(nan).Float32(); h == h || b == b {
		t.Errorf("NaN becomes %v and %v", h, b)
	}
}

// Every element type moves as int64 does.
func TestMovesOfEveryType(t *testing.T) {
	numbered := make([]int64, 24)
	for i := range numbered {
		numbered[i] = int64(i * 5 % 7)
	}
	whole := of([]int{2, 3, 4}, numbered)
	for _, c := range []trial{
		{op: "Transpose", opset: 13, attrs: attrs{intsAttr("perm", 2, 0, 1)}},
		{op: "Slice", opset: 13, in: []*Tensor{nil, ints(2), ints(-9), ints(1), ints(-2)}},
		{op: "Pad", opset: 13, in: []*Tensor{nil, ints(0, 1, 0, 0, 2, 1)}},
		{op: "Pad", opset: 13, attrs: attrs{strAttr("mode", "reflect")}, in: []*Tensor{nil, ints(1, 1, 0, 0, 2, 1)}},
		{op: "Gather", opset: 13, attrs: attrs{intAttr("axis", 2)}, in: []*Tensor{nil, ints(3, 0)}},
		{op: "Expand", opset: 13, in: []*Tensor{nil, ints(2, 1, 1, 1)}},
		{op: "Tile", opset: 13, in: []*Tensor{nil, ints(2, 1, 2)}},
		{op: "Split", opset: 13, attrs: attrs{intAttr("axis", 2)}, outputs: 2},
		{op: "Reshape", opset: 13, in: []*Tensor{nil, ints(4, 6)}},
	} {
		if c.in == nil {
			c.in = []*Tensor{nil}
		}
		apply := func(x *Tensor) []*Tensor {
			c.in[0] = x
			b := c.bench(t)
			out, err := b.step.run(b.x, c.in)
			if err != nil {
				t.Fatalf("%v: %v", c, err)
			}
			return out
		}
		want := apply(whole)
		for typ := range kinds {
			x := spelled(t, typ, whole)
			for i, got := range apply(x) {
				if w := spelled(t, typ, want[i]); !slices.Equal(got.Dims, w.Dims) || !equalData(got, w) {
					t.Errorf("%v: %v, want %v", c, got.data, w.data)
				}
			}
		}
	}
}

// spelled returns small whole numbers in another element type.
func spelled(t *testing.T, typ onnxgraph.DataType, x *Tensor) *Tensor {
	t.Helper()
	whole := x.data.([]int64)
	if typ == onnxgraph.String {
		return of(x.Dims, mapped(whole, func(v int64) string { return string("\x00abcdefg"[v : v+1])[:min(v, 1)] }))
	}
	n, err := narrow(typ, x.Dims, whole)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func equalData(a, b *Tensor) bool {
	if s, ok := a.data.([]string); ok {
		return slices.Equal(s, b.data.([]string))
	}
	v, err := widen[float64](a)
	w, _ := widen[float64](b)
	return err == nil && a.Type() == b.Type() && slices.Equal(v, w)
}

func TestReductionsOfEveryType(t *testing.T) {
	numbered := of([]int{2, 2, 3}, []int64{3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11})
	for op, want := range map[string][]int64{ // over the first and the last axis
		"ReduceSum": {30, 48}, "ReduceMean": {5, 8}, "ReduceMax": {9, 12}, "ReduceMin": {1, 4},
		"ReduceSumSquare": {208, 442}, "ReduceL1": {30, 48}, "ReduceProd": {3024, 158400},
	} {
		for _, typ := range []onnxgraph.DataType{onnxgraph.Int32, onnxgraph.Int64, onnxgraph.Uint32, onnxgraph.Uint64, onnxgraph.Float32, onnxgraph.Float64} {
			c := trial{op: op, opset: 18, in: []*Tensor{spelled(t, typ, numbered), ints(0, 2)}, attrs: attrs{intAttr("keepdims", 0)}}
			b := c.bench(t)
			out, err := b.step.run(b.x, c.in)
			if err != nil {
				t.Fatal(err)
			}
			if w := spelled(t, typ, of([]int{2}, want)); !slices.Equal(out[0].Dims, w.Dims) || !equalData(out[0], w) {
				t.Errorf("%s of %v: %v, want %v", op, c.in[0], out[0].data, want)
			}
		}
	}
}

// Integers beyond 2^53 are summed exactly.
func TestReductionOfLargeIntegers(t *testing.T) {
	c := trial{op: "ReduceSum", opset: 13, in: []*Tensor{ints(1<<60, 1, -(1 << 59), 1)}}
	out, err := c.run(t)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := Data[int64](out[0]); got[0] != 1<<59+2 {
		t.Errorf("sum is %d, want %d", got[0], 1<<59+2)
	}
}

func TestDropoutInTraining(t *testing.T) {
	x := positive(1, 4, 8, 10, 10)
	c := trial{
		op: "Dropout", opset: 13, outputs: 2, smooth: 1, attrs: attrs{intAttr("seed", 3)},
		in: []*Tensor{x, of([]int{}, []float32{0.25}), of([]int{}, []bool{true})},
	}
	b := c.bench(t)
	in := b.laid(t, c.in, true)
	var masks [][]bool
	for range 2 {
		out, err := b.step.run(b.x, in)
		if err != nil {
			t.Fatal(err)
		}
		y, kept := b.plain(t, out[:1])[0].Float32s(), out[1].data.([]bool)
		dropped := 0
		dy := normal(5, x.Dims...)
		dx, err := b.step.(differentiable).grad(b.x, in, out, b.laid(t, []*Tensor{dy}, true), []bool{true})
		if err != nil {
			t.Fatal(err)
		}
		g, dx0 := dy.Float32s(), b.plain(t, dx)[0].Float32s()
		for i, v := range x.Float32s() {
			factor := float32(4) / 3
			if !kept[i] {
				factor = 0
				dropped++
			}
			if y[i] != v*factor || dx0[i] != g[i]*factor {
				t.Fatalf("element %d, kept %v: %v becomes %v, gradient %v becomes %v", i, kept[i], v, y[i], g[i], dx0[i])
			}
		}
		if n := len(y); math.Abs(float64(dropped)-float64(n)/4) > 4*math.Sqrt(float64(n)*3/16) {
			t.Errorf("%d of %d dropped, want a quarter", dropped, n)
		}
		masks = append(masks, kept)
	}
	if slices.Equal(masks[0], masks[1]) {
		t.Error("two runs drop the same elements")
	}
	again := c.bench(t)
	out, err := again.step.run(again.x, in)
	if err != nil || !slices.Equal(out[1].data.([]bool), masks[0]) {
		t.Errorf("the same seed drops other elements (%v)", err)
	}
}
