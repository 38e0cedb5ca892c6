package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
)

// report says what was written, if anything was. It gives way to a model on
// standard output.
func (x *compression) report(written *onnxgraph.Model, out *string, extra *tradeoff) error {
	p := x.t.page()
	if out != nil && *out == stdio {
		p = x.t.logPage()
	}
	switch {
	case x.t.json:
		f := x.fact(x.results())
		f.Output = out
		f.wrote(x, written, extra)
		return writeJSON(p.w, f)
	case x.t.quiet:
		return nil
	}
	x.preamble(p)
	if x.changed() {
		x.search(p, x.result)
		x.recovered(p)
		x.changes(p, x.result)
		x.costs(p, written)
		x.verdict(p)
		if out != nil {
			p.text(0, "retraining: no")
		}
		x.front(p, extra)
	} else {
		p.heading("nothing to do: %s", x.whyNothing(x.result))
	}
	if x.result != nil && x.result.Interrupted {
		p.heading("interrupted: this is the best that was found until then")
	}
	x.wrote(p, out, extra)
	return nil
}

// results are what the search found, if there was one.
func (x *compression) results() []*compress.Result {
	if x.result == nil {
		return nil
	}
	return []*compress.Result{x.result}
}

// wrote lists the files that were written.
func (x *compression) wrote(p *page, out *string, extra *tradeoff) {
	var lines []string
	switch {
	case out == nil:
		lines = append(lines, "the network was not written")
	case x.changed():
		lines = append(lines, "wrote "+written(*out))
	default:
		lines = append(lines, "wrote "+written(*out)+", an identical copy")
	}
	lines = append(lines, extra.wrote(x.result)...)
	for i, line := range lines {
		if i == 0 {
			p.heading("%s", line)
		} else {
			p.text(0, "%s", line)
		}
	}
	switch {
	case out == nil:
		teach := "add --recover distill"
		if x.opt.Distill > 0 {
			teach = "raise --epochs"
		}
		x.t.hint("next: ask for less, such as --max-madds 90%%, %s, give more data, or allow more with --max-drop", teach)
	case *out != stdio && x.changed():
		x.t.hint("next: natonnx eval %s --against %s measures it on other data; natonnx explain %s prints what it says of itself", *out, x.path, *out)
	}
}

// wrote lists what became of the files that were asked for beside the result.
func (x *tradeoff) wrote(r *compress.Result) (lines []string) {
	switch {
	case x.curve == "":
	case r == nil:
		lines = append(lines, x.curve+" was not written: nothing was tried")
	default:
		lines = append(lines, "wrote "+x.curve)
	}
	if n := len(x.points); n > 0 {
		lines = append(lines, fmt.Sprintf("wrote %s to %s, from %s to %s; the guard has not judged them", legible.Plural(n, "point"), x.dir, x.points[0].File, x.points[n-1].File))
	}
	if x.skipped != "" {
		lines = append(lines, fmt.Sprintf("not all points of the front were written: %s", x.skipped))
	}
	return lines
}

// whyNothing says why the network stays as it is.
func (x *compression) whyNothing(r *compress.Result) string {
	switch {
	case r == nil:
		return compress.ErrNothing.Error()
	case x.bounded():
		return "the network keeps the bounds as it is"
	case len(r.Candidates) == 1:
		return "no other network was tried"
	case x.opt.Cheapest:
		return fmt.Sprintf("each of %s that were tried loses more than %s", legible.Plural(len(r.Candidates)-1, "cheaper network"), pointsOf(x.opt.MaxDrop))
	}
	return fmt.Sprintf("of %s that were tried each loses more than it saves; a bound, such as --max-madds 90%%, asks for one of them", legible.Plural(len(r.Candidates)-1, "cheaper network"))
}

// preamble says in which mode, and with which data.
func (x *compression) preamble(p *page) {
	p.text(0, "mode: compress, %s; redesign would need no data, but training afterwards", x.mode.why)
	p.text(0, "data: %s", described(&x.used))
	if x.guard != nil {
		p.text(0, "guard's data: %s", described(x.guard))
	}
}

// described writes data as people read it.
func described(f *dataFact) string {
	chosen := legible.Plural(f.Samples, "sample")
	if f.Limit > 0 {
		chosen += fmt.Sprintf(" that seed %d chose", f.Seed)
	}
	return fmt.Sprintf("%s (%s, %s, preprocessing %s)", f.Path, f.Kind, chosen, f.Preprocess)
}

// search says how the data were divided, and what was looked for how.
func (x *compression) search(p *page, r *compress.Result) {
	s := r.Recipe.Split
	apart := fmt.Sprintf("%d kept apart for the guard", s.Guard)
	if r.Recipe.Apart {
		apart = fmt.Sprintf("%d of the guard's data to judge", s.Guard)
	}
	p.text(2, "%d to fit, %d to choose how strongly, %d to rank by, %s", s.Fit, s.Held, s.Rank, apart)
	p.text(0, "search: %s (%s of %d, seed %d); the best has %s", r.Search, legible.Plural(len(r.Candidates)-1, "evaluation"), x.opt.Evals, x.opt.Seed, standing(r))
}

// recovered says how what is gone was made up for.
func (x *compression) recovered(p *page) {
	how := "in closed form"
	if d := x.result.Distilled; d != nil {
		how += fmt.Sprintf(", then distillation (%s of %d in %s)", legible.Plural(d.Done, "step"), d.Steps, legible.Plural(d.Epochs, "epoch"))
	}
	p.text(0, "recovery: %s", how)
}

