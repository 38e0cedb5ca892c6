package train

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/transformer"
)

const tableFile = "nasbench201_200ep_test.csv"

var realTable = sync.OnceValues(func() (*Table, error) { return OpenTable(corpus.Shared("nas", tableFile)) })

func needTable(t testing.TB) *Table {
	t.Helper()
	corpus.Need(t, "nas", tableFile)
	table, err := realTable()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// madeUpCSV is a table of all cells with invented accuracies: a convolution is
// worth 10 points, a 1x1 one 7, a pooling 2, a skip 5, a null nothing.
func madeUpCSV() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, strings.Join(columns201[:], ","))
	worth := [...]float64{0, 5, 7, 10, 2}
	for cell := range Cells201 {
		sum, rest := 10.0, cell
		for range 6 {
			sum += worth[rest%5]
			rest /= 5
		}
		fmt.Fprintf(&b, "%g,%g,%g,%s,%d\n", sum, sum/2, sum/4, cellString201(cell), cell)
	}
	return b.Bytes()
}

func madeUpTable(t testing.TB) *Table {
	t.Helper()
	table, err := ReadTable("made-up.csv", bytes.NewReader(madeUpCSV()))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestCellStrings(t *testing.T) {
	const s = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"
	cell, err := parseCell201(s)
	if err != nil {
		t.Fatal(err)
	}
	want := []cellmap.FormEdge{
		{Op: "null", From: 0, To: 2, Fixed: true}, {Op: "avg_pool_3x3", From: 1, To: 2},
		{Op: "conv_1x1", From: 1, To: 3}, {Op: "skip_connect", From: 2, To: 3},
		{Op: "null", From: 1, To: 4}, {Op: "conv_3x3", From: 2, To: 4},
		{Op: "skip_connect", From: 4, To: 5, Fixed: true}, {Op: "skip_connect", From: 3, To: 5},
	}
	if got := Form201(cell).Edges; !slices.Equal(got, want) {
		t.Errorf("form of %s:\n%+v, want\n%+v", s, got, want)
	}
	for cell := range Cells201 {
		back, err := parseCell201(cellString201(cell))
		if err != nil || back != cell {
			t.Fatalf("cell %d: %s parses as %d (%v)", cell, cellString201(cell), back, err)
		}
		if back, err := Cell201(Form201(cell)); err != nil || back != cell {
			t.Fatalf("cell %d: its form is cell %d (%v)", cell, back, err)
		}
	}
}

func TestCell201Refuses(t *testing.T) {
	for name, change := range map[string]func(*cellmap.Form){
		"length":    func(f *cellmap.Form) { f.Edges = f.Edges[:6] },
		"topology":  func(f *cellmap.Form) { f.Edges[3].From = 1 },
		"operation": func(f *cellmap.Form) { f.Edges[3].Op = "conv_5x5" },
		"padding":   func(f *cellmap.Form) { f.Edges[0].Op = cellmap.Skip },
		"chain":     func(f *cellmap.Form) { f.Edges[6].Op = cellmap.Null },
	} {
		form := Form201(4321)
		change(&form)
		if cell, err := Cell201(form); err == nil {
			t.Errorf("%s: taken for cell %d", name, cell)
		}
	}
}

func TestBadTables(t *testing.T) {
	good := string(madeUpCSV())
	lines := strings.SplitAfter(good, "\n")
	replace := func(line int, old, with string) string {
		all := slices.Clone(lines)
		if !strings.Contains(all[line-1], old) {
			t.Fatalf("line %d has no %q: %s", line, old, all[line-1])
		}
		all[line-1] = strings.Replace(all[line-1], old, with, 1)
		return strings.Join(all, "")
	}
	tests := map[string]struct{ csv, want string }{
		"empty":     {"", "t.csv: is empty"},
		"column":    {replace(1, "ArchitectureString", "Arch"), `t.csv: no column "ArchitectureString"`},
		"operation": {replace(3, "skip_connect", "skip"), `t.csv:3: cell "|skip~0|`},
		"source":    {replace(3, "none~2", "none~1"), `t.csv:3: cell `},
		"form":      {replace(3, "|+|", "|"), `want the form |op~0|+|`},
		"tail":      {replace(3, "none~2|", "none~2|x"), `want the form |op~0|+|`},
		"number":    {replace(2, "10,", "ten,"), `t.csv:2: CIFAR10TestAccuracy200Epochs is "ten", want a percentage`},
		"NaN":       {replace(2, "10,", "NaN,"), `is "NaN", want a percentage`},
		"range":     {replace(2, "10,", "101,"), `is "101", want a percentage`},
		"missing":   {strings.Join(lines[:100], ""), "t.csv: no row for cell |"},
		"twice":     {good + lines[5], "first on line 6"},
		"short row": {replace(4, ",", ""), "t.csv: record on line 4: wrong number of fields"},
	}
	for name, x := range tests {
		if _, err := ReadTable("t.csv", strings.NewReader(x.csv)); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
	}
	if _, err := OpenTable(t.TempDir() + "/absent.csv"); !os.IsNotExist(err) {
		t.Errorf("absent file: error %v", err)
	}
}

func TestSplit(t *testing.T) {
	table := needTable(t)
	s := table.Split()
	part := map[int]int{} // group -> part
	seen := 0
	for p, cells := range [][]int{s.Train, s.Choose, s.HeldOut} {
		for _, cell := range cells {
			if old, ok := part[table.group[cell]]; ok && old != p {
				t.Fatalf("cell %d: the same network is in parts %d and %d", cell, old, p)
			}
			part[table.group[cell]] = p
			seen++
		}
	}
	if seen != Cells201 || len(part) != table.groups {
		t.Errorf("%d cells of %d networks in the split, want %d of %d", seen, len(part), Cells201, table.groups)
	}
	if len(s.Train) > Cells201/2 {
		t.Errorf("%d training cells are more than half of %d", len(s.Train), Cells201)
	}
	again := table.Split()
	if !slices.Equal(s.Train, again.Train) || !slices.Equal(s.HeldOut, again.HeldOut) {
		t.Error("the split is not the same twice")
	}
}

// The figures published beside the table, over all cells: they were computed by
// other code.
func TestReferenceFigures(t *testing.T) {
	table := needTable(t)
	for d, want := range [Datasets]struct{ input, best, better, top float64 }{
		{87.06, 92.05, 92.06, 94.37}, {61.41, 68.03, 68.06, 73.51}, {33.59, 40.50, 40.58, 47.31},
	} {
		var input, best, better, top float64
		for cell := range Cells201 {
			x := table.Accuracy(cell, Dataset(d))
			input += x / Cells201
			best += table.BestReachable(cell, transformer.NAT, Dataset(d)) / Cells201
			better += table.BestReachable(cell, transformer.NATPlusPlus, Dataset(d)) / Cells201
			top = max(top, x)
		}
		for _, p := range []struct {
			what      string
			got, want float64
		}{{"input", input, want.input}, {"best reachable", best, want.best}, {"best that NAT++ reaches", better, want.better}, {"best cell", top, want.top}} {
			if math.Abs(p.got-p.want) > 0.0051 {
				t.Errorf("%v: %s %.3f, want %.2f", Dataset(d), p.what, p.got, p.want)
			}
		}
	}
}

// BestReachable against taking every sequence of actions through the forms, as
// far as the table knows what they lead to.
func TestBestReachable(t *testing.T) {
	table := madeUpTable(t)
	differ := 0
	for cell := 0; cell < Cells201; cell += 1237 {
		form := Form201(cell)
		for _, rules := range []transformer.Rules{transformer.NAT, transformer.NATPlusPlus} {
			want, reached := 0.0, map[int]bool{}
			var visit func(actions []transformer.Action)
			visit = func(actions []transformer.Action) {
				if len(actions) == len(form.Edges) {
					after, err := Cell201(transformer.Transform(form, actions))
					if err != nil {
						t.Fatal(err)
					}
					want, reached[after] = max(want, table.Accuracy(after, CIFAR10)), true
					return
				}
				e := form.Edges[len(actions)]
				for a := range transformer.Action(transformer.Actions) {
					if rules.Allows(e, a) && slices.Contains(vocabulary201, a.Apply(e.Op)) {
						visit(append(slices.Clone(actions), a))
					}
				}
			}
			visit(nil)
			if got := table.BestReachable(cell, rules, CIFAR10); got != want {
				t.Errorf("cell %d, %s: best reachable %v, want %v", cell, rules.Name, got, want)
			}
			moves, cells := MovesOf201(rules), []int{cell}
			for _, steps := range moves.Options(cell) {
				var next []int
				for _, c := range cells {
					for _, step := range steps {
						next = append(next, c+step)
					}
				}
				cells = next
			}
			for _, c := range cells {
				if !reached[c] {
					t.Errorf("cell %d, %s: options lead to %d, which no actions reach", cell, rules.Name, c)
				}
			}
			if len(cells) != len(reached) || cells[0] != cell {
				t.Errorf("cell %d, %s: options lead to %d cells, %d first, want %d and the cell itself", cell, rules.Name, len(cells), cells[0], len(reached))
			}
			if rules.Name == transformer.NATPlusPlus.Name {
				differ += len(reached)
			} else {
				differ -= len(reached)
			}
		}
	}
	if differ <= 0 {
		t.Error("NAT++ reaches no more than NAT")
	}
}

// Every writing reads back as the cell that it was made of, and is the same
// network: with any functions for operations, node 3 has the same value.
func TestWritingsAreTheSameCell(t *testing.T) {
	apply := func(op cellmap.Op, x float64) float64 {
		switch op {
		case cellmap.Null:
			return 0
		case cellmap.Skip:
			return x
		case "conv_1x1":
			return math.Sin(3*x) + 0.1
		case "conv_3x3":
			return math.Cos(x) - x
		}
		return x * x / 4
	}
	wrote := make([]int, len(Writings))
	for cell := 0; cell < Cells201; cell += 7 {
		want := [4]float64{0.7}
		rest := cell
		for _, e := range edges201 {
			want[e.to] += apply(vocabulary201[rest%len(ops201)], want[e.from])
			rest /= len(ops201)
		}
		for i := range Writings {
			if !Writings[i].Writes(cell) {
				continue
			}
			wrote[i]++
			form := Writings[i].Form(cell)
			if err := form.Validate(); err != nil {
				t.Fatal(err)
			}
			if back, err := Cell201(form); err != nil || back != cell {
				t.Fatalf("writing %d of cell %d reads as %d, %v", i, cell, back, err)
			}
			values := make([]float64, len(form.Edges)/2+2)
			values[1] = 0.7
			for _, e := range form.Edges {
				values[e.To] += apply(e.Op, values[e.From])
			}
			if got := values[form.Concat[0]]; math.Abs(got-want[3]) > 1e-12 {
				t.Fatalf("writing %d of cell %d: %v computes %v, want %v", i, cell, form, got, want[3])
			}
		}
	}
	for i, n := range wrote {
		if all := Cells201/7 + 1; n != all && (n < all/50 || n > all/10) { // all, or those with two certain nulls
			t.Errorf("writing %d is of %d cells of %d", i, n, all)
		}
	}
}

// Residual blocks and bottlenecks, as they are lifted, are among the writings.
func TestWritingsOfLiftedBlocks(t *testing.T) {
	for want, s := range map[string]string{
		"N<0! c1<1 | N<0! c3<2 | N<0! c1<3 | S<1 S<4 cat[5]": "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|",
		"N<0! S<1 | N<0! c3<2 | N<0! c3<3 | S<2 S<4 cat[5]":  "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|skip_connect~1|nor_conv_3x3~2|",
	} {
		cell, err := parseCell201(s)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range Writings {
			if Writings[i].Writes(cell) {
				got = append(got, Writings[i].Form(cell).String())
			}
		}
		if !slices.Contains(got, want) {
			t.Errorf("%s is written %q, want one %s", s, got, want)
		}
	}
}

// The network of six 3x3 convolutions has 220.1 million multiply-adds (NATS-Bench,
// table of flops), of which the parts that all cells share have 7.8 million.
func TestMAdds201(t *testing.T) {
	tests := []struct {
		cell string
		want int64 // of 15 * 16 * 16 * 32 * 32
	}{
		{"|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|", 54},
		{"|nor_conv_1x1~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|none~1|nor_conv_3x3~2|", 10},
		{"|none~0|+|skip_connect~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|skip_connect~2|", 0}, // node 1 holds nothing
		{"|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|none~2|", 1}, // nodes 1 and 2 are not read
		{"|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|", 10},        // node 2 holds nothing
		{"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 0},
	}
	for _, x := range tests {
		cell, err := parseCell201(x.cell)
		if err != nil {
			t.Fatal(err)
		}
		if got := MAdds201(cell); got != x.want*15*16*16*32*32 {
			t.Errorf("%s: %d, want %d", x.cell, got, x.want*15*16*16*32*32)
		}
	}
}
