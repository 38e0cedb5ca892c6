package engine

import (
	"math"
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
)

type attrs = []*onnxgraph.Attribute

var (
	intAttr   = onnxgraph.IntAttr
	intsAttr  = onnxgraph.IntsAttr
	strAttr   = onnxgraph.StringAttr
	floatAttr = onnxgraph.FloatAttr
)

// apart are numbers no two of which are close, so that a small step changes no order.
func apart(seed uint64, dims ...int) *Tensor {
	t := normal(seed, dims...)
	f := t.Float32s()
	order := make([]int, len(f))
	for i := range order {
		order[i] = i*7919%len(f) + 1
	}
	for i := range f {
		f[i] = float32(order[i])/4 - float32(len(f))/8
	}
	return t
}

func positive(seed uint64, dims ...int) *Tensor {
	t := normal(seed, dims...)
	for i, v := range t.Float32s() {
		t.Float32s()[i] = v*v + 0.5
	}
	return t
}

func rowTrials() []trial {
	x, flat := normal(1, 2, 3, 4, 5), normal(2, 3, 7)
	trials := []trial{
		{op: "Softmax", opset: 11, in: []*Tensor{x}, smooth: 1},
		{op: "Softmax", opset: 11, attrs: attrs{intAttr("axis", -1)}, in: []*Tensor{x}, smooth: 1},
		{op: "Softmax", opset: 13, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{x}, smooth: 1},
		{op: "Softmax", opset: 13, in: []*Tensor{x}, smooth: 1},
		{op: "Softmax", opset: 13, attrs: attrs{intAttr("axis", 0)}, in: []*Tensor{flat}, smooth: 1},
		{op: "LogSoftmax", opset: 9, in: []*Tensor{flat}, smooth: 1},
		{op: "LogSoftmax", opset: 13, attrs: attrs{intAttr("axis", 2)}, in: []*Tensor{x}, smooth: 1},
		{op: "LogSoftmax", opset: 13, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{x}, smooth: 1},
		{op: "LRN", opset: 9, attrs: attrs{intAttr("size", 5), floatAttr("alpha", 0.3)}, in: []*Tensor{normal(3, 2, 7, 2, 3)}, smooth: 1},
		{op: "LRN", opset: 13, attrs: attrs{intAttr("size", 9)}, in: []*Tensor{normal(4, 1, 3, 3, 2)}, smooth: 1},
		{op: "LayerNormalization", opset: 17, in: []*Tensor{x, normal(5, 5), normal(6, 5)}, smooth: 3},
		{op: "LayerNormalization", opset: 17, attrs: attrs{intAttr("axis", 2)}, in: []*Tensor{x, normal(5, 4, 5)}, smooth: 2},
		{op: "LayerNormalization", opset: 17, attrs: attrs{intAttr("axis", 1), floatAttr("epsilon", 0.1)}, in: []*Tensor{x, normal(5, 3, 4, 5), normal(6, 3, 4, 5)}, smooth: 3},
		{op: "LayerNormalization", opset: 17, in: []*Tensor{x, normal(5, 1, 1, 5), normal(6, 1)}, smooth: 3},
		{op: "InstanceNormalization", opset: 7, in: []*Tensor{x, normal(5, 3), normal(6, 3)}, smooth: 3},
		{op: "GroupNormalization", opset: 21, attrs: attrs{intAttr("num_groups", 2)}, in: []*Tensor{normal(3, 2, 4, 3, 2), normal(5, 4), normal(6, 4)}, smooth: 3},
		{op: "GroupNormalization", opset: 18, attrs: attrs{intAttr("num_groups", 2)}, in: []*Tensor{normal(3, 2, 4, 3, 2), normal(5, 2), normal(6, 2)}, smooth: 3},
		{op: "ArgMax", opset: 13, attrs: attrs{intAttr("axis", 1)}, in: []*Tensor{x}},
		{op: "ArgMin", opset: 13, attrs: attrs{intAttr("axis", -1), intAttr("keepdims", 0)}, in: []*Tensor{x}},
	}
	for _, op := range []string{"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd"} {
		in, smooth := apart(9, 2, 3, 4, 2), 1
		switch op {
		case "ReduceLogSum":
			in = positive(9, 2, 3, 4, 2)
		case "ReduceLogSumExp", "ReduceSumSquare":
			in = normal(9, 2, 3, 4, 2)
		case "ReduceProd":
			in, smooth = normal(9, 2, 3, 4, 2), 0
		}
		add := func(opset int64, axes []int64, keep int64) {
			c := trial{op: op, opset: opset, attrs: attrs{intAttr("keepdims", keep)}, in: []*Tensor{in}, smooth: smooth}
			if opset >= 18 {
				if axes != nil {
					c.in = append(c.in, ints(axes...))
				}
			} else if axes != nil {
				c.attrs = append(c.attrs, intsAttr("axes", axes...))
			}
			trials = append(trials, c)
		}
		add(11, []int64{2, 3}, 1)
		add(11, []int64{3, 2}, 0)
		add(11, []int64{-1}, 0)
		add(11, []int64{1}, 0)
		add(11, []int64{0, 2}, 1)
		add(11, []int64{0, 2}, 0)
		add(11, nil, 1)
		add(18, []int64{0}, 0)
		add(18, nil, 0)
	}
	return trials
}

// evenLRN is what ONNX Runtime does not compute: a window of even size, which
// reaches one channel further behind than before.
var evenLRN = trial{
	op: "LRN", opset: 13, in: []*Tensor{normal(4, 1, 6, 3, 2)}, smooth: 1,
	attrs: attrs{intAttr("size", 4), floatAttr("alpha", 1), floatAttr("beta", 0.5), floatAttr("bias", 2)},
}

func TestLRNByDefinition(t *testing.T) {
	x := evenLRN.in[0]
	want := of(x.Dims, make([]float32, x.Len()))
	for i, v := range x.Float32s() {
		sum, channel := 0.0, i/6
		for c := max(0, channel-1); c <= min(5, channel+2); c++ {
			a := float64(x.Float32s()[c*6+i%6])
			sum += a * a
		}
		want.Float32s()[i] = v / float32(math.Sqrt(2+sum/4))
	}
	got, err := evenLRN.run(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := near(got, []*Tensor{want}, 1e-6); err != nil {
		t.Error(err)
	}
}

func TestRowsAgreeWithONNXRuntime(t *testing.T) { agree(t, rowTrials()) }
func TestRowsInAnyLayout(t *testing.T)          { layouts(t, append(rowTrials(), evenLRN)) }
func TestRowGradients(t *testing.T)             { gradients(t, append(rowTrials(), evenLRN)) }
