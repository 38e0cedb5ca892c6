package onnxgraph

import (
	"fmt"
	"sync"
)

// A Model is one ONNX file, or one built in memory. It is immutable to its
// readers: changes are made by [Model.Apply], which returns a new Model that
// shares what did not change.
type Model struct {
	// Path is the file that the model was opened from, as the caller gave it.
	// It is the name that errors carry; it need not exist for a model in memory.
	Path string

	IRVersion       int64
	Opsets          []Opset
	Producer        string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	Metadata        []Property
	// Functions names the model-local functions; their bodies are preserved
	// and not decoded.
	Functions []FunctionID
	Graph     *Graph

	src     *source
	dir     string // where external data are looked for; "" for a model from a stream
	entries []entry
	edited  bool
}

// An Opset is one entry of opset_import. The empty domain is ONNX itself.
type Opset struct {
	Domain  string
	Version int64
}

// A Property is one entry of metadata_props.
type Property struct{ Key, Value string }

// A FunctionID names a model-local function.
type FunctionID struct{ Domain, Name, Overload string }

// OpsetVersion returns the imported version of ONNX's own operators, or 0.
func (m *Model) OpsetVersion() int64 {
	for _, o := range m.Opsets {
		if o.Domain == "" || o.Domain == "ai.onnx" {
			return o.Version
		}
	}
	return 0
}

// A Graph is the main graph of a model, or a subgraph of a node.
type Graph struct {
	Name         string
	Nodes        []*Node // in file order, which ONNX wants to be topological
	Initializers []*Tensor
	// SparseInitializers are preserved; only their names and dims are decoded.
	SparseInitializers []*Tensor
	Inputs             []*Value // includes initializers before IR version 4
	Outputs            []*Value
	ValueInfo          []*Value

	entries []entry

	indexOnce sync.Once
	index     *Index
}

// A Node is one operator call.
type Node struct {
	Name       string
	OpType     string
	Domain     string // "" is ONNX itself; "ai.onnx" is normalised to it
	Inputs     []string
	Outputs    []string
	Attributes []*Attribute
	// Captures are the names of the enclosing graph that the node's subgraphs read.
	Captures []string
	// Index is the node's position in its graph.
	Index int

	whole span   // the field in the file, tag included
	at    span   // its message
	raw   []byte // encoded message of a node that is not (or no longer) in the file
}

// String names the node as errors do: graph.node[12] (Conv "layer1.0.conv1").
func (n *Node) String() string {
	if n == nil {
		return "graph.node (nil)"
	}
	return "graph." + nodePath(n, n.Index)
}

// Is reports whether n calls the given operator of ONNX's own domain.
func (n *Node) Is(ops ...string) bool {
	if n == nil || n.Domain != "" {
		return false
	}
	for _, op := range ops {
		if n.OpType == op {
			return true
		}
	}
	return false
}

// Input returns the name of input i, or "" where it is absent.
func (n *Node) Input(i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// AttributeType is AttributeProto.AttributeType.
type AttributeType int32

// The attribute types of ONNX, by their numbers in the schema.
const (
	AttrUndefined AttributeType = iota
	AttrFloat
	AttrInt
	AttrString
	AttrTensor
	AttrGraph
	AttrFloats
	AttrInts
	AttrStrings
	AttrTensors
	AttrGraphs
	AttrSparseTensor
	AttrSparseTensors
	AttrTypeProto
	AttrTypeProtos
)

// An Attribute is a named constant of a node. Only the fields of its Type are set.
type Attribute struct {
	Name    string
	Type    AttributeType
	RefAttr string // inside functions: the attribute of the caller
	Float   float32
	Int     int64
	String  []byte
	Floats  []float32
	Ints    []int64
	Strings [][]byte
	Tensor  *Tensor
	Tensors []*Tensor
	Graph   *Graph
	Graphs  []*Graph

	set uint16 // of a decoded attribute: the types whose fields are there, by bit; bit 0: the type is
}

// Attr returns the attribute of that name, or nil.
func (n *Node) Attr(name string) *Attribute {
	for _, a := range n.Attributes {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Int returns an integer attribute, or def where it is absent.
func (n *Node) Int(name string, def int64) int64 {
	if a := n.Attr(name); a != nil && a.Type == AttrInt {
		return a.Int
	}
	return def
}

// Float returns a float attribute, or def where it is absent.
func (n *Node) Float(name string, def float32) float32 {
	if a := n.Attr(name); a != nil && a.Type == AttrFloat {
		return a.Float
	}
	return def
}

// Ints returns an integer list attribute, or nil where it is absent.
func (n *Node) Ints(name string) []int64 {
	if a := n.Attr(name); a != nil && a.Type == AttrInts {
		return a.Ints
	}
	return nil
}

// Str returns a string attribute, or def where it is absent.
func (n *Node) Str(name, def string) string {
	if a := n.Attr(name); a != nil && a.Type == AttrString {
		return string(a.String)
	}
	return def
}

// Subgraphs returns the graphs among the node's attributes.
func (n *Node) Subgraphs() []*Graph {
	var out []*Graph
	for _, a := range n.Attributes {
		if a.Graph != nil {
			out = append(out, a.Graph)
		}
		out = append(out, a.Graphs...)
	}
	return out
}

// A Value is a named input, output or intermediate of a graph with its declared type.
type Value struct {
	Name string
	Type Type
}

// A Type is the declared or inferred type of a value.
type Type struct {
	// Kind is "tensor", "sparse_tensor", "sequence", "map", "optional",
	// "opaque", or "" where no type is known.
	Kind  string
	Elem  DataType // of tensors and sparse tensors
	Shape Shape    // nil: unknown rank
}

// A Shape lists the dimensions of a tensor; nil is unknown rank and the empty
// non-nil Shape is a scalar.
type Shape []Dim

// A Dim is a dimension: a number, a symbol plus a number ("height+1"), or unknown.
// The zero Dim is the number 0.
type Dim struct {
	Sym string // "" for a plain number; "?" for an unknown one
	N   int64
}

// Unknown is a dimension of which nothing is known. It equals no other, not even itself.
var Unknown = Dim{Sym: "?"}

// Const is the dimension n.
func Const(n int64) Dim { return Dim{N: n} }

// Symbol is a dimension known only by its name, such as "batch".
func Symbol(name string) Dim { return Dim{Sym: name} }

// Known reports whether d is a plain number.
func (d Dim) Known() bool { return d.Sym == "" }

// Equal reports whether both dimensions are certainly the same.
func (d Dim) Equal(o Dim) bool { return d == o && d.Sym != "?" }

func (d Dim) String() string {
	switch {
	case d.Sym == "":
		return fmt.Sprint(d.N)
	case d.N == 0:
		return d.Sym
	default:
		return fmt.Sprintf("%s%+d", d.Sym, d.N)
	}
}

// Equal reports whether both shapes are known and certainly the same.
func (s Shape) Equal(o Shape) bool {
	if s == nil || o == nil || len(s) != len(o) {
		return false
	}
	for i := range s {
		if !s[i].Equal(o[i]) {
			return false
		}
	}
	return true
}

// String prints a shape the way users write it: 1x3x224x224, batchx10, or ?.
func (s Shape) String() string {
	if s == nil {
		return "?"
	}
	if len(s) == 0 {
		return "scalar"
	}
	out := s[0].String()
	for _, d := range s[1:] {
		out += "x" + d.String()
	}
	return out
}
