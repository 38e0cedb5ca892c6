package main

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/train/compress"
	"github.com/urfave/cli/v2"
)

func compareFlag() cli.Flag {
	return &cli.BoolFlag{Name: "compare", Usage: "compress: search in each way, with as many evaluations, and compare"}
}

// planCompression is plan in the mode compress.
func (t *tool) planCompression(c *cli.Context, m mode) error {
	x, err := t.newCompression(c, m)
	if err != nil {
		return err
	}
	extra, err := readTradeoff(c, x.path)
	if err != nil {
		return err
	}
	if err := roomFor(extra.curve); err != nil {
		return err
	}
	if err := x.open(c); err != nil {
		return err
	}
	searches := []string{x.opt.Search}
	if c.Bool("compare") {
		others := slices.DeleteFunc([]string{"nat", "greedy", "random"}, func(s string) bool { return s == x.opt.Search })
		searches = append(searches, others...)
	}
	results, err := compress.Plan(c.Context, x.model, x.data, x.opt, searches...)
	x.shown.end()
	if err := x.explain(err); err != nil {
		return err
	}
	if err := extra.writeCurve(x, results...); err != nil {
		return err
	}
	if err := x.reportPlan(results, extra); err != nil {
		return err
	}
	return c.Context.Err()
}

// reportPlan says what the searches found.
func (x *compression) reportPlan(results []*compress.Result, extra *tradeoff) error {
	if x.t.json {
		f := x.fact(results)
		if extra.curve != "" && len(results) > 0 {
			f.Pareto = &extra.curve
		}
		return x.t.writeJSON(f)
	}
	p := x.t.page()
	if !x.t.quiet {
		x.preamble(p)
	}
	if len(results) == 0 {
		p.heading("nothing to do: %s", x.whyNothing(nil))
		return nil
	}
	r := results[0]
	if len(r.Recipe.Steps) == 0 {
		p.heading("nothing to do: %s", x.whyNothing(r))
	} else {
		if !x.t.quiet {
			x.search(p, r)
		}
		x.changes(p, r)
		x.planned(p, r)
	}
	if len(results) > 1 {
		x.compared(p, results)
	}
	if x.t.quiet {
		return nil
	}
	if r.Interrupted {
		p.heading("interrupted: this is the best that was found until then")
	}
	p.heading("accuracy: not measured; optimize judges the result on %s that nothing else sees, and does not write one that lost more than %s",
		legible.Plural(r.Recipe.Split.Guard, "sample"), pointsOf(x.opt.MaxDrop))
	if extra.curve != "" {
		p.text(0, "wrote %s", extra.curve)
	}
	x.t.hint("next: natonnx optimize takes the same flags and does this")
	return nil
}

// planned prints what the chosen network costs.
func (x *compression) planned(p *page, r *compress.Result) {
	was, is := r.Before.Cost, r.Chosen.Cost
	p.heading("cost")
	t := &table{indent: 2, numbers: []bool{false, true, true, true}, optional: 1}
	t.add("", "before", "after", "change")
	t.add("parameters", amount(was.Params), amount(is.Params), change(was.Params, is.Params))
	t.add("multiply-adds", amount(was.MAdds), amount(is.MAdds), change(was.MAdds, is.MAdds))
	t.add("activation memory", size(was.Memory), size(is.Memory), change(was.Memory, is.Memory))
	p.table(t)
}

// compared prints what each search found.
func (x *compression) compared(p *page, results []*compress.Result) {
	p.heading("searches, each with %s, on %s", legible.Plural(x.opt.Evals, "evaluation"), legible.Plural(results[0].Recipe.Split.Rank, "sample"))
	t := &table{indent: 2, numbers: []bool{false, true, true, true, true, true}, optional: 1}
	t.add("", "tried", "multiply-adds", "loss", "same top class", "front")
	for _, r := range results {
		c := r.Chosen
		t.add(r.Search, fmt.Sprint(len(r.Candidates)-1), percentOf(c.Cost.MAdds, r.Before.Cost.MAdds), fmt.Sprintf("%.3g nats", c.Loss),
			fmt.Sprintf("%.1f %%", 100*c.Agreement.Value()), fmt.Sprint(len(r.Front)))
	}
	p.table(t)
}
