package cellmap

import (
	"math"
	"path"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// gate begins the last part of the names of gates.
const gate = "gate"

// A Gate scales a skip that [Map.Lower] added.
type Gate struct {
	Node  *onnxgraph.Node
	Scale []float32 // by channel
}

// Gates returns the gates of a model, in the order of its nodes.
func Gates(m *onnxgraph.Model) (gates []Gate) {
	for _, n := range m.Graph.Nodes {
		if !n.Is("Mul") || len(n.Inputs) != 2 || !strings.HasPrefix(n.Inputs[1], added) || !strings.HasPrefix(path.Base(n.Inputs[1]), gate) {
			continue
		}
		t := m.Graph.Index().Initializer[n.Inputs[1]]
		if t == nil || t.Type != onnxgraph.Float32 {
			continue
		}
		if v, err := t.Float32s(); err == nil {
			gates = append(gates, Gate{n, v})
		}
	}
	return gates
}

// Open reports whether a gate scales by 1, up to the tolerance.
func (g Gate) Open(tolerance float64) bool {
	for _, v := range g.Scale {
		if !(math.Abs(float64(v)-1) <= tolerance) {
			return false
		}
	}
	return true
}

// FoldGates returns the patch that takes open gates away, and how many they are.
func FoldGates(m *onnxgraph.Model, tolerance float64) (*onnxgraph.Patch, int) {
	p, x := &onnxgraph.Patch{Rule: "fold gates"}, m.Graph.Index()
	source := map[string]string{} // of the values of the gates that go
	for _, g := range Gates(m) {
		from, value := g.Node.Inputs[0], g.Node.Outputs[0]
		inside := func(u onnxgraph.Use) bool { return u.Input < 0 } // a graph within the graph
		if !g.Open(tolerance) || x.Output[value] != nil || slices.ContainsFunc(x.Consumers[value], inside) {
			continue
		}
		if other, ok := source[from]; ok {
			from = other
		}
		source[value] = from
		p.Remove = append(p.Remove, g.Node)
		for _, u := range x.Consumers[value] {
			p.Rewire = append(p.Rewire, onnxgraph.Rewire{Node: u.Node, Input: u.Input, To: from})
		}
	}
	return p, len(p.Remove)
}
