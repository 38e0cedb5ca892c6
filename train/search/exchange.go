package search

import (
	"math"
	"slices"
)

// A change gives a site an option.
type change struct{ site, option int }

// An exchange leads from a choice to another one, by one change, or by two of
// different sites.
type exchange struct {
	first, second change // the same, where there is one
}

// with returns a choice with changes.
func with(base []int, changes ...change) []int {
	choice := slices.Clone(base)
	for _, c := range changes {
		choice[c.site] = c.option
	}
	return choice
}

// changes are those that an exchange is made of.
func (e exchange) changes() []change { return slices.Compact([]change{e.first, e.second}) }

// exchanges visits what leads from a choice to others that meet the target: any
// change alone, and any that costs something with any that saves something.
func (s *session) exchanges(base []int, target float64, visit func(exchange)) {
	spare := target + slack - s.Cost(base)
	var up, down []change
	for site, from := range base {
		for _, option := range s.options[site] {
			switch saving := s.saving(site, from, option); {
			case option == from:
			case saving > 0:
				down = append(down, change{site, option})
			default:
				up = append(up, change{site, option})
			}
		}
	}
	saves := func(c change) float64 { return s.saving(c.site, base[c.site], c.option) }
	for _, d := range down {
		if spare+saves(d) >= 0 {
			visit(exchange{d, d})
		}
	}
	for _, u := range up {
		left := spare + saves(u)
		if left >= 0 {
			visit(exchange{u, u})
		}
		for _, d := range down {
			if d.site != u.site && left+saves(d) >= 0 {
				visit(exchange{u, d})
			}
		}
	}
}

// targets returns the costs whose best candidates a round improves: the budget,
// or the floor and some all over the region of interest, others in each round.
func (s *session) targets(round int) []float64 {
	if s.Budget > 0 {
		return []float64{s.Budget}
	}
	const targets = 8
	_, shift := math.Modf(float64(round) * math.Phi)
	costs := []float64{s.floor()}
	for i := 1; i < targets; i++ {
		costs = append(costs, s.floor()+(1-s.floor())*(float64(i)-1+shift)/(targets-1))
	}
	return costs
}
