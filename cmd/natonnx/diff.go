package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/fleet/diff"
	diffpage "github.com/natonnx/natonnx/fleet/diff/page"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/urfave/cli/v2"
)

func (t *tool) diffCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write a page for browsers to `OUT`, a name that ends in .html; it needs no network"},
		choiceFlag("values", "on", "`WHETHER` to compare the values of tensors, which reads all weights: on or off", "on", "off"),
		&cli.BoolFlag{Name: "exit-code", Usage: "end with exit code 5 where the models differ"},
		&cli.BoolFlag{Name: "run", Usage: "run both on probe inputs, and say how far their outputs are apart"},
		seedFlag(),
	}
	return &cli.Command{
		Name:      "diff",
		Usage:     "show what differs between two networks",
		ArgsUsage: "A B [-o OUT.html]",
		Description: "Compares what the networks A and B take and give, their nodes, tensors, metadata, cost and cells; B is read as A after a change. " +
			"Nodes are matched by name and by structure, so that two exports of one network under other names differ in names alone. -v lists everything.\n\n" +
			"With DATA both are run on it, for how often they have the same top class, and for their accuracy where there are labels.\n\n" +
			"Of an invalid model all is compared that can be read. The exit code is 0 whether or not they differ; --exit-code changes that.",
		Flags:  slices.Concat(flags, dataFlags(), runFlags()),
		Action: t.diff,
	}
}

// A diffFact is what diff prints.
type diffFact struct {
	Schema  schemaV1 `json:"schema_version"`
	Version string   `json:"natonnx_version"`
	*diff.Diff
	Measured *measuredFact `json:"measured"` // null: the networks were not run
}

// A measuredFact is what came of running two networks.
type measuredFact struct {
	Drift    *driftFact      `json:"drift"`              // on probe inputs; null: not measured
	NoDrift  string          `json:"no_drift,omitempty"` // why not
	Data     *dataFact       `json:"data"`
	Accuracy *accuracyFact   `json:"accuracy"` // of the second network
	Against  *comparisonFact `json:"against"`  // of the second network with the first, on the data
}

func (t *tool) diff(c *cli.Context) error {
	args, err := arguments(c, 2)
	if err != nil {
		return err
	}
	if args[0] == stdio && args[1] == stdio {
		return usagef("diff: only one of the models can be standard input")
	}
	out := c.String("output")
	if c.IsSet("output") && !strings.EqualFold(filepath.Ext(out), ".html") {
		return &usageError{fmt.Sprintf("-o %s: a diff is drawn as a page for browsers", out), "end the name in .html; --json prints the facts"}
	}
	for _, path := range args {
		if out != "" && sameFile(path, out) {
			return usagef("-o %s: is one of the models", out)
		}
	}
	var models [2]*onnxgraph.Model
	for i, path := range args {
		if models[i], err = t.read(c.Context, path); err != nil {
			return err
		}
	}
	run, err := readPairRun(c, models[0])
	if err != nil {
		return err
	}
	d, err := diff.Compare(c.Context, models[0], models[1], diff.Options{NoValues: choiceOf(c, "values") == "off"})
	if err != nil {
		return err
	}
	f := diffFact{Version: version, Diff: d}
	var measured *effect
	if run != nil {
		if measured, err = t.measurePair(c, run, d, models); err != nil {
			return err
		}
		f.Measured = &measuredFact{measured.drift, measured.noDrift, measured.data, measured.accuracy, measured.against}
	}
	if out != "" {
		if err := t.diffPage(out, d, measured); err != nil {
			return err
		}
	}
	switch {
	case t.json:
		err = t.writeJSON(f)
	default:
		printDiff(t.page(), d, measured, t.quiet, t.verbose)
	}
	if out != "" {
		t.hint("wrote %s", out)
	}
	if err == nil && c.Bool("exit-code") && !d.Same {
		err = &checkError{fmt.Sprintf("%s and %s differ", args[0], args[1])}
	}
	return err
}

