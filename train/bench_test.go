package train

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
)

// noise rewards without a table: what is timed is the rest.
type noise struct{ rng *rand.Rand }

func (n noise) Reward(context.Context, cellmap.Form, cellmap.Form) (float64, error) {
	return n.rng.NormFloat64(), nil
}

// One update of the weights, of 64 cells with 8 samples each.
func BenchmarkStep(b *testing.B) {
	var inputs []cellmap.Form
	for c := 0; c < Cells201; c += 97 {
		inputs = append(inputs, Form201(c))
	}
	o := Options{Steps: 1 << 30, Batch: 64, Samples: 8, Rate: 1e-3, Entropy: 0.003, Embed: 32, Hidden: 48}
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
}
