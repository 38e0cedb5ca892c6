package supernet

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/train/epochs"
)

// A step of the supernet builds a child, compiles it, goes through it both ways and
// changes its weights: beside the ways alone, of children that are compiled and warm.
func BenchmarkStep(b *testing.B) {
	const images, children = 64, 8
	rng := rand.New(rand.NewPCG(1, 1))
	batch := epochs.Batch{Images: make([]float32, images*3*32*32), Shape: []int{3, 32, 32}}
	for i := range batch.Images {
		batch.Images[i] = float32(rng.NormFloat64())
	}
	for i := range images {
		batch.Labels = append(batch.Labels, i%10)
	}
	n := NewNet(stack.Supernet{Channels: 8, Layers: 8, Classes: 10, Size: 32}, 0.9, 3e-4)
	genotypes := make([]cellmap.Genotype, children)
	for i := range genotypes {
		genotypes[i] = Spaces[0].Draw(rng, 0.4)
	}
	var steps, bare time.Duration
	for round := 0; b.Loop(); round++ {
		for _, g := range genotypes {
			began := time.Now()
			if _, err := n.Step(b.Context(), g, batch, 0.01); err != nil {
				b.Fatal(err)
			}
			if round > 0 { // the first one makes the weights
				steps += time.Since(began)
			}
			if round > 0 {
				bare += bothWays(b, n, g, batch)
			}
		}
	}
	b.ReportMetric(steps.Seconds()/bare.Seconds(), "steps/bare")
	b.ReportMetric(float64(steps.Milliseconds())/float64(children*max(b.N-1, 1)), "ms/step")
	b.ReportMetric(0, "ns/op")
}

// bothWays times a way forwards and back, the second one.
func bothWays(b *testing.B, n *Net, g cellmap.Genotype, batch epochs.Batch) (d time.Duration) {
	c, err := n.child(b.Context(), g, false)
	if err != nil {
		b.Fatal(err)
	}
	for range 2 {
		began := time.Now()
		y, err := c.logits(b.Context(), batch)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Backward(b.Context(), map[string]*engine.Tensor{"output": y}); err != nil {
			b.Fatal(err)
		}
		d = time.Since(began)
	}
	return d
}

// What a child costs before it computes.
func BenchmarkChild(b *testing.B) {
	n := NewNet(stack.Supernet{Channels: 8, Layers: 5, Classes: 10, Size: 32}, 0.9, 3e-4)
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		if _, err := n.child(b.Context(), Spaces[0].Draw(rng, 0.4), true); err != nil {
			b.Fatal(err)
		}
	}
}
