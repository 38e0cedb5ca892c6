package onnxgraph_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Opening reads the structure alone; weights stay in the file.
func ExampleOpen() {
	m, err := onnxgraph.Open("../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		log.Fatal(err)
	}
	types := m.Infer()
	cost := m.Cost(types)
	fmt.Println("opset", m.OpsetVersion())
	for _, in := range m.Graph.RealInputs() {
		fmt.Println("input", in.Name, in.Type.Elem, in.Type.Shape)
	}
	fmt.Println(len(m.Graph.Nodes), "nodes,", cost.Params, "parameters,", cost.MAdds, "multiply-adds")
	fmt.Println("the first convolution makes", types.Of(m.Graph.Nodes[0].Outputs[0]).Shape)
	// Output:
	// opset 17
	// input input float32 1x3x32x32
	// 37 nodes, 44090 parameters, 6775104 multiply-adds
	// the first convolution makes 1x8x32x32
}

// What is no model says what it is instead.
func ExampleFormatError() {
	_, err := onnxgraph.Parse("model.onnx", []byte("version https://git-lfs.github.com/spec/v1\n"))
	var format *onnxgraph.FormatError
	fmt.Println(errors.As(err, &format))
	fmt.Println(err)
	// Output:
	// true
	// model.onnx: is a Git LFS pointer, not the model itself: run git lfs pull
}

// A patch takes out the activation in front of the classifier; what nobody
// reads any more goes with it.
func ExampleModel_Apply() {
	m, err := onnxgraph.Open("../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	index := m.Graph.Index()
	patch := &onnxgraph.Patch{
		Rule:     "drop the last activation",
		Metadata: []onnxgraph.Property{{Key: "reviewed", Value: "yes"}},
	}
	for _, pool := range m.Graph.Nodes {
		if pool.Is("GlobalAveragePool") {
			relu := index.Producer[pool.Input(0)]
			patch.Rewire = append(patch.Rewire, onnxgraph.Rewire{Node: pool, Input: 0, To: relu.Input(0)})
		}
	}
	patched, err := m.Apply(patch)
	if err != nil {
		log.Fatal(err)
	}

	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "patched.onnx")
	if err := patched.Save(context.Background(), path); err != nil {
		log.Fatal(err)
	}
	again, err := onnxgraph.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(m.Graph.Nodes), "->", len(again.Graph.Nodes), "nodes;", again.Metadata[len(again.Metadata)-1])
	// Output: 37 -> 36 nodes; {reviewed yes}
}

// A model from nothing: y = x W.
func ExampleBuilder() {
	b := onnxgraph.NewBuilder("linear", 17)
	b.Input("x", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Symbol("batch"), onnxgraph.Const(2)})
	w := b.Init(onnxgraph.NewFloat32s("w", []int64{2, 1}, []float32{3, -1}))
	b.Add(onnxgraph.NewNode("MatMul", "product", []string{"x", w}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Symbol("batch"), onnxgraph.Const(1)})
	m, err := b.Model("linear.onnx")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Validate(), m.Infer().Of("y").Shape)
	// Output: <nil> batchx1
}
