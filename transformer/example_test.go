package transformer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
)

// What natonnx optimize does: read, lift, choose under a bound, check, write.
func Example() {
	ctx := context.Background()
	model, err := onnxgraph.Open("../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	if err := model.Validate(); err != nil {
		log.Fatal(err)
	}
	policy, err := transformer.Builtin(transformer.DefaultPolicy)
	if err != nil {
		log.Fatal(err)
	}
	bound := model.Cost(model.Infer()).MAdds * 8 / 10
	plan, err := transformer.Choose(ctx, cellmap.Lift(model), transformer.Options{
		Policy: policy, Rules: transformer.NAT, Samples: 10, MaxMAdds: bound,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := plan.Result.Validate(); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := plan.Result.Save(ctx, filepath.Join(dir, "smaller.onnx")); err != nil {
		log.Fatal(err)
	}
	fmt.Println("within the bound:", plan.After.MAdds <= bound)
	fmt.Println("to be trained again:", plan.Destructive(cellmap.ZeroGate))
	// Output:
	// within the bound: true
	// to be trained again: true
}

// A policy of one's own needs two methods. This one wants a skip everywhere.
func ExamplePolicy() {
	model, err := onnxgraph.Open("../fixtures/resnet14.onnx")
	if err != nil {
		log.Fatal(err)
	}
	plan, err := transformer.Choose(context.Background(), cellmap.Lift(model), transformer.Options{
		Policy: skips{}, Rules: transformer.NAT, Samples: 1,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range plan.Moves[:2] {
		fmt.Printf("%s, saves %d multiply-adds\n", m.Move, m.MAdds)
	}
	fmt.Println("not possible:", plan.Refused[0].Reason)
	// Output:
	// layer1.0: node 1: null from -2 -> skip_connect, saves 0 multiply-adds
	// layer1.0: node 1: conv_3x3 from 0 -> skip_connect, saves 589824 multiply-adds
	// not possible: both inputs of the first cell are the stem's output: it would be added to itself
}

type skips struct{}

func (skips) Logits(_ context.Context, form cellmap.Form) ([][transformer.Actions]float64, error) {
	logits := make([][transformer.Actions]float64, len(form.Edges))
	for i := range logits {
		logits[i][transformer.ToSkip] = 100
	}
	return logits, nil
}

func (skips) Card() transformer.Card { return transformer.Card{Name: "skips", Kind: "rule"} }
