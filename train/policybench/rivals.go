package policybench

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/transformer"
)

// rivals adds the rows of what was not trained.
func (b *bench) rivals(ctx context.Context) error {
	for _, c := range []contender{
		b.blind("none", false, func(_ *rand.Rand, s *space) int { return s.cell }),
		b.blind("random", true, func(rng *rand.Rand, s *space) int { return s.candidate(s.draw(rng)) }),
		b.blind("fixed rule", false, func(_ *rand.Rand, s *space) int { return fixedRule(s.cell) }),
		b.searching("random search", "10 look-ups", 10, randomly),
		b.searching("greedy", "cut at 10 look-ups", 10, greedily),
		b.searching("greedy", "to the end", 0, greedily),
		b.searching("evolution", "10 look-ups", 10, evolve),
		b.searching("evolution", "50 look-ups", 50, evolve),
		b.searching("exhaustive search", "", 0, exhaustively),
	} {
		if err := b.measure(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// blind is a contender that looks nothing up.
func (b *bench) blind(name string, draws bool, decide func(*rand.Rand, *space) int) contender {
	return contender{name: name, draws: draws, decide: func(_ context.Context, rng *rand.Rand, cell int) (int, int, error) {
		return decide(rng, &space{cell, b.moves.Options(cell)}), 0, nil
	}}
}

func (b *bench) searching(name, how string, limit int, search searcher) contender {
	return contender{name: name, how: how, draws: how != "", decide: func(_ context.Context, rng *rand.Rand, cell int) (int, int, error) {
		l := newLedger(b.look, limit)
		search(rng, &space{cell, b.moves.Options(cell)}, l)
		return l.best, len(l.known), nil
	}}
}

// look is what all who may look up see: the accuracy on the test images of
// CIFAR-10. The paper ranks candidates by held-out images too, and the table has
// no others after 200 epochs.
func (b *bench) look(cell int) float64 { return b.Table.Accuracy(cell, train.CIFAR10) }

// fixedRule is the best that can be written by hand in two lines: on the edge
// from node 0 to node 1 all but convolutions becomes null, on every other edge
// all but convolutions becomes a skip.
func fixedRule(cell int) int {
	form := train.Form201(cell)
	for i, e := range form.Edges {
		switch {
		case e.Fixed || e.Op.Class() == cellmap.ClassOther && !e.Op.IsPool():
		case e.From == 1 && e.To == 2: // node 1 of the form is the benchmark's node 0
			form.Edges[i].Op = cellmap.Null
		default:
			form.Edges[i].Op = cellmap.Skip
		}
	}
	after, err := train.Cell201(form)
	if err != nil { // skips and nulls are in the vocabulary
		return cell
	}
	return after
}

// temperatures are tried on the cells that choose.
var temperatures = []float64{1, 2, 3, 4, 6, 8}

// contenders are the ways in which a policy decides. Of the last one, cells are
// written as natonnx lifts those of real networks: which way a cell is written
// changes no network, but what a policy reads.
func (b *bench) contenders(ctx context.Context, policy transformer.Policy, name string) ([]contender, error) {
	p, err := train.NewProposer(policy, &train.Writings[0])
	if err != nil {
		return nil, err
	}
	lifted, err := train.NewProposer(policy, &train.Writings[1])
	if err != nil {
		return nil, err
	}
	t, err := b.bestTemperature(ctx, p)
	if err != nil {
		return nil, err
	}
	const n = train.SamplesPerCell
	list := []contender{
		asking(p, func(_ *rand.Rand, q *train.Proposal) (int, int) { return q.MostProbable(1)[0], 0 }),
		asking(p, func(rng *rand.Rand, q *train.Proposal) (int, int) { return q.BestSample(rng, n), 0 }),
		asking(p, func(rng *rand.Rand, q *train.Proposal) (int, int) {
			return b.Table.MostAccurate(q.Samples(rng, t, n)), n
		}),
		asking(p, func(_ *rand.Rand, q *train.Proposal) (int, int) {
			list := q.Candidates(n)
			return b.Table.MostAccurate(list), len(list)
		}),
		asking(lifted, func(_ *rand.Rand, q *train.Proposal) (int, int) { return q.MostProbable(1)[0], 0 }),
	}
	for i, how := range []string{
		"most probable", fmt.Sprintf("best of %d samples", n), fmt.Sprintf("%d samples ranked", n), fmt.Sprintf("top %d ranked", n), "most probable, as lifted",
	} {
		list[i].name, list[i].how = name, how
	}
	list[1].draws, list[2].draws, list[2].temperature = true, true, t
	return list, nil
}

// asking is a contender that asks a policy.
func asking(p *train.Proposer, decide func(*rand.Rand, *train.Proposal) (after, lookUps int)) contender {
	return contender{decide: func(ctx context.Context, rng *rand.Rand, cell int) (int, int, error) {
		q, err := p.Propose(ctx, cell)
		if err != nil {
			return 0, 0, err
		}
		after, lookUps := decide(rng, q)
		return after, lookUps, nil
	}}
}

// bestTemperature is the one at which the most accurate of a policy's samples
// are the most accurate, on the cells that choose. A trained policy is so sure of
// itself that its samples are hardly different.
func (b *bench) bestTemperature(ctx context.Context, p *train.Proposer) (best float64, err error) {
	sums := make([]float64, len(temperatures))
	rng := rand.New(rand.NewPCG(b.Seed, 2))
	for _, cell := range b.split.Choose {
		q, err := p.Propose(ctx, cell)
		if err != nil {
			return 0, err
		}
		for i, t := range temperatures {
			sums[i] += b.look(b.Table.MostAccurate(q.Samples(rng, t, train.SamplesPerCell)))
		}
	}
	top := 0
	for i := range sums {
		if sums[i] > sums[top] {
			top = i
		}
	}
	return temperatures[top], nil
}

// policy adds the rows of a policy that is given.
func (b *bench) policy(ctx context.Context, policy Policy) error {
	list, err := b.contenders(ctx, policy.Policy, policy.Name)
	if err != nil {
		return err
	}
	for _, c := range list {
		if err := b.measure(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