// A pairRun says how two networks are run.
type pairRun struct {
	opt  measure.Options
	data *dataset.Dataset // nil: none
}

// readPairRun reads the flags that say how networks are run; nil where they are not.
func readPairRun(c *cli.Context, m *onnxgraph.Model) (*pairRun, error) {
	r := &pairRun{opt: measure.Options{Workers: int(countOf(c, "workers"))}}
	var err error
	if r.data, err = openData(c, m); err != nil || r.data == nil && !c.Bool("run") {
		return nil, err
	}
	r.opt.Memory, err = memoryLimit(c)
	return r, err
}

// measurePair runs both networks. That they cannot be run is an error only
// where data were given to run them on.
func (t *tool) measurePair(c *cli.Context, r *pairRun, d *diff.Diff, models [2]*onnxgraph.Model) (*effect, error) {
	e, data, o := &effect{}, r.data, r.opt
	before, after := models[0], models[1]
	for _, m := range []diff.Model{d.Before, d.After} {
		if m.Fault != "" && data != nil {
			return nil, &modelError{m.Fault}
		}
		if m.Fault != "" {
			e.noDrift = m.Fault
			return e, nil
		}
	}
	drift, err := measure.Drifted(c.Context, before, after, probesFor(max(d.Before.Cost.MultiplyAdds, d.After.Cost.MultiplyAdds)), countOf(c, "seed"), o)
	switch {
	case c.Context.Err() != nil:
		return nil, c.Context.Err()
	case err != nil:
		e.noDrift = err.Error()
	default:
		e.drift = newDriftFact(drift)
	}
	if data == nil {
		return e, nil
	}
	was, err := measure.Open(c.Context, before, o)
	if err != nil {
		return nil, runErrorOf(err)
	}
	defer was.Close()
	is, err := measure.Open(c.Context, after, o)
	if err != nil {
		return nil, runErrorOf(err)
	}
	defer is.Close()
	shown := newProgress(t, choiceOf(c, "progress"))
	result, err := measure.Evaluate(c.Context, is, was, data, measure.EvaluateOptions{Progress: shown.samples})
	shown.end()
	if err != nil {
		return nil, runErrorOf(err)
	}
	e.against, e.accuracy = newComparisonFact(d.Before.Path, result.Against), newAccuracyFact(result.Accuracy)
	fact, err := newDataFact(c.Context, c, data)
	e.data = &fact
	return e, err
}

// diffPage writes the page for browsers.
func (t *tool) diffPage(out string, d *diff.Diff, e *effect) error {
	o := diffpage.Options{Version: version}
	if e != nil {
		o.Measured = e.measured()
	}
	var b bytes.Buffer
	if err := diffpage.Write(&b, d, o); err != nil {
		return &modelError{err.Error()}
	}
	return onnxgraph.WriteFile(out, b.Bytes())
}

// measured lists what was measured, for the page.
func (e *effect) measured() (list []diffpage.Measurement) {
	add := func(what, value, on string, share *shareFact) {
		m := diffpage.Measurement{What: what, Value: value, On: on}
		if share != nil {
			m.Share, m.Low, m.High = &share.Share, share.Low, share.High
		}
		list = append(list, m)
	}
	switch {
	case e.drift != nil:
		add("distance of the outputs", e.drift.Distance.String(), fmt.Sprintf("%s (%s, seed %d)", legible.Plural(e.drift.Probes, "probe input"), e.drift.Values, e.drift.Seed), nil)
	case e.noDrift != "":
		add("distance of the outputs", "not measured: "+e.noDrift, "", nil)
	}
	if e.data == nil {
		return list
	}
	on := fmt.Sprintf("%s (%s, preprocessing %s)", e.data.Path, legible.Plural(e.data.Samples, "sample"), e.data.Preprocess)
	add("same top class", e.against.Agreement.String(), on, e.against.Agreement)
	add("distance of the outputs", e.against.Distance.String(), on, nil)
	if e.accuracy != nil {
		add("top-1 accuracy before", e.against.Accuracy.Top1.String(), on, e.against.Accuracy.Top1)
		add("top-1 accuracy after", e.accuracy.Top1.String(), on, e.accuracy.Top1)
	}
	if e.accuracy != nil && e.accuracy.Top5 != nil {
		add("top-5 accuracy before", e.against.Accuracy.Top5.String(), on, e.against.Accuracy.Top5)
		add("top-5 accuracy after", e.accuracy.Top5.String(), on, e.accuracy.Top5)
	}
	return list
}

