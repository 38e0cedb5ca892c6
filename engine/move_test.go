package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/onnxgraph"
)

func moveTrials() []trial {
	x, small := normal(1, 2, 6, 4, 5), normal(2, 3, 4)
	list := []trial{
		{op: "Transpose", opset: 13, in: []*Tensor{x}},
		{op: "Transpose", opset: 13, in: []*Tensor{normal(3)}},
		{op: "Squeeze", opset: 11, in: []*Tensor{normal(3, 2, 1, 3, 1)}},
		{op: "Squeeze", opset: 11, attrs: attrs{intsAttr("axes", -1)}, in: []*Tensor{normal(3, 2, 1, 3, 1)}},
		{op: "Squeeze", opset: 13, in: []*Tensor{normal(3, 2, 4, 1, 1), ints(2, -1)}},
		{op: "Unsqueeze", opset: 11, attrs: attrs{intsAttr("axes", 0, 4)}, in: []*Tensor{normal(3, 2, 3, 1)}},
		{op: "Unsqueeze", opset: 13, in: []*Tensor{x, ints(-1, 1)}},
		{op: "Flatten", opset: 9, in: []*Tensor{x}},
		{op: "Flatten", opset: 11, attrs: attrs{intAttr("axis", -2)}, in: []*Tensor{x}},
		{op: "Flatten", opset: 11, attrs: attrs{intAttr("axis", 4)}, in: []*Tensor{x}},
		{op: "Flatten", opset: 13, in: []*Tensor{normal(1, 3, 5, 1, 1)}},
		{op: "Reshape", opset: 8, in: []*Tensor{x, ints(0, -1)}},
		{op: "Reshape", opset: 13, in: []*Tensor{x, ints(2, 3, 8, 5)}},
		{op: "Reshape", opset: 13, in: []*Tensor{x, ints(0, 0, -1)}},
		{op: "Reshape", opset: 14, attrs: attrs{intAttr("allowzero", 1)}, in: []*Tensor{normal(1, 0, 3), ints(3, 0)}},
		{op: "Identity", opset: 13, in: []*Tensor{x}},
		{op: "Dropout", opset: 7, in: []*Tensor{x}},
		{op: "Dropout", opset: 12, in: []*Tensor{x}},
		{op: "Expand", opset: 8, in: []*Tensor{normal(5, 3, 1), ints(2, 1, 6)}},
		{op: "Expand", opset: 13, in: []*Tensor{normal(5, 2, 3, 1, 1), ints(2, 1, 4, 5)}},
		{op: "Expand", opset: 13, in: []*Tensor{normal(5, 2, 1, 4, 3), ints(3, 1, 1)}},
		{op: "Tile", opset: 13, in: []*Tensor{normal(5, 2, 3, 2, 2), ints(1, 2, 3, 1)}},
		{op: "Gather", opset: 11, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{small, of([]int{2, 3}, []int64{0, -1, 2, 2, 1, 0})}},
		{op: "Gather", opset: 13, in: []*Tensor{x, of([]int{}, []int64{1})}},
		{op: "Concat", opset: 11, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{x, normal(7, 2, 3, 4, 5), normal(8, 2, 1, 4, 5)}, smooth: 3},
		{op: "Concat", opset: 13, attrs: attrs{intAttr("axis", -1)}, in: []*Tensor{x, normal(7, 2, 6, 4, 2)}, smooth: 2},
		{op: "Concat", opset: 13, attrs: attrs{intAttr("axis", 0)}, in: []*Tensor{small, normal(9, 1, 4)}, smooth: 2},
		{op: "Split", opset: 11, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{x}, outputs: 3},
		{op: "Split", opset: 11, attrs: attrs{intAttr("axis", -1), intsAttr("split", 1, 4)}, in: []*Tensor{x}, outputs: 2},
		{op: "Split", opset: 13, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{x, ints(1, 0, 5)}, outputs: 3},
		{op: "Split", opset: 18, attrs: attrs{intAttr("axis", 3), intAttr("num_outputs", 2)}, in: []*Tensor{x}, outputs: 2},
		{op: "DepthToSpace", opset: 11, attrs: attrs{intAttr("blocksize", 2)}, in: []*Tensor{normal(1, 2, 12, 3, 2)}},
		{op: "DepthToSpace", opset: 13, attrs: attrs{intAttr("blocksize", 2), strAttr("mode", "CRD")}, in: []*Tensor{normal(1, 2, 12, 3, 2)}},
		{op: "SpaceToDepth", opset: 13, attrs: attrs{intAttr("blocksize", 2)}, in: []*Tensor{normal(1, 2, 3, 4, 6)}},
		{op: "Slice", opset: 9, attrs: attrs{intsAttr("starts", 1, -3), intsAttr("ends", 1000, -1), intsAttr("axes", 1, 3)}, in: []*Tensor{x}},
		{op: "Slice", opset: 9, attrs: attrs{intsAttr("starts", 0, 2), intsAttr("ends", 1, 4)}, in: []*Tensor{x}},
		{op: "Slice", opset: 13, in: []*Tensor{x, ints(-1, 5), ints(-1000, -1000), ints(3, -3), ints(-2, -1)}},
		{op: "Slice", opset: 13, in: []*Tensor{x, ints(1), ints(1 << 62), ints(2), ints(1 << 62)}},
		{op: "Slice", opset: 13, in: []*Tensor{x, ints(3), ints(2), ints(2)}},
		{op: "Pad", opset: 7, attrs: attrs{intsAttr("pads", 0, 0, 1, 2, 0, 0, 3, 0), floatAttr("value", 1.5)}, in: []*Tensor{x}},
		{op: "Pad", opset: 10, attrs: attrs{intsAttr("pads", 0, 1, -1, 2, 0, 0, 3, -2)}, in: []*Tensor{x}},
		{op: "Pad", opset: 13, in: []*Tensor{x, ints(1, 0, 0, 0, 0, 2, 0, 1), of([]int{}, []float32{-2})}},
		{op: "Pad", opset: 18, in: []*Tensor{x, ints(1, 2, 0, 1), nil, ints(3, -3)}},
		{op: "Shape", opset: 13, in: []*Tensor{x}},
		{op: "Shape", opset: 15, attrs: attrs{intAttr("start", -3), intAttr("end", 3)}, in: []*Tensor{x}},
		{op: "Size", opset: 13, in: []*Tensor{x}},
		{op: "Range", opset: 11, in: []*Tensor{of([]int{}, []float32{1}), of([]int{}, []float32{-2.1}), of([]int{}, []float32{-0.5})}},
		{op: "Range", opset: 11, in: []*Tensor{of([]int{}, []int64{3}), of([]int{}, []int64{17}), of([]int{}, []int64{5})}},
		{op: "Range", opset: 11, in: []*Tensor{of([]int{}, []int64{3}), of([]int{}, []int64{3}), of([]int{}, []int64{5})}},
	}
	for _, perm := range [][]int64{{0, 2, 3, 1}, {0, 3, 1, 2}, {1, 0, 2, 3}, {0, 2, 1, 3}, {3, 2, 0, 1}, {0, 1, 3, 2}} {
		list = append(list, trial{op: "Transpose", opset: 13, attrs: attrs{intsAttr("perm", perm...)}, in: []*Tensor{x}})
	}
	for _, mode := range []string{"reflect", "edge"} {
		list = append(list,
			trial{op: "Pad", opset: 10, attrs: attrs{strAttr("mode", mode), intsAttr("pads", 0, 0, 2, 1, 0, 0, 1, 3)}, in: []*Tensor{x}},
			trial{op: "Pad", opset: 13, attrs: attrs{strAttr("mode", mode)}, in: []*Tensor{x, ints(1, 2, 0, 3, 0, 1, 3, 0)}})
	}
	list = append(list, trial{op: "Pad", opset: 19, attrs: attrs{strAttr("mode", "wrap")}, in: []*Tensor{x, ints(1, 2, 0, 3, 0, 1, 3, 0)}})
	for i, c := range list {
		if c.smooth == 0 && c.result() == onnxgraph.Float32 && c.op != "Range" {
			list[i].smooth = 1
		}
	}
	return list
}

