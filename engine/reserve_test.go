package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/fixtures"
)

// Programs that share memory compute what those do that have their own, both ways,
// and forwards alone.
func TestReserve(t *testing.T) {
	var reserve engine.Reserve
	for round, width := range []float64{0.5, 0.25, 0.5} {
		m, err := fixtures.Build("resnet14", fixtures.Options{Width: width, Dialect: fixtures.Dialect{DynamicBatch: true}})
		if err != nil {
			t.Fatal(err)
		}
		x, labels := randomBatch(t, m, 4)
		run := func(o engine.TrainingOptions) (scores []float32, params engine.Params) {
			params, err := engine.ReadParams(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			o.BatchStatistics = true
			p, err := engine.CompileTraining(t.Context(), m, params, o)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				out, err := p.Forward(t.Context(), map[string]*engine.Tensor{"input": x})
				if err != nil {
					t.Fatal(err)
				}
				scores = out["output"].Float32s()
				_, slope, err := learn.CrossEntropy(out["output"], labels, 0)
				if err != nil {
					t.Fatal(err)
				}
				params.ZeroGrad()
				if _, err := p.Backward(t.Context(), map[string]*engine.Tensor{"output": slope}); (err != nil) != o.OneWay {
					t.Fatalf("one way %v: %v", o.OneWay, err)
				}
			}
			return scores, params
		}
		want, wanted := run(engine.TrainingOptions{})
		for _, oneWay := range []bool{false, true} {
			have, params := run(engine.TrainingOptions{Options: engine.Options{Reserve: &reserve}, OneWay: oneWay})
			what := fmt.Sprintf("round %d, one way %v", round, oneWay)
			if !slices.Equal(have, want) {
				t.Errorf("%s: the scores differ", what)
			}
			for name, p := range params {
				if !oneWay && !slices.Equal(p.Grad, wanted[name].Grad) {
					t.Errorf("%s: the gradient of %s differs", what, name)
				}
			}
		}
	}
}
