package search

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func points(xs ...float64) (all []Candidate) {
	for i := 0; i < len(xs); i += 2 {
		all = append(all, Candidate{Choice: []int{i / 2}, Cost: xs[i], Loss: xs[i+1]})
	}
	return all
}

// A candidate is in the front exactly if no other is at least as good in both
// respects and better in one, or an equal that came before.
func TestFront(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var all []Candidate
		for i := range 30 {
			loss := float64(rng.IntN(8))
			if loss == 7 {
				loss = math.Inf(1)
			}
			all = append(all, Candidate{Choice: []int{i}, Cost: float64(rng.IntN(8)), Loss: loss})
		}
		front := Front(all)
		for i, c := range all {
			beaten := math.IsInf(c.Loss, 1)
			for j, other := range all {
				as := other.Cost <= c.Cost && other.Loss <= c.Loss
				beaten = beaten || as && (other.Cost < c.Cost || other.Loss < c.Loss || j < i)
			}
			if in := slices.ContainsFunc(front, func(f Candidate) bool { return f.Choice[0] == i }); in == beaten {
				t.Fatalf("%v of %v: in the front %v, beaten %v", c, all, in, beaten)
			}
		}
		for i := range front[:max(len(front)-1, 0)] {
			if front[i].Cost <= front[i+1].Cost {
				t.Fatalf("front not from the costliest to the cheapest: %v", front)
			}
		}
	}
}

func TestBest(t *testing.T) {
	all := points(1, 0, 0.9, 0.02, 0.8, 0.5, 0.8, 0.04, 0.7, 0.04, 0.6, 0.9)
	for budget, want := range map[float64]int{2: 0, 0.95: 1, 0.8: 4, 0.65: 5} {
		if got, ok := Best(all, budget); !ok || got.Choice[0] != want {
			t.Errorf("budget %v: point %v, want %d", budget, got.Choice, want)
		}
	}
	if got, ok := Best(all, 0.5); ok {
		t.Errorf("budget 0.5: %v, want none", got)
	}
	if got, _ := Best(all, 0); got.Choice[0] != 4 {
		t.Errorf("no budget: %v, want the knee", got)
	}
}

func TestKnee(t *testing.T) {
	for name, x := range map[string]struct {
		points []Candidate
		want   int
	}{
		"one point":     {points(1, 0), 0},
		"two points":    {points(1, 0, 0.9, 0.1), 0},
		"a corner":      {points(1, 0, 0.9, 0.01, 0.8, 0.02, 0.7, 0.03, 0.6, 0.5, 0.5, 1), 3},
		"dear from 0.9": {points(1, 0, 0.9, 0.01, 0.8, 0.3, 0.7, 0.6, 0.6, 0.9, 0.5, 1.2), 1},
		"dear at once":  {points(1, 0, 0.9, 0.5, 0.8, 0.6, 0.7, 0.65, 0.6, 0.7, 0.5, 0.75), 0},
		"a broken end":  {points(1, 0, 0.9, 0.01, 0.8, 0.02, 0.7, 0.03, 0.6, 0.5, 0.5, 8), 3},
		"very broken":   {points(1, 0, 0.9, 0.01, 0.8, 0.02, 0.7, 0.03, 0.6, 5, 0.5, 500), 3},
	} {
		if got, ok := Knee(x.points); !ok || got.Choice[0] != x.want {
			t.Errorf("%s: point %v, want %d", name, got.Choice, x.want)
		}
	}
	if _, ok := Knee(nil); ok {
		t.Error("an empty front has a knee")
	}
}
