package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A port is an output of a node.
type port struct{ node, output int }

// A use is a place where a node reads a value: an input, or behind the inputs a
// capture of its subgraphs.
type use struct{ node, slot int }

// A side is the graph of one of the two models, indexed.
type side struct {
	graph    *onnxgraph.Graph
	nodes    []*onnxgraph.Node
	reads    [][]string // of each node: inputs, then captures
	names    []string   // of each node: its name, or that of its first output
	forms    []string   // of each node: its signature
	producer map[string]port
	uses     map[string][]use
	tensor   map[string]*onnxgraph.Tensor
	inputs   []*onnxgraph.Value
	input    map[string]bool
	contents map[*onnxgraph.Attribute]string
	local    []int // classes: nodes of equal operators, attributes and shapes of constants
	up, down []int // classes: the same with equal ancestors, or descendants
}

func newSide(g *onnxgraph.Graph) *side {
	s := &side{graph: g, nodes: g.Nodes, inputs: g.RealInputs(), producer: map[string]port{}, uses: map[string][]use{},
		tensor: map[string]*onnxgraph.Tensor{}, input: map[string]bool{}, contents: map[*onnxgraph.Attribute]string{}}
	for _, v := range s.inputs {
		s.input[v.Name] = true
	}
	for _, list := range [][]*onnxgraph.Tensor{g.Initializers, g.SparseInitializers} {
		for _, t := range list {
			s.tensor[t.Name] = t
		}
	}
	for i, n := range g.Nodes {
		form, captures := signature(n, s.tensor[n.Input(1)])
		s.forms = append(s.forms, form)
		s.reads = append(s.reads, slices.Concat(n.Inputs, captures))
		name := n.Name
		if name == "" && len(n.Outputs) > 0 {
			name = "> " + n.Outputs[0]
		}
		s.names = append(s.names, name)
		for slot, value := range s.reads[i] {
			if value != "" {
				s.uses[value] = append(s.uses[value], use{i, slot})
			}
		}
		for k, value := range n.Outputs {
			if value != "" {
				s.producer[value] = port{i, k}
			}
		}
	}
	return s
}

// read returns what a node reads there; "" where it reads nothing.
func (s *side) read(node, slot int) string {
	if slot < len(s.reads[node]) {
		return s.reads[node][slot]
	}
	return ""
}

// content is that of an attribute, worked out once: it can hold tensors.
func (s *side) content(a *onnxgraph.Attribute) string {
	c, ok := s.contents[a]
	if !ok {
		c = content(a)
		s.contents[a] = c
	}
	return c
}

// classes numbers structures that occur in either side.
type classes map[string]int

func (c classes) of(key string) int {
	n, ok := c[key]
	if !ok {
		n = len(c)
		c[key] = n
	}
	return n
}

// classify sorts the nodes into classes. ports has the number of each paired
// graph input and output by its name.
func (s *side) classify(c classes, inputs, outputs map[string]int) {
	s.local, s.up, s.down = make([]int, len(s.nodes)), make([]int, len(s.nodes)), make([]int, len(s.nodes))
	for i := range s.nodes {
		local := s.forms[i]
		for slot, value := range s.reads[i] {
			if t := s.tensor[value]; t != nil {
				local += fmt.Sprintf("|%d %s", slot, tensorForm(t))
			}
		}
		s.local[i] = c.of(local)
		key := []string{"up", s.forms[i]}
		for _, value := range s.reads[i] {
			key = append(key, s.origin(i, value, inputs))
		}
		s.up[i] = c.of(strings.Join(key, "|"))
	}
	for i := len(s.nodes) - 1; i >= 0; i-- {
		key := []string{"down", fmt.Sprint(s.local[i])}
		for k, value := range s.nodes[i].Outputs {
			key = append(key, s.readers(i, k, value, outputs)...)
		}
		s.down[i] = c.of(strings.Join(key, "|"))
	}
}

// origin identifies what a node reads by what made it.
func (s *side) origin(node int, value string, inputs map[string]int) string {
	if value == "" {
		return "absent"
	}
	if t := s.tensor[value]; t != nil {
		return tensorForm(t)
	}
	if p, ok := s.producer[value]; ok && p.node < node {
		return fmt.Sprintf("%d:%d", s.up[p.node], p.output)
	}
	if n, ok := inputs[value]; ok {
		return fmt.Sprintf("input %d", n)
	}
	return "unknown"
}

// readers identifies an output by those who read it.
func (s *side) readers(node, output int, value string, outputs map[string]int) (list []string) {
	for _, u := range s.uses[value] {
		if u.node > node {
			list = append(list, fmt.Sprintf("%d:%d:%d", output, s.down[u.node], u.slot))
		}
	}
	if n, ok := outputs[value]; ok {
		list = append(list, fmt.Sprintf("%d:output %d", output, n))
	}
	slices.Sort(list)
	return list
}
