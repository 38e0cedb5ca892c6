package cellmap

import (
	"fmt"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A Map is a network read as cells.
type Map struct {
	Model     *onnxgraph.Model
	Types     *onnxgraph.Types // of the model's values
	Cells     []*Cell          // along the network
	CellTypes []*Type          // in order of appearance
	// Refused are the stretches of the network that are no cells, and why.
	Refused []Refusal

	flow *dataflow
}

// A Type is a set of cells of one structure: same operations, kernels, strides
// and topology. Channel counts may differ.
type Type struct {
	Name      string // "A", "B", ... in order of appearance
	Kind      Kind
	Shortcut  Shortcut
	Reduction bool
	Cells     []*Cell
	Form      Form
}

// A Cell is a block of the network in two-input form.
type Cell struct {
	Index     int    // along the network, from 0
	Name      string // what the names of its operators share, or "cell 3"
	Kind      Kind
	Shortcut  Shortcut
	Type      *Type
	Reduction bool // whether its output has a smaller resolution than node 1
	// Inputs are the values of node 0 and node 1 in the network.
	Inputs [2]string
	Nodes  []Node // intermediate; Nodes[i] is node i+2
	// Concat are the nodes whose concatenation is the output: usually the last alone.
	Concat []int
	Join   *onnxgraph.Node // the Concat in the network, where there is one
	Output string          // the value that leaves the cell

	passes []*onnxgraph.Node // give other names to values of nodes: Identity, Dropout
}

// A Kind names what sort of block a cell was lifted from.
type Kind string

// The kinds of blocks.
const (
	Residual         Kind = "residual"          // branches that are added up (ResNet)
	InvertedResidual Kind = "inverted residual" // expand, depthwise, project (MobileNetV2)
	Separable        Kind = "separable"         // depthwise, pointwise (MobileNetV1)
	Stage            Kind = "stage"             // convolutions, then a pooling (VGG)
	Concatenation    Kind = "concatenation"     // branches that are concatenated (SqueezeNet, GoogLeNet)
)

// A Shortcut says how a block's input reaches its closing sum.
type Shortcut string

// The shortcuts of residual blocks.
const (
	NoShortcut Shortcut = ""
	Identity   Shortcut = "identity"
	Projection Shortcut = "projection"
)

// A Node is the sum of two edges and an optional activation.
type Node struct {
	Edges [2]Edge
	Sum   *onnxgraph.Node   // the Add or Sum in the network; nil for a lone operand
	Act   []*onnxgraph.Node // the activation, in order; empty for none
	// Value is the node's value in the network. It is empty for the inner nodes
	// of a sum of more than two, which have none of their own.
	Value string
}

// An Edge is one operand of a node.
type Edge struct {
	Op     Op
	Stride int64 // 1 or more; 0 for null
	From   int   // the node that it reads
	// Fixed edges chain sums of more than two operands; no decision changes them.
	Fixed bool
	Nodes []*onnxgraph.Node // the operators in the network, in order; none for null and skip
	// Value is what the edge adds to the sum; empty for null and skip.
	Value string
}

// A Refusal is a place in the network that stays as it is, and the reason.
type Refusal struct {
	Where  string // what the user finds in the network: a node, a cell's edge
	Reason string // what was seen and what would be needed
}

func (r Refusal) Error() string { return r.Where + ": " + r.Reason }

// An EdgeID names an edge of a cell: slot 0 or 1 of node Node (2, 3, ...).
type EdgeID struct{ Node, Slot int }

// Label is the number that the paper's figures, and so all that users read, give
// a node: -2 and -1 for the inputs, then 0, 1, ... Genotypes, and the code, count
// from 0 at the first input.
func Label(node int) int { return node - 2 }

// A Move changes the operation of one edge of one cell. NAT's moves lead to
// skip or null, those of NAT++ to cheaper kinds too.
type Move struct {
	Cell *Cell
	Edge EdgeID
	To   Op
}

// Old returns the edge that the move changes.
func (m Move) Old() *Edge { return &m.Cell.Nodes[m.Edge.Node-2].Edges[m.Edge.Slot] }

func (m Move) String() string {
	old := m.Old()
	return fmt.Sprintf("%s: node %d: %s from %d -> %s", m.Cell.Name, Label(m.Edge.Node), old.Op, Label(old.From), m.To)
}

// Form returns the cell as policies and genotypes see it.
func (c *Cell) Form() Form {
	f := Form{Concat: c.Concat}
	for i, n := range c.Nodes {
		for _, e := range n.Edges {
			f.Edges = append(f.Edges, FormEdge{Op: e.Op, From: e.From, To: i + 2, Fixed: e.Fixed})
		}
	}
	return f
}
