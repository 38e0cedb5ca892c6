package train

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// A learner finds out what is rewarded, whatever the topology: here skips in the
// first of two cells, and nulls in the second.
func TestLearner(t *testing.T) {
	l, err := NewLearner(Options{Network: GCN(8, 8, 2), Seed: 1, Steps: 150, Samples: 8, Rate: 0.02})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	vocabulary := transformer.Vocabulary()
	cell := func() (f cellmap.Form) {
		for to := 2; to < 6; to++ {
			for range 2 {
				f.Edges = append(f.Edges, cellmap.FormEdge{Op: vocabulary[rng.IntN(len(vocabulary))], From: rng.IntN(to), To: to})
			}
		}
		f.Concat = []int{5}
		return f
	}
	count := func(f cellmap.Form, op cellmap.Op) (n float64) {
		for _, e := range f.Edges {
			n += is(e.Op == op) / float64(len(f.Edges))
		}
		return n
	}
	step := func() Update {
		first, second := cell(), cell()
		first.Concat = []int{2, 3, 4, 5}
		for i := range first.Edges { // tells the cells apart
			if first.Edges[i].Op == cellmap.Null {
				first.Edges[i].Op = "conv_3x3"
			}
		}
		for i := range second.Edges {
			if second.Edges[i].Op != cellmap.Null {
				second.Edges[i].Op = "avg_pool_3x3"
			}
		}
		u, err := l.Update(t.Context(), []cellmap.Form{first, second}, func(_ context.Context, list [][]cellmap.Form) (rewards []float64, err error) {
			for _, cells := range list {
				rewards = append(rewards, count(cells[0], cellmap.Skip)+count(cells[1], cellmap.Null))
			}
			return rewards, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	first := step()
	var last Update
	for range 149 {
		last = step()
	}
	if first.Reward > 1.3 || last.Reward < 1.7 || last.Entropy > first.Entropy/2 {
		t.Errorf("first update %+v, last %+v", first, last)
	}
}