func TestMovesAgreeWithONNXRuntime(t *testing.T) { agree(t, moveTrials()) }
func TestMovesInAnyLayout(t *testing.T)          { layouts(t, moveTrials()) }
func TestMoveGradients(t *testing.T)             { gradients(t, moveTrials()) }

// What moves no elements shall not copy them.
func TestViews(t *testing.T) {
	x := normal(1, 2, 3, 4, 5)
	for _, c := range []struct {
		trial
		last bool // of the input
	}{
		{trial{op: "Transpose", opset: 13, attrs: attrs{intsAttr("perm", 0, 2, 3, 1)}, in: []*Tensor{x}}, true},
		{trial{op: "Transpose", opset: 13, attrs: attrs{intsAttr("perm", 0, 3, 1, 2)}, in: []*Tensor{x}}, false},
		{trial{op: "Flatten", opset: 13, in: []*Tensor{normal(1, 2, 3, 1, 1)}}, true},
		{trial{op: "Reshape", opset: 13, in: []*Tensor{x, ints(0, 0, 20)}}, true},
		{trial{op: "Reshape", opset: 13, in: []*Tensor{x, ints(-1)}}, false},
		{trial{op: "Dropout", opset: 13, in: []*Tensor{x}}, true},
		{trial{op: "Pad", opset: 10, attrs: attrs{intsAttr("pads", 0, 0, 0, 0, 0, 0, 0, 0)}, in: []*Tensor{x}}, true},
	} {
		b := c.bench(t)
		in := b.laid(t, c.in, c.last)
		out, err := b.step.run(b.x, in)
		if err != nil {
			t.Fatal(err)
		}
		if &out[0].data.([]float32)[0] != &in[0].data.([]float32)[0] {
			t.Errorf("%v, channels last %v: copied", c.trial, c.last)
		}
	}
}

