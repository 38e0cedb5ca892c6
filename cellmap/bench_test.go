package cellmap_test

import (
	"fmt"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// chain builds a network of so many nodes: residual blocks, or a trunk without
// any branch or pooling.
func chain(b *testing.B, nodes int, residual bool) *onnxgraph.Model {
	b.Helper()
	net := onnxgraph.NewBuilder("chain", 17)
	shape := onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(4), onnxgraph.Const(8), onnxgraph.Const(8)}
	net.Input("v0", onnxgraph.Float32, shape)
	w := net.Init(onnxgraph.NewFloat32s("w", []int64{4, 4, 3, 3}, make([]float32, 144)))
	at, count := "v0", 0
	add := func(op string, in ...string) string {
		count++
		out := fmt.Sprintf("v%d", count)
		var attrs []*onnxgraph.Attribute
		if op == "Conv" {
			attrs = append(attrs, onnxgraph.IntsAttr("pads", 1, 1, 1, 1))
		}
		net.Add(onnxgraph.NewNode(op, out, in, []string{out}, attrs...))
		return out
	}
	for count < nodes {
		x := at
		at = add("Relu", add("Conv", x, w))
		if residual {
			at = add("Relu", add("Add", add("Conv", at, w), x))
		}
	}
	net.Output(at, onnxgraph.Float32, shape)
	m, err := net.Model("chain")
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkLiftLower shows that the time per node does not grow with the network.
func BenchmarkLiftLower(b *testing.B) {
	for _, residual := range []bool{true, false} {
		for _, nodes := range []int{5000, 10000, 20000, 40000} {
			b.Run(fmt.Sprintf("residual=%v/nodes=%d", residual, nodes), func(b *testing.B) {
				m := chain(b, nodes, residual)
				for b.Loop() {
					lifted := cellmap.Lift(m)
					var moves []cellmap.Move
					for _, c := range lifted.Cells {
						moves = append(moves, cellmap.Move{Cell: c, Edge: cellmap.EdgeID{Node: 3, Slot: 0}, To: cellmap.Skip})
					}
					patch, err := lifted.Lower(moves, cellmap.ZeroGate)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := m.Apply(patch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(nodes), "ns/node")
			})
		}
	}
}
