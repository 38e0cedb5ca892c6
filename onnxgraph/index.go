package onnxgraph

import "slices"

// An Index answers who produces and who reads the values of a graph.
type Index struct {
	Producer    map[string]*Node
	Consumers   map[string][]Use // in file order; captures by subgraphs included
	Initializer map[string]*Tensor
	Input       map[string]*Value
	Output      map[string]*Value
}

// A Use is one place that reads a value. Input is -1 where a subgraph of the
// node captures it: such a use cannot be rewired.
type Use struct {
	Node  *Node
	Input int
}

// Index returns the graph's index, built on first use. Safe for concurrent use.
func (g *Graph) Index() *Index {
	g.indexOnce.Do(func() {
		x := &Index{
			Producer:    make(map[string]*Node, len(g.Nodes)),
			Consumers:   make(map[string][]Use, len(g.Nodes)),
			Initializer: make(map[string]*Tensor, len(g.Initializers)),
			Input:       make(map[string]*Value, len(g.Inputs)),
			Output:      make(map[string]*Value, len(g.Outputs)),
		}
		for _, t := range g.Initializers {
			x.Initializer[t.Name] = t
		}
		for _, t := range g.SparseInitializers {
			x.Initializer[t.Name] = t
		}
		for _, v := range g.Inputs {
			x.Input[v.Name] = v
		}
		for _, v := range g.Outputs {
			x.Output[v.Name] = v
		}
		for _, n := range g.Nodes {
			for _, o := range n.Outputs {
				if o != "" {
					x.Producer[o] = n
				}
			}
			for i, name := range n.Inputs {
				if name != "" {
					x.Consumers[name] = append(x.Consumers[name], Use{n, i})
				}
			}
			for _, name := range n.Captures {
				x.Consumers[name] = append(x.Consumers[name], Use{n, -1})
			}
		}
		g.index = x
	})
	return g.index
}

// Constant returns the tensor that a name stands for when it is an initializer
// or the output of a Constant node; else nil. An initializer that is listed as a
// graph input too, which a caller may override, counts as the constant it
// defaults to.
func (g *Graph) Constant(name string) *Tensor {
	x := g.Index()
	if t := x.Initializer[name]; t != nil {
		return t
	}
	if n := x.Producer[name]; n.Is("Constant") {
		if a := n.Attr("value"); a != nil {
			return a.Tensor
		}
	}
	return nil
}

// RealInputs returns the graph's inputs that are not merely declarations of
// initializers (which models before IR version 4 had to list).
func (g *Graph) RealInputs() []*Value {
	x := g.Index()
	var out []*Value
	for _, v := range g.Inputs {
		if x.Initializer[v.Name] == nil {
			out = append(out, v)
		}
	}
	return out
}

// shallow copies a graph, its entries included, but not what they refer to.
func (g *Graph) shallow() *Graph {
	return &Graph{Name: g.Name, Nodes: g.Nodes, Initializers: g.Initializers, SparseInitializers: g.SparseInitializers,
		Inputs: g.Inputs, Outputs: g.Outputs, ValueInfo: g.ValueInfo, entries: slices.Clone(g.entries)}
}