// naive moves one element at a time.
func naive(m movement, dst, src []int32) {
	index := make([]int, len(m.dims))
	for range product(m.dims) {
		dst[m.toStart+dot(index, m.to)] = src[m.fromStart+dot(index, m.from)]
		for i := len(index) - 1; i >= 0; i-- {
			if index[i]++; index[i] < m.dims[i] {
				break
			}
			index[i] = 0
		}
	}
}

// randomMovement goes from some elements of a random tensor to some of another,
// forwards or backwards, once or several times each.
func randomMovement(r *rand.Rand) (m movement, to, from int) {
	rank := r.IntN(5)
	var outer [2][]int
	m.dims = make([]int, rank)
	for i := range m.dims {
		m.dims[i] = r.IntN(5)
		if r.IntN(20) > 0 {
			m.dims[i]++
		}
	}
	starts := [2]*int{&m.toStart, &m.fromStart}
	for side := range 2 {
		perm, steps := r.Perm(rank), make([]int, rank)
		outer[side] = make([]int, rank)
		for i, p := range perm {
			steps[i] = 1 + r.IntN(2)*r.IntN(3)
			outer[side][p] = max(m.dims[i], 1)*steps[i] + r.IntN(2)
		}
		s, by := strides(outer[side], rank > 2 && r.IntN(2) == 0), make([]int, rank)
		for i, p := range perm {
			by[i] = s[p] * steps[i]
			switch {
			case m.dims[i] > 0 && r.IntN(4) == 0:
				*starts[side] += (m.dims[i] - 1) * by[i]
				by[i] = -by[i]
			case side == 1 && r.IntN(4) == 0:
				by[i] = 0
			}
		}
		if side == 0 {
			m.to = by
		} else {
			m.from = by
		}
	}
	return m, product(outer[0]), product(outer[1])
}

