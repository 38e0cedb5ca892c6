package engine

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
)

// hostile is a node with arbitrary integers where it reads shapes, axes, pads
// or indices.
func hostile(r *rand.Rand) trial {
	numbers := func() []int64 {
		list := make([]int64, r.IntN(6))
		for i := range list {
			switch r.IntN(12) {
			case 0:
				list[i] = []int64{math.MinInt64, math.MaxInt64, 1 << 31, 1 << 47, -(1 << 48), 1 << 62, 3037000500}[r.IntN(7)]
			default:
				list[i] = int64(r.IntN(9) - 4)
			}
		}
		return list
	}
	dims := randomDims(r)
	if r.IntN(8) == 0 {
		dims[r.IntN(len(dims))] = 0
	}
	x := normal(r.Uint64(), dims...)
	ops := []string{
		"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Shape", "ConstantOfShape", "Range", "Transpose", "Slice", "Pad",
		"Gather", "Split", "Concat", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "ReduceSum", "ReduceMax", "ReduceLogSumExp",
		"ArgMax", "Softmax", "LogSoftmax", "LRN", "LayerNormalization", "InstanceNormalization", "GroupNormalization",
	}
	c := trial{op: ops[r.IntN(len(ops))], opset: []int64{7, 9, 10, 11, 12, 13, 18, 21}[r.IntN(8)], outputs: 1 + r.IntN(3), in: []*Tensor{x}}
	if c.op == "ConstantOfShape" || c.op == "Range" {
		c.in = nil
	}
	for range r.IntN(5) {
		if r.IntN(4) == 0 {
			c.in = append(c.in, normal(r.Uint64(), randomDims(r)...))
		} else {
			c.in = append(c.in, ints(numbers()...))
		}
	}
	for _, name := range []string{"axis", "keepdims", "blocksize", "size", "num_groups", "allowzero", "start", "end", "num_outputs", "noop_with_empty_axes"} {
		if n := numbers(); len(n) > 3 {
			c.attrs = append(c.attrs, intAttr(name, n[0]))
		}
	}
	for _, name := range []string{"axes", "perm", "starts", "ends", "pads", "split"} {
		if n := numbers(); len(n) > 1 {
			c.attrs = append(c.attrs, intsAttr(name, n...))
		}
	}
	if r.IntN(2) == 0 {
		c.attrs = append(c.attrs, strAttr("mode", []string{"constant", "reflect", "edge", "wrap", "CRD"}[r.IntN(5)]))
	}
	return c
}

// survive runs a node both ways in little memory: an error is fine.
func survive(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 5))
	c := hostile(r)
	if len(c.in) == 0 {
		return
	}
	m := c.model(t)
	s, err := operators[c.op](&node{
		Node: m.Graph.Nodes[0], opset: c.opset,
		plan: &planner{model: m, types: m.Infer(), constants: newConstants(m)},
	})
	if err != nil {
		return
	}
	b := newBench(s)
	b.x.arena.limit = 1 << 22
	begin := time.Now()
	in := b.laid(t, c.in, r.IntN(2) == 0)
	out, err := s.run(b.x, in)
	if d, ok := s.(differentiable); ok && err == nil && out[0].Type() == onnxgraph.Float32 {
		want := make([]bool, len(in))
		want[0] = in[0].Type() == onnxgraph.Float32
		d.grad(b.x, in, out, out, want)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("seed %d: %v took %v", seed, c, d)
	}
}

func TestHostileNodes(t *testing.T) {
	for seed := range uint64(20000) {
		survive(t, seed)
	}
}

func FuzzHostileNodes(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(survive)
}
