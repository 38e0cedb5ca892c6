package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

func (t *tool) policyCommand() *cli.Command {
	return &cli.Command{
		Name:  "policy",
		Usage: "show and judge the policies that decide",
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "list the built-in policies", Action: t.listPolicies},
			{Name: "show", Usage: "show how a policy was trained, and its scores", ArgsUsage: "NAME|FILE", Action: t.showPolicy},
			t.benchPoliciesCommand(),
		},
	}
}

// A cardFact is a policy's card.
type cardFact struct {
	Schema schemaV1 `json:"schema_version"`
	transformer.Card
}

func (t *tool) listPolicies(c *cli.Context) error {
	if _, err := arguments(c, 0); err != nil {
		return err
	}
	cards := []cardFact{}
	for _, name := range transformer.Builtins() {
		p, err := transformer.Builtin(name)
		if err != nil {
			return err
		}
		cards = append(cards, cardFact{Card: p.Card()})
	}
	if t.json {
		return t.writeJSON(cards)
	}
	tab := &table{numbers: []bool{false, false, true, true}}
	tab.add("", "rules", "headroom captured", "multiply-adds after")
	for _, card := range cards {
		tab.add(card.Name, card.Rules, scored(card, train.CapturedScore), scored(card, train.CostScore))
	}
	p := t.page()
	p.table(tab)
	p.blank()
	p.text(0, "On cells of NAS-Bench-201 that no training saw, CIFAR-10: of the accuracy that moves can gain, what the policy gains; and multiply-adds as a share of those before. natonnx policy show has more.")
	return nil
}

// scored writes a score of a card, the first of that name.
func scored(card cardFact, name string) string {
	for _, s := range card.Scores {
		if s.Name == name {
			return fmt.Sprintf("%.1f %s", s.Value, s.Unit)
		}
	}
	return "not measured"
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
		return t.writeJSON(cardFact{Card: card})
	}
	p := t.page()
	p.text(0, "%s", card.Name)
	var terms, meanings []string
	for _, row := range [][2]string{
		{"kind", card.Kind}, {"rules", card.Rules}, {"seed", strconv.FormatUint(card.Seed, 10)}, {"training", card.Training},
	} {
		if row[1] != "" {
			terms, meanings = append(terms, row[0]), append(meanings, clean(row[1]))
		}
	}
	p.terms(terms, meanings)
	if card.Command != "" {
		p.heading("command")
		p.shell(2, card.Command)
	}
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
	for len(scores) > 0 {
		p.text(2, "on %s", scores[0].On)
		t := &table{indent: 4, numbers: []bool{false, true}}
		same := slices.IndexFunc(scores, func(s transformer.Score) bool { return s.On != scores[0].On })
		if same < 0 {
			same = len(scores)
		}
		for _, s := range scores[:same] {
			t.add(s.Name, fmt.Sprintf("%.2f %s", s.Value, s.Unit))
		}
		p.table(t)
		scores = scores[same:]
	}
}
