package search

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// hottest is the highest temperature of a draw. At 1, draws would stray as far
	// as what is known allows, which explores more than some 100 evaluations repay.
	hottest = 0.7
	// single is the share of evaluations that single changes get where there is no
	// budget: they are the costly end of the front, and say most about an option.
	single = 0.2
)

// NAT evaluates what a policy proposes, a graph convolution network over the
// operations, and has it learn from all losses after each round (see the package's
// documentation). Without a budget, the first candidates are single changes,
// and a round proposes for several costs.
func NAT(ctx context.Context, p *Problem, o Options) ([]Candidate, error) {
	s, err := newSession(p, o)
	if err != nil {
		return nil, err
	}
	if s.left() == 0 || !s.saves() {
		return s.found, ctx.Err()
	}
	n := &nat{session: s, policy: newPolicy(s, rand.New(rand.NewPCG(o.Seed, 0)))}
	if p.Budget == 0 {
		if err := n.evaluate(ctx, n.singles(int(single*float64(o.Evals)))); err != nil {
			return s.found, err
		}
	}
	for round := 0; s.left() > 0; round++ {
		if o.Adapt {
			n.policy.learn()
		}
		choices := n.propose(round)
		if len(choices) == 0 {
			break
		}
		if err := n.evaluate(ctx, choices); err != nil {
			return s.found, err
		}
	}
	return s.found, nil
}

type nat struct {
	*session
	policy *policy
	taken  map[string]bool // proposed in this round
}

// singles returns the most promising single changes, one of each site at most.
func (n *nat) singles(most int) (choices [][]int) {
	d := n.policy.draw(0)
	price := func(c change) float64 { return d.destroyed[c.site][c.option] / n.saving(c.site, 0, c.option) }
	byPrice := func(a, b change) int { return cmp.Compare(price(a), price(b)) }
	var changes []change
	for site, options := range n.options {
		var of []change
		for _, o := range options[1:] {
			of = append(of, change{site, o})
		}
		if len(of) > 0 {
			changes = append(changes, slices.MinFunc(of, byPrice))
		}
	}
	slices.SortStableFunc(changes, byPrice)
	for _, c := range changes[:min(most, len(changes))] {
		choices = append(choices, with(n.found[0].Choice, c))
	}
	return choices
}

// propose returns the candidates of a round: half of them the best choices under
// draws from the policy, half what the best exchange makes of the best candidate
// so far. Temperatures range from 0, what the policy holds for best, up to what
// might be better.
func (n *nat) propose(round int) (choices [][]int) {
	targets := n.targets(round)
	n.taken = map[string]bool{}
	for k := range batch {
		target := targets[(3*k+round)%len(targets)]
		d := n.policy.draw(hottest * float64(k) / (batch - 1))
		best, ok := Best(n.found, target)
		choice := best.Choice
		if !ok || (k+round)%2 == 1 {
			choice = n.solve(d, target)
		}
		if n.old(choice) {
			choice, _ = n.exchange(d, choice, target, func(c []int) bool { return !n.old(c) })
		}
		if choice != nil {
			n.taken[key(choice)] = true
			choices = append(choices, choice)
		}
	}
	return choices
}

// old reports whether a choice was evaluated or proposed.
func (n *nat) old(choice []int) bool {
	_, known := n.known(choice)
	return known || n.taken[key(choice)]
}

// solve returns a choice that meets the target and loses little under a draw: that
// of least sum of what is destroyed and a multiple of the cost, the least multiple
// that meets the target, improved by exchanges.
func (n *nat) solve(d draw, target float64) []int {
	choice := make([]int, len(n.Sites))
	settle := func(multiplier float64) (cost float64) {
		for site, options := range n.options {
			price := func(o int) float64 { return d.destroyed[site][o] + multiplier*n.Sites[site].Options[o].Cost }
			choice[site] = slices.MinFunc(options, func(a, b int) int { return cmp.Compare(price(a), price(b)) })
		}
		return n.Cost(choice)
	}
	low, high := -30.0, 60.0 // logarithms of the multiplier; the high one leaves the cost alone to count
	for range 50 {
		if middle := (low + high) / 2; settle(math.Exp(middle)) > target+slack {
			low = middle
		} else {
			high = middle
		}
	}
	settle(math.Exp(high))
	for range len(n.Sites) {
		better, gain := n.exchange(d, choice, target, func([]int) bool { return true })
		if gain <= 0 {
			break
		}
		choice = better
	}
	return choice
}

// exchange returns the best choice that an exchange leads to and that is wanted,
// nil if none is, and by how much its logarithm of the loss is less under a draw.
func (n *nat) exchange(d draw, base []int, target float64, wanted func([]int) bool) (best []int, gain float64) {
	sum := 0.0
	for site, o := range base {
		sum += d.destroyed[site][o]
	}
	gain = math.Inf(-1)
	n.exchanges(base, target, func(e exchange) {
		after, factor := sum, 0.0
		for i, c := range [...]change{e.first, e.second} {
			if i > 0 && c == e.first {
				break
			}
			after += d.destroyed[c.site][c.option] - d.destroyed[c.site][base[c.site]]
			factor += d.factor[c.site][c.option] - d.factor[c.site][base[c.site]]
		}
		const tiny = 1e-30 // keeps logarithms finite
		if g := d.power*math.Log(max(sum, tiny)/max(after, tiny)) - factor; g > gain {
			if choice := with(base, e.first, e.second); wanted(choice) {
				best, gain = choice, g
			}
		}
	})
	return best, gain
}
