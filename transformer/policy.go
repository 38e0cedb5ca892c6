package transformer

import (
	"context"

	"github.com/natonnx/natonnx/cellmap"
)

// An Action is what a policy does with one edge.
type Action uint8

// The actions. The first three are NAT's, in the order of the authors' TRANSFORM
// vocabulary (spec section 1.1); the others are NAT++'s. Nothing leads to
// conv_5x5, than which no operation is dearer.
const (
	ToNull Action = iota
	Keep
	ToSkip
	ToConv1x1
	ToAvgPool3x3
	ToConv3x3
	ToSepConv3x3
	ToSepConv5x5
	ToDilConv3x3
	ToDilConv5x5
	ToMaxPool3x3
	ToMaxPool5x5
	ToAvgPool5x5
	Actions = 13
)

// A Policy scores the actions for each edge of a cell. Implementations are safe
// for concurrent use.
type Policy interface {
	// Logits returns one row per edge of the form, in its order, with one
	// unnormalised log-probability per Action. Those of actions that the rules of
	// its card do not know mean nothing.
	Logits(ctx context.Context, form cellmap.Form) ([][Actions]float64, error)
	Card() Card
}

// A Card says what a policy is and what was measured on it. It travels in the
// policy file's metadata.
type Card struct {
	Name     string  `json:"name"`
	Kind     string  `json:"kind"`     // "gcn"
	Rules    string  `json:"rules"`    // "nat" or "nat++"
	Training string  `json:"training"` // data, reward, steps, in a sentence
	Command  string  `json:"command"`  // the command that trains it again
	Seed     uint64  `json:"seed"`
	Scores   []Score `json:"scores"`
}

// A Score is one measured figure of a card.
type Score struct {
	Name  string  `json:"name"` // what was measured
	On    string  `json:"on"`   // on which data
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}
