package search

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// optimum is the least loss in the budget, by trying everything.
func optimum(t *testing.T, p *Problem) float64 {
	choice, least := make([]int, len(p.Sites)), math.Inf(1)
	for {
		if p.Cost(choice) <= p.Budget {
			loss, err := p.Evaluate(t.Context(), choice)
			if err != nil {
				t.Fatal(err)
			}
			least = min(least, loss)
		}
		site := 0
		for site < len(choice) && choice[site] == len(p.Sites[site].Options)-1 {
			choice[site] = 0
			site++
		}
		if site == len(choice) {
			return least
		}
		choice[site]++
	}
}

// Of the 15,625 choices of six sites, 80 evaluations find about the best one.
func TestNearOptimum(t *testing.T) {
	within := map[string]float64{"greedy": 0.1, "nat": 0.03, "random": 1} // log loss above the least, the mean
	for name, search := range Searchers() {
		above := 0.0
		const seeds = 10
		for seed := range uint64(seeds) {
			p := synthetic(family(seed%2), seed, 6)
			p.Budget = 0.65
			found, err := search(t.Context(), p, Options{Evals: 80, Seed: seed, Adapt: true})
			if err != nil {
				t.Fatal(err)
			}
			best, _ := Best(found, p.Budget)
			above += math.Log(best.Loss/optimum(t, p)) / seeds
		}
		t.Logf("%s: %.4f above the least log loss", name, above)
		if above < 0 || above > within[name] {
			t.Errorf("%s: %.3f above the least log loss, want 0 to %v", name, above, within[name])
		}
	}
}

// checkFound checks what is promised of all results.
func checkFound(t *testing.T, p *Problem, found []Candidate, evals int) {
	t.Helper()
	if len(found) == 0 || len(found) > evals+1 {
		t.Fatalf("%d candidates, want 1 to %d", len(found), evals+1)
	}
	if first := found[0]; slices.ContainsFunc(first.Choice, func(o int) bool { return o != 0 }) || first.Loss != 0 {
		t.Errorf("the first candidate is %v, want the network as it is", first)
	}
	seen := map[string]bool{}
	for _, c := range found {
		if seen[key(c.Choice)] {
			t.Errorf("%v came twice", c.Choice)
		}
		seen[key(c.Choice)] = true
		if c.Cost != p.Cost(c.Choice) {
			t.Errorf("%v costs %v, want %v", c.Choice, c.Cost, p.Cost(c.Choice))
		}
		if math.IsNaN(c.Loss) {
			t.Errorf("%v: the loss is NaN", c.Choice)
		}
	}
}

