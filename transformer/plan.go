package transformer

import (
	"errors"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Options say how a network's transformation is chosen.
type Options struct {
	Policy Policy // nil: the input itself is the only candidate
	Rules  Rules
	// Samples is how many transformations are drawn from the policy; the input
	// itself is always a candidate too.
	Samples int
	// PerCell draws decisions for every cell; else cells of one type decide alike.
	PerCell  bool
	SkipInit cellmap.SkipInit
	// MaxMAdds and MaxParams bound the cost of the result; 0 means the input's
	// multiply-adds and no bound on parameters.
	MaxMAdds, MaxParams int64
	Seed                uint64
}

// A Plan is the transformation that was chosen for a network.
type Plan struct {
	Map   *cellmap.Map
	Moves []PlannedMove
	// Refused are the moves that the policy wanted and the network does not allow.
	Refused []RefusedMove
	Before  *onnxgraph.Cost
	After   *onnxgraph.Cost
	// Result is the transformed model; the input itself where no move was chosen.
	Result *onnxgraph.Model
	// Tried counts the candidates that were looked at until one could be carried
	// out within the bounds.
	Tried int
	// LogProb is the policy's log-probability of the chosen transformation.
	LogProb float64
}

// A PlannedMove is a move with what it saves by itself: what the operation cost,
// less what another kind in its place costs.
type PlannedMove struct {
	cellmap.Move
	MAdds, Params int64
	// Inherited is how much of the operation the weights of another kind take
	// over (see [cellmap.Map.Inherited]); nil where the move inherits none.
	Inherited *float64
}

// A RefusedMove is a move that the network does not allow, and why.
type RefusedMove struct {
	cellmap.Move
	Reason string
}

// ErrBounds is returned by [Choose] where no candidate, not even the input
// itself, keeps the bounds.
var ErrBounds = errors.New("no transformation within the bounds was found")

// Destructive reports whether any move changes what the network computes before
// it is trained again.
func (p *Plan) Destructive(init cellmap.SkipInit) bool {
	for _, m := range p.Moves {
		if m.Old().Op != cellmap.Null || init == cellmap.IdentitySkip {
			return true
		}
	}
	return false
}
