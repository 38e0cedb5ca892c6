package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/urfave/cli/v2"
)

func (t *tool) explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "show what natonnx did to a network, as its file says",
		ArgsUsage: "OUT",
		Description: "Prints what optimize noted in the metadata_props of its result OUT, under natonnx.: the version and mode, who decided, " +
			"each move, and, where it was measured, on what and with which result. It reads the notes alone: natonnx replay tells whether they are true.\n\n" +
			"A file without such notes is no error; --json then says that stamped is false. Notes that this version does not know are shown as they are. " +
			"Long lists are cut; -v shows all.",
		Action: t.explainStamp,
	}
}

// An explainFact is what explain prints.
type explainFact struct {
	Schema  schemaV1            `json:"schema_version"`
	Version string              `json:"natonnx_version"`
	Input   string              `json:"input"`
	Stamped bool                `json:"stamped"` // by natonnx, with what it did
	Stamp   map[string]document `json:"stamp"`   // by key, without the prefix
	Faults  []stampFault        `json:"faults"`
}

// A stampFault is a note that cannot be read as what it should be. The stamp
// then has its text.
type stampFault struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

func newExplainFact(path string, s stamp) explainFact {
	f := explainFact{Version: version, Input: path, Stamped: len(s) > 0, Stamp: map[string]document{}, Faults: []stampFault{}}
	for _, p := range s {
		if _, twice := f.Stamp[p.Key]; twice {
			f.Faults = append(f.Faults, stampFault{p.Key, "is there more than once; the last one counts"})
		}
		f.Stamp[p.Key] = p.Value
		if !slices.Contains(structured, p.Key) {
			continue
		}
		v, err := readDocument(p.Value)
		if err == nil && p.Key == "moves" {
			_, err = s.moves()
		}
		if err != nil {
			f.Faults = append(f.Faults, stampFault{p.Key, err.Error()})
		} else {
			f.Stamp[p.Key] = v
		}
	}
	return f
}

func (t *tool) explainStamp(c *cli.Context) error {
	args, err := arguments(c, 1)
	if err != nil {
		return err
	}
	m, err := t.read(c.Context, args[0])
	if err != nil {
		return err
	}
	s := stampOf(m)
	f := newExplainFact(args[0], s)
	if t.json {
		return t.writeJSON(f)
	}
	p := t.page()
	switch {
	case !f.Stamped && isPolicy(m):
		p.text(0, "%s: a policy of natonnx, not a network that natonnx wrote", args[0])
		t.hint("next: natonnx policy show %s", args[0])
		return nil
	case !f.Stamped:
		p.text(0, "%s: says nothing of natonnx: it was not written by optimize, or there was nothing to do, or its metadata were lost", args[0])
		return nil
	}
	(&explanation{p, s, f, t.verbose}).print(t.quiet)
	if s.get("mode") != "" && len(f.Faults) == 0 {
		data := ""
		if s.get("data") != "" {
			data = " --data DATA"
		}
		t.hint("next: natonnx replay IN --from %s%s tells whether this is what becomes of its input IN", args[0], data)
	}
	return nil
}

// An explanation is the text form.
type explanation struct {
	*page
	stamp
	fact explainFact
	all  bool
}

func (e *explanation) print(quiet bool) {
	by := "natonnx"
	if v := e.get("version"); v != "" {
		by += " " + v
	}
	e.text(0, "%s: says that it was written by %s", e.fact.Input, legible.Clip(by, e.most()))
	e.summary()
	if quiet {
		return
	}
	for _, key := range structured {
		switch v := e.fact.Stamp[key].(type) {
		case nil, string: // not there, or not readable
		default:
			if key == "moves" {
				e.moved()
			} else {
				e.section(key, v)
			}
		}
	}
	for _, fault := range e.fact.Faults {
		e.heading("%s: %s", legible.Clip(fault.Key, 60), fault.Reason)
		if raw, ok := e.fact.Stamp[fault.Key].(string); ok {
			e.text(2, "%s", legible.Clip(raw, e.most()))
		}
	}
}

