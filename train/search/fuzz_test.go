package search

import (
	"context"
	"errors"
	"math"
	"testing"
)

// FuzzSearchers has all searchers solve problems that are made of any bytes:
// they end, and keep what is promised of their results.
func FuzzSearchers(f *testing.F) {
	f.Add([]byte{3, 4, 2, 10, 20, 200, 30, 40, 50, 60, 70, 80, 90, 100}, 0.7)
	f.Add([]byte{0}, 0.0)
	f.Add([]byte{9, 1, 1, 255, 255, 255, 0, 0, 0}, 0.5)
	f.Fuzz(func(t *testing.T, data []byte, budget float64) {
		for name, search := range Searchers() {
			p := fromBytes(data)
			p.Budget = budget
			found, err := search(t.Context(), p, Options{Evals: 25, Workers: 2, Adapt: true})
			if err != nil {
				if bad := !amount(budget) || errors.Is(err, ErrBudget); !bad {
					t.Fatalf("%s: %v", name, err)
				}
				continue
			}
			checkFound(t, p, found, 25)
			if _, ok := Best(found, budget); !ok && len(found) == 26 && budget > 0 && !hasInfinite(found) {
				t.Errorf("%s: 25 evaluations and nothing in the budget of %v", name, budget)
			}
		}
	})
}

func hasInfinite(found []Candidate) bool {
	for _, c := range found {
		if math.IsInf(c.Loss, 1) {
			return true
		}
	}
	return false
}

// fromBytes makes a problem: sites, options of each, nodes, and then
// costs, harms, actions, edges, features and losses as bytes come, over and over.
func fromBytes(data []byte) *Problem {
	at := 0
	next := func() int {
		if len(data) == 0 {
			return 0
		}
		at++
		return int(data[(at-1)%len(data)])
	}
	sites, options, nodes := next()%8, 1+next()%5, next()%6
	p := &Problem{Graph: Graph{Names: []string{"a", "b"}}, Fixed: float64(next()) / 2000}
	for range nodes {
		p.Graph.Features = append(p.Graph.Features, []float64{float64(next()) / 128, float64(next()) - 128})
		p.Graph.Edges = append(p.Graph.Edges, [2]int{next() % nodes, next() % nodes})
	}
	weights := make([][]float64, sites)
	for i := range sites {
		var s Site
		for range options {
			o := Option{Cost: float64(next()) / 255 / float64(sites), Harm: float64(next()) / 255}
			if nodes > 0 && next()%3 > 0 {
				o.Actions = []Action{{Node: next() % nodes, To: next() % actions}}
			}
			s.Options = append(s.Options, o)
			weights[i] = append(weights[i], float64(next()-20)/255)
		}
		p.Sites = append(p.Sites, s)
	}
	p.Evaluate = func(ctx context.Context, choice []int) (float64, error) {
		sum := 0.0
		for i, o := range choice {
			sum += weights[i][o]
		}
		if int(math.Abs(sum)*1000)%13 == 5 {
			return math.Inf(1), nil
		}
		return math.Expm1(sum * sum * sum), ctx.Err()
	}
	return p
}