// A diffReport prints a diff for people.
type diffReport struct {
	*page
	*diff.Diff
	all bool // list everything
}

func printDiff(p *page, d *diff.Diff, e *effect, quiet, all bool) {
	r := &diffReport{p, d, all}
	r.verdict()
	if !d.Same {
		r.counts()
	}
	if quiet {
		return
	}
	if !d.Same {
		r.ports()
		r.cells()
		r.nodes()
		r.tensors()
		r.metadata()
		r.renames()
		r.costs()
	}
	r.gaps()
	if e != nil {
		e.print(p)
	}
}

// verdict prints the one line that is all where nothing differs.
func (r *diffReport) verdict() {
	pair := fmt.Sprintf("%s and %s", r.Before.Path, r.After.Path)
	switch n := len(r.Tensors.Unread); {
	case !r.Same:
		r.text(0, "%s -> %s", r.Before.Path, r.After.Path)
	case n > 0:
		r.text(0, "%s: no difference was found, but %s could not be compared", pair, legible.Plural(n, "tensor"))
	case !r.Tensors.Values:
		r.text(0, "%s: no difference was found; the values of tensors were not compared", pair)
	case r.Identical:
		r.text(0, "%s are the same, byte for byte", pair)
	default:
		r.text(0, "%s are the same network, written in other bytes", pair)
	}
}

// counts prints how much of each kind differs.
func (r *diffReport) counts() {
	s, t, c := &r.Structure, &r.Tensors, &r.Cells
	structure := tally(counted{len(s.Added), "added"}, counted{len(s.Removed), "removed"}, counted{len(s.Changed), "changed"}, counted{len(s.Outputs), "rewired to outputs"})
	if structure == "" {
		structure = "the same"
	} else {
		structure = "nodes: " + structure + fmt.Sprintf(", %d the same", s.Same)
	}
	if n := len(r.Renames); n > 0 {
		structure += fmt.Sprintf("; %s", pluralVerb(n, "name differs", "names differ"))
	}
	tensors := tally(counted{len(t.Added), "added"}, counted{len(t.Removed), "removed"}, counted{len(t.Changed), "changed"}, counted{t.Same, "the same"}, counted{len(t.Unread), "not compared"})
	terms := []string{"interface", "structure", "tensors", "metadata"}
	meanings := []string{kinds(r.Interface), structure, cmp.Or(tensors, "none"), kinds(r.Metadata)}
	if r.Before.Cost != nil && r.After.Cost != nil {
		moves := 0
		for _, change := range c.Changed {
			moves += len(change.Moves)
		}
		cells := tally(counted{len(c.Changed), "changed"}, counted{len(c.Added), "added"}, counted{len(c.Removed), "removed"}, counted{c.Same, "the same"})
		if moves > 0 {
			cells += fmt.Sprintf(" (%s)", legible.Plural(moves, "move"))
		}
		terms, meanings = append(terms, "cells"), append(meanings, cmp.Or(cells, "none"))
	}
	if stamp := r.Stamp; stamp != nil {
		whose := r.After.Path
		if stamp.Of == "before" {
			whose = r.Before.Path
		}
		terms = append(terms, "natonnx")
		meanings = append(meanings, clean(fmt.Sprintf("%s says that it was rewritten: %s by policy %s, retraining %s", whose, legible.Plural(len(stamp.Moves), "move"), stamp.Policy, stamp.Retrain)))
	}
	r.terms(terms, meanings)
}

type counted struct {
	n    int
	what string
}

