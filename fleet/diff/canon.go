package diff

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// An encoder writes attributes in a form that is equal for equal ones.
type encoder struct {
	io.Writer
	tensor   func(*onnxgraph.Tensor) string
	captures []string // the values of the enclosing graph that subgraphs read, in order of appearance
	captured map[string]int
}

func newEncoder(w io.Writer, tensor func(*onnxgraph.Tensor) string) *encoder {
	return &encoder{Writer: w, tensor: tensor, captured: map[string]int{}}
}

// signature returns what a node computes, apart from what it reads, in a form
// that is equal for equal nodes, and the values that its subgraphs capture. Of
// tensors it has type and dims alone: nodes that differ in a constant still
// belong together. Attributes that state their default are left out; for weight
// see isDefault.
func signature(n *onnxgraph.Node, weight *onnxgraph.Tensor) (form string, captures []string) {
	h := sha256.New()
	e := newEncoder(h, tensorForm)
	fmt.Fprintf(e, "%q %q", n.Domain, n.OpType)
	e.attributes(n, weight, e.capture)
	return string(h.Sum(nil)), e.captures
}

// content returns the whole value of an attribute, in a form that is equal for
// equal ones.
func content(a *onnxgraph.Attribute) string {
	h := sha256.New()
	e := newEncoder(h, func(t *onnxgraph.Tensor) string {
		digest, err := digest(t)
		if err != nil {
			digest = err.Error() // faults of the same words are the same as far as anybody can tell
		}
		return tensorForm(t) + " " + digest
	})
	e.attribute(a, e.capture)
	return string(h.Sum(nil))
}

func tensorForm(t *onnxgraph.Tensor) string { return fmt.Sprintf("%v %v", t.Type, t.Dims) }

// capture returns the identity of a value of the enclosing graph.
func (e *encoder) capture(name string) string {
	i, ok := e.captured[name]
	if !ok {
		i = len(e.captures)
		e.captured[name], e.captures = i, append(e.captures, name)
	}
	return fmt.Sprintf("capture%d", i)
}

func (e *encoder) attributes(n *onnxgraph.Node, weight *onnxgraph.Tensor, outer func(string) string) {
	list := slices.Clone(n.Attributes)
	slices.SortStableFunc(list, func(a, b *onnxgraph.Attribute) int { return strings.Compare(a.Name, b.Name) })
	for _, a := range list {
		if isDefault(n, a, weight) {
			continue
		}
		fmt.Fprintf(e, " %q ", a.Name)
		e.attribute(a, outer)
	}
}

func (e *encoder) attribute(a *onnxgraph.Attribute, outer func(string) string) {
	// %b writes the bits of floats, which %v would round
	fmt.Fprintf(e, "%d %q %b %d %q %b %d %q", a.Type, a.RefAttr, a.Float, a.Int, a.String, a.Floats, a.Ints, a.Strings)
	if a.Tensor != nil {
		fmt.Fprintf(e, " %s", e.tensor(a.Tensor))
	}
	for _, t := range a.Tensors {
		fmt.Fprintf(e, " %s", e.tensor(t))
	}
	if a.Graph != nil {
		e.graph(a.Graph, outer)
	}
	for _, g := range a.Graphs {
		e.graph(g, outer)
	}
}

// graph writes a subgraph, its own values by where they come from.
func (e *encoder) graph(g *onnxgraph.Graph, outer func(string) string) {
	own := map[string]string{"": "absent"}
	of := func(name string) string {
		if id, ok := own[name]; ok {
			return id
		}
		return outer(name)
	}
	for i, v := range g.Inputs {
		own[v.Name] = fmt.Sprintf("in%d", i)
		fmt.Fprintf(e, " input %s", typeText(v.Type))
	}
	for i, t := range g.Initializers {
		own[t.Name] = fmt.Sprintf("init%d", i)
		fmt.Fprintf(e, " init %s", e.tensor(t))
	}
	for i, n := range g.Nodes {
		fmt.Fprintf(e, " node %q %q", n.Domain, n.OpType)
		for _, in := range n.Inputs {
			fmt.Fprintf(e, " %s", of(in))
		}
		e.attributes(n, nil, of)
		for k, out := range n.Outputs {
			if out != "" {
				own[out] = fmt.Sprintf("%d:%d", i, k)
			}
		}
	}
	for _, v := range g.Outputs {
		fmt.Fprintf(e, " output %s %s", of(v.Name), typeText(v.Type))
	}
}

// shownText bounds how much of a value is written out.
const shownText = 120

// attributeText writes the value of an attribute for people.
func attributeText(a *onnxgraph.Attribute) string {
	if a == nil {
		return "absent"
	}
	if a.RefAttr != "" {
		return "the caller's " + a.RefAttr
	}
	switch a.Type {
	case onnxgraph.AttrFloat:
		return fmt.Sprint(a.Float)
	case onnxgraph.AttrInt:
		return fmt.Sprint(a.Int)
	case onnxgraph.AttrString:
		return clipped(fmt.Sprintf("%q", a.String[:min(len(a.String), shownText)]), len(a.String) > shownText)
	case onnxgraph.AttrFloats:
		return listText(a.Floats)
	case onnxgraph.AttrInts:
		return listText(a.Ints)
	case onnxgraph.AttrTensor:
		if a.Tensor != nil {
			return tensorText(a.Tensor)
		}
	case onnxgraph.AttrGraph:
		if a.Graph != nil {
			return fmt.Sprintf("a graph of %d nodes, %s", len(a.Graph.Nodes), short(content(a)))
		}
	}
	return fmt.Sprintf("%v, %s", a.Type, short(content(a)))
}

func clipped(s string, more bool) string {
	if more {
		return s + "..."
	}
	return s
}

func listText[T any](list []T) string {
	const most = 16
	return clipped(fmt.Sprint(list[:min(len(list), most)]), len(list) > most)
}

func tensorText(t *onnxgraph.Tensor) string {
	d, err := digest(t)
	if err != nil {
		return fmt.Sprintf("%v %v", t.Type, t.Shape())
	}
	return fmt.Sprintf("%v %v, sha256 %.12s", t.Type, t.Shape(), d)
}

// short writes the first digits of a digest.
func short(sum string) string { return hex.EncodeToString([]byte(sum[:min(6, len(sum))])) }
