package transformer

import (
	"fmt"

	"github.com/natonnx/natonnx/cellmap"
)

// Rules say which actions an operation's class allows. Keep is allowed
// everywhere, so that the unchanged cell is always among the candidates.
type Rules struct {
	Name    string
	allowed [3][Actions]bool // by cellmap.Class, then Action
}

// NAT are the moves of the paper: O->S, O->N, S->N, N->S, and no move (spec
// section 2.1). The authors' code lets every edge choose among null, same and
// skip; for a skip "same" and "skip" are then one result under two names, for a
// null "same" and "null", which splits the probability of not moving. Here the
// second name is masked, so each result has exactly one action.
var NAT = Rules{
	Name: "nat",
	allowed: [3][Actions]bool{
		cellmap.ClassNull:  {Keep: true, ToSkip: true},
		cellmap.ClassSkip:  {Keep: true, ToNull: true},
		cellmap.ClassOther: {Keep: true, ToNull: true, ToSkip: true},
	},
}

// Allows reports whether the rules let action a be taken on edge e. A fixed
// edge allows only Keep.
func (r Rules) Allows(e cellmap.FormEdge, a Action) bool {
	if a >= Actions {
		return false
	}
	if e.Fixed {
		return a == Keep
	}
	return r.allowed[e.Op.Class()][a]
}

// Apply returns what the action makes of an operation.
func (a Action) Apply(op cellmap.Op) cellmap.Op {
	switch a {
	case ToNull:
		return cellmap.Null
	case ToSkip:
		return cellmap.Skip
	}
	return op
}

func (a Action) String() string {
	switch a {
	case ToNull:
		return "null"
	case Keep:
		return "keep"
	case ToSkip:
		return "skip"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}
