package main

import (
	"fmt"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
)

// report says what was written. It gives way to a model on standard output.
func (x *compression) report(m *onnxgraph.Model, out string) error {
	t := x.t
	p := t.page()
	if out == stdio {
		p = t.logPage()
	}
	switch {
	case t.json:
		return writeJSON(p.w, x.facts(m, &out))
	case t.quiet:
		return nil
	}
	x.preamble(p)
	if x.result == nil || len(x.result.Recipe.Steps) == 0 {
		p.heading("nothing to do: %s", x.whyNothing())
		p.heading("wrote %s, an identical copy", written(out))
		return nil
	}
	x.changes(p)
	x.costs(p, m)
	x.guarded(p)
	p.text(0, "retraining: no")
	if x.result.Interrupted {
		p.heading("interrupted: this is the best so far")
	}
	p.heading("wrote %s", written(out))
	if out != stdio {
		t.hint("next: natonnx explain %s tells what was done; natonnx eval measures it", out)
	}
	return nil
}

func (x *compression) whyNothing() string {
	if x.result == nil {
		return compress.ErrNothing.Error()
	}
	return "every cheaper network that was tried loses too much"
}

// preamble says what was done with which images.
func (x *compression) preamble(p *page) {
	p.text(0, "mode: compress, %s; redesign, for a better architecture that is trained again, needs no data", x.why)
	f := x.fact
	p.text(0, "data: %s (%s, %s, preprocessing %s)", f.Path, f.Kind, plural(f.Samples, "sample"), f.Preprocess)
	if x.result == nil {
		return
	}
	r := x.result
	s := r.Recipe.Split
	p.text(2, "%d to fit and %d to rank candidates; %s to judge the result by", s.Fit+s.Held, s.Rank, x.judges())
	p.text(0, "search: %s (%s, seed %d)", r.Search, plural(len(r.Candidates)-1, "candidate"), r.Recipe.Seed)
	recovery := "in closed form"
	if d := r.Distilled; d != nil {
		recovery += fmt.Sprintf(", then %s of distillation (%s)", plural(d.Epochs, "epoch"), plural(d.Done, "step"))
	}
	p.text(0, "recovery: %s", recovery)
}

func (x *compression) judges() string {
	if x.guard != nil {
		return fmt.Sprintf("%d of %s", x.guard.Samples, x.guard.Path)
	}
	return fmt.Sprintf("%d that nothing else saw", x.result.Recipe.Split.Guard)
}

// changes prints what became of each cell, once for all that changed alike.
func (x *compression) changes(p *page) {
	var groups grouped
	for _, s := range x.result.Recipe.Steps {
		g := groups.get(fmt.Sprint(s.Node, s.From, s.To, s.Recovery))
		g.title = fmt.Sprintf("node %d: %s -> %s, %s", s.Node, s.From, strings.TrimSuffix(s.To, "_connect"), recoveries[s.Recovery])
		g.cells = append(g.cells, s.Cell)
	}
	p.heading("changed: %s", plural(len(x.result.Recipe.Steps), "cell"))
	for _, g := range groups.list {
		p.text(2, "%s ×%d: %s", g.title, len(g.cells), strings.Join(g.cells, ", "))
	}
}

// recoveries say how what is gone is made up for.
var recoveries = map[string]string{
	"refitted":          "what is left of the cell learned what it did",
	"folded":            "the operation before the cell learned what it did",
	"scale":             "a factor and an addend per channel in its place",
	"pointwise":         "a 1x1 convolution in its place",
	"folded, pointwise": "the operation before it learned what it did, with a 1x1 convolution in its place",
}

// costs prints what the network cost before and after.
func (x *compression) costs(p *page, m *onnxgraph.Model) {
	before, after := x.costFacts(m)
	p.heading("cost")
	t := &table{indent: 2, numbers: []bool{false, true, true, true}, optional: 1}
	t.add("", "before", "after", "change")
	t.add("multiply-adds", amount(before.MultiplyAdds), amount(after.MultiplyAdds), change(before.MultiplyAdds, after.MultiplyAdds))
	t.add("parameters", amount(before.Params), amount(after.Params), change(before.Params, after.Params))
	t.add("activation memory", size(before.ActivationBytes), size(after.ActivationBytes), change(before.ActivationBytes, after.ActivationBytes))
	t.add("nodes", amount(int64(before.Nodes)), amount(int64(after.Nodes)), change(int64(before.Nodes), int64(after.Nodes)))
	t.add("file size", size(before.FileBytes), size(after.FileBytes), change(before.FileBytes, after.FileBytes))
	if x.latency[0] > 0 {
		ms := func(i int) string { return fmt.Sprintf("%.3g ms", milliseconds(x.latency[i])) }
		t.add("latency ("+x.opt.Runtime.Name()+")", ms(0), ms(1), change(x.latency[0].Microseconds(), x.latency[1].Microseconds()))
	}
	p.table(t)
}

