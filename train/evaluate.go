package train

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"

	"github.com/natonnx/natonnx/transformer"
)

// BestReachable returns the highest accuracy, in percent, among the cells that
// the moves of rules, NAT's or NAT++'s, make of a cell, the cell itself included.
func (t *Table) BestReachable(cell int, rules transformer.Rules, d Dataset) float64 {
	return t.reachable[rules.Name][cell][d]
}

// reach fills in the best reachable accuracies. Moves on one edge do not depend
// on the others, so it lets one edge after the other move: six passes in place
// of hundreds of transformations for each cell.
func (t *Table) reach() {
	t.reachable = map[string]*[Cells201][Datasets]float64{}
	for _, rules := range []transformer.Rules{transformer.NAT, transformer.NATPlusPlus} {
		moves, best := MovesOf201(rules), t.accuracy
		for edge := range Edges201 {
			before := best
			for cell := range before {
				for _, step := range moves.Options(cell)[edge] {
					for d, x := range before[cell+step] {
						best[cell][d] = max(best[cell][d], x)
					}
				}
			}
		}
		t.reachable[rules.Name] = &best
	}
}

// An Evaluation says how a policy does on a set of cells, on one data set.
// Accuracies are means over the cells, in percent.
type Evaluation struct {
	Dataset   Dataset
	Cells     int
	Input     float64 // of the cells as they are
	Reachable float64 // of the best that the policy's rules make of each
	MAdds     float64 // of the cells as they are: mean of [MAdds201]
	Max       Outcome // taking the most probable action on every edge
	Sampled   Outcome // taking the most probable of ten sampled transformations and the input
	// Ranked is taking, of the input and its nine most probable transformations,
	// the most accurate on CIFAR-10: ten look-ups in the table for each cell.
	Ranked Outcome
}

// An Outcome is one way of deciding, measured.
type Outcome struct {
	Accuracy float64
	Captured float64 // (accuracy - input) / (reachable - input), in percent
	Worse    float64 // share of cells that became less accurate, in percent
	MAdds    float64 // mean of [MAdds201]
}

// SamplesPerCell is how many transformations the paper draws per input.
const SamplesPerCell = 10

// Evaluate measures a policy on cells of the table, on all three data sets.
// Decisions do not see the table, but for those of Ranked.
func Evaluate(ctx context.Context, policy transformer.Policy, t *Table, w *Writing, cells []int, seed uint64) ([Datasets]Evaluation, error) {
	var out [Datasets]Evaluation
	rng := rand.New(rand.NewPCG(seed, 1))
	best, sampled, ranked := make([]int, len(cells)), make([]int, len(cells)), make([]int, len(cells))
	p, err := NewProposer(policy, w)
	if err != nil {
		return out, err
	}
	for i, cell := range cells {
		s, err := p.Propose(ctx, cell)
		if err != nil {
			return out, err
		}
		best[i], sampled[i], ranked[i] = s.MostProbable(1)[0], s.BestSample(rng, SamplesPerCell), t.MostAccurate(s.Candidates(SamplesPerCell))
	}
	for d := range out {
		e := t.evaluation(p.Rules, Dataset(d), cells)
		e.Max, e.Sampled, e.Ranked = t.Outcome(p.Rules, Dataset(d), cells, best), t.Outcome(p.Rules, Dataset(d), cells, sampled), t.Outcome(p.Rules, Dataset(d), cells, ranked)
		out[d] = e
	}
	return out, nil
}

// MostAccurate returns the most accurate of cells on CIFAR-10, as many look-ups
// as there are cells; the first wins ties. It is the ranking of the paper's
// inference, with accuracies on the test images, as the table has no others.
func (t *Table) MostAccurate(cells []int) int {
	return slices.MaxFunc(cells, func(a, b int) int { return cmp.Compare(t.accuracy[a][CIFAR10], t.accuracy[b][CIFAR10]) })
}

// evaluation is what is known of cells before any decision.
func (t *Table) evaluation(rules transformer.Rules, d Dataset, cells []int) Evaluation {
	e := Evaluation{Dataset: d, Cells: len(cells)}
	for _, cell := range cells {
		e.Input += t.accuracy[cell][d] / float64(len(cells))
		e.Reachable += t.BestReachable(cell, rules, d) / float64(len(cells))
		e.MAdds += float64(MAdds201(cell)) / float64(len(cells))
	}
	return e
}

// Outcome measures decisions: after holds what becomes of each of the cells.
func (t *Table) Outcome(rules transformer.Rules, d Dataset, cells, after []int) (o Outcome) {
	n := float64(len(cells))
	for i, cell := range after {
		o.Accuracy += t.accuracy[cell][d] / n
		o.MAdds += float64(MAdds201(cell)) / n
		if t.accuracy[cell][d] < t.accuracy[cells[i]][d] {
			o.Worse += 100 / n
		}
	}
	if e := t.evaluation(rules, d, cells); e.Reachable > e.Input {
		o.Captured = 100 * (o.Accuracy - e.Input) / (e.Reachable - e.Input)
	}
	return o
}