// most is how many characters of a note are shown.
func (e *explanation) most() int {
	if e.all {
		return math.MaxInt
	}
	return 500
}

// told says more of what a note means, where it needs that.
var told = map[[2]string]string{
	{"mode", "redesign"}:      "a better architecture, to be fine-tuned",
	{"mode", "compress"}:      "fewer operations that compute nearly the same",
	{"skip_init", "gate"}:     "scaled by zeros at first, which keeps the function",
	{"skip_init", "identity"}: "what they pass is added from the start",
	{"retrain", "required"}:   "the network computes something else than its input did",
	{"retrain", "optional"}:   "the network computes what its input did, until training opens the new skips",
}

// titles are names of notes where the key would be unclear.
var titles = map[string]string{"skip_init": "new skips", "retrain": "retraining", "evals": "evaluations", "source": "input's SHA-256", "kernels": "computed with"}

// summary prints the notes of one value, those that are known first.
func (e *explanation) summary() {
	var terms, meanings []string
	row := func(key string) {
		value := legible.Clip(e.get(key), e.most())
		if more := told[[2]string{key, value}]; more != "" {
			value += ": " + more
		}
		title := titles[key]
		if title == "" {
			title = legible.Clip(key, 30)
		}
		terms, meanings = append(terms, clean(title)), append(meanings, clean(value))
	}
	known := []string{"mode", "search", "policy", "rules", "evals", "seed", "skip_init", "recover", "kernels", "source", "retrain"}
	for _, key := range known {
		if e.get(key) != "" {
			row(key)
		}
	}
	done := slices.Concat(known, structured, []string{"version"})
	for _, p := range e.stamp {
		if !slices.Contains(done, p.Key) {
			row(p.Key)
			done = append(done, p.Key)
		}
	}
	if len(terms) > 0 {
		e.terms(terms, meanings)
	}
}

// moved prints the moves, once for all cells that made the same ones.
func (e *explanation) moved() {
	moves, err := e.moves()
	if err != nil {
		return // is among the faults
	}
	lines := map[string][]string{}
	var cells []string
	for _, m := range moves {
		if lines[m.Cell] == nil {
			cells = append(cells, m.Cell)
		}
		line := stepText(m.Step)
		if m.From == string(cellmap.Null) && m.To == string(cellmap.Skip) && e.get("skip_init") == "gate" {
			line += ", gated by zeros"
		}
		if how := recoveries[m.Recovery]; how != "" {
			line += "; " + how
		} else if m.Recovery != "" {
			line += "; " + m.Recovery
		}
		lines[m.Cell] = append(lines[m.Cell], line)
	}
	var groups grouped
	for _, cell := range cells {
		g := groups.get(strings.Join(lines[cell], "\n"))
		g.cells, g.lines = append(g.cells, cell), lines[cell]
	}
	e.heading("%s in %s", legible.Plural(len(moves), "move"), legible.Plural(len(cells), "cell"))
	e.list(len(groups.list), func(i int) {
		g := groups.list[i]
		e.text(2, "%s", legible.Clip(strings.Join(g.cells, ", "), e.most()))
		e.list(len(g.lines), func(i int) { e.text(4, "%s", legible.Clip(g.lines[i], e.most())) })
	})
}

// list prints the first lines of a list, and how many more there are.
func (e *explanation) list(n int, line func(i int)) {
	for i := range e.shown(n) {
		line(i)
	}
	e.more(n)
}

// shown is how much of a list is shown.
func (e *explanation) shown(n int) int {
	const listed = 50
	if e.all {
		return n
	}
	return min(n, listed)
}

func (e *explanation) more(n int) {
	if left := n - e.shown(n); left > 0 {
		e.text(2, "and %d more (-v shows all)", left)
	}
}

// section prints a note that is a document.
func (e *explanation) section(key string, v document) {
	e.heading("%s", key)
	switch v := v.(type) {
	case object:
		before, isBefore := v.member("before").(object)
		after, isAfter := v.member("after").(object)
		if isBefore && isAfter {
			e.compared(before, after)
			v = slices.DeleteFunc(slices.Clone(v), func(m member) bool { return m.key == "before" || m.key == "after" })
		}
		e.members(v)
	case []document:
		e.list(len(v), func(i int) { e.text(2, "%s", legible.Clip(plain(v[i]), e.most())) })
	default:
		e.text(2, "%s", legible.Clip(plain(v), e.most()))
	}
}

