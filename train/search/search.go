package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// A Site is a place of the network where one of several options is taken: a cell.
type Site struct {
	Name string
	// Options are the ways to write the site. The first one is the site as it is.
	Options []Option
}

// An Option is one way to write a site.
type Option struct {
	Name string
	// Cost is what the site costs so, as a share of the whole network's cost.
	// Options that cost no less than the first one are never taken.
	Cost float64
	// Harm is a cheap estimate of what the option destroys: the share of the
	// variance of the site's output that it cannot explain, from 0 to 1; 0 for
	// the site as it is.
	Harm float64
	// Actions are what the option does to operations of the network; the others
	// stay. None for the site as it is.
	Actions []Action
}

// An Action changes an operation, a node of the Graph.
type Action struct {
	Node int
	To   int // 0: keep, 1: skip, 2: null, 3: fewer channels
}

// actions is how many there are for an operation.
const actions = 4

// A Graph is the network as a policy sees it: operations, and which of them read
// what others compute.
type Graph struct {
	Features [][]float64 // [node][feature], each about -1 to 1
	Names    []string    // of the features
	Edges    [][2]int    // from, to
}

// A Problem is what is searched. Costs add up over sites; losses need not.
type Problem struct {
	Sites []Site
	Graph Graph
	// Fixed is the cost of what belongs to no site, as a share of the whole.
	Fixed float64
	// Budget is the largest cost that a result may have, as a share. 0: there is
	// none, and the whole trade-off between cost and loss is wanted.
	Budget float64
	// Evaluate returns how far a candidate's outputs are from the network's:
	// choice[i] is the option of site i. It is safe for concurrent use, and its
	// result depends on the choice alone. NaN counts as infinitely far.
	Evaluate func(ctx context.Context, choice []int) (loss float64, err error)
}

// A Candidate is a choice that was evaluated.
type Candidate struct {
	Choice []int
	Cost   float64
	Loss   float64
}

// Options bound a search.
type Options struct {
	// Evals is how many candidates may be evaluated.
	Evals int
	// Time is how long evaluations may begin; 0: without limit. What a limit
	// leaves of a search depends on the speed of the machine.
	Time time.Duration
	Seed uint64
	// Workers is how many evaluations run at once. Results do not depend on it.
	// 0 counts as 1.
	Workers int
	// Progress, if any, is told after each evaluation how many there were, and the
	// best candidate so far: of those in the budget, or the knee where there is none.
	Progress func(done, total int, best Candidate)
	// Adapt has [NAT]'s policy learn from what its proposals are worth. Without it,
	// the policy stays as it is made, from the graph and the options alone.
	Adapt bool
}

// A Searcher returns all candidates that it evaluated, in order, after the
// network as it is, which needs no evaluation; none comes twice. After a
// cancellation, and after an error of Evaluate, it returns what there is
// beside the error.
type Searcher func(ctx context.Context, p *Problem, o Options) ([]Candidate, error)

// Searchers returns the searchers by name.
func Searchers() map[string]Searcher {
	return map[string]Searcher{"greedy": Greedy, "nat": NAT, "random": Random}
}

// ErrBudget is wrapped by the errors of searches whose budget is below
// [Problem.Cheapest].
var ErrBudget = errors.New("the budget cannot be met")

// frontier is the share of the cost down to which the trade-off is wanted where
// there is no budget.
const frontier = 0.5

// Cost returns what a choice costs, as a share.
func (p *Problem) Cost(choice []int) float64 {
	cost := p.Fixed
	for i, o := range choice {
		cost += p.Sites[i].Options[o].Cost
	}
	return cost
}

// Cheapest returns the least cost that a choice can have.
func (p *Problem) Cheapest() float64 {
	choice := make([]int, len(p.Sites))
	for site := range choice {
		choice[site] = p.cheapest(site)
	}
	return p.Cost(choice)
}

// cheapest returns the option of a site that costs least, the first of equals.
func (p *Problem) cheapest(site int) (least int) {
	options := p.Sites[site].Options
	for o := range options {
		if options[o].Cost < options[least].Cost {
			least = o
		}
	}
	return least
}

// cheaper returns the options of a site that cost less than the site as it is.
func (p *Problem) cheaper(site int) (cheaper []int) {
	for o := range p.Sites[site].Options {
		if p.saving(site, 0, o) > 0 {
			cheaper = append(cheaper, o)
		}
	}
	return cheaper
}

// saving returns what is saved at a site by going from one option to another.
func (p *Problem) saving(site, from, to int) float64 {
	return p.Sites[site].Options[from].Cost - p.Sites[site].Options[to].Cost
}

// slack is what sums of costs may differ by for the order of their terms.
const slack = 1e-9

func (p *Problem) check() error {
	if p.Evaluate == nil {
		return errors.New("a problem without an evaluation")
	}
	if !amount(p.Fixed) || !amount(p.Budget) {
		return fmt.Errorf("fixed cost %v and budget %v: want shares of the cost", p.Fixed, p.Budget)
	}
	for i, s := range p.Sites {
		if len(s.Options) == 0 {
			return fmt.Errorf("site %d (%s) has no options, want at least the site as it is", i, s.Name)
		}
		for j, o := range s.Options {
			if err := p.checkOption(o); err != nil {
				return fmt.Errorf("site %d (%s), option %d (%s): %w", i, s.Name, j, o.Name, err)
			}
		}
	}
	if err := p.Graph.check(); err != nil {
		return err
	}
	if least := p.Cheapest(); p.Budget > 0 && p.Budget < least-slack {
		return fmt.Errorf("%w: %.1f%% is asked for, the cheapest choice costs %.1f%%", ErrBudget, 100*p.Budget, 100*least)
	}
	return nil
}

func (p *Problem) checkOption(o Option) error {
	if !amount(o.Cost) || !amount(o.Harm) {
		return fmt.Errorf("cost %v and harm %v: want finite numbers from 0 up", o.Cost, o.Harm)
	}
	for _, a := range o.Actions {
		if a.Node < 0 || a.Node >= len(p.Graph.Features) || a.To < 0 || a.To >= actions {
			return fmt.Errorf("action %d on node %d, want 0 to %d on one of the %d nodes", a.To, a.Node, actions-1, len(p.Graph.Features))
		}
	}
	return nil
}

func (g *Graph) check() error {
	for i, row := range g.Features {
		if len(row) != len(g.Names) {
			return fmt.Errorf("node %d has %d features, want the %d that have names", i, len(row), len(g.Names))
		}
		for j, x := range row {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("node %d: feature %s is %v", i, g.Names[j], x)
			}
		}
	}
	for i, e := range g.Edges {
		if min(e[0], e[1]) < 0 || max(e[0], e[1]) >= len(g.Features) {
			return fmt.Errorf("edge %d leads from node %d to node %d, want two of %d", i, e[0], e[1], len(g.Features))
		}
	}
	return nil
}

// amount reports whether x is finite and not negative.
func amount(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }
