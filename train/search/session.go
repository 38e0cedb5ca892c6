package search

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// A session evaluates candidates and remembers them.
type session struct {
	*Problem
	Options
	options  [][]int   // of each site: the first, and those that cost less
	deadline time.Time // zero: none
	found    []Candidate
	index    map[string]int // of found, by key
}

func newSession(p *Problem, o Options) (*session, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	if o.Evals < 0 || o.Time < 0 || o.Workers < 0 {
		return nil, fmt.Errorf("search: %d evaluations in %v by %d workers: want none of them negative", o.Evals, o.Time, o.Workers)
	}
	o.Workers = max(o.Workers, 1)
	s := &session{Problem: p, Options: o, index: map[string]int{}}
	for site := range p.Sites {
		s.options = append(s.options, append([]int{0}, p.cheaper(site)...))
	}
	if o.Time > 0 {
		s.deadline = time.Now().Add(o.Time)
	}
	s.record(make([]int, len(p.Sites)), 0)
	if p.Budget > 0 && s.found[0].Cost <= p.Budget+slack {
		s.Evals = 0 // nothing is better than the network as it is
	}
	return s, nil
}

// key tells choices apart.
func key(choice []int) string {
	b := make([]byte, 0, 2*len(choice))
	for _, o := range choice {
		b = append(b, byte(o), byte(o>>8))
	}
	return string(b)
}

func (s *session) candidate(choice []int, loss float64) Candidate {
	if math.IsNaN(loss) {
		loss = math.Inf(1)
	}
	return Candidate{Choice: choice, Cost: s.Cost(choice), Loss: loss}
}

func (s *session) record(choice []int, loss float64) {
	s.index[key(choice)] = len(s.found)
	s.found = append(s.found, s.candidate(choice, loss))
}

// hopeless stands for an infinite loss where losses are subtracted.
const hopeless = 1e6

// known returns the loss of a choice that was evaluated, hopeless at most.
func (s *session) known(choice []int) (loss float64, ok bool) {
	i, ok := s.index[key(choice)]
	if !ok {
		return 0, false
	}
	return min(s.found[i].Loss, hopeless), true
}

// late reports whether no evaluation may begin any more.
func (s *session) late() bool {
	return !s.deadline.IsZero() && !time.Now().Before(s.deadline)
}

// left is how many evaluations there may still be.
func (s *session) left() int {
	if s.late() {
		return 0
	}
	return s.Evals - s.done()
}

func (s *session) done() int { return len(s.found) - 1 }

// saves reports whether any option saves anything.
func (s *session) saves() bool {
	return slices.ContainsFunc(s.options, func(o []int) bool { return len(o) > 1 })
}

// floor is the cost that the cheapest candidates of interest have.
func (s *session) floor() float64 {
	if s.Budget > 0 {
		return s.Budget
	}
	return max(frontier, s.Cheapest())
}

// An outcome is what became of an evaluation; never begun, it is not done.
type outcome struct {
	index int
	loss  float64
	err   error
	done  bool
}

// evaluate evaluates those of the choices that are new, as many as the bounds
// allow, and records them in their order.
func (s *session) evaluate(ctx context.Context, choices [][]int) error {
	fresh := s.fresh(choices)
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make([]outcome, len(fresh))
	var failed error
	measured := slices.Clip(s.found) // in the order in which they end
	for r := range s.begin(within, fresh) {
		if r.err != nil {
			failed = cmp.Or(failed, r.err)
			cancel()
			continue
		}
		outcomes[r.index] = r
		measured = append(measured, s.candidate(fresh[r.index], r.loss))
		s.report(measured)
	}
	for i, r := range outcomes {
		if r.done {
			s.record(fresh[i], r.loss)
		}
	}
	return cmp.Or(ctx.Err(), failed)
}

func (s *session) report(measured []Candidate) {
	if s.Progress == nil {
		return
	}
	best, ok := Best(measured, s.Budget)
	if !ok {
		best = slices.MinFunc(measured, func(a, b Candidate) int { return cmp.Compare(a.Cost, b.Cost) })
	}
	best.Choice = slices.Clone(best.Choice)
	s.Progress(len(measured)-1, s.Evals, best)
}

// fresh returns copies of the new ones of choices, no more than are left.
func (s *session) fresh(choices [][]int) (fresh [][]int) {
	taken := map[string]bool{}
	for _, c := range choices {
		k := key(c)
		if _, old := s.index[k]; old || taken[k] {
			continue
		}
		if len(fresh) == s.left() {
			break
		}
		taken[k] = true
		fresh = append(fresh, slices.Clone(c))
	}
	return fresh
}

// begin evaluates choices by as many workers as there may be.
func (s *session) begin(ctx context.Context, choices [][]int) <-chan outcome {
	results, work := make(chan outcome), make(chan int, len(choices))
	for i := range choices {
		work <- i
	}
	close(work)
	var workers sync.WaitGroup
	for range min(s.Workers, len(choices)) {
		workers.Go(func() {
			for i := range work {
				if ctx.Err() != nil || s.late() {
					return
				}
				loss, err := s.Evaluate(ctx, slices.Clone(choices[i]))
				results <- outcome{index: i, loss: loss, err: err, done: true}
			}
		})
	}
	go func() {
		workers.Wait()
		close(results)
	}()
	return results
}
