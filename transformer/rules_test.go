package transformer

import (
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

// No two allowed actions of an edge may have the same result: the probability
// of a result would be split among them.
func TestNATHasNoAliases(t *testing.T) {
	for _, op := range Vocabulary() {
		results := map[cellmap.Op]Action{}
		for a := range Action(Actions) {
			if !NAT.Allows(cellmap.FormEdge{Op: op}, a) {
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
