package supernet

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/epochs"
	"github.com/natonnx/natonnx/transformer"
)

// An Exam is what transformations gain in accuracy, as fractions of 1, on
// architectures and images that trained nothing, with shared weights.
type Exam struct {
	Architectures int
	Before        Gain // accuracy of the architectures as they are
	Likeliest     Gain // of the policy's most probable transformations
	Sampled       Gain // of transformations drawn from the policy
	Random        Gain // of transformations drawn uniformly from what the rules allow
	// Of several of either, and the architecture as it is, the one that is the
	// most accurate on images that trained the policy. Zero where there are no several.
	BestSampled, BestRandom Gain
	// The lead of the policy over random search, architecture by architecture: with a
	// transformation each, and with several to choose from. What architectures have in
	// common cancels out, so that it is surer than the difference of two gains.
	Lead, BestLead Gain
}

// A Gain is a mean over architectures, and its standard error.
type Gain struct{ Mean, Error float64 }

// A Paper says how thorough an exam is.
type Paper struct {
	Architectures int
	Samples       int                // transformations of each kind for an architecture
	Chosen        int                // images that choose among the samples; 0: none do
	Images        int                // that the gains are measured on, at most
	Progress      func(done, of int) // before each architecture; nil: not called
}

// examined is how many images an exam goes through at a time.
const examined = 128

var epochExam = Paper{Architectures: 16, Samples: 1, Images: examined}

// FinalExam is what reports are made of. The choice is step 2 of the paper's inference
// (spec section 4) but for two repairs: the architecture itself is among the candidates,
// and the images that choose are not those that judge.
var FinalExam = Paper{Architectures: 40, Samples: 10, Chosen: 2 * examined, Images: 4 * examined}

// Examine measures the policy beside random search. Exams of one size draw the same
// architectures and images each time.
func (s *Search) Examine(ctx context.Context, size Paper) (e Exam, err error) {
	x := &examiner{Search: s, Paper: size, rng: rand.New(rand.NewPCG(s.Seed, ofExam<<56|uint64(size.Architectures)))}
	if x.policy, err = s.Learner.Policy(transformer.Card{Rules: s.Space.Rules.Name}); err != nil {
		return e, err
	}
	if x.judge, err = s.batches(s.held.Sample(size.Images, s.Seed)); err != nil {
		return e, err
	}
	if x.choose, err = s.batches(s.policy.Images.Sample(size.Chosen, s.Seed)); err != nil {
		return e, err
	}
	var sums [8]moments
	for done := range size.Architectures {
		if err := ctx.Err(); err != nil {
			return e, err
		}
		if size.Progress != nil {
			size.Progress(done, size.Architectures)
		}
		gains, err := x.architecture(ctx)
		if err != nil {
			return e, err
		}
		for i, g := range gains {
			sums[i].add(g)
		}
	}
	return Exam{size.Architectures, sums[0].gain(), sums[1].gain(), sums[2].gain(), sums[3].gain(), sums[4].gain(), sums[5].gain(), sums[6].gain(), sums[7].gain()}, nil
}

