// Package page writes a diff of two models as a page for browsers: one file
// that needs no other and no network.
package page

import (
	_ "embed" // the template
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/draw"
	"github.com/natonnx/natonnx/fleet/diff"
	"github.com/natonnx/natonnx/internal/legible"
)

// Options say what a page tells beside the diff.
type Options struct {
	Version  string // of natonnx
	Measured []Measurement
}

// A Measurement is something that was measured by running the models.
type Measurement struct {
	What  string // "same top class"
	Value string // as it is to be read, with its unit
	On    string // on what it was measured
	// Share is the value where it is a share from 0 to 1, with its 95 % interval.
	Share     *float64
	Low, High float64
}

//go:embed page.html
var text string

var parsed = template.Must(template.New("page").Funcs(template.FuncMap{
	"first": filepath.Base,
	"count": legible.Grouped,
	"clip":  clip,
	"op":    opName,
	"dims":  dims,
	"float": float,
}).Parse(text))

// Write writes the page. The same diff gives the same bytes. It fails where the
// writer does.
func Write(w io.Writer, d *diff.Diff, o Options) error {
	return parsed.Execute(w, &view{Diff: d, Options: o})
}

// most is how many rows a table has; the JSON form lists all.
const most = 200

// A view is what the template shows.
type view struct {
	*diff.Diff
	Options
}

// A rows is the part of a list that is shown.
type rows[T any] struct {
	Shown []T
	More  int
}

func cut[T any](list []T) rows[T] {
	n := min(len(list), most)
	return rows[T]{list[:n], len(list) - n}
}

// A fact is one line of the summary.
type fact struct {
	Term, Meaning string
	Differs       bool
}

// Verdict is the page's one sentence.
func (v *view) Verdict() string {
	switch {
	case v.Same && (len(v.Tensors.Unread) > 0 || !v.Tensors.Values):
		return "No difference was found, but not everything was compared."
	case v.Identical:
		return "The files are the same, byte for byte."
	case v.Same:
		return "The same network, written in other bytes."
	case v.Structure.Same == v.nodes() && len(v.Tensors.Changed)+len(v.Tensors.Added)+len(v.Tensors.Removed) == 0:
		return "The same structure and the same weights; what differs is stated below."
	}
	return "The models differ."
}

// nodes counts the nodes that there are before or after.
func (v *view) nodes() int {
	s := &v.Structure
	return s.Same + len(s.Added) + len(s.Removed) + len(s.Changed) + len(s.Outputs)
}

// Summary counts the differences by kind.
func (v *view) Summary() []fact {
	s, t, c := &v.Structure, &v.Tensors, &v.Cells
	list := []fact{
		{"Interface", numbers(len(v.Interface), "changed"), len(v.Interface) > 0},
		{"Nodes", numbers(len(s.Added), "added", len(s.Removed), "removed", len(s.Changed), "changed", s.Same, "the same"), s.Same < v.nodes()},
		{"Tensors", numbers(len(t.Added), "added", len(t.Removed), "removed", len(t.Changed), "changed", t.Same, "the same", len(t.Unread), "not compared"),
			len(t.Added)+len(t.Removed)+len(t.Changed) > 0},
		{"Names", numbers(len(v.Renames), "changed"), len(v.Renames) > 0},
		{"Metadata", numbers(len(v.Metadata), "changed"), len(v.Metadata) > 0},
	}
	if v.Costs() != nil {
		list = append(list, fact{"Cells", numbers(len(c.Changed), "changed", len(c.Added), "added", len(c.Removed), "removed", c.Same, "the same"),
			len(c.Changed)+len(c.Added)+len(c.Removed) > 0})
	}
	return list
}

// numbers writes pairs of a number and what it counts, without zeros.
func numbers(pairs ...any) string {
	var parts []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if n, _ := pairs[i].(int); n > 0 {
			parts = append(parts, fmt.Sprintf("%s %v", legible.Grouped(int64(n)), pairs[i+1]))
		}
	}
	if len(parts) == 0 {
		return "the same"
	}
	return strings.Join(parts, ", ")
}

// A costRow is a row of the table of costs; the bars are in percent of the larger.
type costRow struct {
	What, Before, After, Change string
	BeforeBar, AfterBar         int
}

// CostRows lists the costs.
func (v *view) CostRows() (list []costRow) {
	for _, c := range v.Costs() {
		write := short
		if c.Bytes {
			write = size
		}
		whole := max(c.Before, c.After, 1)
		list = append(list, costRow{c.What, write(c.Before), write(c.After), legible.Change(c.Before, c.After, " "), int(100 * c.Before / whole), int(100 * c.After / whole)})
	}
	return list
}

