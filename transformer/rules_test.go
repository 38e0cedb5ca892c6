package transformer

import (
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
)

func TestNATRules(t *testing.T) {
	tests := []struct {
		op         cellmap.Op
		fixed      bool
		null, skip bool
	}{
		{op: "conv_3x3", null: true, skip: true},
		{op: "sep_conv_5x5", null: true, skip: true},
		{op: "max_pool_3x3", null: true, skip: true},
		{op: cellmap.Skip, null: true},
		{op: cellmap.Null, skip: true},
		{op: "conv_3x3", fixed: true},
		{op: cellmap.Skip, fixed: true},
		{op: cellmap.Null, fixed: true},
	}
	for _, x := range tests {
		e := cellmap.FormEdge{Op: x.op, From: 1, To: 2, Fixed: x.fixed}
		want := map[Action]bool{Keep: true, ToNull: x.null, ToSkip: x.skip, Actions: false}
		for a, ok := range want {
			if got := NAT.Allows(e, a); got != ok {
				t.Errorf("%s (fixed %v): %v allowed = %v, want %v", x.op, x.fixed, a, got, ok)
			}
		}
	}
}

// The paper's table of transitions (spec section 2.2), row by row.
func TestNATPlusPlusRules(t *testing.T) {
	const table = `
	              c5 c3 s5 s3 d5 d3 c1 A5 M5 A3 M3 S  N
	conv_5x5      X  X  X  X  X  X  X  X  X  X  X  X  X
	conv_3x3      .  X  .  X  .  X  X  .  .  X  X  X  X
	sep_conv_5x5  .  .  X  X  X  X  .  X  X  X  X  X  X
	sep_conv_3x3  .  .  .  X  .  X  .  .  .  X  X  X  X
	dil_conv_5x5  .  .  .  .  X  X  .  X  X  X  X  X  X
	dil_conv_3x3  .  .  .  .  .  X  .  .  .  X  X  X  X
	conv_1x1      .  .  .  .  .  .  X  .  .  .  .  X  X
	avg_pool_5x5  .  .  .  .  .  .  .  X  X  X  X  X  X
	max_pool_5x5  .  .  .  .  .  .  .  X  X  X  X  X  X
	avg_pool_3x3  .  .  .  .  .  .  .  .  .  X  X  X  X
	max_pool_3x3  .  .  .  .  .  .  .  .  .  X  X  X  X
	skip_connect  .  .  .  .  .  .  .  .  .  .  .  X  X
	null          .  .  .  .  .  .  .  .  .  .  .  X  X`
	columns := []cellmap.Op{"conv_5x5", "conv_3x3", "sep_conv_5x5", "sep_conv_3x3", "dil_conv_5x5", "dil_conv_3x3", "conv_1x1",
		"avg_pool_5x5", "max_pool_5x5", "avg_pool_3x3", "max_pool_3x3", cellmap.Skip, cellmap.Null}
	pairs := 0
	for _, line := range strings.Split(table, "\n")[2:] {
		row := strings.Fields(line)
		from := cellmap.Op(row[0])
		got := map[cellmap.Op]bool{}
		for a := range Action(Actions) {
			if NATPlusPlus.Allows(cellmap.FormEdge{Op: from}, a) {
				got[a.Apply(from)] = true
			}
		}
		for i, mark := range row[1:] {
			if want := mark == "X"; got[columns[i]] != want {
				t.Errorf("%s -> %s: allowed %v, want %v", from, columns[i], !want, want)
			} else if want {
				pairs++
			}
		}
	}
	if pairs != 77 {
		t.Errorf("%d allowed pairs, want the paper's 77", pairs)
	}
}

// Operations outside the table follow the rule that makes it.
func TestNATPlusPlusOnOtherOperations(t *testing.T) {
	tests := []struct {
		from cellmap.Op
		to   Action
		want bool
	}{
		{"conv_7x7", ToSepConv5x5, true},
		{"conv_1x7", ToConv1x1, true},
		{"conv_1x7", ToConv3x3, false},
		{"dw_conv_3x3", ToAvgPool3x3, true},
		{"dw_conv_3x3", ToSepConv3x3, false},
		{"max_pool_2x2", ToMaxPool3x3, false},
		{"max_pool_2x2", ToSkip, true},
		{"conv_3x3", ToSkip, true},
	}
	for _, x := range tests {
		if got := NATPlusPlus.Allows(cellmap.FormEdge{Op: x.from}, x.to); got != x.want {
			t.Errorf("%s -> %v: allowed %v, want %v", x.from, x.to, got, x.want)
		}
	}
	if NATPlusPlus.Allows(cellmap.FormEdge{Op: "conv_3x3", Fixed: true}, ToConv1x1) {
		t.Error("a fixed edge may change")
	}
}

// No two allowed actions of an edge may have the same result: the probability
// of a result would be split among them.
func TestRulesHaveNoAliases(t *testing.T) {
	for _, rules := range []Rules{NAT, NATPlusPlus} {
		noAliases(t, rules)
	}
}

func noAliases(t *testing.T, rules Rules) {
	for _, op := range append(Vocabulary(), targets[3:]...) {
		results := map[cellmap.Op]Action{}
		for a := range Action(Actions) {
			if !rules.Allows(cellmap.FormEdge{Op: op}, a) {
				continue
			}
			if b, ok := results[a.Apply(op)]; ok {
				t.Errorf("%s: %v and %v both give %s", op, a, b, a.Apply(op))
			}
			results[a.Apply(op)] = a
		}
		if results[op] != Keep {
			t.Errorf("%s: staying is not the action keep", op)
		}
	}
}
