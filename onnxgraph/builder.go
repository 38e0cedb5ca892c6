package onnxgraph

import "google.golang.org/protobuf/encoding/protowire"

// A Builder makes a model from nothing: test networks, policies, children of
// a supernet. Its methods may be chained; call [Builder.Model] at the end.
type Builder struct {
	graph                     string
	opset                     int64
	nodes, inits, ins, outs   [][]byte
	Metadata                  []Property
	Producer, ProducerVersion string
	IRVersion                 int64 // 0 means 8, which every opset up to 17 accepts
}

// NewBuilder starts a model with one graph, importing ONNX's operators at that version.
func NewBuilder(graph string, opset int64) *Builder {
	return &Builder{graph: graph, opset: opset}
}

// Input declares a graph input.
func (b *Builder) Input(name string, elem DataType, shape Shape) {
	b.ins = append(b.ins, encodeValue(&Value{name, Type{"tensor", elem, shape}}))
}

// Output declares a graph output.
func (b *Builder) Output(name string, elem DataType, shape Shape) {
	b.outs = append(b.outs, encodeValue(&Value{name, Type{"tensor", elem, shape}}))
}

// Add appends a node. Nodes must be added in topological order.
func (b *Builder) Add(n *Node) { b.nodes = append(b.nodes, n.raw) }

// Init appends an initializer made by [NewTensor] and returns its name.
func (b *Builder) Init(t *Tensor) string {
	b.inits = append(b.inits, t.raw)
	return t.Name
}

// Model encodes and decodes what was built.
func (b *Builder) Model(path string) (*Model, error) {
	size := 0
	for _, list := range [][][]byte{b.nodes, b.inits, b.ins, b.outs} {
		for _, x := range list {
			size += len(x) + 12
		}
	}
	g := make([]byte, 0, size+len(b.graph)+16)
	for _, x := range b.nodes {
		g = appendMessage(g, graphNode, x)
	}
	g = appendText(g, graphName, b.graph)
	for _, x := range b.inits {
		g = appendMessage(g, graphInitializer, x)
	}
	for _, x := range b.ins {
		g = appendMessage(g, graphInput, x)
	}
	for _, x := range b.outs {
		g = appendMessage(g, graphOutput, x)
	}
	ir := b.IRVersion
	if ir == 0 {
		ir = 8
	}
	m := appendInt(nil, modelIRVersion, ir)
	if b.Producer != "" {
		m = appendText(m, modelProducerName, b.Producer)
		m = appendText(m, modelProducerVersion, b.ProducerVersion)
	}
	m = append(m, protowire.AppendTag(nil, modelGraph, protowire.BytesType)...)
	m = protowire.AppendVarint(m, uint64(len(g)))
	m = append(m, g...)
	m = appendMessage(m, modelOpsetImport, appendInt(appendText(nil, opsetDomain, ""), opsetVersion, b.opset))
	for _, p := range b.Metadata {
		m = appendMessage(m, modelMetadata, encodeProperty(p))
	}
	return Parse(path, m)
}
