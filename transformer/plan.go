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

// Options say how a network's transformation is chosen.
type Options struct {
	Policy Policy // nil: the input itself is the only candidate
	Rules  Rules
	// Samples is how many transformations are drawn from the policy; the input
	// itself is always a candidate too.
	Samples int
	// PerCell draws decisions for every cell; else cells of one type decide alike.
	PerCell  bool
	SkipInit cellmap.SkipInit
	// MaxMAdds and MaxParams bound the cost of the result; 0 means the input's
	// multiply-adds and no bound on parameters.
	MaxMAdds, MaxParams int64
	Seed                uint64
}

// A Plan is the transformation that was chosen for a network.
type Plan struct {
	Map   *cellmap.Map
	Moves []PlannedMove
	// Refused are the moves that the policy wanted and the network does not allow.
	Refused []RefusedMove
	Before  *onnxgraph.Cost
	After   *onnxgraph.Cost
	// Result is the transformed model; the input itself where no move was chosen.
	Result *onnxgraph.Model
	// Tried counts the candidates that were looked at until one could be carried
	// out within the bounds.
	Tried int
	// LogProb is the policy's log-probability of the chosen transformation.
	LogProb float64
}

// A PlannedMove is a move with what it saves by itself, which for a skip or
// null in place of an operation is that operation's cost.
type PlannedMove struct {
	cellmap.Move
	MAdds, Params int64
}

// A RefusedMove is a move that the network does not allow, and why.
type RefusedMove struct {
	cellmap.Move
	Reason string
}

// ErrBounds is returned by [Choose] where no candidate, not even the input
// itself, keeps the bounds.
var ErrBounds = errors.New("no transformation within the bounds was found")

// Destructive reports whether any move changes what the network computes before
// it is trained again.
func (p *Plan) Destructive(init cellmap.SkipInit) bool {
	for _, m := range p.Moves {
		if m.Old().Op != cellmap.Null || init == cellmap.IdentitySkip {
			return true
		}
	}
	return false
}

// Choose samples transformations of the network's cells from the policy, drops
// those that break a bound or cannot be lowered, and takes the one that the
// policy finds most probable, the input itself included (NAT, section 3.4,
// with the input as a candidate).
func Choose(ctx context.Context, m *cellmap.Map, opt Options) (*Plan, error) {
	c := &chooser{Map: m, opt: opt, plan: &Plan{Map: m, Before: m.Model.Cost(m.Types), Result: m.Model}}
	if c.opt.MaxMAdds == 0 {
		c.opt.MaxMAdds = c.plan.Before.MAdds
	}
	if opt.Policy == nil {
		c.opt.Samples = 0
	} else if err := c.score(ctx); err != nil {
		return nil, err
	}
	chosen, err := c.decide(ctx, c.draw())
	if err != nil {
		return nil, err
	}
	c.explain(chosen)
	return c.plan, nil
}

// A group is a set of cells that decide alike.
type group struct {
	cells  []*cellmap.Cell
	form   cellmap.Form
	logits [][Actions]float64
	probs  [][Actions]float64 // of the logits under the rules and the network's limits
}

type chooser struct {
	*cellmap.Map
	opt    Options
	plan   *Plan
	groups []group
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
	}
	return nil
}

// move returns the move that an action on an edge of a cell means; ok is false
// for keeping it.
func move(cell *cellmap.Cell, edge int, a Action) (m cellmap.Move, ok bool) {
	m = cellmap.Move{Cell: cell, Edge: cellmap.EdgeID{Node: edge/2 + 2, Slot: edge % 2}}
	switch a {
	case ToNull:
		m.To = cellmap.Null
	case ToSkip:
		m.To = cellmap.Skip
	default:
		return m, false
	}
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

// draw samples the candidates, most probable first, without repetitions.
func (c *chooser) draw() []candidate {
	rng := rand.New(rand.NewPCG(c.opt.Seed, 0))
	list := []candidate{c.keepAll()}
	seen := map[string]bool{fmt.Sprint(list[0].actions): true}
	for range c.opt.Samples {
		var cand candidate
		for _, g := range c.groups {
			actions, logProb := Draw(rng, g.probs)
			cand.actions = append(cand.actions, actions)
			cand.logProb += logProb
		}
		if key := fmt.Sprint(cand.actions); !seen[key] {
			seen[key] = true
			list = append(list, cand)
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(b.logProb, a.logProb) })
	return list
}

// decide takes the most probable candidate that can be carried out within the bounds.
func (c *chooser) decide(ctx context.Context, list []candidate) (candidate, error) {
	for _, cand := range list {
		if err := ctx.Err(); err != nil {
			return cand, err
		}
		c.plan.Tried++
		moves := c.moves(cand)
		patch, err := c.Lower(moves, c.opt.SkipInit)
		var refusal cellmap.Refusal
		if errors.As(err, &refusal) {
			continue // the moves clash; the next candidate may not
		}
		if err != nil {
			return cand, err
		}
		result, err := c.Model.Apply(patch)
		if err != nil {
			return cand, err
		}
		cost := result.Cost(result.Infer())
		if cost.MAdds > c.opt.MaxMAdds || c.opt.MaxParams > 0 && cost.Params > c.opt.MaxParams {
			continue
		}
		c.plan.Result, c.plan.After, c.plan.LogProb = result, cost, cand.logProb
		for _, m := range moves {
			c.plan.Moves = append(c.plan.Moves, c.priced(m))
		}
		return cand, nil
	}
	return candidate{}, fmt.Errorf("%w (%d candidates, the input included)", ErrBounds, len(list))
}

// priced adds to a move what the operators that it replaces cost.
func (c *chooser) priced(m cellmap.Move) PlannedMove {
	p := PlannedMove{Move: m}
	for _, n := range m.Old().Nodes {
		cost := c.plan.Before.Nodes[n.Index]
		p.MAdds += cost.MAdds
		p.Params += cost.Params
	}
	return p
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
