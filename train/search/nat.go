package search

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
)

// NAT ...
func NAT(ctx context.Context, p *Problem, o Options) ([]Candidate, error) {
	s, err := newSession(p, o)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	n := &nat{session: s, policy: newPolicy(s, rng), rng: rng}
	for s.left() > 0 {
		done := s.done()
		if err := s.evaluate(ctx, n.propose()); err != nil {
			return s.found, err
		}
		if s.done() == done {
			break
		}
		if o.Adapt {
			n.policy.fit(200, func(Candidate) float64 { return 1 })
		}
	}
	return s.found, nil
}

type nat struct {
	*session
	policy *policy
	rng    *rand.Rand
}

type proposal struct {
	choice []int
	damage float64
}

func (n *nat) propose() [][]int {
	logd := n.policy.damages(n.policy.forward().logits)
	d := make([][]float64, len(logd))
	for i := range d {
		for _, x := range logd[i] {
			d[i] = append(d[i], math.Exp(x))
		}
	}
	var round [][]int
	targets := n.targets()
	per := max(1, batch/len(targets))
	for k, target := range targets {
		_ = k
		var pool []proposal
		seen := map[string]bool{}
		consider := func(c []int) {
			k := key(c)
			if _, old := n.known(c); old || seen[k] || n.Cost(c) > target+slack {
				return
			}
			seen[k] = true
			sum := 0.0
			for i, o := range c {
				sum += d[i][o]
			}
			pool = append(pool, proposal{c, sum})
		}
		sample := n.sampler(d, target)
		for range 200 {
			consider(sample())
		}
		if base, ok := Best(n.found, target); ok {
			for range 300 {
				c := sample()
				mix := slices.Clone(base.Choice)
				for range 1 + n.rng.IntN(3) {
					i := n.rng.IntN(len(mix))
					mix[i] = c[i]
				}
				consider(mix)
			}
		}
		slices.SortStableFunc(pool, func(a, b proposal) int { return cmp.Compare(a.damage, b.damage) })
		for _, p := range pool[:min(per, len(pool))] {
			round = append(round, p.choice)
		}
	}
	return round
}

// sampler returns draws from the policy whose expected cost is the target.
func (n *nat) sampler(d [][]float64, target float64) func() []int {
	probs := make([][]float64, len(d))
	set := func(lambda, t float64) float64 {
		cost := n.Fixed
		for i, options := range n.options {
			probs[i] = make([]float64, len(d[i]))
			least := math.Inf(1)
			for _, o := range options {
				least = min(least, d[i][o]+lambda*n.Sites[i].Options[o].Cost)
			}
			sum := 0.0
			for _, o := range options {
				e := math.Exp(-(d[i][o] + lambda*n.Sites[i].Options[o].Cost - least) / t)
				probs[i][o] = e
				sum += e
			}
			for _, o := range options {
				probs[i][o] /= sum
				cost += probs[i][o] * n.Sites[i].Options[o].Cost
			}
		}
		return cost
	}
	solve := func(temperature float64) float64 {
		lo, hi := 1e-9, 1e9
		for range 60 {
			mid := math.Sqrt(lo * hi)
			if set(mid, temperature*mid) > target {
				lo = mid
			} else {
				hi = mid
			}
		}
		return hi
	}
	solve(0.01)
	return func() []int {
		c := make([]int, len(probs))
		for i, row := range probs {
			u := n.rng.Float64()
			for o, p := range row {
				if u -= p; u < 0 {
					c[i] = o
					break
				}
			}
		}
		return c
	}
}
