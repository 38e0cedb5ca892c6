package main

import (
	"fmt"
	"strconv"

	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

func (t *tool) policyCommand() *cli.Command {
	return &cli.Command{
		Name:  "policy",
		Usage: "show the policies that decide",
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "list the built-in policies", Action: t.listPolicies},
			{Name: "show", Usage: "show how a policy was trained, and its scores", ArgsUsage: "NAME|FILE", Action: t.showPolicy},
		},
	}
}

func (t *tool) listPolicies(c *cli.Context) error {
	if _, err := arguments(c, 0); err != nil {
		return err
	}
	cards := []transformer.Card{}
	for _, name := range transformer.Builtins() {
		p, err := transformer.Builtin(name)
		if err != nil {
			return err
		}
		cards = append(cards, p.Card())
	}
	if t.json {
		return t.writeJSON(cards)
	}
	tab := &table{numbers: make([]bool, 3)}
	for _, card := range cards {
		tab.add(card.Name, card.Kind+", rules "+card.Rules, card.Training)
	}
	t.page().table(tab)
	return nil
}

func (t *tool) showPolicy(c *cli.Context) error {
	args, err := arguments(c, 1)
	if err != nil {
		return err
	}
	policy, err := findPolicy(args[0])
	if err != nil {
		return err
	}
	card := policy.Card()
	if t.json {
		return t.writeJSON(card)
	}
	p := t.page()
	p.text(0, "%s", card.Name)
	p.terms([]string{"kind", "rules", "seed", "training", "command"},
		[]string{clean(card.Kind), clean(card.Rules), strconv.FormatUint(card.Seed, 10), clean(card.Training), clean(card.Command)})
	if len(card.Scores) == 0 {
		p.heading("scores: none were measured")
		return nil
	}
	p.heading("scores")
	p.scores(card.Scores)
	return nil
}

// scores prints measured figures, those of one data set together.
func (p *page) scores(scores []transformer.Score) {
	on := ""
	for i, s := range scores {
		if i == 0 || s.On != on {
			on = s.On
			p.text(2, "on %s", on)
		}
		p.text(4, "%s: %s", s.Name, fmt.Sprintf("%.4g %s", s.Value, s.Unit))
	}
}
