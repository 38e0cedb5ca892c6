package transformer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Choose samples transformations of the network's cells from the policy, drops
// those that break a bound or cannot be lowered, and takes the one that the
// policy finds most probable, the input itself included (NAT, section 3.4,
// with the input as a candidate).
//
// Where the input breaks a bound and no sample keeps it, moves that save are
// made likelier, step by step, until one does: the logits gain pressure times
// the saving, which is the Lagrangian of the bound. Candidates are compared by
// the policy's own probability all the same.
func Choose(ctx context.Context, m *cellmap.Map, opt Options) (*Plan, error) {
	c := &chooser{Map: m, opt: opt, seen: map[string]bool{}, plan: &Plan{Map: m, Before: m.Model.Cost(m.Types), Result: m.Model}}
	if c.opt.MaxMAdds == 0 {
		c.opt.MaxMAdds = c.plan.Before.MAdds
	}
	if opt.Policy == nil {
		c.opt.Samples = 0
	} else if err := c.score(ctx); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(opt.Seed, 0))
	for _, pressure := range c.pressures() {
		chosen, ok, err := c.decide(ctx, c.draw(rng, pressure))
		if err != nil {
			return nil, err
		}
		if ok {
			c.explain(chosen)
			return c.plan, nil
		}
	}
	return nil, fmt.Errorf("%w (%d candidates, the input included)", ErrBounds, c.plan.Tried)
}

// pressures are the steps, in nats per percent of the cost that a move saves:
// none where the input keeps the bounds, else from hardly any to more than any
// policy's preference.
func (c *chooser) pressures() []float64 {
	list := []float64{0}
	if !c.within(c.plan.Before) && c.opt.Samples > 0 {
		for p := 0.02; p < 1000; p *= 1.2 {
			list = append(list, p)
		}
	}
	return list
}

func (c *chooser) within(cost *onnxgraph.Cost) bool {
	return cost.MAdds <= c.opt.MaxMAdds && (c.opt.MaxParams == 0 || cost.Params <= c.opt.MaxParams)
}

// A group is a set of cells that decide alike.
type group struct {
	cells  []*cellmap.Cell
	form   cellmap.Form
	logits [][Actions]float64
	probs  [][Actions]float64 // of the logits under the rules and the network's limits
	saving [][Actions]float64 // percent of the network's cost that a move saves
}

type chooser struct {
	*cellmap.Map
	opt    Options
	plan   *Plan
	groups []group
	seen   map[string]bool // candidates drawn so far
}

// score asks the policy once for each group of cells.
func (c *chooser) score(ctx context.Context) error {
	if c.opt.PerCell {
		for _, cell := range c.Cells {
			c.groups = append(c.groups, group{cells: []*cellmap.Cell{cell}, form: cell.Form()})
		}
	} else {
		for _, t := range c.CellTypes {
			c.groups = append(c.groups, group{cells: t.Cells, form: t.Form})
		}
	}
	for i := range c.groups {
		g := &c.groups[i]
		var err error
		if g.logits, err = c.opt.Policy.Logits(ctx, g.form); err != nil {
			return fmt.Errorf("policy %s: cell %s: %w", c.opt.Policy.Card().Name, g.cells[0].Name, err)
		}
		g.probs = Probabilities(g.logits, c.opt.Rules, g.form, c.legal(g))
		g.saving = c.savings(g)
	}
	return nil
}

// savings returns what moves save of the cost that is over its bound, in
// percent: multiply-adds, or parameters where only these are.
func (c *chooser) savings(g *group) [][Actions]float64 {
	out := make([][Actions]float64, len(g.form.Edges))
	before := c.plan.Before
	for edge := range out {
		for a := range Action(Actions) {
			for _, cell := range g.cells {
				m, ok := move(cell, edge, a)
				if !ok || c.Allowed(m) != nil {
					continue
				}
				madds, params := c.Saving(m, before)
				saved, total := madds, before.MAdds
				if before.MAdds <= c.opt.MaxMAdds {
					saved, total = params, before.Params
				}
				out[edge][a] += 100 * float64(saved) / float64(max(total, 1))
			}
		}
	}
	return out
}

// pressed returns the distributions of the group with moves that save made likelier.
func (c *chooser) pressed(g *group, pressure float64) [][Actions]float64 {
	if pressure == 0 {
		return g.probs
	}
	logits := slices.Clone(g.logits)
	for e := range logits {
		for a := range logits[e] {
			logits[e][a] += pressure * g.saving[e][a]
		}
	}
	return Probabilities(logits, c.opt.Rules, g.form, c.legal(g))
}

// move returns the move that an action on an edge of a cell means; ok is false
// for keeping it.
func move(cell *cellmap.Cell, edge int, a Action) (m cellmap.Move, ok bool) {
	m = cellmap.Move{Cell: cell, Edge: cellmap.EdgeID{Node: edge/2 + 2, Slot: edge % 2}}
	m.To = a.Apply(m.Old().Op)
	return m, m.To != m.Old().Op
}

