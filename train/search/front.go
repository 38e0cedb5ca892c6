package search

import (
	"cmp"
	"math"
	"slices"
)

// Front returns the candidates that no other beats in both cost and loss, from
// the costliest to the cheapest: the Pareto front. Of equals the first one stays;
// candidates of infinite loss are left out.
func Front(candidates []Candidate) []Candidate {
	sorted := slices.Clone(candidates)
	slices.SortStableFunc(sorted, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(a.Loss, b.Loss))
	})
	var front []Candidate
	least := math.Inf(1)
	for _, c := range sorted {
		if c.Loss < least {
			least = c.Loss
			front = append(front, c)
		}
	}
	slices.Reverse(front)
	return front
}

// Best returns the candidate of least loss among those that cost no more than
// the budget, the cheapest of equals; without a budget (0), the knee of the front.
// ok is false where there is none.
func Best(candidates []Candidate, budget float64) (best Candidate, ok bool) {
	front := Front(candidates)
	if budget == 0 {
		return Knee(front)
	}
	for _, c := range front {
		if c.Cost <= budget+slack {
			return c, true
		}
	}
	return Candidate{}, false
}

// Knee returns the point of a front after which further savings begin to cost
// more than they did on the average: the one farthest below the chord from the
// first to the last point (Satopaa et al., Finding a "Kneedle" in a haystack,
// 2011), in cost and in 1-exp(-loss). For a Kullback-Leibler divergence in nats
// exp(-loss) is the share of the probability that the network as it was gives,
// so that all networks that are broken count alike, however badly: they may not
// move the knee. In log loss, fronts are concave and have no knee. Where no
// point is below the chord, the first one is returned: nothing is saved at less
// than its price. ok is false for an empty front.
func Knee(front []Candidate) (knee Candidate, ok bool) {
	if len(front) == 0 {
		return Candidate{}, false
	}
	first, last := front[0], front[len(front)-1]
	broken := func(c Candidate) float64 { return -math.Expm1(-c.Loss) }
	saved := func(c Candidate) float64 { return (first.Cost - c.Cost) / (first.Cost - last.Cost) }
	lost := func(c Candidate) float64 { return (broken(c) - broken(first)) / (broken(last) - broken(first)) }
	knee, most := first, 0.0
	for _, c := range front[1:max(len(front)-1, 1)] {
		if below := saved(c) - lost(c); below > most {
			knee, most = c, below
		}
	}
	return knee, true
}