func (e *explanation) members(o object) {
	var terms, meanings []string
	for _, m := range o[:e.shown(len(o))] {
		terms, meanings = append(terms, clean(legible.Clip(spaced(m.key), 30))), append(meanings, clean(legible.Clip(plain(m.value), e.most())))
	}
	if len(terms) > 0 {
		e.terms(terms, meanings)
	}
	e.more(len(o))
}

// compared prints what was measured before and after.
func (e *explanation) compared(before, after object) {
	t := &table{indent: 2, numbers: []bool{false, true, true, true}, optional: 1}
	t.add("", "before", "after", "change")
	row := func(key string) {
		was, is := before.member(key), after.member(key)
		if was == nil && is == nil {
			return
		}
		changed := ""
		if x, y, ok := integers(was, is); ok {
			changed = change(x, y)
		}
		t.add(spaced(key), brief(was), brief(is), changed)
	}
	for _, m := range before {
		row(m.key)
	}
	for _, m := range after {
		if before.member(m.key) == nil {
			row(m.key)
		}
	}
	if n := len(t.rows); n > 1 {
		e.table(t)
	}
}

// brief is plain in the room of a table.
func brief(v document) string {
	if o, ok := v.(object); ok {
		if s, ok := asShare(o); ok {
			return fmt.Sprintf("%.2f %% (%.1f to %.1f)", 100*s.Share, 100*s.Low, 100*s.High)
		}
	}
	return plain(v)
}

func integers(a, b document) (x, y int64, ok bool) {
	m, isA := a.(json.Number)
	n, isB := b.(json.Number)
	if !isA || !isB {
		return 0, 0, false
	}
	x, errX := m.Int64()
	y, errY := n.Int64()
	return x, y, errX == nil && errY == nil
}

// spaced writes a key of a document in words.
func spaced(key string) string {
	switch key {
	case "multiply_adds":
		return "multiply-adds"
	case "latency_ms":
		return "latency (ms)"
	case "kl_nats":
		return "KL divergence (nats)"
	}
	return strings.ReplaceAll(key, "_", " ")
}

// plain writes a document in words: key value, key value.
func plain(v document) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case json.Number:
		return quantity(v)
	case object:
		if s, ok := asShare(v); ok {
			return s.String()
		}
		var parts []string
		for _, m := range v {
			parts = append(parts, spaced(m.key)+" "+inner(m.value))
		}
		return strings.Join(parts, ", ")
	case []document:
		var parts []string
		for _, x := range v {
			parts = append(parts, inner(x))
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v)
}

// inner is plain within something else.
func inner(v document) string {
	switch v := v.(type) {
	case object:
		if _, ok := asShare(v); !ok {
			return "(" + plain(v) + ")"
		}
	case []document:
		return "(" + plain(v) + ")"
	}
	return plain(v)
}

// quantity writes large whole numbers as costs, and fractions with four digits.
func quantity(n json.Number) string {
	if x, err := n.Int64(); err == nil {
		if x > -100_000 && x < 100_000 {
			return n.String()
		}
		return amount(x)
	}
	x, err := n.Float64()
	if err != nil {
		return n.String() // beyond float64
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// asShare reads a share of samples with its interval.
func asShare(o object) (*shareFact, bool) {
	s := &shareFact{}
	for key, to := range map[string]*float64{"share": &s.Share, "low": &s.Low, "high": &s.High} {
		n, _ := o.member(key).(json.Number)
		var err error
		if *to, err = n.Float64(); err != nil {
			return nil, false
		}
	}
	for key, to := range map[string]*int{"count": &s.Count, "of": &s.Of} {
		n, _ := o.member(key).(json.Number)
		x, err := n.Int64()
		if err != nil {
			return nil, false
		}
		*to = int(x)
	}
	return s, true
}