// legal reports whether an action is possible on at least one cell of the group.
func (c *chooser) legal(g *group) Legal {
	return func(edge int, a Action) bool {
		for _, cell := range g.cells {
			if m, ok := move(cell, edge, a); !ok || c.Allowed(m) == nil {
				return true
			}
		}
		return false
	}
}

// A candidate is one transformation of the whole network.
type candidate struct {
	actions [][]Action // per group
	logProb float64
}

// moves lists what a candidate changes, where the network allows it.
func (c *chooser) moves(cand candidate) (out []cellmap.Move) {
	for i, g := range c.groups {
		for _, cell := range g.cells {
			for edge, a := range cand.actions[i] {
				if m, ok := move(cell, edge, a); ok && c.Allowed(m) == nil {
					out = append(out, m)
				}
			}
		}
	}
	return out
}

// keepAll is the input itself as a candidate.
func (c *chooser) keepAll() candidate {
	var cand candidate
	for _, g := range c.groups {
		actions := make([]Action, len(g.form.Edges))
		for e := range actions {
			actions[e] = Keep
			cand.logProb += math.Log(g.probs[e][Keep])
		}
		cand.actions = append(cand.actions, actions)
	}
	return cand
}

// draw samples candidates that were not drawn before, most probable first.
func (c *chooser) draw(rng *rand.Rand, pressure float64) []candidate {
	var list []candidate
	add := func(cand candidate) {
		if key := fmt.Sprint(cand.actions); !c.seen[key] {
			c.seen[key] = true
			list = append(list, cand)
		}
	}
	add(c.keepAll())
	pressed := make([][][Actions]float64, len(c.groups))
	for i := range c.groups {
		pressed[i] = c.pressed(&c.groups[i], pressure)
	}
	for range c.opt.Samples {
		var cand candidate
		for i, g := range c.groups {
			actions, _ := Draw(rng, pressed[i])
			cand.actions = append(cand.actions, actions)
			for e, a := range actions {
				cand.logProb += math.Log(g.probs[e][a])
			}
		}
		add(cand)
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(b.logProb, a.logProb) })
	return list
}

// decide takes the most probable candidate that can be carried out within the
// bounds; ok is false where none can.
func (c *chooser) decide(ctx context.Context, list []candidate) (chosen candidate, ok bool, err error) {
	for _, cand := range list {
		if err := ctx.Err(); err != nil {
			return cand, false, err
		}
		c.plan.Tried++
		moves := c.moves(cand)
		result, err := c.carryOut(moves)
		var refusal cellmap.Refusal
		if errors.As(err, &refusal) {
			continue // the moves clash; the next candidate may not
		}
		if err != nil {
			return cand, false, err
		}
		if result == nil {
			continue
		}
		c.plan.Result, c.plan.After, c.plan.LogProb = result, result.Cost(result.Infer()), cand.logProb
		for _, m := range moves {
			p, err := c.planned(m)
			if err != nil {
				return cand, false, err
			}
			c.plan.Moves = append(c.plan.Moves, p)
		}
		return cand, true, nil
	}
	return candidate{}, false, nil
}

// carryOut returns the network with the moves made; nil where it would break a
// bound, which a draft tells without reading weights.
func (c *chooser) carryOut(moves []cellmap.Move) (*onnxgraph.Model, error) {
	draft, err := c.lowered(c.Draft, moves)
	if err != nil || !c.within(draft.Cost(draft.Infer())) {
		return nil, err
	}
	return c.lowered(c.Lower, moves)
}

func (c *chooser) lowered(lower func([]cellmap.Move, cellmap.SkipInit) (*onnxgraph.Patch, error), moves []cellmap.Move) (*onnxgraph.Model, error) {
	patch, err := lower(moves, c.opt.SkipInit)
	if err != nil {
		return nil, err
	}
	return c.Model.Apply(patch)
}

// planned adds to a move what it saves, and what is inherited.
func (c *chooser) planned(m cellmap.Move) (PlannedMove, error) {
	p := PlannedMove{Move: m}
	p.MAdds, p.Params = c.Saving(m, c.plan.Before)
	share, ok, err := c.Inherited(m)
	if ok {
		p.Inherited = &share
	}
	return p, err
}

// explain lists the moves that were drawn, or that the policy prefers on an
// edge, and that the network does not allow.
func (c *chooser) explain(chosen candidate) {
	for i, g := range c.groups {
		preferred, _ := Best(g.logits, c.opt.Rules, g.form, nil)
		for _, cell := range g.cells {
			for edge := range g.form.Edges {
				for _, a := range []Action{chosen.actions[i][edge], preferred[edge]} {
					m, ok := move(cell, edge, a)
					if !ok {
						continue
					}
					var refusal cellmap.Refusal
					if errors.As(c.Allowed(m), &refusal) {
						c.plan.Refused = append(c.plan.Refused, RefusedMove{m, refusal.Reason})
						break
					}
				}
			}
		}
	}
}
