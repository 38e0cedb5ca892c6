package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

func (t *tool) planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what optimize would do, and why, without writing",
		ArgsUsage: "IN",
		Description: "Makes the same decisions as optimize with the same flags, and prints every cell, " +
			"each move with what it saves, and each refusal with its reason. -v also prints the cells in compact form.\n\n" +
			"With --data it searches as optimize does in the mode compress, and prints what would be written; the guard's samples are kept apart and not looked at. " +
			"--compare has each search try as many candidates, and prints what each found.",
		Flags:  slices.Concat(decisionFlags(), dataFlags(), runFlags(), searchFlags(), []cli.Flag{compareFlag()}),
		Action: t.plan,
	}
}

func (t *tool) plan(c *cli.Context) error {
	switch m, err := readMode(c); {
	case err != nil:
		return err
	case m.compress:
		return t.planCompression(c, m)
	}
	d, err := t.decide(c)
	if err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(d.fact(nil))
	}
	p := t.page()
	if !t.quiet {
		d.preamble(p, t.verbose)
	}
	if len(d.Map.Cells) > 0 {
		d.cells(p, t.verbose)
	}
	if !t.quiet {
		d.legacies(p)
	}
	noCells(p, d.Map.Refused)
	if t.quiet {
		return nil
	}
	if len(d.Moves) == 0 {
		d.nothing(p)
		return nil
	}
	d.costs(p)
	d.verdict(p)
	t.hint("next: natonnx optimize takes the same flags and does this; natonnx cells draws it")
	return nil
}

// cells prints each cell and what is to become of it.
func (d *decision) cells(p *page, genotypes bool) {
	p.heading("%s", legible.Plural(len(d.Map.Cells), "cell"))
	t := &table{indent: 2, numbers: make([]bool, 5)}
	for _, c := range d.Map.Cells {
		t.add(c.Type.Name, c.Name, kindOf(c), d.shape(c.Inputs[1]), "-> "+d.shape(c.Output))
	}
	rows := t.lines(p.width)
	after := d.forms()
	for i, c := range d.Map.Cells {
		fmt.Fprintln(p.w, rows[i])
		if genotypes {
			p.text(6, "%s", c.Form())
			if !after[c].Equal(c.Form()) {
				p.text(6, "-> %s", after[c])
			}
		}
		d.decisions(p, c)
	}
}

// decisions prints the moves of a cell, then its refusals.
func (d *decision) decisions(p *page, c *cellmap.Cell) {
	for _, m := range d.Moves {
		if m.Cell != c {
			continue
		}
		saving := ""
		if m.MAdds > 0 || m.Params > 0 {
			saving = ", saves " + amount(m.MAdds) + " multiply-adds and " + amount(m.Params) + " parameters"
		}
		p.text(6, "%s%s%s", d.arrow(m.Move), saving, inherits([]transformer.PlannedMove{m}))
	}
	var groups grouped
	for _, m := range d.Refused {
		if m.Cell == c {
			g := groups.get(m.Reason)
			g.title, g.lines = m.Reason, append(g.lines, wanted(m.Move))
		}
	}
	for _, g := range groups.list {
		p.text(6, "not possible: %s (%s)", strings.Join(g.lines, ", "), g.title)
	}
}

func (d *decision) shape(value string) string { return d.Map.Types.Of(value).Shape.String() }