// tally lists the counts that are not zero.
func tally(counts ...counted) string {
	var parts []string
	for _, c := range counts {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// kinds counts changes by their kind.
func kinds(list []diff.Change) string {
	n := map[diff.Kind]int{}
	for _, c := range list {
		n[c.Kind]++
	}
	var counts []counted
	for _, k := range []diff.Kind{diff.Added, diff.Removed, diff.Changed, diff.Renamed, diff.Moved} {
		counts = append(counts, counted{n[k], string(k)})
	}
	return cmp.Or(tally(counts...), "the same")
}

func pluralVerb(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// listed is how much of a list is shown without -v.
const listed = 10

// list prints the first lines of a list, and how many more there are.
func (r *diffReport) list(n int, line func(i int)) {
	shown := n
	if !r.all {
		shown = min(n, listed)
	}
	for i := range shown {
		line(i)
	}
	if shown < n {
		r.text(2, "and %d more (-v lists all)", n-shown)
	}
}

func (r *diffReport) ports() {
	if len(r.Interface) == 0 {
		return
	}
	r.heading("interface")
	r.list(len(r.Interface), func(i int) { r.change(r.Interface[i]) })
}

func (r *diffReport) change(c diff.Change) {
	name := c.What
	if c.Name != "" && c.What != "metadata" {
		name += " " + c.Name
	}
	if c.What == "metadata" {
		name = c.Name
	}
	was, is := legible.Clip(c.Before, 200), legible.Clip(c.After, 200)
	switch c.Kind {
	case diff.Added:
		r.text(2, "%s", strings.TrimSuffix(fmt.Sprintf("+ %s: %s", name, is), ": "))
	case diff.Removed:
		r.text(2, "%s", strings.TrimSuffix(fmt.Sprintf("- %s: %s", name, was), ": "))
	case diff.Renamed:
		r.text(2, "%s %s is now %s", c.What, was, is)
	case diff.Moved:
		r.text(2, "%s: from place %s to %s", name, was, is)
	default:
		r.text(2, "%s: %s -> %s", name, cmp.Or(was, "none"), cmp.Or(is, "none"))
	}
}

func (r *diffReport) cells() {
	c := &r.Cells
	if len(c.Changed)+len(c.Added)+len(c.Removed) == 0 {
		return
	}
	r.heading("cells")
	var groups grouped
	for _, change := range c.Changed {
		var lines []string
		for _, m := range change.Moves {
			lines = append(lines, moveText(m))
		}
		if len(lines) == 0 {
			lines = []string{"before: " + change.Before.Genotype, "after: " + change.After.Genotype}
		}
		g := groups.get(strings.Join(lines, "\n"))
		g.lines, g.cells = lines, append(g.cells, cellName(change))
	}
	r.list(len(groups.list), func(i int) {
		g := groups.list[i]
		r.text(2, "%s", strings.Join(g.cells, ", "))
		for _, line := range g.lines {
			r.text(4, "%s", line)
		}
	})
	for _, side := range []struct {
		sign  string
		cells []diff.Cell
	}{{"+", c.Added}, {"-", c.Removed}} {
		r.list(len(side.cells), func(i int) { r.text(2, "%s %s: %s", side.sign, side.cells[i].Name, side.cells[i].Genotype) })
	}
}

func cellName(c diff.CellChange) string {
	switch {
	case c.Stated:
		return c.Before.Name + " (as the metadata state)"
	case c.Before.Name != c.After.Name:
		return c.Before.Name + " (now " + c.After.Name + ")"
	}
	return c.Before.Name
}

func moveText(m diff.Move) string {
	text := fmt.Sprintf("node %d: %s from %d -> %s", m.Node, edgeName(m.From), m.Source, edgeName(m.To))
	for _, gain := range []struct {
		verb          string
		madds, params int64
	}{{"saves", m.MultiplyAdds, m.Params}, {"costs", -m.MultiplyAdds, -m.Params}} {
		var parts []string
		if gain.madds > 0 {
			parts = append(parts, amount(gain.madds)+" multiply-adds")
		}
		if gain.params > 0 {
			parts = append(parts, amount(gain.params)+" parameters")
		}
		if len(parts) > 0 {
			text += ", " + gain.verb + " " + strings.Join(parts, " and ")
		}
	}
	return text
}

// edgeName is the name of an operation as reports write it.
func edgeName(op string) string {
	if op == "skip_connect" {
		return "skip"
	}
	return op
}

func (r *diffReport) nodes() {
	s := &r.Structure
	if len(s.Added)+len(s.Removed)+len(s.Changed)+len(s.Outputs) == 0 {
		return
	}
	r.heading("nodes")
	for _, side := range []struct {
		sign  string
		nodes []diff.Node
	}{{"+", s.Added}, {"-", s.Removed}} {
		if len(side.nodes) > listed && !r.all {
			r.text(2, "%s %s (-v lists them)", side.sign, byOperator(side.nodes))
			continue
		}
		for _, n := range side.nodes {
			r.text(2, "%s %s", side.sign, n)
		}
	}
	var own, rewired []diff.NodeChange
	for _, c := range s.Changed {
		if len(c.Attributes) > 0 || c.Before.Operator != c.After.Operator {
			own = append(own, c)
		} else {
			rewired = append(rewired, c)
		}
	}
	r.list(len(own), func(i int) { r.node(own[i]) })
	if len(rewired) > listed && !r.all {
		r.text(2, "%s something else (-v lists them)", pluralVerb(len(rewired), "node reads", "nodes read"))
	} else {
		r.list(len(rewired), func(i int) { r.node(rewired[i]) })
	}
	r.list(len(s.Outputs), func(i int) {
		o := s.Outputs[i]
		r.text(2, "output %d: %s -> %s", o.Input, sourceText(o.Before), sourceText(o.After))
	})
}

func (r *diffReport) node(c diff.NodeChange) {
	r.text(2, "%s", c.After)
	if c.Before.Operator != c.After.Operator {
		r.text(4, "operator: %s -> %s", c.Before.Operator, c.After.Operator)
	}
	for _, a := range c.Attributes {
		r.text(4, "%s: %s -> %s", a.Name, cmp.Or(a.Before, "absent"), cmp.Or(a.After, "absent"))
	}
	for _, in := range c.Inputs {
		r.text(4, "input %d: %s -> %s", in.Input, sourceText(in.Before), sourceText(in.After))
	}
}

func sourceText(s diff.Source) string {
	switch {
	case s.Value == "":
		return s.From
	case s.From == "input" || s.From == "tensor":
		return s.From + " " + s.Value
	case s.From == "nothing":
		return s.Value + ", which nothing makes"
	}
	return s.From
}

// byOperator counts nodes by operator: 7 Mul, 7 Add.
func byOperator(nodes []diff.Node) string {
	var order []string
	n := map[string]int{}
	for _, node := range nodes {
		if n[node.Operator] == 0 {
			order = append(order, node.Operator)
		}
		n[node.Operator]++
	}
	var parts []string
	for _, op := range order {
		parts = append(parts, fmt.Sprintf("%d %s", n[op], op))
	}
	return strings.Join(parts, ", ")
}

func (r *diffReport) tensors() {
	t := &r.Tensors
	if len(t.Changed)+len(t.Added)+len(t.Removed) == 0 {
		return
	}
	r.heading("tensors")
	for _, side := range []struct {
		sign    string
		tensors []diff.Tensor
	}{{"+", t.Added}, {"-", t.Removed}} {
		r.list(len(side.tensors), func(i int) { r.text(2, "%s %s: %s", side.sign, side.tensors[i].Name, tensorForm(side.tensors[i])) })
	}
	changed := slices.Clone(t.Changed)
	slices.SortStableFunc(changed, func(x, y diff.TensorChange) int { return cmp.Compare(moved(y), moved(x)) })
	r.list(len(changed), func(i int) {
		c := changed[i]
		if c.Values == nil {
			r.text(2, "%s: %s -> %s", c.After.Name, tensorForm(c.Before), tensorForm(c.After))
			return
		}
		r.text(2, "%s: %s: %s", c.After.Name, tensorForm(c.After), moveOfValues(c.Values))
		if r.all {
			r.text(4, "sha256 %s -> %s", c.Before.Digest, c.After.Digest)
		}
	})
}

// moved sorts changes of tensors: those of another form first, then by how far
// values moved.
func moved(c diff.TensorChange) float64 {
	switch {
	case c.Values == nil:
		return math.Inf(1)
	case c.Values.Relative == nil:
		return math.MaxFloat64
	}
	return *c.Values.Relative
}

func tensorForm(t diff.Tensor) string {
	dims := "scalar"
	for i, d := range t.Dims {
		if i == 0 {
			dims = fmt.Sprint(d)
			continue
		}
		dims += fmt.Sprintf("x%d", d)
	}
	return t.Type + " " + dims
}

func moveOfValues(v *diff.ValueChange) string {
	if v.Differing == nil {
		return "other values"
	}
	s := fmt.Sprintf("%d of %s differ", *v.Differing, legible.Plural(int(v.Elements), "element"))
	return s + fmt.Sprintf(", relative %s, largest %s", number(v.Relative), number(v.MaxAbs))
}

func (r *diffReport) metadata() {
	if len(r.Metadata) == 0 {
		return
	}
	r.heading("metadata")
	own := func(c diff.Change) bool { return r.Stamp != nil && !r.all && strings.HasPrefix(c.Name, "natonnx.") }
	others := slices.DeleteFunc(slices.Clone(r.Metadata), own)
	if n := len(r.Metadata) - len(others); n > 0 {
		r.text(2, "%s of natonnx itself (-v lists them)", pluralVerb(n, "entry", "entries"))
	}
	r.list(len(others), func(i int) { r.change(others[i]) })
}

func (r *diffReport) renames() {
	if len(r.Renames) == 0 || !r.all {
		return
	}
	r.heading("names")
	for _, n := range r.Renames {
		r.text(2, "%s %s -> %s", n.What, cmp.Or(n.Before, "(none)"), cmp.Or(n.After, "(none)"))
	}
}

func (r *diffReport) costs() {
	before, after := r.Before.Cost, r.After.Cost
	if before == nil || after == nil {
		return
	}
	r.heading("cost")
	t := &table{indent: 2, numbers: []bool{false, true, true, true}, optional: 1}
	t.add("", "before", "after", "change")
	for _, row := range r.Costs() {
		write := amount
		if row.Bytes {
			write = size
		}
		t.add(row.What, write(row.Before), write(row.After), change(row.Before, row.After))
	}
	r.table(t)
	if before.BatchAssumed || after.BatchAssumed {
		r.text(2, "a symbolic batch is counted as 1")
	}
	if before.UnknownNodes+after.UnknownNodes > 0 {
		r.text(2, "left out, as their cost is unknown: %s before, %s after", legible.Plural(before.UnknownNodes, "node"), legible.Plural(after.UnknownNodes, "node"))
	}
}

// gaps prints what could not be compared, and why.
func (r *diffReport) gaps() {
	var groups grouped
	for _, u := range r.Tensors.Unread {
		g := groups.get(u.Reason)
		g.title, g.cells = u.Reason, append(g.cells, u.Name)
	}
	lines := slices.Clone(r.NotCompared)
	for _, m := range []diff.Model{r.Before, r.After} {
		if m.Fault != "" {
			lines = append(lines, "invalid: "+m.Fault)
		}
	}
	if len(lines)+len(groups.list) == 0 {
		return
	}
	r.heading("not compared")
	for _, line := range lines {
		r.text(2, "%s", line)
	}
	r.list(len(groups.list), func(i int) {
		g := groups.list[i]
		more := ""
		if n := len(g.cells) - 1; n > 0 {
			more = fmt.Sprintf(" and %s", legible.Plural(n, "more tensor"))
		}
		r.text(2, "%s%s: %s", g.cells[0], more, g.title)
	})
}
