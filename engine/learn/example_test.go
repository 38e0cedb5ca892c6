package learn_test

import (
	"context"
	"fmt"
	"log"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Training is a loop of forward, loss, backward and a step of the optimizer.
// This one teaches a line to a network of one neuron: y = 2x + 1.
func Example() {
	ctx := context.Background()
	b := onnxgraph.NewBuilder("line", 17)
	b.Input("x", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(4), onnxgraph.Const(1)})
	slope := b.Init(onnxgraph.NewFloat32s("slope", []int64{1, 1}, []float32{0}))
	offset := b.Init(onnxgraph.NewFloat32s("offset", []int64{1}, []float32{0}))
	b.Add(onnxgraph.NewNode("Gemm", "neuron", []string{"x", slope, offset}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(4), onnxgraph.Const(1)})
	m, err := b.Model("line.onnx")
	if err != nil {
		log.Fatal(err)
	}
	params, err := engine.ReadParams(context.Background(), m)
	if err != nil {
		log.Fatal(err)
	}
	network, err := engine.CompileTraining(context.Background(), m, params, engine.TrainingOptions{})
	if err != nil {
		log.Fatal(err)
	}

	x, _ := engine.New([]int{4, 1}, []float32{-1, 0, 1, 2})
	want, _ := engine.New([]int{4, 1}, []float32{-1, 1, 3, 5})
	optimizer, rate := &learn.SGD{Momentum: 0.9}, learn.Cosine(0.1, 0, 200)
	for step := range 200 {
		out, err := network.Forward(ctx, map[string]*engine.Tensor{"x": x})
		if err != nil {
			log.Fatal(err)
		}
		_, gradient, err := learn.MeanSquared(out["y"], want)
		if err != nil {
			log.Fatal(err)
		}
		params.ZeroGrad()
		if _, err := network.Backward(ctx, map[string]*engine.Tensor{"y": gradient}); err != nil {
			log.Fatal(err)
		}
		optimizer.Step(params, rate(step))
	}
	fmt.Printf("y = %.2f x + %.2f\n", params["slope"].Value[0], params["offset"].Value[0])
	// Output: y = 2.00 x + 1.00
}
