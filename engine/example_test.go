package engine_test

import (
	"context"
	"fmt"
	"log"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A program is compiled once and runs any number of times.
func Example() {
	m, err := onnxgraph.Open("../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	program, err := engine.Compile(context.Background(), m, engine.Options{Memory: 64 << 20, Finite: true})
	if err != nil {
		log.Fatal(err)
	}
	image, err := engine.New([]int{1, 3, 32, 32}, make([]float32, 3*32*32))
	if err != nil {
		log.Fatal(err)
	}
	out, err := program.Run(context.Background(), map[string]*engine.Tensor{"input": image})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(program.Inputs()[0].Shape, "->", out["output"])
	// Output: 1x3x32x32 -> float32 1x10
}

// Memory is checked before any of it is reserved.
func ExampleMemoryError() {
	m, err := onnxgraph.Open("../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	program, err := engine.Compile(context.Background(), m, engine.Options{Memory: 1000})
	if err != nil {
		log.Fatal(err)
	}
	image, err := engine.New([]int{1, 3, 32, 32}, make([]float32, 3*32*32))
	if err != nil {
		log.Fatal(err)
	}
	_, err = program.Run(context.Background(), map[string]*engine.Tensor{"input": image})
	_, tooMuch := err.(*engine.MemoryError)
	fmt.Println(tooMuch)
	// Output: true
}
