package onnxgraph

import (
	"fmt"
	"math/bits"
	"unicode/utf8"
)

func (v *validator) checkNode(s *scope, n *Node) {
	switch {
	case n.OpType == "":
		v.addf(s.node(n), "has no op_type")
	case len(n.Inputs) == 0 && len(n.Outputs) == 0:
		v.addf(s.node(n), "has neither inputs nor outputs")
	case !v.imports[normalDomain(n.Domain)]:
		v.addf(s.node(n), "domain %s is not imported by opset_import", quote(n.Domain))
		if !utf8.ValidString(n.Domain) {
			v.addf(s.node(n), "the domain is not UTF-8")
		}
	}
	if bad := notUTF8(n); bad != "" {
		v.addf(s.node(n), "%s is not UTF-8", bad)
	}
	seen := make(map[string]bool, len(n.Attributes))
	for i, a := range n.Attributes {
		if seen[a.Name] {
			v.addf(s.node(n)+"."+attributePath(a, i), "the node has an earlier attribute of that name")
		}
		seen[a.Name] = true
		v.checkAttribute(s, n, i, a)
	}
	if n.Domain != "" {
		return
	}
	c := opCheck{v, s, n}
	if sig, ok := signatures[n.OpType]; ok {
		c.signature(sig, "")
	}
	if sig, ok := narrowed[n.OpType]; ok && v.model.OpsetVersion() >= sig.since {
		c.signature(sig.signature, fmt.Sprintf(" since opset %d, which made attributes inputs", sig.since))
	}
	if check := opChecks[n.OpType]; check != nil {
		check(&c)
	}
}

// notUTF8 names the first text of a node that is not UTF-8.
func notUTF8(n *Node) string {
	if !utf8.ValidString(n.Name) {
		return "the name"
	}
	if !utf8.ValidString(n.OpType) {
		return "op_type"
	}
	for i, name := range n.Inputs {
		if !utf8.ValidString(name) {
			return fmt.Sprintf("input[%d]", i)
		}
	}
	for i, name := range n.Outputs {
		if !utf8.ValidString(name) {
			return fmt.Sprintf("output[%d]", i)
		}
	}
	return ""
}

// attributeTypeNames names the attribute types as AttributeProto does.
var attributeTypeNames = [...]string{
	"UNDEFINED", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS",
	"TENSORS", "GRAPHS", "SPARSE_TENSOR", "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS",
}

func (t AttributeType) String() string {
	if t < 0 || int(t) >= len(attributeTypeNames) {
		return fmt.Sprintf("attribute type %d", int32(t))
	}
	return attributeTypeNames[t]
}

func (v *validator) checkAttribute(s *scope, n *Node, i int, a *Attribute) {
	path := func() string { return s.node(n) + "." + attributePath(a, i) }
	if problem := v.attributeProblem(a); problem != "" {
		v.addf(path(), "%s", problem)
	}
	tensor := func(t *Tensor, label string) {
		if err := v.checkTensor(t); err != nil {
			v.add(path()+label, err)
		}
	}
	if a.Tensor != nil {
		tensor(a.Tensor, ".t")
	}
	for k, t := range a.Tensors {
		tensor(t, fmt.Sprintf(".tensors[%d]", k))
	}
	if a.Graph != nil {
		v.checkGraph(a.Graph, path()+".g", s)
	}
	for k, g := range a.Graphs {
		v.checkGraph(g, fmt.Sprintf("%s.graphs[%d]", path(), k), s)
	}
}

func (v *validator) attributeProblem(a *Attribute) string {
	values := a.set &^ 1 // the value fields that are there
	switch {
	case a.Name == "":
		return "has no name"
	case !utf8.ValidString(a.Name):
		return "the name is not UTF-8"
	case a.RefAttr != "":
		return "refers to an attribute of a function, and is in none"
	case a.Type <= AttrUndefined || int(a.Type) >= len(attributeTypeNames):
		return fmt.Sprintf("type is %v", a.Type)
	case bits.OnesCount16(values) > 1:
		return fmt.Sprintf("has values of several types (%s)", typeSet(values))
	case values != 0 && values != 1<<a.Type:
		return fmt.Sprintf("type is %v, and the value is of type %s", a.Type, typeSet(values))
	case values != 0 && a.set&1 == 0 && v.model.IRVersion > 1:
		return fmt.Sprintf("has no type, which IR version %d wants", v.model.IRVersion)
	case a.Type == AttrTensor && a.Tensor == nil, a.Type == AttrGraph && a.Graph == nil:
		return fmt.Sprintf("type is %v, and there is no value", a.Type)
	}
	return ""
}

func typeSet(set uint16) (out string) {
	for t := range AttributeType(len(attributeTypeNames)) {
		if set&(1<<t) == 0 {
			continue
		}
		if out != "" {
			out += ", "
		}
		out += t.String()
	}
	return out
}
