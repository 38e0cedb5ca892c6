package train

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// A Proposer asks a policy about NAS-Bench-201 cells in one writing.
type Proposer struct {
	Rules   transformer.Rules // of the policy's card
	policy  transformer.Policy
	writing *Writing
}

// NewProposer refuses policies whose card names no rules.
func NewProposer(policy transformer.Policy, w *Writing) (*Proposer, error) {
	card := policy.Card()
	rules, ok := transformer.RulesByName(card.Rules)
	if !ok {
		return nil, fmt.Errorf("policy %q: rules %q, want %s or %s", card.Name, card.Rules, transformer.NAT.Name, transformer.NATPlusPlus.Name)
	}
	return &Proposer{rules, policy, w}, nil
}

// A Proposal is what a policy would do with one cell: a distribution over its
// transformations, in which edges are independent.
type Proposal struct {
	cell  int
	form  cellmap.Form
	probs [][transformer.Actions]float64
}

// Propose asks the policy about a cell.
func (p *Proposer) Propose(ctx context.Context, cell int) (*Proposal, error) {
	form := p.writing.Form(cell)
	logits, err := p.policy.Logits(ctx, form)
	if err != nil {
		return nil, err
	}
	return &Proposal{cell, form, transformer.Probabilities(logits, p.Rules, form, Legal201(form))}, nil
}

// take carries out one action per edge.
func (p *Proposal) take(actions []transformer.Action) int {
	cell, err := Cell201(transformer.Transform(p.form, actions))
	if err != nil { // what Legal201 allows is a cell
		return p.cell
	}
	return cell
}

// BestSample draws n transformations and returns the most probable of them and
// of leaving the cell as it is.
func (p *Proposal) BestSample(rng *rand.Rand, n int) int {
	best, top := make([]transformer.Action, len(p.probs)), 0.0
	for e := range best {
		best[e] = transformer.Keep
		top += math.Log(p.probs[e][transformer.Keep])
	}
	for range n {
		if actions, logProb := transformer.Draw(rng, p.probs); logProb > top {
			best, top = actions, logProb
		}
	}
	return p.take(best)
}

// Samples draws n transformations at a temperature, above 1 of which the policy
// is less sure of itself, and returns what becomes of the cell.
func (p *Proposal) Samples(rng *rand.Rand, temperature float64, n int) []int {
	probs := make([][transformer.Actions]float64, len(p.probs))
	for e, distribution := range p.probs {
		sum, most := 0.0, slices.Max(distribution[:])
		for a, x := range distribution {
			if x > 0 {
				probs[e][a] = math.Pow(x/most, 1/temperature) // some power of the largest is not 0
				sum += probs[e][a]
			}
		}
		for a := range probs[e] {
			probs[e][a] /= sum
		}
	}
	cells := make([]int, n)
	for i := range cells {
		actions, _ := transformer.Draw(rng, probs)
		cells[i] = p.take(actions)
	}
	return cells
}

// Candidates returns the cell itself and its n-1 most probable transformations.
func (p *Proposal) Candidates(n int) []int {
	list := p.MostProbable(n)
	if at := slices.Index(list, p.cell); at >= 0 {
		list = slices.Delete(list, at, at+1)
	}
	return append([]int{p.cell}, list[:min(len(list), n-1)]...)
}

// MostProbable returns the n cells that the policy's most probable
// transformations lead to, all different, the most probable first; fewer where
// there are not as many. Raising the temperature would not change their order:
// it scales the logarithm of every probability alike.
func (p *Proposal) MostProbable(n int) (cells []int) {
	q := p.queue()
	for len(cells) < n && len(q.list) > 0 {
		next := heap.Pop(q).(ranking)
		if cell := p.take(q.actions(next)); !slices.Contains(cells, cell) {
			cells = append(cells, cell)
		}
		q.follow(next)
	}
	return cells
}

// A ranking is a transformation by the rank that each edge's action has among
// the edge's actions, the most probable being 0.
type ranking struct {
	ranks   []int
	last    int // the edge that was advanced last
	logProb float64
}

// A queue yields transformations by falling probability. Each but the first
// comes from one before it, by advancing the last edge that was advanced or one
// behind it: so each comes once, and after what it comes from.
type queue struct {
	sorted [][]choice // by edge
	list   []ranking
}

type choice struct {
	action  transformer.Action
	logProb float64
}

func (p *Proposal) queue() *queue {
	q := &queue{sorted: make([][]choice, len(p.probs))}
	first := ranking{ranks: make([]int, len(p.probs))}
	for e, probs := range p.probs {
		choices := []choice{{transformer.Keep, math.Log(probs[transformer.Keep])}} // wins ties
		for a, x := range probs {
			if a := transformer.Action(a); a != transformer.Keep && x > 0 {
				choices = append(choices, choice{a, math.Log(x)})
			}
		}
		slices.SortStableFunc(choices, func(a, b choice) int { return cmp.Compare(b.logProb, a.logProb) })
		q.sorted[e] = choices
		first.logProb += choices[0].logProb
	}
	q.list = []ranking{first}
	return q
}

func (q *queue) actions(r ranking) []transformer.Action {
	actions := make([]transformer.Action, len(r.ranks))
	for e, rank := range r.ranks {
		actions[e] = q.sorted[e][rank].action
	}
	return actions
}

// follow puts what comes from a ranking into the queue.
func (q *queue) follow(r ranking) {
	for e := r.last; e < len(r.ranks); e++ {
		rank := r.ranks[e]
		if rank+1 == len(q.sorted[e]) {
			continue
		}
		next := ranking{slices.Clone(r.ranks), e, r.logProb + q.sorted[e][rank+1].logProb - q.sorted[e][rank].logProb}
		next.ranks[e]++
		heap.Push(q, next)
	}
}

func (q *queue) Len() int           { return len(q.list) }
func (q *queue) Less(i, j int) bool { return q.list[i].logProb > q.list[j].logProb }
func (q *queue) Swap(i, j int)      { q.list[i], q.list[j] = q.list[j], q.list[i] }
func (q *queue) Push(x any)         { q.list = append(q.list, x.(ranking)) }
func (q *queue) Pop() any {
	last := q.list[len(q.list)-1]
	q.list = q.list[:len(q.list)-1]
	return last
}