// A panel is the cells that changed alike.
type panel struct {
	Cells, Kind   string // Kind with how much changed
	Before, After string // in compact form
	Figures       []figure
	Fault         string // why it is not drawn
}

type figure struct {
	Caption     string
	SVG         template.HTML
	Least, Most int // the widths between which a picture is shown, in pixels
}

// Panels draws the cells that changed, those of one change once.
func (v *view) Panels() (list []panel) {
	at := map[string]int{}
	var names [][]string
	var drawn []draw.Panel
	for _, c := range v.Cells.Changed {
		key := c.Before.Kind + c.Before.Shortcut + c.Before.Genotype + " -> " + c.After.Genotype + strconv.FormatBool(c.Stated)
		i, ok := at[key]
		if !ok {
			i = len(list)
			at[key] = i
			kind := c.Before.Kind
			if c.Before.Shortcut != "" {
				kind += ", " + c.Before.Shortcut + " shortcut"
			}
			if c.Stated {
				kind += ", as the metadata state"
			}
			list, names = append(list, panel{Kind: kind, Before: c.Before.Genotype, After: c.After.Genotype}), append(names, nil)
			drawn = append(drawn, draw.Panel{Title: c.Before.Name, Before: c.Before.Form, After: c.After.Form})
		}
		names[i] = append(names[i], c.Before.Name)
	}
	for i := range list {
		list[i].Cells = strings.Join(names[i], ", ")
		figures, err := drawn[i].Figures()
		if err != nil {
			list[i].Fault = err.Error()
		}
		for _, f := range figures {
			list[i].Kind += f.Note
			list[i].Figures = append(list[i].Figures, figure{f.Caption, template.HTML(f.SVG), int(0.7 * f.Width), int(f.Width)}) // draw escapes what it writes
		}
	}
	return list
}

// Legend explains the pictures.
func (v *view) Legend() (list []figure) {
	var drawn []draw.Panel
	for _, c := range v.Cells.Changed {
		p := draw.Panel{Before: c.Before.Form, After: c.After.Form}
		if _, err := p.Figures(); err == nil {
			drawn = append(drawn, p)
		}
	}
	if len(drawn) == 0 {
		return nil
	}
	for _, f := range draw.Legend(drawn) {
		list = append(list, figure{Caption: f.Caption, SVG: template.HTML(f.SVG)})
	}
	return list
}

// Noter is the path of the model that has the stamp.
func (v *view) Noter() string {
	if v.Stamp != nil && v.Stamp.Of == "before" {
		return v.Before.Path
	}
	return v.After.Path
}

// A moveRow is a move of a cell.
type moveRow struct {
	Cell string
	diff.Move
}

// Moves lists the moves of all cells.
func (v *view) Moves() rows[moveRow] {
	var list []moveRow
	for _, c := range v.Cells.Changed {
		for _, m := range c.Moves {
			list = append(list, moveRow{c.Before.Name, m})
		}
	}
	return cut(list)
}

// Saved sums up what the moves save.
func (v *view) Saved() (total diff.Move) {
	for _, c := range v.Cells.Changed {
		for _, m := range c.Moves {
			total.MultiplyAdds += m.MultiplyAdds
			total.Params += m.Params
		}
	}
	return total
}

// An operatorRow is how often an operator occurs; the bars are in percent of
// the most frequent.
type operatorRow struct {
	diff.OperatorCount
	Change              string
	BeforeBar, AfterBar int
}

// Operators lists the operators.
func (v *view) Operators() rows[operatorRow] {
	whole := 1
	for _, o := range v.Structure.Operators {
		whole = max(whole, o.Before, o.After)
	}
	var list []operatorRow
	for _, o := range v.Structure.Operators {
		text := "same"
		if o.Before != o.After {
			text = fmt.Sprintf("%+d", o.After-o.Before)
		}
		list = append(list, operatorRow{o, text, 100 * o.Before / whole, 100 * o.After / whole})
	}
	return cut(list)
}

// A nodeRow is a node that differs.
type nodeRow struct {
	Kind  diff.Kind
	Node  diff.Node
	Lines []string // what differs
}

