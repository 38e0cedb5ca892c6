package supernet

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/trainable"
	"github.com/natonnx/natonnx/transformer"
)

// A Candidate is what an architecture may become, and how accurate it is with shared
// weights, on images that trained the policy.
type Candidate struct {
	cellmap.Genotype
	Accuracy float64
	Input    bool // it is the architecture itself
}

// Derive is inference (spec section 4): it draws so many different transformations of an
// architecture from a policy, and ranks them and the architecture itself by their
// accuracy, the best first. The input comes first among equals.
func (s *Search) Derive(ctx context.Context, g cellmap.Genotype, policy transformer.Policy, candidates int, seed uint64, progress func(done, of int)) ([]Candidate, error) {
	if err := s.has(g); err != nil {
		return nil, err
	}
	batches, err := s.batches(s.policy.Images.Sample(rankedOn, s.Seed))
	if err != nil {
		return nil, err
	}
	list, err := s.draw(ctx, g, policy, candidates, seed)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Accuracy, err = s.Net.accuracy(ctx, list[i].Genotype, batches); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(i+1, len(list))
		}
	}
	slices.SortStableFunc(list, func(a, b Candidate) int { return cmp.Compare(b.Accuracy, a.Accuracy) })
	return list, nil
}

// Likeliest returns the most probable transformation of an architecture. One that
// computes nothing is refused: nothing there would rank it last.
func Likeliest(ctx context.Context, g cellmap.Genotype, policy *transformer.GCN) (cellmap.Genotype, error) {
	rules, ok := transformer.RulesByName(policy.Card().Rules)
	if !ok {
		return g, fmt.Errorf("policy %s: there are no rules %q", policy.Card().Name, policy.Card().Rules)
	}
	for _, form := range []*cellmap.Form{&g.Normal, &g.Reduce} {
		logits, err := policy.Logits(ctx, *form)
		if err != nil {
			return g, err
		}
		actions, _ := transformer.Best(logits, rules, *form, nil)
		*form = transformer.Transform(*form, actions)
		live := form.Live()
		if !slices.ContainsFunc(form.Concat, func(node int) bool { return live[node] }) {
			return g, fmt.Errorf("policy %s: its most probable transformation cuts the output of a cell off from its inputs: %v", policy.Card().Name, *form)
		}
	}
	return g, nil
}

// rankedOn is how many images rank candidates, at most.
const rankedOn = 20 * examined

// has refuses genotypes that the supernet has no weights for.
func (s *Search) has(g cellmap.Genotype) error {
	for _, form := range []cellmap.Form{g.Normal, g.Reduce} {
		if n := len(form.Edges) / 2; n != s.Space.Nodes {
			return fmt.Errorf("the genotype has %d nodes, the supernet %d", n, s.Space.Nodes)
		}
		for _, e := range form.Edges {
			if !slices.Contains(s.Space.Ops, e.Op) {
				return fmt.Errorf("the genotype has operation %s, which the supernet (%s) has not", e.Op, s.Space.Name)
			}
		}
	}
	return nil
}

// draw returns the input and different transformations; fewer than asked for where
// a policy is sure of few.
func (s *Search) draw(ctx context.Context, g cellmap.Genotype, policy transformer.Policy, n int, seed uint64) ([]Candidate, error) {
	x := &examiner{Search: s, rng: rand.New(rand.NewPCG(seed, ofDerivation<<56)), policy: policy}
	likeliest, draw, err := x.transformations(ctx, g)
	if err != nil {
		return nil, err
	}
	list := []Candidate{{Genotype: g, Input: true}}
	add := func(g cellmap.Genotype) {
		if !slices.ContainsFunc(list, func(c Candidate) bool { return c.Equal(g) }) {
			list = append(list, Candidate{Genotype: g})
		}
	}
	add(likeliest)
	for tries := 0; len(list) <= n && tries < 20*n; tries++ {
		add(draw(policy))
	}
	return list, nil
}

// Export returns the child of a genotype with its shared weights, as a network that
// computes by running statistics: those of some batches that train the weights.
func (s *Search) Export(ctx context.Context, g cellmap.Genotype, path string) (*onnxgraph.Model, error) {
	if err := s.has(g); err != nil {
		return nil, err
	}
	c, err := s.Net.child(ctx, g, true)
	if err != nil {
		return nil, err
	}
	// After so many batches nothing is left of statistics that other children left.
	const batches = 100
	for step := range batches {
		b, err := s.weights.Step(step)
		if err != nil {
			return nil, err
		}
		if _, err := c.logits(ctx, b); err != nil {
			return nil, err
		}
	}
	m, err := s.Net.Child(g, path, nil)
	if err != nil {
		return nil, err
	}
	return trainable.Write(m, s.Net.Params)
}
