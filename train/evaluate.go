package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// BestReachable returns the highest accuracy, in percent, among the cells that
// NAT's moves make of a cell, the cell itself included.
func (t *Table) BestReachable(cell int, d Dataset) float64 { return t.reachable[cell][d] }

// reach fills in the best reachable accuracies. Moves on one edge do not depend
// on the others, so it lets one edge after the other move: six passes in place
// of hundreds of transformations for each cell.
func (t *Table) reach() {
	t.reachable = t.accuracy
	scale := 1
	for range edges201 {
		before := t.reachable
		for cell := range before {
			old := cell / scale % len(ops201)
			for to := range vocabulary201 {
				if !movable(vocabulary201[old], vocabulary201[to]) {
					continue
				}
				for d, x := range before[cell+(to-old)*scale] {
					t.reachable[cell][d] = max(t.reachable[cell][d], x)
				}
			}
		}
		scale *= len(ops201)
	}
}

func movable(from, to cellmap.Op) bool {
	for a := range transformer.Action(transformer.Actions) {
		if transformer.NAT.Allows(cellmap.FormEdge{Op: from}, a) && a.Apply(from) == to {
			return true
		}
	}
	return false
}

// An Evaluation says how a policy does on a set of cells, on one data set.
// Accuracies are means over the cells, in percent.
type Evaluation struct {
	Dataset   Dataset
	Cells     int
	Input     float64 // of the cells as they are
	Reachable float64 // of the best that NAT's moves make of each
	Max       Outcome // taking the most probable action on every edge
	Sampled   Outcome // taking the most probable of ten sampled transformations
}

// An Outcome is one way of deciding, measured.
type Outcome struct {
	Accuracy float64
	Captured float64 // (accuracy - input) / (reachable - input), in percent
	Worse    float64 // share of cells that became less accurate, in percent
}

// samplesPerCell is how many transformations the paper samples per input.
const samplesPerCell = 10

// Evaluate measures a policy on cells of the table, on all three data sets.
// Decisions do not see the table: they are the policy's alone.
func Evaluate(ctx context.Context, policy transformer.Policy, t *Table, w *Writing, cells []int, seed uint64) ([Datasets]Evaluation, error) {
	var out [Datasets]Evaluation
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, cell := range cells {
		form := w.Form(cell)
		logits, err := policy.Logits(ctx, form)
		if err != nil {
			return out, err
		}
		best, _ := transformer.Best(logits, transformer.NAT, form, nil)
		sampled := mostProbable(rng, transformer.Probabilities(logits, transformer.NAT, form, nil))
		for d := range out {
			e := &out[d]
			e.Cells++
			before := t.accuracy[cell][d]
			e.Input += before
			e.Reachable += t.BestReachable(cell, Dataset(d))
			if err := e.Max.add(t, form, best, Dataset(d), before); err != nil {
				return out, err
			}
			if err := e.Sampled.add(t, form, sampled, Dataset(d), before); err != nil {
				return out, err
			}
		}
	}
	for d := range out {
		out[d].finish(Dataset(d))
	}
	return out, nil
}

func mostProbable(rng *rand.Rand, probs [][transformer.Actions]float64) (best []transformer.Action) {
	top := math.Inf(-1)
	for range samplesPerCell {
		if actions, logProb := transformer.Draw(rng, probs); logProb > top {
			best, top = actions, logProb
		}
	}
	return best
}

func (o *Outcome) add(t *Table, form cellmap.Form, actions []transformer.Action, d Dataset, before float64) error {
	cell, err := Cell201(transformer.Transform(form, actions))
	if err != nil {
		return fmt.Errorf("after the policy: %w", err)
	}
	after := t.accuracy[cell][d]
	o.Accuracy += after
	if after < before {
		o.Worse++
	}
	return nil
}

func (e *Evaluation) finish(d Dataset) {
	n := float64(max(e.Cells, 1))
	e.Dataset = d
	e.Input /= n
	e.Reachable /= n
	for _, o := range []*Outcome{&e.Max, &e.Sampled} {
		o.Accuracy /= n
		o.Worse *= 100 / n
		if room := e.Reachable - e.Input; room > 0 {
			o.Captured = 100 * (o.Accuracy - e.Input) / room
		}
	}
}
