package train

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// noise rewards without a table: what is timed is the rest.
type noise struct{ rng *rand.Rand }

func (n noise) Reward(context.Context, cellmap.Form, cellmap.Form) (float64, error) {
	return n.rng.NormFloat64(), nil
}

func (noise) Cost(cellmap.Form) (float64, error) { return 1, nil }

func (noise) Legal(cellmap.Form) transformer.Legal { return nil }

// One update of the weights: natonnx's, of 64 cells with 8 samples each, and
// the paper's, of one with one, at the sizes of the authors' code.
func BenchmarkStep(b *testing.B) {
	var inputs []cellmap.Form
	for c := 0; c < Cells201; c += 97 {
		inputs = append(inputs, Form201(c))
	}
	for _, kind := range Kinds() {
		b.Run(string(kind), func(b *testing.B) {
			o, _, err := kind.options()
			if err != nil {
				b.Fatal(err)
			}
			o.Steps = 1 << 30
			t, err := newTrainer(inputs, noise{rand.New(rand.NewPCG(1, 1))}, o)
			if err != nil {
				b.Fatal(err)
			}
			defer t.close()
			for b.Loop() {
				if err := t.update(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
