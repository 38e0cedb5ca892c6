package search

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// tried is how many changes [Greedy] tries at once. Fewer would leave workers
// idle, more would try changes that turn out not to matter.
const tried = 4

// Greedy starts from the network as it is and takes, again and again, the change
// of one site that adds least loss for what it saves, until the budget is met.
// Changes are tried lazily (Minoux, Accelerated greedy algorithms for maximizing
// submodular set functions, 1978): what a change added when it was last tried,
// or its Harm before that, tells which to try again, and what comes out first
// when it is fresh is taken. Evaluations that are left go to a local search: the
// best candidate with one change more or less, or one for another. Without
// a budget, it improves the best of several costs in turn.
func Greedy(ctx context.Context, p *Problem, o Options) ([]Candidate, error) {
	s, err := newSession(p, o)
	if err != nil {
		return nil, err
	}
	g := newGreedy(s)
	for s.left() > 0 && s.Cost(g.current) > s.floor()+slack {
		if err := g.step(ctx); err != nil {
			return s.found, err
		}
	}
	for s.left() > 0 {
		more, err := g.improve(ctx)
		if err != nil || !more {
			return s.found, err
		}
	}
	return s.found, nil
}

type greedy struct {
	*session
	current []int
	loss    float64 // of current
	steps   int     // taken
	rounds  int     // of improvements
	// added is what an option adds to the loss of the site as it is, as last
	// seen, and seen the step in which that was.
	added [][]float64
	seen  [][]int
	harm  float64 // added loss by harm, the median of what was seen
}

const unseen = -1

func newGreedy(s *session) *greedy {
	g := &greedy{session: s, current: make([]int, len(s.Sites)), harm: 1}
	for _, site := range s.Sites {
		g.added = append(g.added, make([]float64, len(site.Options)))
		g.seen = append(g.seen, slices.Repeat([]int{unseen}, len(site.Options)))
	}
	return g
}

// adds returns what an option adds to the loss of the site as it is.
func (g *greedy) adds(site, option int) float64 {
	if option == 0 || g.seen[site][option] != unseen {
		return g.added[site][option]
	}
	return g.harm * g.Sites[site].Options[option].Harm
}

// price is what a change adds to the loss, by what it saves of what is to be saved.
func (g *greedy) price(c change) float64 {
	from := g.current[c.site]
	saving := min(g.saving(c.site, from, c.option), g.Cost(g.current)-g.floor())
	return (g.adds(c.site, c.option) - g.adds(c.site, from)) / saving
}

// changes returns the changes that save, the best first.
func (g *greedy) changes() (changes []change) {
	for site, from := range g.current {
		for _, option := range g.options[site] {
			if g.saving(site, from, option) > 0 {
				changes = append(changes, change{site, option})
			}
		}
	}
	price := make(map[change]float64, len(changes))
	for _, c := range changes {
		price[c] = g.price(c)
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(price[a], price[b]) })
	return changes
}

// step takes the best change, or several where there are too few evaluations
// left to take them one by one.
func (g *greedy) step(ctx context.Context) error {
	changes := g.changes()
	steps := g.stepsLeft(changes)
	if steps >= g.left() {
		return g.leap(ctx, changes)
	}
	for end := max(1, g.left()-g.left()/steps); ; changes = g.changes() {
		best := slices.IndexFunc(changes, func(c change) bool { return g.seen[c.site][c.option] == g.steps })
		if best == 0 || best > 0 && g.left() <= end {
			return g.take(ctx, with(g.current, changes[best]))
		}
		stale := changes
		if best > 0 {
			stale = changes[:best]
		}
		n := min(tried, len(stale), max(1, g.left()-end))
		if err := g.try(ctx, stale[:n]); err != nil || g.left() == 0 {
			return err
		}
	}
}

// stepsLeft guesses how many steps lead to the budget: as long ones as those
// taken, or as the best changes.
func (g *greedy) stepsLeft(changes []change) int {
	length := g.saving(changes[0].site, g.current[changes[0].site], changes[0].option)
	if g.steps > 0 {
		length = (g.found[0].Cost - g.Cost(g.current)) / float64(g.steps)
	}
	return int(math.Ceil((g.Cost(g.current) - g.floor()) / length))
}

