package search

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// A family of problems.
type family int

const (
	// What cells destroy adds up and compounds, and neighbours make each other
	// worse or better: exp(4 S) S.
	compounding family = iota
	// Errors add up, partly in one direction, so that losses grow up to the square;
	// cells behind, once refitted, undo part of them; and any two changes
	// interact a little.
	coherent
)

// synthetic makes a problem like a residual network of so many blocks: each is
// two operations in a row, and can be removed, written as one cheap operation,
// or have one of its operations taken out. What an option really destroys is
// hidden; its logarithm correlates with that of Harm by about 0.7.
func synthetic(kind family, seed uint64, sites int) *Problem {
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
	total := p.Cost(make([]int, sites))
	p.Fixed /= total
	for i := range p.Sites {
		for o := range p.Sites[i].Options {
			p.Sites[i].Options[o].Cost /= total
		}
	}
	loss := compounded(rng, damage)
	if kind == coherent {
		loss = cohered(rng, damage)
	}
	p.Evaluate = func(ctx context.Context, choice []int) (float64, error) { return loss(choice), ctx.Err() }
	return p
}

func compounded(rng *rand.Rand, damage [][]float64) func([]int) float64 {
	near := make([]float64, len(damage)) // how neighbours affect each other
	for i := range near {
		near[i] = 0.5 * rng.NormFloat64()
	}
	return func(choice []int) float64 {
		sum := 0.0
		for i, o := range choice {
			d := damage[i][o]
			if i > 0 && choice[i-1] != 0 {
				d *= math.Exp(near[i])
			}
			sum += d
		}
		return sum * math.Exp(4*sum)
	}
}

func cohered(rng *rand.Rand, damage [][]float64) func([]int) float64 {
	n := len(damage)
	pair := make([][]float64, n) // how errors of two sites are in one direction
	undo := make([]float64, n)   // what is left of errors before a site that is refitted
	for i := range n {
		pair[i] = make([]float64, n)
		for j := range i {
			pair[i][j] = 0.5 + 0.25*rng.NormFloat64()
		}
		undo[i] = 1 - 0.25*rng.Float64()
	}
	return func(choice []int) float64 {
		errors := make([]float64, n)
		left := 1.0
		for i := n - 1; i >= 0; i-- {
			errors[i] = 3 * damage[i][choice[i]] * left
			if choice[i] != 0 {
				left *= undo[i]
			}
		}
		sum := 0.0
		for i, a := range errors {
			sum += a * a
			for j, b := range errors[:i] {
				sum += 2 * pair[i][j] * a * b
			}
		}
		return max(sum, 0)
	}
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
	return math.Log(max(best.Loss, 1e-9))
}

// compare returns the mean value of each searcher over seeds.
func compare(t testing.TB, kind family, sites int, budget float64, evals, seeds int) map[string]float64 {
	means := map[string]float64{}
	for name, search := range Searchers() {
		var sum float64
		var lock sync.Mutex
		var wait sync.WaitGroup
		for seed := range uint64(seeds) {
			wait.Go(func() {
				p := synthetic(kind, seed, sites)
				p.Budget = budget
				found, err := search(t.Context(), p, Options{Evals: evals, Seed: seed, Adapt: true})
				if err != nil {
					t.Error(err)
				}
				lock.Lock()
				defer lock.Unlock()
				sum += value(p, found)
			})
		}
		wait.Wait()
		means[name] = math.Round(1000*sum/float64(seeds)) / 1000
	}
	return means
}

// On problems like a network of 27 blocks, as many evaluations find more when
// they are chosen greedily than at random, and at least as much when a policy
// proposes them.
func TestSearchersRank(t *testing.T) {
	for _, x := range []struct {
		kind   family
		budget float64
		evals  int
		better float64 // of nat over greedy, at least, in log loss
	}{
		{compounding, 0.8, 60, 0.05},
		{coherent, 0.8, 60, 0.05},
		{coherent, 0.6, 120, 0.1},
		{compounding, 0, 60, -0.1},
	} {
		got := compare(t, x.kind, 27, x.budget, x.evals, 8)
		t.Logf("family %d, budget %.1f, %d evaluations: mean log loss %v", x.kind, x.budget, x.evals, got)
		if got["greedy"] > got["random"]-0.5 {
			t.Errorf("family %d, budget %.1f, %d evaluations: greedy %.3f, random %.3f", x.kind, x.budget, x.evals, got["greedy"], got["random"])
		}
		if got["nat"] > got["greedy"]-x.better {
			t.Errorf("family %d, budget %.1f, %d evaluations: nat %.3f, greedy %.3f", x.kind, x.budget, x.evals, got["nat"], got["greedy"])
		}
	}
}

// BenchmarkTable compares the searchers at length: mean log losses.
func BenchmarkTable(b *testing.B) {
	for name, kind := range map[string]family{"compounding": compounding, "coherent": coherent} {
		for _, budget := range []float64{0.8, 0.6, 0} {
			for _, evals := range []int{60, 120, 240} {
				b.Run(fmt.Sprintf("%s/budget=%v/evals=%d", name, budget, evals), func(b *testing.B) {
					for b.Loop() {
						for searcher, mean := range compare(b, kind, 27, budget, evals, 24) {
							b.ReportMetric(mean, searcher)
						}
					}
				})
			}
		}
	}
}

// BenchmarkNAT says what a proposal costs, all learning included.
func BenchmarkNAT(b *testing.B) {
	for _, sites := range []int{9, 27, 100} {
		b.Run(fmt.Sprint(sites), func(b *testing.B) {
			for b.Loop() {
				p := synthetic(coherent, 1, sites)
				p.Budget = 0.7
				if _, err := NAT(b.Context(), p, Options{Evals: 120, Adapt: true}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/120, "ms/evaluation")
		})
	}
}