// batches reads images in whole batches.
func (s *Search) batches(from *dataset.Dataset) (list []epochs.Batch, err error) {
	for first := 0; first+examined <= from.Len(); first += examined {
		at := make([]int, examined)
		for i := range at {
			at[i] = first + i
		}
		b, err := epochs.Read(from, at, s.Workers)
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}

type examiner struct {
	*Search
	Paper
	rng           *rand.Rand
	policy        transformer.Policy
	judge, choose []epochs.Batch
}

// architecture draws one and returns, in the order of [Exam]'s fields, its accuracy, the
// gains and the leads.
func (x *examiner) architecture(ctx context.Context) (gains [8]float64, err error) {
	g := x.Space.Draw(x.rng, x.Nulls)
	random, sampled := make([]cellmap.Genotype, x.Samples), make([]cellmap.Genotype, x.Samples)
	likeliest, draw, err := x.transformations(ctx, g)
	if err != nil {
		return gains, err
	}
	for i := range x.Samples {
		random[i], sampled[i] = draw(nil), draw(x.policy)
	}
	if gains[0], err = x.Net.accuracy(ctx, g, x.judge); err != nil {
		return gains, err
	}
	gain := func(list ...cellmap.Genotype) (sum float64) {
		for _, after := range list {
			if err != nil || after.Equal(g) {
				continue
			}
			var a float64
			a, err = x.Net.accuracy(ctx, after, x.judge)
			sum += (a - gains[0]) / float64(len(list))
		}
		return sum
	}
	few := min(x.Samples, 3) // of all, for the mean
	gains[1], gains[2], gains[3] = gain(likeliest), gain(sampled[:few]...), gain(random[:few]...)
	for i, list := range [][]cellmap.Genotype{sampled, random} {
		if len(x.choose) == 0 || err != nil {
			continue
		}
		var best cellmap.Genotype
		if best, _, err = x.Net.best(ctx, append([]cellmap.Genotype{g}, list...), x.choose); err == nil {
			gains[4+i] = gain(best)
		}
	}
	gains[6], gains[7] = gains[2]-gains[3], gains[4]-gains[5]
	return gains, err
}

// transformations returns the most probable one, and what draws others: from the
// policy, or uniformly.
func (x *examiner) transformations(ctx context.Context, g cellmap.Genotype) (likeliest cellmap.Genotype, draw func(transformer.Policy) cellmap.Genotype, err error) {
	rules := x.Space.Rules
	cells := [2]cellmap.Form{g.Normal, g.Reduce}
	var learnt, uniform [2][][transformer.Actions]float64
	var best [2]cellmap.Form
	for c, form := range cells {
		logits, err := x.policy.Logits(ctx, form)
		if err != nil {
			return g, nil, err
		}
		actions, _ := transformer.Best(logits, rules, form, nil)
		best[c] = transformer.Transform(form, actions)
		learnt[c] = transformer.Probabilities(logits, rules, form, nil)
		uniform[c] = transformer.Probabilities(make([][transformer.Actions]float64, len(form.Edges)), rules, form, nil)
	}
	return cellmap.Genotype{Normal: best[0], Reduce: best[1]}, func(p transformer.Policy) cellmap.Genotype {
		probs := uniform
		if p != nil {
			probs = learnt
		}
		var drawn [2]cellmap.Form
		for c, form := range cells {
			actions, _ := transformer.Draw(x.rng, probs[c])
			drawn[c] = transformer.Transform(form, actions)
		}
		return cellmap.Genotype{Normal: drawn[0], Reduce: drawn[1]}
	}, nil
}

// accuracy is the mean over batches.
func (n *Net) accuracy(ctx context.Context, g cellmap.Genotype, list []epochs.Batch) (mean float64, err error) {
	for _, b := range list {
		v, err := n.Judge(ctx, g, b)
		if err != nil {
			return 0, err
		}
		mean += v.Accuracy / float64(len(list))
	}
	return mean, nil
}

// best returns the most accurate of some genotypes, the first where several are.
func (n *Net) best(ctx context.Context, list []cellmap.Genotype, on []epochs.Batch) (best cellmap.Genotype, accuracy float64, err error) {
	accuracy = -1
	for i, g := range list {
		if slices.ContainsFunc(list[:i], g.Equal) {
			continue
		}
		a, err := n.accuracy(ctx, g, on)
		if err != nil {
			return best, 0, err
		}
		if a > accuracy {
			best, accuracy = g, a
		}
	}
	return best, accuracy, nil
}

// moments are sums of numbers and of their squares.
type moments struct{ n, sum, squares float64 }

func (m *moments) add(x float64) { m.n, m.sum, m.squares = m.n+1, m.sum+x, m.squares+x*x }

func (m *moments) gain() Gain {
	mean := m.sum / m.n
	variance := max(0, m.squares/m.n-mean*mean) * m.n / max(m.n-1, 1)
	return Gain{mean, math.Sqrt(variance / m.n)}
}
