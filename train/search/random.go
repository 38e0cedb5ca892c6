package search

import (
	"context"
	"math/rand/v2"
)

// batch is how many candidates [Random] and [NAT] propose before they look at
// losses again.
const batch = 8

// tries bounds how often a proposal that was evaluated before is drawn anew.
const tries = 100

// Random changes sites at random until the cost meets the budget, and then takes
// back what is not needed for that. Without a budget, each candidate has one of
// its own, uniform over the costs of interest.
func Random(ctx context.Context, p *Problem, o Options) ([]Candidate, error) {
	s, err := newSession(p, o)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	if !s.saves() {
		return s.found, ctx.Err()
	}
	for s.left() > 0 {
		var round [][]int
		for range batch {
			round = append(round, s.another(rng))
		}
		done := s.done()
		if err := s.evaluate(ctx, round); err != nil {
			return s.found, err
		}
		if s.done() == done { // there is hardly anything new to find
			break
		}
	}
	return s.found, nil
}

// another returns a random choice, a new one if it finds one.
func (s *session) another(rng *rand.Rand) []int {
	var choice []int
	for range tries {
		choice = s.randomChoice(rng, s.target(rng))
		if _, old := s.known(choice); !old {
			break
		}
	}
	return choice
}

// target returns a cost to meet: the budget, or a random one.
func (s *session) target(rng *rand.Rand) float64 {
	if s.Budget > 0 {
		return s.Budget
	}
	return s.floor() + (1-s.floor())*rng.Float64()
}

// randomChoice changes sites at random until the cost meets the target.
func (s *session) randomChoice(rng *rand.Rand, target float64) []int {
	choice := make([]int, len(s.Sites))
	order := rng.Perm(len(s.Sites))
	for _, site := range order {
		if cheaper := s.options[site][1:]; len(cheaper) > 0 && s.Cost(choice) > target+slack {
			choice[site] = cheaper[rng.IntN(len(cheaper))]
		}
	}
	for _, site := range order {
		if s.Cost(choice) > target+slack {
			choice[site] = s.cheapest(site)
		}
	}
	for _, site := range rng.Perm(len(s.Sites)) {
		option := choice[site]
		choice[site] = 0
		if s.Cost(choice) > target+slack {
			choice[site] = option
		}
	}
	return choice
}