// standing says what the chosen network of a search costs, and how well it does.
func standing(r *compress.Result) string {
	c := r.Chosen
	return fmt.Sprintf("%s of the multiply-adds at %.3g nats and the same top class in %.1f %%", percentOf(c.Cost.MAdds, r.Before.Cost.MAdds), c.Loss, 100*c.Agreement.Value())
}

func percentOf(n, of int64) string {
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(1, of)))
}

// recoveries say how what is gone is made up for.
var recoveries = map[string]string{
	"refitted":          "what is left of the cell was fitted to what it did",
	"folded":            "the operations before the cell were fitted to what it did",
	"scale":             "a factor and an addend for each channel took its place",
	"pointwise":         "a 1x1 convolution took its place",
	"folded, pointwise": "the operations before it were fitted to what it did, and a 1x1 convolution took its place",
	"narrowed":          "the operation that reads them was fitted to what all did",
}

// stepText says what became of an operation.
func stepText(s compress.Step) string {
	if s.Of > 0 {
		return fmt.Sprintf("node %d: %s with %d of its %d channels", s.Node, opName(cellmap.Op(s.From)), s.Kept, s.Of)
	}
	return fmt.Sprintf("node %d: %s -> %s", s.Node, opName(cellmap.Op(s.From)), opName(cellmap.Op(s.To)))
}

// changes prints what became of cells, once for all that changed alike.
func (x *compression) changes(p *page, r *compress.Result) {
	cells := map[string][]compress.Step{}
	var names []string
	for _, s := range r.Recipe.Steps {
		if cells[s.Cell] == nil {
			names = append(names, s.Cell)
		}
		cells[s.Cell] = append(cells[s.Cell], s)
	}
	var groups grouped
	for _, name := range names {
		var moves []string
		for _, s := range cells[name] {
			moves = append(moves, stepText(s))
		}
		how := recoveries[cells[name][0].Recovery]
		g := groups.get(strings.Join(moves, ", ") + how)
		g.title, g.lines = how, moves
		g.cells = append(g.cells, name)
	}
	p.heading("changed")
	for _, g := range groups.list {
		p.text(2, "×%d: %s", len(g.cells), strings.Join(g.cells, ", "))
		for _, line := range g.lines {
			p.text(4, "%s; %s", line, g.title)
		}
	}
}

// costs prints what the network cost before, and what the written one costs.
func (x *compression) costs(p *page, after *onnxgraph.Model) {
	if after == nil { // the guard refused it
		after = x.result.Model
	}
	before := x.model.Cost(x.model.Infer())
	p.heading("cost")
	t := costTable(newCostFact(x.model, before), newCostFact(after, after.Cost(after.Infer())))
	if was, is := x.result.Before.Cost.Latency, x.result.Chosen.Cost.Latency; was > 0 {
		t.add("latency", significant(milliseconds(was))+" ms", significant(milliseconds(is))+" ms", change(int64(was), int64(is)))
	}
	p.table(t)
	costNotes(p, x.model, before)
	if x.result.Before.Cost.Latency > 0 {
		p.text(2, "latency is the median of single runs, both in turn, on runtime %s (%s)", x.opt.Runtime.Name(), x.opt.Runtime.About())
	}
}

// verdict prints what the guard found.
func (x *compression) verdict(p *page) {
	v, e := x.result.Guard, x.result.Guard.Evaluation
	word := "passed"
	if !v.Passed() {
		word = "refused"
	}
	p.heading("guard: %s, on %s that nothing else saw: %s, of %s allowed", word, legible.Plural(e.Samples, "sample"), lost(v), pointsOf(v.MaxDrop))
	terms, meanings := []string{"same top class", "distance"}, []string{newShareFact(&e.Against.Agreement).String(), newDistanceFact(&e.Against.Distance, true).String()}
	if v.Labels {
		terms = slices.Concat([]string{"top-1 before", "top-1 after"}, terms)
		meanings = slices.Concat([]string{newShareFact(&e.Against.Accuracy.Top1).String(), newShareFact(&e.Accuracy.Top1).String()}, meanings)
	}
	p.terms(terms, meanings)
	if one := 100 / float64(e.Samples); one > max(v.MaxDrop, 0.1) {
		p.text(2, "one sample is %s: so few cannot tell %s from less; more data, or --guard, can", pointsOf(one), pointsOf(v.MaxDrop))
	}
	if !v.Labels {
		p.heading("accuracy: not measured, as the data have no labels")
	}
	p.blank()
}

// lost writes what the guard found to be lost.
func lost(v compress.Verdict) string {
	of := "agreement with the input"
	if v.Labels {
		of = "accuracy"
	}
	if v.Drop < 0 {
		return fmt.Sprintf("%s of %s gained", pointsOf(-v.Drop), of)
	}
	return fmt.Sprintf("%s of %s lost", pointsOf(v.Drop), of)
}

// pointsOf writes percentage points.
func pointsOf(x float64) string {
	if s := strconv.FormatFloat(math.Round(100*x)/100, 'f', -1, 64); s != "1" {
		return s + " points"
	}
	return "1 point"
}

// front says how large the trade-off is, and how to see it.
func (x *compression) front(p *page, extra *tradeoff) {
	ways := ""
	if extra.curve == "" && extra.dir == "" {
		ways = "; --pareto draws them, --points writes their networks"
	}
	p.text(0, "trade-off: %d of %s that were looked at are beaten by no other in both cost and loss%s", len(x.result.Front), legible.Plural(len(x.result.Candidates), "network"), ways)
}