// try measures what changes add to the current choice.
func (g *greedy) try(ctx context.Context, changes []change) error {
	var choices [][]int
	for _, c := range changes {
		choices = append(choices, with(g.current, c))
	}
	if err := g.evaluate(ctx, choices); err != nil {
		return err
	}
	for i, c := range changes {
		if loss, ok := g.known(choices[i]); ok {
			g.see(c, g.adds(c.site, g.current[c.site])+loss-g.loss)
		}
	}
	g.calibrate()
	return nil
}

// calibrate learns what harm means from what was seen.
func (g *greedy) calibrate() {
	var ratios []float64
	for site, seen := range g.seen {
		for option, step := range seen {
			if harm := g.Sites[site].Options[option].Harm; step != unseen && harm > 0 {
				ratios = append(ratios, max(g.added[site][option], 0)/harm)
			}
		}
	}
	if len(ratios) > 0 {
		slices.Sort(ratios)
		g.harm = ratios[len(ratios)/2]
	}
}

func (g *greedy) take(ctx context.Context, choice []int) error {
	if err := g.evaluate(ctx, [][]int{choice}); err != nil {
		return err
	}
	if loss, ok := g.known(choice); ok {
		g.current, g.loss = choice, loss
		g.steps++
	}
	return nil
}

// leap takes the best changes at once that save what each evaluation that is
// left has to save, for the budget to be met by the last one.
func (g *greedy) leap(ctx context.Context, changes []change) error {
	choice, cost := slices.Clone(g.current), g.Cost(g.current)
	goal := cost - (cost-g.floor())/float64(g.left())
	for _, c := range changes {
		if choice[c.site] == g.current[c.site] && g.Cost(choice) > goal+slack {
			choice[c.site] = c.option
		}
	}
	for site := range choice { // the best changes may not be those that save enough
		if g.Cost(choice) > goal+slack {
			choice[site] = g.cheapest(site)
		}
	}
	return g.take(ctx, choice)
}

// A prospect is a candidate that an exchange leads to.
type prospect struct {
	exchange
	base   Candidate
	choice []int
	adds   float64 // to the loss, as expected
}

// improve tries the most promising exchanges that are new, and reports
// whether there were any.
func (g *greedy) improve(ctx context.Context) (more bool, err error) {
	var round []prospect
	var choices [][]int
	targets := g.targets(g.rounds)
	g.rounds++
	for _, target := range targets {
		for _, p := range g.prospects(target, max(1, tried/len(targets))) {
			round, choices = append(round, p), append(choices, p.choice)
		}
	}
	if len(round) == 0 {
		return false, nil
	}
	err = g.evaluate(ctx, choices)
	for _, p := range round {
		if loss, ok := g.known(p.choice); ok {
			g.learn(p, loss)
		}
	}
	return true, err
}

// prospects returns the n most promising new candidates near the best one that
// meets the target.
func (g *greedy) prospects(target float64, n int) (best []prospect) {
	base, ok := Best(g.found, target)
	if !ok {
		return nil
	}
	var all []prospect
	g.exchanges(base.Choice, target, func(e exchange) {
		p := prospect{exchange: e, base: base}
		for _, c := range e.changes() {
			p.adds += g.adds(c.site, c.option) - g.adds(c.site, base.Choice[c.site])
		}
		all = append(all, p)
	})
	slices.SortFunc(all, func(a, b prospect) int { return cmp.Compare(a.adds, b.adds) })
	for _, p := range all {
		p.choice = with(base.Choice, p.changes()...)
		if _, old := g.known(p.choice); old {
			continue
		}
		if best = append(best, p); len(best) == n {
			break
		}
	}
	return best
}

// learn has the changes of an exchange share what was not expected of it.
func (g *greedy) learn(p prospect, loss float64) {
	changes := p.changes()
	surprise := (loss - p.base.Loss - p.adds) / float64(len(changes))
	for _, c := range changes {
		if c.option == 0 { // nothing is added there: what was taken back had added less
			c.option = p.base.Choice[c.site]
			g.see(c, g.adds(c.site, c.option)-surprise)
			continue
		}
		g.see(c, g.adds(c.site, c.option)+surprise)
	}
}

func (g *greedy) see(c change, adds float64) {
	g.added[c.site][c.option], g.seen[c.site][c.option] = adds, g.steps
}
