package search

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// synthetic makes a problem like a residual network of so many blocks: each is
// two operations in a row, and can be removed, written as one cheap operation, or have one
// of its operations taken out. What an option really destroys is hidden;
// its logarithm correlates with that of Harm by about 0.7. Neighbours make
// each other worse or better, and destruction compounds.
func synthetic(seed uint64, sites int) *Problem {
	rng := rand.New(rand.NewPCG(seed, 99))
	p := &Problem{Graph: Graph{Names: []string{"position", "first", "share"}}}
	unit := 1 / float64(sites+1)
	damage := make([][]float64, sites)
	trend := rng.NormFloat64() * 0.5 // of the damage that Harm does not see, by depth
	for i := range sites {
		position := 2*float64(i)/float64(sites) - 1
		a, b := 2*i, 2*i+1
		p.Graph.Features = append(p.Graph.Features, []float64{position, 1, 0}, []float64{position, -1, 0})
		p.Graph.Edges = append(p.Graph.Edges, [2]int{a, b})
		if i > 0 {
			p.Graph.Edges = append(p.Graph.Edges, [2]int{a - 1, a})
		}
		size := unit * (0.7 + 0.6*rng.Float64())
		s := Site{Name: fmt.Sprintf("block %d", i), Options: []Option{
			{Name: "as it is", Cost: size},
			{Name: "removed", Actions: []Action{{a, 2}, {b, 2}}},
			{Name: "1x1", Cost: size * 0.06, Actions: []Action{{a, 1}, {b, 1}}},
			{Name: "no first", Cost: size / 2, Actions: []Action{{a, 1}}},
			{Name: "no second", Cost: size / 2, Actions: []Action{{b, 1}}},
		}}
		block := rng.NormFloat64()
		damage[i] = make([]float64, len(s.Options))
		for o, base := range []float64{0, 0.3, 0.15, 0.08, 0.08} {
			if o == 0 {
				continue
			}
			level := block + 0.4*rng.NormFloat64()
			s.Options[o].Harm = min(1, base*math.Exp(0.8*level))
			hidden := trend*position + 0.75*rng.NormFloat64()
			damage[i][o] = 0.05 * base * math.Exp(0.8*level+hidden)
		}
		p.Sites = append(p.Sites, s)
		p.Fixed += unit / float64(sites)
	}
	near := make([]float64, sites) // how neighbours affect each other
	for i := range near {
		near[i] = 0.5 * rng.NormFloat64()
	}
	total := p.Cost(make([]int, sites))
	p.Fixed /= total
	for i := range p.Sites {
		for o := range p.Sites[i].Options {
			p.Sites[i].Options[o].Cost /= total
		}
	}
	p.Evaluate = func(ctx context.Context, choice []int) (float64, error) {
		sum := 0.0
		for i, o := range choice {
			d := damage[i][o]
			if i > 0 && choice[i-1] != 0 {
				d *= math.Exp(near[i])
			}
			sum += d
		}
		return sum * math.Exp(4*sum), ctx.Err()
	}
	return p
}

// value is what a search is worth: the mean log loss of the best candidates over
// the budget, or over budgets in the region of interest.
func value(p *Problem, found []Candidate) float64 {
	if p.Budget > 0 {
		return logLoss(found, p.Budget)
	}
	sum, n := 0.0, 0
	for cost := 0.5; cost < 0.96; cost += 0.05 {
		sum += logLoss(found, cost)
		n++
	}
	return sum / float64(n)
}

func logLoss(found []Candidate, budget float64) float64 {
	best, ok := Best(found, budget)
	if !ok {
		return math.Log(hopeless)
	}
	return math.Log(best.Loss)
}

func TestTable(t *testing.T) {
	for _, budget := range []float64{0.8, 0.6, 0} {
		for _, evals := range []int{60, 120, 240} {
			line := fmt.Sprintf("budget %.1f evals %3d:", budget, evals)
			for _, name := range []string{"random", "greedy", "nat"} {
				search, ok := Searchers()[name]
				if !ok {
					continue
				}
				sum := 0.0
				const seeds = 20
				for seed := range uint64(seeds) {
					p := synthetic(seed, 27)
					p.Budget = budget
					found, err := search(context.Background(), p, Options{Evals: evals, Seed: seed, Workers: 2, Adapt: true})
					if err != nil {
						t.Fatal(err)
					}
					sum += value(p, found)
				}
				line += fmt.Sprintf("  %s %.3f", name, sum/seeds)
			}
			t.Log(line)
		}
	}
}
