package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

// decisionFlags say how decisions are made; optimize, plan and cells share them.
func decisionFlags() []cli.Flag {
	return []cli.Flag{
		modeFlag(),
		&cli.StringFlag{Name: "policy", Value: transformer.DefaultPolicy, Usage: "`POLICY` decides: a name of natonnx policy list, a policy file, or none; with --rules nat++ it is " + transformer.DefaultPolicyOf(transformer.NATPlusPlus) + " where none is named"},
		choiceFlag("rules", transformer.NAT.Name, "`RULES` say which moves exist: nat (to skips and nulls, and from null to skip), or nat++ (to smaller kernels, separable and dilated convolutions and poolings, too)", transformer.NAT.Name, transformer.NATPlusPlus.Name),
		countFlag("samples", 10, 1, 100000, "draw `N` transformations from the policy and take the most probable that keeps the bounds"),
		boundFlag("max-madds", "bound the result's multiply-adds by `X`, such as 1.5G, or by a share of the input's, such as 90%; without it, redesign keeps to the input's"),
		boundFlag("max-params", "bound the result's parameters by `X`, in the same way; without it, there is no bound"),
		choiceFlag("per", "type", "decide per `UNIT`: type, where cells of one structure decide alike, or cell", "type", "cell"),
		choiceFlag("skip-init", "gate", "how a new skip begins, `INIT`: gate (scaled by zeros, which keeps the function) or identity", "gate", "identity"),
		seedFlag(),
	}
}

// A decision is a transformation, and how it came about.
type decision struct {
	*transformer.Plan
	opt    transformer.Options
	path   string // of the input, as the user wrote it
	mode   string // why this mode
	policy string // as the user wrote it
	bounds struct{ madds, params *bound }
	effect effect // as far as it was measured
}

// decide chooses the transformation of the one model that a command is about.
func (t *tool) decide(c *cli.Context) (*decision, error) {
	d, err := readDecision(c)
	if err != nil {
		return nil, err
	}
	m, err := t.open(c.Context, d.path)
	if err != nil {
		return nil, err
	}
	return d, d.choose(c.Context, m)
}

// readDecision reads the flags and the argument; it opens the policy, not the model.
func readDecision(c *cli.Context) (*decision, error) {
	args, err := arguments(c, 1)
	if err != nil {
		return nil, err
	}
	d, err := undecided(c)
	if err != nil {
		return nil, err
	}
	d.path = args[0]
	return d, nil
}

// undecided reads the flags into a decision that is about no model yet.
func undecided(c *cli.Context) (*decision, error) {
	m, err := readMode(c)
	if err != nil {
		return nil, err
	}
	d := &decision{
		policy: c.String("policy"), mode: m.why,
		opt: transformer.Options{Samples: int(countOf(c, "samples")), PerCell: choiceOf(c, "per") == "cell", Seed: countOf(c, "seed")},
	}
	d.bounds.madds, d.bounds.params = boundOf(c, "max-madds"), boundOf(c, "max-params")
	if choiceOf(c, "skip-init") == "identity" {
		d.opt.SkipInit = cellmap.IdentitySkip
	}
	d.opt.Rules, _ = transformer.RulesByName(choiceOf(c, "rules"))
	if !c.IsSet("policy") {
		d.policy = transformer.DefaultPolicyOf(d.opt.Rules)
	}
	if d.opt.Policy, err = openPolicy(d.policy); err != nil {
		return nil, err
	}
	return d, d.checkRules()
}

// checkRules refuses a policy that knows fewer moves than the rules have.
func (d *decision) checkRules() error {
	if d.opt.Policy == nil {
		return nil
	}
	known, ok := transformer.RulesByName(d.opt.Policy.Card().Rules)
	if ok && known.Actions < d.opt.Rules.Actions {
		return &usageError{fmt.Sprintf("--rules %s: the policy %s was trained for the rules %s, and has no scores for the other moves", d.opt.Rules.Name, d.policy, known.Name),
			"leave out --policy or --rules, or name a policy that was trained for " + d.opt.Rules.Name}
	}
	return nil
}

// about returns a decision of the same flags about the model that is called path.
func (d *decision) about(path string) *decision {
	other := *d
	other.path = path
	return &other
}

// choose chooses the transformation of a valid model.
func (d *decision) choose(ctx context.Context, m *onnxgraph.Model) (err error) {
	cells := cellmap.Lift(m)
	before := m.Cost(cells.Types)
	d.opt.MaxMAdds = d.bounds.madds.of(before.MAdds)
	d.opt.MaxParams = d.bounds.params.of(before.Params)
	d.Plan, err = transformer.Choose(ctx, cells, d.opt)
	if errors.Is(err, transformer.ErrBounds) {
		return fmt.Errorf("%s: %w; the input has %s multiply-adds and %s parameters, and more --samples or another --seed may find one", m.Path, err, amount(before.MAdds), amount(before.Params))
	}
	if err != nil {
		return err
	}
	byCell(d.Moves, func(m transformer.PlannedMove) int { return m.Cell.Index })
	byCell(d.Refused, func(m transformer.RefusedMove) int { return m.Cell.Index })
	if len(d.Moves) == 0 {
		return nil
	}
	d.Result, err = d.Result.Apply(d.stamp())
	return err
}

// byCell sorts moves along the network.
func byCell[M any](moves []M, cell func(M) int) {
	slices.SortStableFunc(moves, func(a, b M) int { return cmp.Compare(cell(a), cell(b)) })
}

// retrain says whether the result has to be trained again: required, optional,
// or no where nothing changed.
func (d *decision) retrain() string {
	switch {
	case len(d.Moves) == 0:
		return "no"
	case d.Destructive(d.opt.SkipInit):
		return "required"
	}
	return "optional"
}

func (d *decision) skipInit() string {
	if d.opt.SkipInit == cellmap.ZeroGate {
		return "gate"
	}
	return "identity"
}

func (d *decision) per() string {
	if d.opt.PerCell {
		return "cell"
	}
	return "type"
}
