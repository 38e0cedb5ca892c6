package diff

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A Structure is how the nodes of two models relate.
type Structure struct {
	Same    int          `json:"nodes_same"` // names apart
	Added   []Node       `json:"added"`
	Removed []Node       `json:"removed"`
	Changed []NodeChange `json:"changed"`
	// Outputs are the outputs of the graph that something else makes now.
	Outputs   []InputChange   `json:"outputs"` // Input is the index of the output
	Operators []OperatorCount `json:"operators"`
}

func (s *Structure) same() bool {
	return len(s.Added)+len(s.Removed)+len(s.Changed)+len(s.Outputs) == 0
}

// A Node is a node of one of the models.
type Node struct {
	Index    int    `json:"index"` // in file order
	Name     string `json:"name"`
	Operator string `json:"operator"` // with its domain if that is not ONNX's
}

// String names the node: Conv "conv1", or graph.node[3] (Conv) where it has no name.
func (n Node) String() string {
	if n.Name == "" {
		return fmt.Sprintf("graph.node[%d] (%s)", n.Index, n.Operator)
	}
	return fmt.Sprintf("%s %q", n.Operator, n.Name)
}

// A NodeChange is a node that both models have, and that is not the same.
type NodeChange struct {
	Before     Node              `json:"before"`
	After      Node              `json:"after"`
	Attributes []AttributeChange `json:"attributes"`
	Inputs     []InputChange     `json:"inputs"`
}

// An AttributeChange is an attribute that differs. One that is absent has its
// default, as far as that is a default of the common operators. Values are written for people
// and may be cut.
type AttributeChange struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// An InputChange is an input that reads something else.
type InputChange struct {
	Input  int    `json:"input"`
	Before Source `json:"before"`
	After  Source `json:"after"`
}

// A Source is a value and what makes it.
type Source struct {
	Value string `json:"value"`
	From  string `json:"from"` // a node, "input", "tensor", "nothing" or "absent"
}

// An OperatorCount is how often the models use an operator.
type OperatorCount struct {
	Operator string `json:"operator"`
	Before   int    `json:"before"`
	After    int    `json:"after"`
}

func nodeOf(n *onnxgraph.Node) Node { return Node{n.Index, n.Name, operator(n)} }

func operator(n *onnxgraph.Node) string {
	if n.Domain == "" {
		return n.OpType
	}
	return n.Domain + "::" + n.OpType
}

func binaryKey(x, y int) []byte {
	return binary.AppendVarint(binary.AppendVarint(nil, int64(x)), int64(y))
}

// structure lists how the nodes differ.
func (m *match) structure() Structure {
	s := Structure{Added: []Node{}, Removed: []Node{}, Changed: []NodeChange{}, Outputs: []InputChange{}, Operators: operatorCounts(m.a.nodes, m.b.nodes)}
	for i, j := range m.ab {
		if j < 0 {
			s.Removed = append(s.Removed, nodeOf(m.a.nodes[i]))
			continue
		}
		c := NodeChange{nodeOf(m.a.nodes[i]), nodeOf(m.b.nodes[j]), m.attributeChanges(m.a.nodes[i], m.b.nodes[j]), m.inputChanges(i, j)}
		if len(c.Attributes)+len(c.Inputs) == 0 && c.Before.Operator == c.After.Operator {
			s.Same++
			continue
		}
		s.Changed = append(s.Changed, c)
	}
	for j, i := range m.ba {
		if i < 0 {
			s.Added = append(s.Added, nodeOf(m.b.nodes[j]))
		}
	}
	for i, v := range m.a.graph.Outputs {
		if j, ok := m.outputs[i]; ok {
			if w := m.b.graph.Outputs[j]; !m.sameValue(v.Name, w.Name) {
				s.Outputs = append(s.Outputs, InputChange{j, m.a.source(v.Name), m.b.source(w.Name)})
			}
		}
	}
	return s
}

