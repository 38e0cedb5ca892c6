package cellmap

import (
	"fmt"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Allowed returns nil where a single move can be lowered, or else the reason.
// Several moves that are allowed one by one may still clash: [Map.Lower] tells.
func (m *Map) Allowed(move Move) error {
	c, e := move.Cell, move.Old()
	refuse := func(format string, args ...any) error {
		return Refusal{Where: move.String(), Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case e.Fixed:
		return refuse("the edge chains a sum of more than two operands")
	case move.To == e.Op:
		return nil
	case move.To == Null:
		if !c.reaches(map[EdgeID]Op{move.Edge: Null}) {
			return refuse("the cell's output would not depend on its input any more")
		}
		return nil
	case move.To != Skip:
		if _, err := m.heir(e, move.To); err != nil {
			return refuse("%v", err)
		}
		return nil
	}
	if e.Op == Null && e.From == 0 && c.Inputs[0] == c.Inputs[1] && c.passesInput(move.Edge) {
		return refuse("both inputs of the first cell are the stem's output: it would be added to itself")
	}
	from, to := m.Types.Of(c.value(e.From)), m.Types.Of(c.target(move.Edge))
	if why := misfit(from, to); why != "" {
		return refuse("%s", why)
	}
	if e.Op == Null && m.Model.OpsetVersion() < 7 {
		return refuse("opset %d: a gated skip needs the broadcasting of opset 7", m.Model.OpsetVersion())
	}
	return nil
}

// passesInput reports whether the other edge of the node is a skip from node 1.
func (c *Cell) passesInput(id EdgeID) bool {
	other := c.Nodes[id.Node-2].Edges[1-id.Slot]
	return other.Op == Skip && other.From == 1
}

// value returns the value of a node in the network; inner nodes of a chained
// sum stand for the sum.
func (c *Cell) value(node int) string {
	if node < 2 {
		return c.Inputs[node]
	}
	for _, n := range c.Nodes[node-2:] {
		if n.Value != "" {
			return n.Value
		}
	}
	return ""
}

// target returns a value of the shape that an edge has to deliver.
func (c *Cell) target(id EdgeID) string {
	e := &c.Nodes[id.Node-2].Edges[id.Slot]
	if e.Value != "" {
		return e.Value
	}
	return c.value(id.Node)
}

// misfit says why a value of type a cannot be passed on as one of type b, or "".
func misfit(a, b onnxgraph.Type) string {
	x, y := a.Shape, b.Shape
	switch {
	case x == nil || y == nil || len(x) != len(y):
		return fmt.Sprintf("shapes %v -> %v: a skip needs known, equal shapes", x, y)
	case a.Elem != b.Elem:
		return fmt.Sprintf("%v -> %v: a skip needs equal element types", a.Elem, b.Elem)
	case len(x) != 4:
		return fmt.Sprintf("shape %v: a skip needs batch, channels, height and width", x)
	case !x[1].Known() || !y[1].Known():
		return fmt.Sprintf("shapes %v -> %v: a skip needs known channels", x, y)
	case !x[2].Equal(y[2]) || !x[3].Equal(y[3]):
		return fmt.Sprintf("%v -> %v: the resolution changes, a skip needs a strided projection", x[1:], y[1:])
	case x[1] != y[1]:
		return fmt.Sprintf("%v -> %v channels: a skip needs a projection", x[1], y[1])
	}
	return ""
}

// reaches reports whether the cell's every output node still depends on an
// input once the edges are changed as given.
func (c *Cell) reaches(changed map[EdgeID]Op) bool {
	form := c.Form()
	for id, to := range changed {
		form.Edges[2*(id.Node-2)+id.Slot].Op = to
	}
	live := form.Live()
	for _, k := range c.Concat {
		if !live[k] {
			return false
		}
	}
	return true
}
