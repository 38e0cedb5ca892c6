package train

import (
	"context"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// TableReward rewards by the measured accuracies of a table on one data set,
// for forms in one of [Writings]. A cell costs its [MAdds201] or, where there
// are latencies, its latency.
type TableReward struct {
	Table   *Table
	Dataset Dataset
	Latency *Latency
}

// Reward implements [Reward].
func (r TableReward) Reward(_ context.Context, before, after cellmap.Form) (float64, error) {
	b, err := Cell201(before)
	if err != nil {
		return 0, err
	}
	a, err := Cell201(after)
	if err != nil {
		return 0, err
	}
	return (r.Table.Accuracy(a, r.Dataset) - r.Table.Accuracy(b, r.Dataset)) / 100, nil
}

// Cost implements [Reward].
func (r TableReward) Cost(form cellmap.Form) (float64, error) {
	cell, err := Cell201(form)
	return r.cost(cell), err
}

func (r TableReward) cost(cell int) float64 {
	if r.Latency != nil {
		return r.Latency.Of(cell)
	}
	return float64(MAdds201(cell))
}

// Legal implements [Reward].
func (r TableReward) Legal(form cellmap.Form) transformer.Legal { return Legal201(form) }
