package transformer

import (
	"fmt"

	"github.com/natonnx/natonnx/cellmap"
)

// Rules say which actions an operation allows: the first Actions of all, as far
// as they lead to something cheaper. Keep is allowed everywhere, so that the
// unchanged cell is always among the candidates.
type Rules struct {
	Name    string
	Actions int
}

// NAT are the moves of the paper: O->S, O->N, S->N, N->S, and no move (spec
// section 2.1). The authors' code lets every edge choose among null, same and
// skip; for a skip "same" and "skip" are then one result under two names, for a
// null "same" and "null", which splits the probability of not moving. Here the
// second name is masked, so each result has exactly one action.
var NAT = Rules{Name: "nat", Actions: int(ToSkip) + 1}

// NATPlusPlus are the moves of NAT++ too: to cheaper kinds of operations and to
// smaller kernels (spec section 2.2).
var NATPlusPlus = Rules{Name: "nat++", Actions: Actions}

// RulesByName finds rules; ok is false where there are none of that name.
func RulesByName(name string) (r Rules, ok bool) {
	for _, r := range []Rules{NAT, NATPlusPlus} {
		if r.Name == name {
			return r, true
		}
	}
	return Rules{}, false
}

// Allows reports whether the rules let action a be taken on edge e. A fixed
// edge allows only Keep.
func (r Rules) Allows(e cellmap.FormEdge, a Action) bool {
	switch {
	case int(a) >= r.Actions:
		return false
	case a == Keep:
		return true
	}
	return !e.Fixed && a.Apply(e.Op) != e.Op && cheaper(e.Op, a.Apply(e.Op))
}

// ranks order the families by cost, the cheapest last. Skip and null share a
// rank: each may become the other.
var ranks = map[string]int{
	cellmap.Conv: 0, cellmap.SepConv: 1, cellmap.DilConv: 2, cellmap.DWConv: 3,
	cellmap.MaxPool: 4, cellmap.AvgPool: 4, string(cellmap.Skip): 5, string(cellmap.Null): 5,
}

// cheaper is the rule that makes the paper's table of transitions: the family
// is of no lower rank, and the kernel no larger.
func cheaper(from, to cellmap.Op) bool {
	h, w := from.Size()
	toH, toW := to.Size()
	old, ok := ranks[from.Family()]
	return (ok && ranks[to.Family()] >= old || to.Class() != cellmap.ClassOther) && toH <= h && toW <= w
}

// targets are what the actions lead to; keeping leads to what there is.
var targets = [Actions]cellmap.Op{
	ToNull: cellmap.Null, ToSkip: cellmap.Skip,
	ToConv1x1: "conv_1x1", ToAvgPool3x3: "avg_pool_3x3", ToConv3x3: "conv_3x3",
	ToSepConv3x3: "sep_conv_3x3", ToSepConv5x5: "sep_conv_5x5", ToDilConv3x3: "dil_conv_3x3", ToDilConv5x5: "dil_conv_5x5",
	ToMaxPool3x3: "max_pool_3x3", ToMaxPool5x5: "max_pool_5x5", ToAvgPool5x5: "avg_pool_5x5",
}

// Apply returns what the action makes of an operation.
func (a Action) Apply(op cellmap.Op) cellmap.Op {
	if a == Keep || a >= Actions {
		return op
	}
	return targets[a]
}

func (a Action) String() string {
	switch {
	case a == Keep:
		return "keep"
	case a == ToSkip:
		return "skip"
	case a < Actions:
		return string(targets[a])
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}
