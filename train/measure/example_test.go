package measure_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/measure"
)

// Accuracy on labelled data, with what it was measured on.
func ExampleEvaluate() {
	model, err := onnxgraph.Open("../../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	records := filepath.Join(dir, "test_batch.bin") // CIFAR's form; here, four black pictures
	if err := os.WriteFile(records, make([]byte, 4*(1+3*32*32)), 0o666); err != nil {
		log.Fatal(err)
	}
	how, err := dataset.ParsePreprocess("cifar10")
	if err != nil {
		log.Fatal(err)
	}
	data, err := dataset.Open(records, how)
	if err != nil {
		log.Fatal(err)
	}
	network, err := measure.Open(context.Background(), model, measure.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer network.Close()
	result, err := measure.Evaluate(context.Background(), network, nil, data, measure.EvaluateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(network.Classes, "classes;", result.Samples, data.Kind())
	fmt.Println("top-1 of", result.Accuracy.Top1.Of)
	// Output:
	// 10 classes; 4 CIFAR-10 records
	// top-1 of 4
}

// A share of few samples says little: its interval is wide.
func ExampleShare_Interval() {
	for _, s := range []measure.Share{{Count: 9, Of: 10}, {Count: 900, Of: 1000}} {
		low, high := s.Interval()
		fmt.Printf("%.0f %% of %d: %.1f to %.1f %%\n", 100*s.Value(), s.Of, 100*low, 100*high)
	}
	// Output:
	// 90 % of 10: 59.6 to 98.2 %
	// 90 % of 1000: 88.0 to 91.7 %
}

// How far a model's outputs are from those of another one, without data.
func ExampleDrifted() {
	model, err := onnxgraph.Open("../../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	drift, err := measure.Drifted(context.Background(), model, model, 4, 0, measure.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(drift.Inputs, "inputs of", drift.Shape, "differ by", drift.MaxAbs)
	// Output: 4 inputs of [3 32 32] differ by 0
}
