package diff_test

import (
	"context"
	"fmt"
	"log"

	"github.com/natonnx/natonnx/fleet/diff"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A network gets other names, and one of its operators is replaced.
func ExampleCompare() {
	network := func(input, hidden, activation string) *onnxgraph.Model {
		b := onnxgraph.NewBuilder("example", 17)
		b.Input(input, onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(4)})
		b.Add(onnxgraph.NewNode("Neg", "", []string{input}, []string{hidden}))
		b.Add(onnxgraph.NewNode(activation, "act", []string{hidden}, []string{"y"}))
		b.Output("y", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(4)})
		m, err := b.Model(activation + ".onnx")
		if err != nil {
			log.Fatal(err)
		}
		return m
	}
	d, err := diff.Compare(context.Background(), network("x", "h", "Relu"), network("input", "hidden", "Sigmoid"), diff.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range d.Interface {
		fmt.Printf("%s %s: %s -> %s\n", c.What, c.Kind, c.Before, c.After)
	}
	for _, c := range d.Structure.Changed {
		fmt.Printf("%v was %v\n", c.After, c.Before)
	}
	for _, r := range d.Renames {
		fmt.Printf("%s %s -> %s\n", r.What, r.Before, r.After)
	}
	// Output:
	// input renamed: x -> input
	// Sigmoid "act" was Relu "act"
	// value h -> hidden
}
