package cellmap_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Gates that are opened and folded leave the network that has plain skips.
func TestOpenGatesFoldAway(t *testing.T) {
	m, err := fixtures.Build("resnet14", fixtures.Options{Width: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	cells := cellmap.Lift(m)
	var moves []cellmap.Move
	for _, c := range cells.Cells {
		for k, n := range c.Nodes {
			for slot, e := range n.Edges {
				move := cellmap.Move{Cell: c, Edge: cellmap.EdgeID{Node: k + 2, Slot: slot}, To: cellmap.Skip}
				if e.Op == cellmap.Null && cells.Allowed(move) == nil {
					moves = append(moves, move)
				}
			}
		}
	}
	lower := func(init cellmap.SkipInit) *onnxgraph.Model {
		p, err := cells.Lower(moves, init)
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Apply(p)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	gated := lower(cellmap.ZeroGate)
	gates := cellmap.Gates(gated)
	if len(gates) < 2 || len(gates) != len(moves) {
		t.Fatalf("%d gates for %d moves", len(gates), len(moves))
	}
	if p, n := cellmap.FoldGates(gated, 0.001); n != 0 || !p.Empty() {
		t.Errorf("%d closed gates fold", n)
	}
	open := &onnxgraph.Patch{Rule: "test"}
	for i, g := range gates {
		scale := slices.Repeat([]float32{1.0005}, len(g.Scale))
		if i == 0 {
			scale[0] = 1.1 // stays
		}
		name := g.Node.Inputs[1]
		open.Replace = append(open.Replace, onnxgraph.NewFloat32s(name, gated.Graph.Index().Initializer[name].Dims, scale))
	}
	opened, err := gated.Apply(open)
	if err != nil {
		t.Fatal(err)
	}
	p, n := cellmap.FoldGates(opened, 0.001)
	if n != len(gates)-1 {
		t.Errorf("%d gates fold, want all but one of %d", n, len(gates))
	}
	folded, err := opened.Apply(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := folded.Validate(); err != nil {
		t.Error(err)
	}
	if left := cellmap.Gates(folded); len(left) != 1 {
		t.Errorf("%d gates are left", len(left))
	}
	count := func(m *onnxgraph.Model) (ops []string) {
		for _, n := range m.Graph.Nodes {
			ops = append(ops, n.OpType)
		}
		slices.Sort(ops)
		return ops
	}
	if have, want := count(folded), append(count(lower(cellmap.IdentitySkip)), "Mul"); !slices.Equal(have, slices.Sorted(slices.Values(want))) {
		t.Errorf("operators %v, want those of plain skips and one gate", have)
	}
	var b bytes.Buffer
	if _, err := folded.WriteTo(&b); err != nil {
		t.Error(err)
	}
}
