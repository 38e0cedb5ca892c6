package train

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// A Dataset is one of the three on which NAS-Bench-201 measured every cell.
type Dataset int

// The data sets of NAS-Bench-201.
const (
	CIFAR10 Dataset = iota
	CIFAR100
	ImageNet16
	Datasets = 3
)

func (d Dataset) String() string {
	return [...]string{"CIFAR-10", "CIFAR-100", "ImageNet16-120"}[d]
}

// Cells201 is the number of cells of NAS-Bench-201: five operations on six edges.
const Cells201 = 15625

// The edges of a NAS-Bench-201 cell, in the order of its architecture strings.
var edges201 = [6]struct{ from, to int }{{0, 1}, {0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 3}}

// The operations in the order of [transformer.Vocabulary].
var ops201 = [5]string{"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"}

// A Table holds the accuracies of all NAS-Bench-201 cells. A cell is a number:
// its operations, by their index in the vocabulary, are the digits in base 5,
// the first edge being the lowest.
type Table struct {
	accuracy  [Cells201][Datasets]float64
	reachable map[string]*[Cells201][Datasets]float64 // by the name of rules: the best that their moves make of the cell
	group     [Cells201]int                           // cells of one group compute the same network
	groups    int
	digest    string // of the file
}

// The columns that a table must have. UniqueString is equal for cells that
// are the same network written differently.
var columns201 = [...]string{
	"CIFAR10TestAccuracy200Epochs", "CIFAR100TestAccuracy200Epochs", "ImageNetTestAccuracy200Epochs",
	"ArchitectureString", "UniqueString",
}

// OpenTable reads a table of all 15,625 cells, in any order, from a CSV file
// with the columns CIFAR10TestAccuracy200Epochs,
// CIFAR100TestAccuracy200Epochs, ImageNetTestAccuracy200Epochs (percent),
// ArchitectureString (|op~0|+|op~0|op~1|+|op~0|op~1|op~2|) and UniqueString.
// Other columns are ignored.
func OpenTable(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadTable(path, f)
}

