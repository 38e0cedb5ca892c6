package cellmap_test

import (
	"fmt"
	"log"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Lifting a network lists its cells, and what is no cell.
func ExampleLift() {
	model, err := onnxgraph.Open("../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	m := cellmap.Lift(model)
	for _, c := range m.Cells {
		fmt.Printf("%s %s: %s, %s shortcut\n", c.Type.Name, c.Name, c.Kind, c.Shortcut)
	}
	fmt.Println("type A is", m.CellTypes[0].Form)
	for _, r := range m.Refused {
		fmt.Println("no cell:", r.Where)
	}
	// Output:
	// A layer1.0: residual, identity shortcut
	// A layer1.1: residual, identity shortcut
	// B layer2.0: residual, projection shortcut
	// A layer2.1: residual, identity shortcut
	// B layer3.0: residual, projection shortcut
	// A layer3.1: residual, identity shortcut
	// type A is N<0 S<1 | N<0 c3<2 | N<0 c3<3 | S<2 S<4 cat[5]
	// no cell: graph.node[0] (Conv "/conv1/Conv")
}

// A move that the network does not allow is refused with the reason; one that
// it allows becomes a patch of the graph.
func ExampleMap_Lower() {
	model, err := onnxgraph.Open("../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	m := cellmap.Lift(model)
	var moves []cellmap.Move
	for _, c := range m.Cells[2:4] {
		move := cellmap.Move{Cell: c, Edge: cellmap.EdgeID{Node: 3, Slot: 1}, To: cellmap.Skip}
		if err := m.Allowed(move); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(move)
		moves = append(moves, move)
	}
	patch, err := m.Lower(moves, cellmap.ZeroGate)
	if err != nil {
		log.Fatal(err)
	}
	lowered, err := model.Apply(patch)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(model.Graph.Nodes), "->", len(lowered.Graph.Nodes), "nodes")
	// Output:
	// layer2.0: node 1: conv_3x3 from 0 -> skip_connect: 8x32x32 -> 16x16x16: the resolution changes, a skip needs a strided projection
	// layer2.1: node 1: conv_3x3 from 0 -> skip_connect
	// 37 -> 36 nodes
}

// Genotypes are read and written as the authors of NAT write them.
func ExampleParseGenotype() {
	g, err := cellmap.ParseGenotype(`Genotype(
		normal=[('conv_3x3', 0, 2), ('skip_connect', 1, 2)], normal_concat=[2],
		reduce=[('conv_3x3', 0, 2), ('null', 1, 2)], reduce_concat=[2])`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(g.Normal)
	fmt.Println(g.Reduce)
	// Output:
	// c3<0 S<1 cat[2]
	// c3<0 N<1 cat[2]
}
