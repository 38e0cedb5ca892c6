package policybench

import (
	"math/rand/v2"

	"github.com/natonnx/natonnx/train"
)

// A space is what rules make of one cell: for each edge the options of
// [train.Moves201], of which every choice is a candidate.
type space struct {
	cell    int
	options [train.Edges201][]int
}

// choices are the options of each edge that make a candidate, by index; the
// zero choices are the cell itself.
type choices [train.Edges201]int

func (s *space) candidate(c choices) int {
	cell := s.cell
	for edge, i := range c {
		cell += s.options[edge][i]
	}
	return cell
}

// size counts the candidates.
func (s *space) size() int {
	n := 1
	for _, list := range s.options {
		n *= len(list)
	}
	return n
}

func (s *space) draw(rng *rand.Rand) (c choices) {
	for edge, list := range s.options {
		c[edge] = rng.IntN(len(list))
	}
	return c
}

// mutate gives one edge another option. Every edge has two options or more:
// nulls and skips become each other.
func (s *space) mutate(rng *rand.Rand, c choices) choices {
	edge := rng.IntN(len(c))
	c[edge] = (c[edge] + 1 + rng.IntN(len(s.options[edge])-1)) % len(s.options[edge])
	return c
}

// A ledger looks up what cells are worth, each once, as long as it may.
type ledger struct {
	look  func(cell int) float64
	limit int // 0: none
	known map[int]float64
	best  int // of the cells that were looked up; the first of equals
}

func newLedger(look func(cell int) float64, limit int) *ledger {
	return &ledger{look: look, limit: limit, known: map[int]float64{}}
}

// worth is not ok where the cell would have to be looked up beyond the limit.
func (l *ledger) worth(cell int) (x float64, ok bool) {
	if x, ok = l.known[cell]; ok {
		return x, true
	}
	if l.spent() {
		return 0, false
	}
	x = l.look(cell)
	if len(l.known) == 0 || x > l.known[l.best] {
		l.best = cell
	}
	l.known[cell] = x
	return x, true
}

func (l *ledger) spent() bool { return l.limit > 0 && len(l.known) >= l.limit }

// A searcher looks up candidates of a space, the cell itself first. What it
// found is the ledger's best.
type searcher func(rng *rand.Rand, s *space, l *ledger)

// exhaustively looks up all candidates.
func exhaustively(_ *rand.Rand, s *space, l *ledger) {
	cells := []int{s.cell}
	for _, options := range s.options {
		for _, cell := range cells {
			for _, step := range options[1:] {
				cells = append(cells, cell+step)
			}
		}
	}
	for _, cell := range cells {
		l.worth(cell)
	}
}

// randomly looks up candidates that it draws evenly.
func randomly(rng *rand.Rand, s *space, l *ledger) {
	l.worth(s.cell)
	for !l.spent() && len(l.known) < s.size() {
		l.worth(s.candidate(s.draw(rng)))
	}
}

// greedily goes from edge to edge, in random order, and gives each its best
// option, until it has gone round without finding anything better. Every move
// is of one edge.
func greedily(rng *rand.Rand, s *space, l *ledger) {
	var at choices
	top, _ := l.worth(s.cell)
	for improved := true; improved && !l.spent(); {
		improved = false
		for _, edge := range rng.Perm(len(at)) {
			try := at
			for i := range s.options[edge] {
				try[edge] = i
				if x, ok := l.worth(s.candidate(try)); ok && x > top {
					at, top, improved = try, x, true
				}
			}
		}
	}
}

// Of an evolution.
const (
	populationSize = 10
	tournamentSize = 5
)

// evolve is regularized evolution (Real et al. 2019, algorithm 1): the best of
// a few members of the population, drawn at random, has a child with one edge
// changed, and the oldest member dies. It begins with the input and children of
// it in place of random cells, which are far worse.
func evolve(rng *rand.Rand, s *space, l *ledger) {
	population := []choices{{}}
	l.worth(s.cell)
	// Children that are known cost nothing, so the patience must have an end.
	for patience := 100 * l.limit; patience > 0 && !l.spent(); patience-- {
		var parent choices
		if len(population) == populationSize {
			parent = s.fittest(rng, population, l)
		}
		child := s.mutate(rng, parent)
		if _, ok := l.worth(s.candidate(child)); !ok {
			return
		}
		if population = append(population, child); len(population) > populationSize {
			population = population[1:]
		}
	}
}

// fittest holds a tournament.
func (s *space) fittest(rng *rand.Rand, population []choices, l *ledger) (best choices) {
	top := 0.0
	for i := range tournamentSize {
		c := population[rng.IntN(len(population))]
		if x := l.known[s.candidate(c)]; i == 0 || x > top {
			best, top = c, x
		}
	}
	return best
}