// ReadTable is [OpenTable] for an open file; name is what errors call it.
func ReadTable(name string, r io.Reader) (*Table, error) {
	sum := sha256.New()
	t, groups := &Table{}, map[string]int{}
	err := eachCell(name, io.TeeReader(r, sum), columns201[:], 3, func(cell int, row []string) error {
		for d := range Datasets {
			x, err := strconv.ParseFloat(row[d], 64)
			if err != nil || !(x >= 0 && x <= 100) {
				return fmt.Errorf("%s is %q, want a percentage", columns201[d], row[d])
			}
			t.accuracy[cell][d] = x
		}
		key := strings.Clone(row[4])
		if _, ok := groups[key]; !ok {
			groups[key] = len(groups)
		}
		t.group[cell] = groups[key]
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.reach()
	t.groups, t.digest = len(groups), hex.EncodeToString(sum.Sum(nil))
	return t, nil
}

// A ColumnError is a CSV file that lacks a column.
type ColumnError struct {
	File, Column string
	Found        []string
}

func (e *ColumnError) Error() string {
	return fmt.Sprintf("%s: no column %q, found %s", e.File, e.Column, strings.Join(e.Found, ", "))
}

// eachCell reads a CSV file that has one row for each cell, in any order, and
// calls take with the fields of each in the order of columns. The column arch
// holds architecture strings. A column that is not there is a [*ColumnError].
func eachCell(name string, r io.Reader, columns []string, arch int, take func(cell int, row []string) error) error {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err == io.EOF {
		return fmt.Errorf("%s: is empty, want a CSV file with the columns %s", name, strings.Join(columns, ", "))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	at := make([]int, len(columns))
	for i, column := range columns {
		if at[i] = slices.Index(header, column); at[i] < 0 {
			return &ColumnError{File: name, Column: column, Found: slices.Clone(header)}
		}
	}
	seen, fields := [Cells201]int{}, make([]string, len(columns))
	for {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i := range fields {
			fields[i] = row[at[i]]
		}
		line, _ := rows.FieldPos(0)
		cell, err := parseCell201(fields[arch])
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, line, err)
		}
		if seen[cell] != 0 {
			return fmt.Errorf("%s:%d: cell %s again, first on line %d", name, line, fields[arch], seen[cell])
		}
		seen[cell] = line
		if err := take(cell, fields); err != nil {
			return fmt.Errorf("%s:%d: %w", name, line, err)
		}
	}
	for cell, line := range seen {
		if line == 0 {
			return fmt.Errorf("%s: no row for cell %s; want all %d cells", name, cellString201(cell), Cells201)
		}
	}
	return nil
}

// Digest identifies the table: the SHA-256 of its file, in hexadecimal.
func (t *Table) Digest() string { return t.digest }

// Accuracy returns the test accuracy of a cell's network after 200 epochs, in percent.
func (t *Table) Accuracy(cell int, d Dataset) float64 { return t.accuracy[cell][d] }

// MAdds201 returns the multiply-adds of a cell's convolutions in the network
// that the table measured, per image of 32x32 pixels: 5 cells at each of 16, 32
// and 64 channels. What no data reach, or nothing reads, does not count; nor do
// the network's stem, its two reductions and its classifier, which all share.
func MAdds201(cell int) int64 {
	const perTap = 15 * 16 * 16 * 32 * 32 // the same at each width: twice the channels, half the resolution
	var ops [len(edges201)]int
	for i := range ops {
		ops[i] = cell % len(ops201)
		cell /= len(ops201)
	}
	reached, read := [4]bool{true}, [4]bool{3: true}
	for i, e := range edges201 { // by target, so that sources are known
		reached[e.to] = reached[e.to] || reached[e.from] && ops[i] != 0
	}
	for i := len(edges201) - 1; i >= 0; i-- {
		e := edges201[i]
		read[e.from] = read[e.from] || read[e.to] && ops[i] != 0
	}
	var sum int64
	for i, e := range edges201 {
		if reached[e.from] && read[e.to] {
			sum += taps201[ops[i]] * perTap
		}
	}
	return sum
}

// taps201 are the weights that an operation has for each pair of channels.
var taps201 = func() (taps [len(ops201)]int64) {
	for i, op := range vocabulary201 {
		if h, w := op.Size(); op.Family() == cellmap.Conv {
			taps[i] = h * w
		}
	}
	return taps
}()

func parseCell201(s string) (int, error) {
	cell, rest, scale, err := 0, s, 1, error(nil)
	for i, e := range edges201 {
		prefix := "|"
		if i > 0 && e.to != edges201[i-1].to {
			prefix = "|+|"
		}
		var ok bool
		if rest, ok = strings.CutPrefix(rest, prefix); !ok {
			return 0, errCell201(s)
		}
		name, after, _ := strings.Cut(rest, "~")
		op := slices.Index(ops201[:], name)
		if op < 0 {
			return 0, fmt.Errorf("cell %q: unknown operation %q, want one of %s", s, name, strings.Join(ops201[:], ", "))
		}
		if rest, ok = strings.CutPrefix(after, strconv.Itoa(e.from)); !ok {
			return 0, errCell201(s)
		}
		cell += op * scale
		scale *= len(ops201)
	}
	if rest != "|" {
		err = errCell201(s)
	}
	return cell, err
}

func errCell201(s string) error {
	return fmt.Errorf("cell %q: want the form |op~0|+|op~0|op~1|+|op~0|op~1|op~2|", s)
}

func cellString201(cell int) string {
	var b strings.Builder
	for i, e := range edges201 {
		if i > 0 && e.to != edges201[i-1].to {
			b.WriteString("|+")
		}
		fmt.Fprintf(&b, "|%s~%d", ops201[cell%len(ops201)], e.from)
		cell /= len(ops201)
	}
	return b.String() + "|"
}

var vocabulary201 = transformer.Vocabulary()

// A Writing is a way to write NAS-Bench-201 cells in two-input form. All give
// the same network; a policy that has seen several does not take one for the
// only one.
type Writing struct {
	edges  []cellmap.FormEdge // null where an operation of the cell stands
	output int
	// op and pass are, for each of the six operations, the edge that holds it
	// and the skip that passes it on from a node of its own; pass is -1 for an
	// operation that stands in its sum, and both are for one that is not there.
	op, pass [6]int
}

// Writings are the ways that policies train on. In the first, every operation
// stands in the sum that it belongs to. In the next ones the cell begins with a
// skip and most operations have a node of their own, as in lifted blocks; those of
// the long edges, in turn, stand in their sums as shortcuts do. The last two write
// those cells alone that are a chain of three operations and a shortcut, over all
// or the last two, as residual blocks and bottlenecks are lifted.
var Writings = []Writing{
	newWriting(false, nil, 0, 1, 2, 3, 4, 5),
	newWriting(true, nil),
	newWriting(true, nil, 3),
	newWriting(true, nil, 1, 3),
	newWriting(true, nil, 1, 3, 4),
	newWriting(false, []int{1, 4}, 3),
	newWriting(false, []int{1, 3}, 4),
}

// newWriting lays out the cell; absent lists the operations that are null and
// not there, inSum those without a node of their own. The benchmark's input is
// node 1. Padding, chains of more than two operands and the entry are fixed,
// since no row of the table says what changing them would do.
func newWriting(entry bool, absent []int, inSum ...int) (w Writing) {
	node := 1 // the last so far
	add := func(e0, e1 cellmap.FormEdge) int {
		node++
		e0.To, e1.To = node, node
		w.edges = append(w.edges, e0, e1)
		return node
	}
	padding := cellmap.FormEdge{Op: cellmap.Null, Fixed: true}
	values := [4]int{1} // of the benchmark's nodes
	if entry {
		values[0] = add(padding, cellmap.FormEdge{Op: cellmap.Skip, From: 1, Fixed: true})
	}
	for to := 1; to < len(values); to++ {
		var ops []int
		for i, e := range edges201 {
			switch {
			case e.to != to:
			case slices.Contains(absent, i):
				w.op[i], w.pass[i] = -1, -1
			default:
				ops = append(ops, i)
			}
		}
		var operands []cellmap.FormEdge // of the sum: ops
		for _, i := range ops {
			operand := cellmap.FormEdge{Op: cellmap.Null, From: values[edges201[i].from]}
			if !slices.Contains(inSum, i) && len(ops) > 1 {
				operand = cellmap.FormEdge{Op: cellmap.Skip, From: add(padding, operand)}
				w.op[i] = len(w.edges) - 1
			}
			operands = append(operands, operand)
		}
		place := func(k int) { // operand k has become the last edge but or at the end
			at := len(w.edges) - 1
			if k == 0 && len(operands) > 1 {
				at--
			}
			if operands[k].Op == cellmap.Skip {
				w.pass[ops[k]] = at
			} else {
				w.op[ops[k]], w.pass[ops[k]] = at, -1
			}
		}
		if len(operands) == 1 {
			values[to] = add(padding, operands[0])
			place(0)
			continue
		}
		values[to] = add(operands[0], operands[1])
		place(0)
		place(1)
		for k := 2; k < len(operands); k++ {
			values[to] = add(cellmap.FormEdge{Op: cellmap.Skip, From: values[to], Fixed: true}, operands[k])
			place(k)
		}
	}
	w.output = values[3]
	return w
}

// Writes reports whether the writing has a form for a cell: whether the
// operations that it leaves out are null.
func (w *Writing) Writes(cell int) bool {
	for _, at := range w.op {
		if at < 0 && vocabulary201[cell%len(ops201)] != cellmap.Null {
			return false
		}
		cell /= len(ops201)
	}
	return true
}

// Form returns a cell that [Writing.Writes] in two-input form.
func (w *Writing) Form(cell int) cellmap.Form {
	form := cellmap.Form{Concat: []int{w.output}, Edges: slices.Clone(w.edges)}
	for _, at := range w.op {
		if at >= 0 {
			form.Edges[at].Op = vocabulary201[cell%len(ops201)]
		}
		cell /= len(ops201)
	}
	return form
}

// Form201 returns a cell in the first of [Writings]: its node 1, which has one
// incoming edge, is padded with a null; its node 3, which has three, is a chain
// of two nodes.
//
//	node 2: null<0 e0<1      node 4: e3<1 e4<2
//	node 3: e1<1   e2<2      node 5: skip<4 e5<3
func Form201(cell int) cellmap.Form { return Writings[0].Form(cell) }

// Cell201 returns the cell that a form in one of [Writings] is.
func Cell201(form cellmap.Form) (int, error) {
	for i := range Writings {
		if cell, ok := Writings[i].cell(form); ok {
			return cell, nil
		}
	}
	return 0, fmt.Errorf("not a NAS-Bench-201 cell: %v", form)
}

// cell reads the form back; ok is false where it is not in this writing.
func (w *Writing) cell(form cellmap.Form) (cell int, ok bool) {
	if len(form.Edges) != len(w.edges) {
		return 0, false
	}
	for i, e := range form.Edges {
		want := w.edges[i]
		if e.From != want.From || e.To != want.To || want.Fixed && e.Op != want.Op {
			return 0, false
		}
	}
	for i := len(w.op) - 1; i >= 0; i-- {
		op := slices.Index(vocabulary201, cellmap.Null)
		if at := w.op[i]; at >= 0 {
			op = slices.Index(vocabulary201, form.Edges[at].Op)
		}
		if pass := w.pass[i]; pass >= 0 {
			switch form.Edges[pass].Op {
			case cellmap.Null:
				op = slices.Index(vocabulary201, cellmap.Null)
			case cellmap.Skip:
			default:
				return 0, false
			}
		}
		if op < 0 {
			return 0, false
		}
		cell = cell*len(ops201) + op
	}
	return cell, true
}

// splitSeed makes the split the same for every training seed, so that scores
// of different seeds are of the same held-out cells.
const splitSeed = 201

// A Split divides the cells into those that a policy trains on as inputs, those
// that choose the training step to keep, and those that it is scored on. Cells
// that are the same network fall in the same part.
type Split struct{ Train, Choose, HeldOut []int }

// Split returns the one split of the table: half, a quarter, a quarter of the
// distinct networks, at random.
func (t *Table) Split() (s Split) {
	rank := rand.New(rand.NewPCG(splitSeed, 0)).Perm(t.groups)
	for cell, group := range t.group {
		switch r := rank[group]; {
		case r < t.groups/2:
			s.Train = append(s.Train, cell)
		case r < t.groups*3/4:
			s.Choose = append(s.Choose, cell)
		default:
			s.HeldOut = append(s.HeldOut, cell)
		}
	}
	return s
}
