package onnxgraph

import (
	"errors"
	"fmt"
	"slices"
)

// Extract returns the part of the main graph that works out the values named by
// to from the values given by from, which become its inputs and may have other
// types than in the model. Nothing else stays of the graph, not even what it
// declares of other values; the rest of the model stays as it is. The error
// names an input of the graph that the part would need beside from.
func (m *Model) Extract(from []*Value, to []string) (*Model, error) {
	g := m.Graph
	given := map[string]bool{}
	for _, v := range from {
		given[v.Name] = true
	}
	needed, err := g.needed(given, to)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Path, err)
	}
	part := &Graph{Name: g.Name}
	add := func(e entry) { part.entries = append(part.entries, e) }
	for _, v := range from {
		part.Inputs = append(part.Inputs, v)
		add(valueEntry(graphInput, v))
	}
	for _, e := range g.entries {
		switch item := e.item.(type) {
		case *Node:
			if needed[item.Outputs[0]] {
				n := *item
				n.Index = len(part.Nodes)
				part.Nodes = append(part.Nodes, &n)
				add(nodeEntry(&n))
			}
		case *Tensor:
			if needed[item.Name] && e.num == graphInitializer {
				part.Initializers = append(part.Initializers, item)
				add(e)
			}
		case *Value: // before IR version 4 initializers are inputs too
			if needed[item.Name] && e.num == graphInput && g.Index().Initializer[item.Name] != nil {
				part.Inputs = append(part.Inputs, item)
				add(e)
			}
		default:
			if e.num == graphName {
				add(e)
			}
		}
	}
	out, bare := *m, *m // Infer indexes the graph, which has to be whole by then
	bare.Graph = &Graph{Nodes: part.Nodes, Initializers: part.Initializers, Inputs: part.Inputs}
	types := bare.Infer()
	for _, name := range to {
		v := &Value{name, types.Of(name)}
		part.Outputs = append(part.Outputs, v)
		add(valueEntry(graphOutput, v))
	}
	out.Graph, out.edited = part, true
	return &out, nil
}

// needed marks the values that others depend on, as far as the given ones: the
// first output of each node, and initializers.
func (g *Graph) needed(given map[string]bool, to []string) (map[string]bool, error) {
	x, needed := g.Index(), map[string]bool{}
	for stack := slices.Clone(to); len(stack) > 0; {
		name := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := x.Producer[name]
		switch {
		case name == "" || given[name]:
			continue
		case x.Initializer[name] != nil:
			needed[name] = true
			continue
		case n == nil && x.Input[name] != nil:
			return nil, fmt.Errorf("the part needs the graph's input %s too", quote(name))
		case n == nil:
			return nil, fmt.Errorf("no value is called %s", quote(name))
		case needed[n.Outputs[0]]:
			continue
		}
		needed[n.Outputs[0]] = true
		n.reads(func(read string) { stack = append(stack, read) })
	}
	return needed, nil
}

// AnyBatch returns the model with a first dimension of its input, and so of
// all that depends on it, that is not fixed: a network made for one sample then
// takes any number of them. Constant shapes that repeat the declared batch are
// changed along. The model has one input; the error says why where the batch
// cannot be told.
func (m *Model) AnyBatch() (*Model, error) {
	inputs := m.Graph.RealInputs()
	if len(inputs) != 1 {
		return nil, fmt.Errorf("%s: the model has %d inputs, want one", m.Path, len(inputs))
	}
	in := *inputs[0]
	if len(in.Type.Shape) < 2 {
		return nil, fmt.Errorf("%s: graph.input[0] (%s) is %v, want a batch and more dimensions", m.Path, quote(in.Name), in.Type.Shape)
	}
	in.Type.Shape = slices.Clone(in.Type.Shape)
	batch := in.Type.Shape[0]
	in.Type.Shape[0] = Symbol("batch")
	loose := m
	if batch.Known() {
		p, err := m.looseShapes(batch)
		if err == nil {
			loose, err = m.Apply(p)
		}
		if err != nil {
			return nil, err
		}
	}
	var to []string
	for _, v := range m.Graph.Outputs {
		to = append(to, v.Name)
	}
	out, err := loose.Extract([]*Value{&in}, to)
	if err != nil {
		return nil, err
	}
	for _, v := range out.Graph.Outputs {
		if s := v.Type.Shape; len(s) == 0 || s[0] != Symbol("batch") {
			return nil, fmt.Errorf("%s: output %s does not begin with the input's batch", m.Path, quote(v.Name))
		}
	}
	return out, nil
}

// looseShapes makes constant shapes that begin with the batch copy it from the
// tensor that they reshape.
func (m *Model) looseShapes(batch Dim) (*Patch, error) {
	p, types := &Patch{Rule: "any batch"}, m.Infer()
	for _, n := range m.Graph.Nodes {
		if !n.Is("Reshape") {
			continue
		}
		shape, data := m.Graph.Constant(n.Input(1)), types.Of(n.Input(0)).Shape
		if shape == nil || len(data) == 0 || data[0] != batch {
			continue
		}
		dims, err := shape.Int64s()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %v", m.Path, n), err)
		}
		if len(dims) == 0 || dims[0] != batch.N {
			continue
		}
		dims = slices.Clone(dims)
		dims[0] = 0 // as in the data
		if n.Int("allowzero", 0) != 0 {
			dims[0] = -1
			if slices.ContainsFunc(dims[1:], func(d int64) bool { return d < 1 }) {
				continue // only one may be left open
			}
		}
		name := fmt.Sprintf("%s/any batch %d", n.Input(1), n.Index)
		p.Init = append(p.Init, NewInt64s(name, []int64{int64(len(dims))}, dims))
		p.Rewire = append(p.Rewire, Rewire{Node: n, Input: 1, To: name})
	}
	return p, nil
}