// Nodes lists the nodes that differ.
func (v *view) Nodes() rows[nodeRow] {
	s := &v.Structure
	var list []nodeRow
	for _, c := range s.Changed {
		row := nodeRow{diff.Changed, c.After, nil}
		if c.Before.Operator != c.After.Operator {
			row.Lines = append(row.Lines, "operator: "+c.Before.Operator+" → "+c.After.Operator)
		}
		for _, a := range c.Attributes {
			row.Lines = append(row.Lines, a.Name+": "+or(a.Before, "absent")+" → "+or(a.After, "absent"))
		}
		for _, in := range c.Inputs {
			row.Lines = append(row.Lines, fmt.Sprintf("input %d: %s → %s", in.Input, source(in.Before), source(in.After)))
		}
		list = append(list, row)
	}
	for _, n := range s.Removed {
		list = append(list, nodeRow{diff.Removed, n, nil})
	}
	for _, n := range s.Added {
		list = append(list, nodeRow{diff.Added, n, nil})
	}
	return cut(list)
}

func source(s diff.Source) string {
	switch s.From {
	case "absent":
		return "absent"
	case "input", "tensor":
		return s.From + " " + s.Value
	}
	return s.From
}

// A tensorRow is a tensor that differs.
type tensorRow struct {
	Kind                         diff.Kind
	Name, Before, After          string
	Differing, Relative, Largest string
}

// TensorRows lists the tensors that differ, those whose values moved most first.
func (v *view) TensorRows() rows[tensorRow] {
	t := &v.Tensors
	var list []tensorRow
	changed := slices.Clone(t.Changed)
	slices.SortStableFunc(changed, func(x, y diff.TensorChange) int {
		switch a, b := moved(x), moved(y); {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	for _, c := range changed {
		row := tensorRow{Kind: diff.Changed, Name: c.After.Name, Before: form(c.Before), After: form(c.After)}
		if value := c.Values; value != nil {
			row.Relative, row.Largest = float(value.Relative), float(value.MaxAbs)
			if value.Differing != nil {
				row.Differing = legible.Grouped(*value.Differing) + " of " + legible.Grouped(value.Elements)
			}
		}
		list = append(list, row)
	}
	for _, x := range t.Removed {
		list = append(list, tensorRow{Kind: diff.Removed, Name: x.Name, Before: form(x)})
	}
	for _, x := range t.Added {
		list = append(list, tensorRow{Kind: diff.Added, Name: x.Name, After: form(x)})
	}
	return cut(list)
}

func moved(c diff.TensorChange) float64 {
	if c.Values == nil || c.Values.Relative == nil {
		return 1e308
	}
	return *c.Values.Relative
}

func form(t diff.Tensor) string { return t.Type + " " + dims(t.Dims) }

// Changes lists what the models say of themselves.
func (v *view) Changes() rows[diff.Change] { return cut(slices.Concat(v.Interface, v.Metadata)) }

// Renamed lists other names.
func (v *view) Renamed() rows[diff.Rename] { return cut(v.Renames) }

// Gaps lists what was not compared.
func (v *view) Gaps() (list []string) {
	list = slices.Clone(v.NotCompared)
	for _, m := range []diff.Model{v.Before, v.After} {
		if m.Fault != "" {
			list = append(list, "invalid: "+m.Fault)
		}
	}
	n := map[string]int{}
	for _, u := range v.Tensors.Unread {
		if n[u.Reason]++; n[u.Reason] == 1 {
			list = append(list, u.Reason)
		}
	}
	for i, line := range list {
		if n[line] > 1 {
			list[i] = fmt.Sprintf("%d tensors: %s", n[line], line)
		}
	}
	if !v.Tensors.Values {
		list = append(list, "the values of tensors")
	}
	return list
}

// Percent is a share in percent, for bars.
func (m Measurement) Percent() string { return strconv.FormatFloat(100*(*m.Share), 'f', 2, 64) }

// Interval is where a bar of the 95 % interval begins and how wide it is, in percent.
func (m Measurement) Interval() [2]string {
	return [2]string{strconv.FormatFloat(100*m.Low, 'f', 2, 64), strconv.FormatFloat(100*(m.High-m.Low), 'f', 2, 64)}
}

// short writes a number with four digits, size one of bytes.
func short(n int64) string { return legible.Amount(n, legible.NoBreak, "") }
func size(n int64) string  { return legible.Amount(n, legible.NoBreak, "B") }

func float(x *float64) string {
	if x == nil {
		return "—"
	}
	return strconv.FormatFloat(*x, 'g', 3, 64)
}

func dims(list []int64) string {
	if len(list) == 0 {
		return "scalar"
	}
	var parts []string
	for _, d := range list {
		parts = append(parts, strconv.FormatInt(d, 10))
	}
	return strings.Join(parts, "×")
}

func opName(op string) string {
	if op == string(cellmap.Skip) {
		return "skip"
	}
	return op
}

// clip cuts a text that would make a table unreadable.
func clip(s string) string {
	const longest = 301 // characters, the ellipsis among them
	return legible.Clip(s, longest)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