func TestBounds(t *testing.T) {
	for name, search := range Searchers() {
		for _, evals := range []int{0, 1, 7, 50} {
			for _, budget := range []float64{0, 0.6, 0.05, 1, 2} {
				p := synthetic(compounding, 3, 9)
				p.Budget = budget
				var calls atomic.Int64
				inner := p.Evaluate
				p.Evaluate = func(ctx context.Context, choice []int) (float64, error) {
					calls.Add(1)
					return inner(ctx, choice)
				}
				found, err := search(t.Context(), p, Options{Evals: evals, Workers: 3, Adapt: true})
				if budget == 0.05 {
					if !errors.Is(err, ErrBudget) {
						t.Errorf("%s, budget %v: error %v, want ErrBudget", name, budget, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				checkFound(t, p, found, evals)
				if int(calls.Load()) != len(found)-1 {
					t.Errorf("%s: %d evaluations, %d candidates beside the network as it is", name, calls.Load(), len(found)-1)
				}
				if budget >= 1 && calls.Load() != 0 {
					t.Errorf("%s evaluates though nothing is to be saved", name)
				}
				if _, ok := Best(found, budget); !ok && evals > 0 {
					t.Errorf("%s: nothing in the budget of %v after %d evaluations", name, budget, evals)
				}
			}
		}
	}
}

func TestWorkersDoNotMatter(t *testing.T) {
	for name, search := range Searchers() {
		for _, budget := range []float64{0, 0.7} {
			var results [2][]Candidate
			for i, workers := range []int{1, 5} {
				p := synthetic(coherent, 4, 12)
				p.Budget = budget
				inner := p.Evaluate
				p.Evaluate = func(ctx context.Context, choice []int) (float64, error) {
					time.Sleep(time.Duration(choice[0]*200) * time.Microsecond) // not in the order in which they began
					return inner(ctx, choice)
				}
				var err error
				if results[i], err = search(t.Context(), p, Options{Evals: 50, Seed: 5, Workers: workers, Adapt: true}); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(results[0], results[1]) {
				t.Errorf("%s, budget %v: one worker and five find different candidates", name, budget)
			}
		}
	}
}

func TestSeedMatters(t *testing.T) {
	for _, name := range []string{"random", "nat"} {
		var results [2][]Candidate
		for seed := range results {
			p := synthetic(coherent, 4, 12)
			p.Budget = 0.7
			results[seed], _ = Searchers()[name](t.Context(), p, Options{Evals: 20, Seed: uint64(seed), Adapt: true})
		}
		if reflect.DeepEqual(results[0], results[1]) {
			t.Errorf("%s finds the same with other seeds", name)
		}
	}
}

func TestInterruption(t *testing.T) {
	broken := errors.New("out of order")
	for name, search := range Searchers() {
		for _, fail := range []bool{false, true} {
			p := synthetic(compounding, 3, 9)
			ctx, cancel := context.WithCancel(t.Context())
			var calls atomic.Int64
			inner := p.Evaluate
			p.Evaluate = func(ctx context.Context, choice []int) (float64, error) {
				if calls.Add(1) == 20 {
					if fail {
						return 0, broken
					}
					cancel()
				}
				return inner(ctx, choice)
			}
			found, err := search(ctx, p, Options{Evals: 60, Workers: 2, Adapt: true})
			cancel()
			if want := map[bool]error{false: context.Canceled, true: broken}[fail]; !errors.Is(err, want) {
				t.Errorf("%s: error %v, want %v", name, err, want)
			}
			checkFound(t, p, found, 60)
			if len(found) < 15 || calls.Load() > 22 {
				t.Errorf("%s: %d candidates and %d evaluations, want about 20", name, len(found), calls.Load())
			}
		}
	}
}

func TestTime(t *testing.T) {
	for name, search := range Searchers() {
		p := synthetic(compounding, 3, 9)
		inner := p.Evaluate
		p.Evaluate = func(ctx context.Context, choice []int) (float64, error) {
			time.Sleep(20 * time.Millisecond)
			return inner(ctx, choice)
		}
		found, err := search(t.Context(), p, Options{Evals: 1000, Time: 150 * time.Millisecond, Workers: 2})
		if err != nil {
			t.Error(err)
		}
		if len(found) < 2 || len(found) > 18 {
			t.Errorf("%s: %d candidates of 20 ms by two workers in 150 ms, want up to 17", name, len(found))
		}
	}
}

func TestProgress(t *testing.T) {
	for name, search := range Searchers() {
		p := synthetic(compounding, 3, 9)
		p.Budget = 0.6
		last, best := 0, Candidate{}
		found, err := search(t.Context(), p, Options{Evals: 40, Workers: 4, Adapt: true, Progress: func(done, total int, c Candidate) {
			if done != last+1 || total != 40 {
				t.Errorf("%s: %d of %d after %d", name, done, total, last)
			}
			last, best = done, c
		}})
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := Best(found, 0.6); best.Loss != want.Loss {
			t.Errorf("%s: progress ends with a loss of %v, the best is %v", name, best.Loss, want.Loss)
		}
	}
}

// Losses that are no numbers, infinite, zero or negative, options without
// actions or harm, and graphs without nodes or features stop nothing.
func TestOddProblems(t *testing.T) {
	odd := map[string]func(p *Problem){
		"NaN":         func(p *Problem) { p.Evaluate = constant(math.NaN()) },
		"infinite":    func(p *Problem) { p.Evaluate = constant(math.Inf(1)) },
		"zero":        func(p *Problem) { p.Evaluate = constant(0) },
		"negative":    func(p *Problem) { p.Evaluate = constant(-1) },
		"tiny":        func(p *Problem) { p.Evaluate = constant(5e-324) },
		"no sites":    func(p *Problem) { p.Sites, p.Fixed = nil, 1 },
		"one option":  func(p *Problem) { cut(p, 1) },
		"two options": func(p *Problem) { cut(p, 2) },
		"no graph": func(p *Problem) {
			p.Graph = Graph{}
			each(p, func(o *Option) { o.Actions = nil })
		},
		"no features": func(p *Problem) {
			p.Graph.Names = nil
			for i := range p.Graph.Features {
				p.Graph.Features[i] = nil
			}
		},
		"same features": func(p *Problem) {
			for i := range p.Graph.Features {
				p.Graph.Features[i] = []float64{7, 7, 7}
			}
		},
		"no harm":    func(p *Problem) { each(p, func(o *Option) { o.Harm = 0 }) },
		"great harm": func(p *Problem) { each(p, func(o *Option) { o.Harm = 1e300 }) },
		"dear":       func(p *Problem) { each(p, func(o *Option) { o.Cost = 1 - o.Cost }) },
		"some NaN": func(p *Problem) {
			inner := p.Evaluate
			p.Evaluate = func(ctx context.Context, choice []int) (float64, error) {
				if choice[0] == 1 {
					return math.NaN(), nil
				}
				return inner(ctx, choice)
			}
		},
	}
	for label, change := range odd {
		for name, search := range Searchers() {
			for _, budget := range []float64{0, 0.8} {
				p := synthetic(compounding, 3, 5)
				change(p)
				p.Budget = budget
				found, err := search(t.Context(), p, Options{Evals: 40, Adapt: true})
				if errors.Is(err, ErrBudget) {
					continue
				}
				if err != nil {
					t.Fatalf("%s, %s: %v", label, name, err)
				}
				checkFound(t, p, found, 40)
			}
		}
	}
}

func constant(loss float64) func(context.Context, []int) (float64, error) {
	return func(context.Context, []int) (float64, error) { return loss, nil }
}

func cut(p *Problem, options int) {
	for i := range p.Sites {
		p.Sites[i].Options = p.Sites[i].Options[:options]
	}
}

func each(p *Problem, change func(*Option)) {
	for _, s := range p.Sites {
		for o := range s.Options {
			change(&s.Options[o])
		}
	}
}

func TestRefusals(t *testing.T) {
	for want, change := range map[string]func(p *Problem){
		"without an evaluation":               func(p *Problem) { p.Evaluate = nil },
		"site 1 (block 1) has no options":     func(p *Problem) { p.Sites[1].Options = nil },
		"option 2 (1x1): cost NaN":            func(p *Problem) { p.Sites[1].Options[2].Cost = math.NaN() },
		"harm -1":                             func(p *Problem) { p.Sites[1].Options[2].Harm = -1 },
		"budget +Inf":                         func(p *Problem) { p.Budget = math.Inf(1) },
		"action 4 on node 0":                  func(p *Problem) { p.Sites[0].Options[1].Actions[0].To = 4 },
		"action 2 on node 99":                 func(p *Problem) { p.Sites[0].Options[1].Actions[0].Node = 99 },
		"node 3 has 1 features, want the 3":   func(p *Problem) { p.Graph.Features[3] = []float64{1} },
		"node 3: feature position is NaN":     func(p *Problem) { p.Graph.Features[3][0] = math.NaN() },
		"edge 0 leads from node -1 to node 1": func(p *Problem) { p.Graph.Edges[0][0] = -1 },
		"10.0% is asked for":                  func(p *Problem) { p.Budget, p.Fixed = 0.1, 0.2 },
	} {
		p := synthetic(compounding, 3, 5)
		change(p)
		for name, search := range Searchers() {
			if _, err := search(t.Context(), p, Options{Evals: 5}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one about %q", name, err, want)
			}
		}
	}
	p := synthetic(compounding, 3, 5)
	if _, err := NAT(t.Context(), p, Options{Evals: -1}); err == nil {
		t.Error("-1 evaluations are no error")
	}
}

// Random candidates spread over the costs of interest, or use the budget up.
func TestRandomSpreads(t *testing.T) {
	p := synthetic(compounding, 3, 27)
	found, err := Random(t.Context(), p, Options{Evals: 200})
	if err != nil {
		t.Fatal(err)
	}
	var counts [5]int
	for _, c := range found[1:] {
		counts[min(max(int((c.Cost-0.5)*10), 0), 4)]++
	}
	if slices.Min(counts[:]) < 20 {
		t.Errorf("candidates by cost, from 0.5 to 1: %v", counts)
	}
	p.Budget = 0.7
	if found, err = Random(t.Context(), p, Options{Evals: 200}); err != nil {
		t.Fatal(err)
	}
	for _, c := range found[1:] {
		if c.Cost > 0.7+slack || c.Cost < 0.63 {
			t.Errorf("%v costs %v, want about 0.7 and no more", c.Choice, c.Cost)
		}
	}
}

// Where losses add up, the first steps of a greedy search are those that a sort
// by loss per saving takes.
func TestGreedyOrder(t *testing.T) {
	p := synthetic(compounding, 3, 12)
	cut(p, 2)
	rate := []float64{5, 1, 8, 3, 2, 9, 7, 4, 6, 12, 11, 10}
	p.Evaluate = func(_ context.Context, choice []int) (loss float64, _ error) {
		for i, o := range choice {
			loss += rate[i] * p.saving(i, 0, o)
		}
		return loss, nil
	}
	p.Budget = p.Cost([]int{0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0})
	found, err := Greedy(t.Context(), p, Options{Evals: 60})
	if err != nil {
		t.Fatal(err)
	}
	best, ok := Best(found, p.Budget)
	if want := []int{0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0}; !ok || !slices.Equal(best.Choice, want) {
		t.Errorf("takes %v, want %v", best.Choice, want)
	}
}
