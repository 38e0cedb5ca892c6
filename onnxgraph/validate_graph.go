package onnxgraph

import (
	"fmt"
	"unicode/utf8"
)

// A scope is a graph under validation with the names made in it so far.
type scope struct {
	graph *Graph
	path  string // field path: graph, graph.node[3] (If "").attribute[0] "then_branch".g
	outer *scope
	made  map[string]string // value to what made it
	types map[string]Type   // declared by inputs and value_info
	inits map[string]*Tensor
	flow  *flow // made when the order of the nodes turns out to be wrong
}

func (s *scope) node(n *Node) string { return s.path + "." + nodePath(n, n.Index) }

// visible tells what made a name in this or an enclosing graph, or "".
func (s *scope) visible(name string) string {
	for ; s != nil; s = s.outer {
		if by := s.made[name]; by != "" {
			return by
		}
	}
	return ""
}

// constant returns the initializer of that name, looked for outwards.
func (s *scope) constant(name string) *Tensor {
	for ; s != nil; s = s.outer {
		if t := s.inits[name]; t != nil {
			return t
		}
		if s.made[name] != "" {
			return nil
		}
	}
	return nil
}

// shape returns the declared shape of a value, or nil.
func (s *scope) shape(name string) Shape {
	for ; s != nil; s = s.outer {
		if t := s.inits[name]; t != nil {
			return t.Shape()
		}
		if s.made[name] != "" {
			return s.types[name].Shape
		}
	}
	return nil
}

func (v *validator) checkGraph(g *Graph, path string, outer *scope) {
	size := len(g.Nodes) + len(g.Inputs) + len(g.Initializers)
	s := &scope{graph: g, path: path, outer: outer, made: make(map[string]string, size),
		types: make(map[string]Type, len(g.Inputs)+len(g.ValueInfo)), inits: make(map[string]*Tensor, len(g.Initializers))}
	if g.Name == "" {
		v.addf(path+".name", "is empty")
	}
	v.checkText(path+".name", g.Name)
	v.checkInputs(s)
	v.checkInitializers(s)
	for _, info := range g.ValueInfo {
		s.types[info.Name] = info.Type
	}
	nodes := make(map[string]bool, len(g.Nodes))
	for _, n := range g.Nodes {
		if v.full() {
			return
		}
		if nodes[n.Name] {
			v.addf(s.node(n), "an earlier node has that name, which ONNX Runtime refuses")
		}
		nodes[n.Name] = n.Name != ""
		v.checkNode(s, n)
		v.checkReads(s, n)
		v.checkMakes(s, n)
	}
	v.checkOutputs(s)
}

func (v *validator) checkInputs(s *scope) {
	for i, in := range s.graph.Inputs {
		if problem := v.valueProblem(s, in); problem != "" {
			v.addf(fmt.Sprintf("%s.input[%d]%s", s.path, i, quoted(in.Name)), "%s", problem)
		}
		if s.made[in.Name] != "" {
			v.addf(fmt.Sprintf("%s.input[%d]%s", s.path, i, quoted(in.Name)), "an earlier input has that name")
		}
		s.made[in.Name] = "a graph input"
		s.types[in.Name] = in.Type
	}
}

// valueProblem says what is wrong with the declaration of an input or output.
// Subgraphs need not declare types.
func (v *validator) valueProblem(s *scope, value *Value) string {
	switch t := value.Type; {
	case value.Name == "":
		return "has no name"
	case !utf8.ValidString(value.Name):
		return "the name is not UTF-8"
	case s.outer != nil:
		return ""
	case t.Kind == "":
		return "has no type"
	case t.Kind != "tensor" && t.Kind != "sparse_tensor":
		return ""
	case !t.Elem.Known():
		return fmt.Sprintf("element type is %v", t.Elem)
	case t.Shape == nil:
		return "has no shape: at least the number of dimensions must be known"
	default:
		for i, d := range t.Shape {
			if d.Known() && d.N < 0 {
				return fmt.Sprintf("dim[%d] is %d, want 0 or more", i, d.N)
			}
		}
	}
	return ""
}

func (v *validator) checkInitializers(s *scope) {
	for i, t := range s.graph.Initializers {
		if v.full() {
			return
		}
		if problem := v.declare(s, t, v.model.IRVersion < 4); problem != "" {
			v.addf(s.path+"."+tensorPath(t, i), "%s", problem)
		}
		if err := v.checkTensor(t); err != nil {
			v.add(s.path+"."+tensorPath(t, i), err)
		}
	}
	for i, t := range s.graph.SparseInitializers {
		problem := v.declare(s, t, false)
		if _, err := t.Elements(); err != nil {
			problem = err.Error()
		}
		if problem != "" {
			v.addf(fmt.Sprintf("%s.sparse_initializer[%d]%s", s.path, i, quoted(t.Name)), "%s", problem)
		}
	}
}

// declare makes an initializer's name visible and says what is wrong with it.
// Before IR version 4, dense ones must be listed as inputs too.
func (v *validator) declare(s *scope, t *Tensor, asInput bool) (problem string) {
	switch {
	case t.Name == "":
		return "has no name"
	case !utf8.ValidString(t.Name):
		problem = "the name is not UTF-8"
	case s.inits[t.Name] != nil:
		problem = "an earlier initializer has that name"
	case asInput && s.made[t.Name] == "":
		problem = fmt.Sprintf("is not among the graph's inputs, where IR version %d wants it", v.model.IRVersion)
	}
	s.made[t.Name] = "an initializer"
	s.inits[t.Name] = t
	return problem
}

func (v *validator) checkMakes(s *scope, n *Node) {
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		if by := s.visible(name); by != "" {
			v.addf(s.node(n), "output[%d] %s is already made by %s", i, quote(name), by)
			continue
		}
		s.made[name] = "another node"
	}
}

func (v *validator) checkOutputs(s *scope) {
	for i, out := range s.graph.Outputs {
		problem := v.valueProblem(s, out)
		switch {
		case problem != "":
		case s.made[out.Name] == "" && s.outer.visible(out.Name) != "":
			problem = "is made outside of this subgraph: pass it through an Identity"
		case s.made[out.Name] == "":
			problem = "nothing makes it"
		}
		if problem != "" {
			v.addf(fmt.Sprintf("%s.output[%d]%s", s.path, i, quoted(out.Name)), "%s", problem)
		}
	}
	if len(s.graph.Outputs) == 0 {
		v.addf(s.path+".output", "is empty: the graph has no output")
	}
}