// guarded prints what the guard measured.
func (x *compression) guarded(p *page) {
	v := x.result.Guard
	e := v.Evaluation
	if e == nil || e.Against == nil {
		return
	}
	word := "kept"
	if !v.Passed() {
		word = "refused"
	}
	p.heading("guard: %s; %s lost %.2f of at most %g points on %s", word, map[bool]string{true: "accuracy", false: "agreement"}[v.Labels], v.Drop, v.MaxDrop, plural(e.Samples, "image"))
	terms, meanings := []string{"same top class", "distance"}, []string{newShareFact(&e.Against.Agreement).String(), newDistanceFact(&e.Against.Distance, true).String()}
	if v.Labels {
		terms = append([]string{"top-1 before", "top-1 after"}, terms...)
		meanings = append([]string{newShareFact(&e.Against.Accuracy.Top1).String(), newShareFact(&e.Accuracy.Top1).String()}, meanings...)
	}
	p.terms(terms, meanings)
	if !v.Labels {
		p.text(0, "accuracy: not measured, as the data have no labels")
	}
	p.blank()
}

func (x *compression) costFacts(m *onnxgraph.Model) (before, after costFact) {
	before = newCostFact(x.model, x.model.Cost(x.model.Infer()))
	if m == nil {
		return before, before
	}
	return before, newCostFact(m, m.Cost(m.Infer()))
}

// A compressionFact is what optimize prints in the mode compress.
type compressionFact struct {
	Schema      schemaV1        `json:"schema_version"`
	Version     string          `json:"natonnx_version"`
	Input       string          `json:"input"`
	Output      *string         `json:"output"` // null: nothing was written
	Mode        string          `json:"mode"`
	ModeReason  string          `json:"mode_reason"`
	Data        dataFact        `json:"data"`
	GuardData   *dataFact       `json:"guard_data"` // null: a part of the data
	Split       *compress.Split `json:"split"`
	Search      string          `json:"search"`
	Evaluations int             `json:"evaluations"`
	Seed        uint64          `json:"seed"`
	Interrupted bool            `json:"interrupted"`
	Epochs      int             `json:"distillation_epochs"`
	Changed     bool            `json:"changed"`
	Retrain     string          `json:"retrain"`
	Moves       []compress.Step `json:"moves"`
	Front       int             `json:"front_points"`
	Before      costFact        `json:"before"`
	After       *costFact       `json:"after"` // null: nothing was written
	LatencyMs   *[2]float64     `json:"latency_ms"`
	Runtime     string          `json:"runtime"`
	Guard       *guardFact      `json:"guard"`
}

// A guardFact is what the guard measured.
type guardFact struct {
	Passed    bool         `json:"passed"`
	Drop      float64      `json:"drop_points"`
	MaxDrop   float64      `json:"max_drop_points"`
	Labels    bool         `json:"labels"`
	Images    int          `json:"images"`
	Before    *shareFact   `json:"top1_before"`
	After     *shareFact   `json:"top1_after"`
	Agreement *shareFact   `json:"agreement"`
	Distance  distanceFact `json:"distance"`
}

func (x *compression) facts(m *onnxgraph.Model, output *string) compressionFact {
	f := compressionFact{
		Version: version, Input: x.path, Output: output, Mode: "compress", ModeReason: x.why, Data: x.fact, GuardData: x.guard, Search: x.opt.Search,
		Seed: x.opt.Seed, Epochs: x.opt.Distill, Retrain: "no", Moves: []compress.Step{}, Runtime: x.opt.Runtime.Name(),
	}
	before, after := x.costFacts(m)
	f.Before = before
	if m != nil {
		f.After = &after
	}
	if x.latency[0] > 0 {
		f.LatencyMs = &[2]float64{milliseconds(x.latency[0]), milliseconds(x.latency[1])}
	}
	r := x.result
	if r == nil {
		return f
	}
	f.Split, f.Evaluations, f.Interrupted, f.Front = &r.Recipe.Split, len(r.Candidates)-1, r.Interrupted, len(r.Front)
	f.Changed = len(r.Recipe.Steps) > 0
	f.Moves = append(f.Moves, r.Recipe.Steps...)
	if e := r.Guard.Evaluation; e != nil && e.Against != nil {
		v := r.Guard
		f.Guard = &guardFact{v.Passed(), v.Drop, v.MaxDrop, v.Labels, e.Samples, nil, nil, newShareFact(&e.Against.Agreement), newDistanceFact(&e.Against.Distance, true)}
		if v.Labels {
			f.Guard.Before, f.Guard.After = newShareFact(&e.Against.Accuracy.Top1), newShareFact(&e.Accuracy.Top1)
		}
	}
	return f
}