// distance counts what structure would list, and the renames.
func (m *match) distance() (edits, renames int) {
	s := m.structure()
	edits = len(s.Added) + len(s.Removed) + len(s.Outputs)
	for _, c := range s.Changed {
		edits += len(c.Attributes) + len(c.Inputs)
		if c.Before.Operator != c.After.Operator {
			edits++
		}
	}
	return edits, len(m.renames())
}

func (m *match) attributeChanges(x, y *onnxgraph.Node) []AttributeChange {
	list := []AttributeChange{}
	for _, a := range x.Attributes {
		b := y.Attr(a.Name)
		switch {
		case b == nil && isDefault(x, a, m.a.tensor[x.Input(1)]):
		case b == nil:
			list = append(list, AttributeChange{Removed, a.Name, attributeText(a), ""})
		case m.a.content(a) != m.b.content(b):
			list = append(list, AttributeChange{Changed, a.Name, attributeText(a), attributeText(b)})
		}
	}
	for _, b := range y.Attributes {
		if x.Attr(b.Name) == nil && !isDefault(y, b, m.b.tensor[y.Input(1)]) {
			list = append(list, AttributeChange{Added, b.Name, "", attributeText(b)})
		}
	}
	return list
}

func (m *match) inputChanges(i, j int) []InputChange {
	list := []InputChange{}
	for slot := range max(len(m.a.reads[i]), len(m.b.reads[j])) {
		x, y := m.a.read(i, slot), m.b.read(j, slot)
		if !m.sameValue(x, y) {
			list = append(list, InputChange{slot, m.a.source(x), m.b.source(y)})
		}
	}
	return list
}

// source tells where a value comes from.
func (s *side) source(value string) Source {
	if value == "" {
		return Source{"", "absent"}
	}
	if s.tensor[value] != nil {
		return Source{value, "tensor"}
	}
	if p, ok := s.producer[value]; ok {
		return Source{value, nodeOf(s.nodes[p.node]).String()}
	}
	if s.input[value] {
		return Source{value, "input"}
	}
	return Source{value, "nothing"}
}

// renames lists what is the same and has another name.
func (m *match) renames() []Rename {
	list := []Rename{}
	add := func(what, x, y string) {
		if x != y {
			list = append(list, Rename{what, x, y})
		}
	}
	ports := map[string]bool{}
	for _, v := range m.b.graph.Outputs {
		ports[v.Name] = true // their names are part of the interface
	}
	for i, j := range m.ab {
		if j < 0 {
			continue
		}
		x, y := m.a.nodes[i], m.b.nodes[j]
		add("node", x.Name, y.Name)
		for k := range min(len(x.Outputs), len(y.Outputs)) {
			if x.Outputs[k] != "" && y.Outputs[k] != "" && !ports[y.Outputs[k]] {
				add("value", x.Outputs[k], y.Outputs[k])
			}
		}
	}
	for _, ts := range [][]*onnxgraph.Tensor{m.a.graph.Initializers, m.a.graph.SparseInitializers} {
		for _, t := range ts {
			if other, ok := m.tensors[t.Name]; ok {
				add("tensor", t.Name, other)
			}
		}
	}
	return list
}

// operatorCounts counts the operators of both models, the most frequent first.
func operatorCounts(a, b []*onnxgraph.Node) []OperatorCount {
	at := map[string]int{}
	list := []OperatorCount{}
	entry := func(n *onnxgraph.Node) *OperatorCount {
		op := operator(n)
		i, ok := at[op]
		if !ok {
			i = len(list)
			at[op], list = i, append(list, OperatorCount{Operator: op})
		}
		return &list[i]
	}
	for _, n := range a {
		entry(n).Before++
	}
	for _, n := range b {
		entry(n).After++
	}
	slices.SortStableFunc(list, func(x, y OperatorCount) int {
		return cmp.Compare(max(y.Before, y.After), max(x.Before, x.After))
	})
	return list
}