func compareMovement(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	m, to, from := randomMovement(r)
	src := make([]int32, from)
	for i := range src {
		src[i] = int32(i + 1)
	}
	got, want := make([]int32, to), make([]int32, to)
	naive(m, want, src)
	kindOf[int32]{}.move(cpu.NewTeam(2), m, got, src)
	if !slices.Equal(got, want) {
		t.Fatalf("seed %d: %+v copies %v, want %v", seed, m, got, want)
	}
	floats, asFloats := make([]float32, to), numbers[float32](src)
	kindOf[float32]{}.move(cpu.NewTeam(2), m, floats, asFloats)
	if !slices.Equal(floats, numbers[float32](want)) {
		t.Fatalf("seed %d: %+v copies %v, want %v", seed, m, floats, want)
	}
	// The way back adds what was copied several times.
	sums, wantSums := make([]float32, from), make([]float32, from)
	back := m.back()
	addAll(back, sums, floats)
	for i, v := range src {
		for _, w := range want {
			if w == v {
				wantSums[i] += float32(w)
			}
		}
	}
	if !slices.Equal(sums, wantSums) {
		t.Fatalf("seed %d: %+v adds up to %v, want %v", seed, back, sums, wantSums)
	}
}

func TestMovementsByElement(t *testing.T) {
	for seed := range uint64(3000) {
		compareMovement(t, seed)
	}
}

func FuzzMovement(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(compareMovement)
}

func TestHostileShapes(t *testing.T) {
	x, words := normal(1, 2, 3), of([]int{1, 1, 1}, []string{"a"})
	huge := int64(1) << 60
	for _, c := range []struct {
		trial
		want string
	}{
		{trial{op: "ConstantOfShape", opset: 9, in: []*Tensor{ints(1e18)}}, "dims [1000000000000000000] overflow"},
		{trial{op: "ConstantOfShape", opset: 9, in: []*Tensor{ints(1e12)}}, "memory"},
		{trial{op: "ConstantOfShape", opset: 9, in: []*Tensor{ints(-2)}}, "dims[0] is -2"},
		{trial{op: "Expand", opset: 13, in: []*Tensor{x, ints(1e15, 1, 1)}}, "memory"},
		{trial{op: "Expand", opset: 13, in: []*Tensor{x, ints(2, 4)}}, "shapes 2x3 and 2x4 do not broadcast"},
		{trial{op: "Tile", opset: 13, in: []*Tensor{x, ints(1e9, 1e9)}}, "overflow"},
		{trial{op: "Tile", opset: 13, in: []*Tensor{x, ints(-1, 1)}}, "dims[0] is -1"},
		{trial{op: "Tile", opset: 13, in: []*Tensor{x, ints(1)}}, "1 repeats for float32 2x3"},
		{trial{op: "Reshape", opset: 13, in: []*Tensor{x, ints(4, -1)}}, "cannot reshape float32 2x3 to 4x-1"},
		{trial{op: "Reshape", opset: 13, in: []*Tensor{x, ints(-1, -1)}}, "two dims are -1"},
		{trial{op: "Reshape", opset: 13, in: []*Tensor{x, ints(huge, huge)}}, "overflow"},
		{trial{op: "Reshape", opset: 13, in: []*Tensor{x, ints(6, 1, 0)}}, "there is no dim 2 to keep"},
		{trial{op: "Unsqueeze", opset: 13, in: []*Tensor{x, ints(4)}}, "axis 4 of a tensor with 3 dimensions"},
		{trial{op: "Unsqueeze", opset: 13, in: []*Tensor{x, ints(1, -3)}}, "named twice"},
		{trial{op: "Squeeze", opset: 13, in: []*Tensor{x, ints(1)}}, "cannot squeeze axis 1 of 2x3: it is 3"},
		{trial{op: "Transpose", opset: 13, attrs: attrs{intsAttr("perm", 0, 0)}, in: []*Tensor{x}}, "perm [0 0] does not permute 2 dimensions"},
		{trial{op: "Concat", opset: 13, attrs: attrs{intAttr("axis", 0)}, in: []*Tensor{x, normal(1, 2, 4)}}, "they do not join on axis 0"},
		{trial{op: "Split", opset: 13, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{x}, outputs: 2}, "3 cannot be split into 2 equal parts"},
		{trial{op: "Split", opset: 13, in: []*Tensor{x, ints(3, -1)}, outputs: 2}, "parts of [3 -1] of axis 0"},
		{trial{op: "Gather", opset: 13, in: []*Tensor{x, ints(2)}}, "index 0 is 2, axis 0 has 2 elements"},
		{trial{op: "Slice", opset: 13, in: []*Tensor{x, ints(0), ints(1), ints(0), ints(0)}}, "the step along axis 0 is 0"},
		{trial{op: "Pad", opset: 13, in: []*Tensor{x, ints(0, 0, 1e17, 0)}}, "too much"},
		{trial{op: "Pad", opset: 13, in: []*Tensor{x, ints(0, 0, 1e14, 0)}}, "memory"},
		{trial{op: "Pad", opset: 13, in: []*Tensor{x, ints(-3, 0, 0, 0)}}, "too much"},
		{trial{op: "Pad", opset: 13, in: []*Tensor{x, ints(1)}}, "1 pads for 2 axes"},
		{trial{op: "Pad", opset: 13, attrs: attrs{strAttr("mode", "edge")}, in: []*Tensor{x, ints(0, -3, 1, 1)}}, "nothing is left"},
		{trial{op: "Range", opset: 11, in: []*Tensor{of([]int{}, []int64{0}), of([]int{}, []int64{9}), of([]int{}, []int64{0})}}, "cannot count from 0 to 9 in steps of 0"},
		{trial{op: "Range", opset: 11, in: []*Tensor{of([]int{}, []int64{0}), of([]int{}, []int64{1e12}), of([]int{}, []int64{1})}}, ""},
		{trial{op: "ReduceSum", opset: 13, in: []*Tensor{normal(1, 0, 5), ints(7)}}, "axis 7 of a tensor with 2 dimensions"},
		{trial{op: "Softmax", opset: 13, attrs: attrs{intAttr("axis", 2)}, in: []*Tensor{x}}, "axis 2 of a tensor with 2 dimensions"},
		{trial{op: "LayerNormalization", opset: 17, in: []*Tensor{x, normal(1, 4)}}, "scale: float32 4, want float32 3"},
		{trial{op: "ArgMax", opset: 13, in: []*Tensor{normal(1, 0, 2)}}, "is empty"},
		{trial{op: "Softmax", opset: 13, in: []*Tensor{words}}, "string 1x1x1, want numbers"},
		{trial{op: "LRN", opset: 13, attrs: attrs{intAttr("size", 3)}, in: []*Tensor{words}}, "string 1x1x1, want numbers"},
		{trial{op: "LayerNormalization", opset: 17, in: []*Tensor{words, words}}, "string 1x1x1, want numbers"},
		{trial{op: "ReduceSum", opset: 13, in: []*Tensor{words}}, "string 1x1x1, want numbers"},
		{trial{op: "ArgMax", opset: 13, in: []*Tensor{words}}, "string 1x1x1, want numbers"},
		{trial{op: "Reshape", opset: 13, in: []*Tensor{x, x}}, "shape: float32 2x3, want integers"},
		{trial{op: "Concat", opset: 13, attrs: attrs{intAttr("axis", 0)}, in: []*Tensor{ints(1), normal(1, 1)}}, "they do not join"},
	} {
		_, err := c.run(t)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.trial, err, c.want)
		}
	}
}

// A dim of zero beside a huge one is no reason to count to it.
func TestEmptyTensorsTakeNoTime(t *testing.T) {
	const huge = 1 << 50
	empty := of([]int{huge, 0}, []float32{})
	for _, c := range []trial{
		{op: "Expand", opset: 13, in: []*Tensor{normal(1, 1, 0), ints(huge, 1)}},
		{op: "Tile", opset: 13, in: []*Tensor{empty, ints(1, 3)}},
		{op: "Transpose", opset: 13, in: []*Tensor{empty}},
		{op: "Slice", opset: 13, in: []*Tensor{empty, ints(0), ints(huge), ints(0), ints(2)}},
		{op: "Pad", opset: 13, attrs: attrs{strAttr("mode", "edge")}, in: []*Tensor{empty, ints(huge/8, 0, 0, 0)}},
		{op: "Gather", opset: 13, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{of([]int{huge, 1, 0}, []float32{}), ints(0)}},
		{op: "Concat", opset: 13, attrs: attrs{intAttr("axis", 0)}, in: []*Tensor{empty, empty}},
		{op: "Split", opset: 13, in: []*Tensor{empty}, outputs: 2},
		{op: "Softmax", opset: 13, attrs: attrs{intAttr("axis", 0)}, in: []*Tensor{empty}},
		{op: "LRN", opset: 13, attrs: attrs{intAttr("size", 3)}, in: []*Tensor{empty}},
		{op: "LayerNormalization", opset: 17, in: []*Tensor{empty, normal(1, 0)}},
		{op: "ReduceSum", opset: 13, in: []*Tensor{empty, ints(0)}},
		{op: "ArgMax", opset: 13, in: []*Tensor{empty}},
	} {
		if _, err := c.run(t); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// indexed builds a tensor element by element: from says which index of x an
// index of the result shows, nil for none, which is 0.
func indexed(x *Tensor, dims []int, from func(index []int) []int) *Tensor {
	out := of(dims, make([]float32, product(dims)))
	index, s := make([]int, len(dims)), strides(x.Dims, false)
	for i := range out.Float32s() {
		if at := from(index); at != nil {
			out.Float32s()[i] = x.Float32s()[dot(at, s)]
		}
		for k := len(index) - 1; k >= 0; k-- {
			if index[k]++; index[k] < dims[k] {
				break
			}
			index[k] = 0
		}
	}
	return out
}

func randomDims(r *rand.Rand) []int {
	dims := make([]int, 1+r.IntN(4))
	for i := range dims {
		dims[i] = 1 + r.IntN(5)
	}
	return dims
}

// expect compares a trial with what was worked out element by element.
func expect(t *testing.T, c trial, want *Tensor) {
	t.Helper()
	for _, last := range []bool{false, true} {
		b := c.bench(t)
		out, err := b.step.run(b.x, b.laid(t, c.in, last))
		if err == nil {
			err = near(b.plain(t, out), []*Tensor{want}, 0)
		}
		if err != nil {
			t.Fatalf("%v %v: %v", c, c.in[1:], err)
		}
	}
}

func TestSlicesByElement(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		x := normal(r.Uint64(), randomDims(r)...)
		var starts, ends, axes, steps []int64
		taken := make([][]int, len(x.Dims)) // by axis: which indices
		dims := slices.Clone(x.Dims)
		for a, n := range x.Dims {
			for i := range n {
				taken[a] = append(taken[a], i)
			}
			if r.IntN(3) == 0 {
				continue
			}
			start, end, step := r.IntN(4*n)-2*n, r.IntN(4*n)-2*n, r.IntN(4)+1
			starts, ends, axes = append(starts, int64(start)), append(ends, int64(end)), append(axes, int64(a-r.IntN(2)*len(dims)))
			down := r.IntN(2) == 0
			taken[a] = nil
			// ends beyond the tensor, on either side, are the tensor's own
			lo, hi := start, end
			if lo < 0 {
				lo += n
			}
			if hi < 0 {
				hi += n
			}
			if down {
				steps = append(steps, int64(-step))
				for i := min(lo, n-1); i > hi && i >= 0; i -= step {
					taken[a] = append(taken[a], i)
				}
			} else {
				steps = append(steps, int64(step))
				for i := max(lo, 0); i < hi && i < n; i += step {
					taken[a] = append(taken[a], i)
				}
			}
			dims[a] = len(taken[a])
		}
		want := indexed(x, dims, func(index []int) []int {
			at := make([]int, len(index))
			for a, i := range index {
				at[a] = taken[a][i]
			}
			return at
		})
		expect(t, trial{op: "Slice", opset: 13, in: []*Tensor{x, ints(starts...), ints(ends...), ints(axes...), ints(steps...)}}, want)
	}
}

func TestPadsByElement(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	beyond := map[string]func(i, n int) int{
		"constant": func(int, int) int { return -1 },
		"edge":     func(i, n int) int { return max(0, min(i, n-1)) },
		"wrap": func(i, n int) int {
			for ; i < 0; i += n {
			}
			return i % n
		},
		"reflect": func(i, n int) int {
			for n > 1 && (i < 0 || i >= n) {
				if i < 0 {
					i = -i
				}
				if i >= n {
					i = 2*(n-1) - i
				}
			}
			return max(0, min(i, n-1)) // an axis of 1 has nothing to reflect but itself
		},
	}
	for mode, at := range beyond {
		for range 200 {
			x := normal(r.Uint64(), randomDims(r)...)
			rank := len(x.Dims)
			pads, dims := make([]int64, 2*rank), slices.Clone(x.Dims)
			for a := range dims {
				pads[a], pads[rank+a] = int64(r.IntN(8)*r.IntN(2)), int64(r.IntN(8)*r.IntN(2))
				if mode == "constant" && r.IntN(3) == 0 { // crop, even all of it
					pads[a] = -int64(r.IntN(dims[a] + int(pads[rank+a]) + 1))
				}
				dims[a] += int(pads[a] + pads[rank+a])
			}
			want := indexed(x, dims, func(index []int) []int {
				from := make([]int, rank)
				for a, i := range index {
					from[a] = i - int(pads[a])
					if from[a] < 0 || from[a] >= x.Dims[a] {
						from[a] = at(from[a], x.Dims[a])
					}
					if from[a] < 0 {
						return nil
					}
				}
				return from
			})
			expect(t, trial{op: "Pad", opset: 19, attrs: attrs{strAttr("mode", mode)}, in: []*Tensor{x, ints(pads...)}}, want)
		}
	}
}

func TestGathersByElement(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for range 200 {
		x := normal(r.Uint64(), randomDims(r)...)
		a := r.IntN(len(x.Dims))
		which := randomDims(r)[:r.IntN(2)]
		picks := of(which, make([]int64, product(which)))
		for i := range picks.data.([]int64) {
			picks.data.([]int64)[i] = int64(r.IntN(2*x.Dims[a]) - x.Dims[a])
		}
		want := indexed(x, slices.Concat(x.Dims[:a], which, x.Dims[a+1:]), func(index []int) []int {
			pick := picks.data.([]int64)[dot(index[a:a+len(which)], strides(which, false))]
			i := (int(pick) + x.Dims[a]) % x.Dims[a]
			return slices.Concat(index[:a], []int{i}, index[a+len(which):])
		})
		expect(t, trial{op: "Gather", opset: 13, attrs: attrs{intAttr("axis", int64(a))}, in: []*Tensor{x, picks}}, want)
	}
}

// A node may read what nobody makes: models are not validated to be run.
func TestValueThatNobodyMakes(t *testing.T) {
	b := onnxgraph.NewBuilder("trial", 13)
	b.Add(onnxgraph.NewNode("Identity", "", []string{"nothing"}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, nil)
	m, err := b.Model("trial.onnx")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(t.Context(), m, Options{})
	if err == nil {
		_, err = p.Run(context.Background(), nil)
	}
	if err == nil || !strings.Contains(err.Error(), `"nothing" has no value`) {
		t.Errorf("error is %v", err)
	}
}
