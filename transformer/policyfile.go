package transformer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A policy file is an ONNX model with two inputs, ops and from (int64, one entry
// per edge: the vocabulary row of its operation and the node it comes from; edge
// i leads to node i/2+2), and one output, logits (float32, edges x learnt
// actions, in the order of Action). Any number of nodes will do. It takes the source nodes
// and not an adjacency matrix, which cannot say which of two operations comes
// from where. The weights are its initializers, by the names of [GCNParams]. The
// card and what else a reader must agree on are in metadata_props.
const (
	keyPrefix     = "natonnx.policy."
	keyFormat     = keyPrefix + "format"
	keyVocabulary = keyPrefix + "vocabulary"
	keyActions    = keyPrefix + "actions"
	keyMapping    = keyPrefix + "mapping"
	keyName       = keyPrefix + "name"
	keyKind       = keyPrefix + "kind"
	keyRules      = keyPrefix + "rules"
	keyTraining   = keyPrefix + "training"
	keyCommand    = keyPrefix + "command"
	keySeed       = keyPrefix + "seed"
	keyScores     = keyPrefix + "scores"

	policyFormat = "1"
	policyOpset  = 17
	mappingText  = "other operations of real networks count as the nearest: convolutions of every family as conv_1x1 " +
		"when their kernel is 1x1 and as conv_3x3 otherwise, poolings as avg_pool_3x3"
)

// maxFeatures bounds the layers of a policy read from a file.
const maxFeatures = 4096

func vocabularyText() string {
	var names []string
	for _, op := range vocabulary {
		names = append(names, string(op))
	}
	return strings.Join(names, ",")
}

func actionsText(rules Rules) string {
	var names []string
	for a := range Action(rules.Learnt()) {
		names = append(names, a.String())
	}
	return strings.Join(names, ",")
}

// fixedMetadata is what all files of this format and these rules say.
func fixedMetadata(rules Rules) []onnxgraph.Property {
	return []onnxgraph.Property{
		{Key: keyFormat, Value: policyFormat},
		{Key: keyKind, Value: "gcn"},
		{Key: keyRules, Value: rules.Name},
		{Key: keyVocabulary, Value: vocabularyText()},
		{Key: keyActions, Value: actionsText(rules)},
	}
}

// Model returns the policy as an ONNX model, its weights rounded to float32.
func (g *GCN) Model() (*onnxgraph.Model, error) {
	scores, err := json.Marshal(g.card.Scores)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", g.card.Name, err)
	}
	b := &policyBuilder{Builder: onnxgraph.NewBuilder("policy", policyOpset)}
	b.Producer = "natonnx"
	b.Metadata = append(fixedMetadata(g.rules),
		onnxgraph.Property{Key: keyMapping, Value: mappingText},
		onnxgraph.Property{Key: keyName, Value: g.card.Name},
		onnxgraph.Property{Key: keyTraining, Value: g.card.Training},
		onnxgraph.Property{Key: keyCommand, Value: g.card.Command},
		onnxgraph.Property{Key: keySeed, Value: strconv.FormatUint(g.card.Seed, 10)},
		onnxgraph.Property{Key: keyScores, Value: string(scores)},
	)
	for _, p := range g.params {
		data := make([]float32, len(p.Data))
		for i, x := range p.Data {
			data[i] = float32(x)
		}
		b.Init(onnxgraph.NewFloat32s(p.Name, []int64{int64(p.Rows), int64(p.Cols)}, data))
	}
	b.graph(g.rules, len(g.w.layers))
	return b.Model(g.card.Name + ".onnx")
}

// Rounded returns the policy as it will be after a trip through a file, with
// weights rounded to float32 and the given card.
func (g *GCN) Rounded(card Card) (*GCN, error) {
	params := slices.Clone(g.params)
	for i, p := range params {
		params[i].Data = make([]float64, len(p.Data))
		for j, x := range p.Data {
			params[i].Data[j] = float64(float32(x))
		}
	}
	return NewGCN(card, params)
}

// Encode returns the bytes of the policy file.
func (g *GCN) Encode() ([]byte, error) {
	m, err := g.Model()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = m.WriteTo(&b)
	return b.Bytes(), err
}

// Save writes the policy file; it appears whole or not at all.
func (g *GCN) Save(ctx context.Context, path string) error {
	m, err := g.Model()
	if err != nil {
		return err
	}
	return m.Save(ctx, path)
}

// Load reads a policy file. A file that is no policy, or one that this version
// does not understand, is a [*onnxgraph.FormatError].
func Load(path string) (*GCN, error) {
	m, err := onnxgraph.Open(path)
	if err != nil {
		return nil, err
	}
	return fromModel(m)
}

// Parse reads a policy from the bytes of its file; name is what errors call it.
func Parse(name string, data []byte) (*GCN, error) {
	m, err := onnxgraph.Parse(name, data)
	if err != nil {
		return nil, err
	}
	return fromModel(m)
}

func fromModel(m *onnxgraph.Model) (*GCN, error) {
	fail := func(at, format string, args ...any) error {
		return &onnxgraph.FormatError{File: m.Path, At: at, Msg: fmt.Sprintf(format, args...)}
	}
	meta := map[string]string{}
	for _, p := range m.Metadata {
		meta[p.Key] = p.Value
	}
	if _, ok := meta[keyFormat]; !ok {
		return nil, fail("metadata_props", "no %s: an ONNX model, but not a policy of natonnx", keyFormat)
	}
	rules, ok := RulesByName(meta[keyRules])
	if !ok {
		return nil, fail("metadata_props", "%s is %q, want %q or %q", keyRules, meta[keyRules], NAT.Name, NATPlusPlus.Name)
	}
	for _, p := range fixedMetadata(rules) {
		if meta[p.Key] != p.Value {
			return nil, fail("metadata_props", "%s is %q, want %q", p.Key, meta[p.Key], p.Value)
		}
	}
	card := Card{Name: meta[keyName], Kind: meta[keyKind], Rules: meta[keyRules], Training: meta[keyTraining], Command: meta[keyCommand]}
	var err error
	if card.Seed, err = strconv.ParseUint(meta[keySeed], 10, 64); err != nil {
		return nil, fail("metadata_props", "%s is %q, want a number", keySeed, meta[keySeed])
	}
	if err := json.Unmarshal([]byte(meta[keyScores]), &card.Scores); err != nil {
		return nil, fail("metadata_props", "%s: %v", keyScores, err)
	}
	params, err := readParams(m.Graph, rules)
	if err != nil {
		return nil, fail("graph.initializer", "%v", err)
	}
	g, err := NewGCN(card, params)
	if err != nil {
		return nil, fail("graph.initializer", "%v", err)
	}
	if err := g.sameGraph(m.Graph); err != nil {
		return nil, fail("graph.node", "%v", err)
	}
	return g, nil
}

func readParams(graph *onnxgraph.Graph, rules Rules) ([]Param, error) {
	tensors := map[string]*onnxgraph.Tensor{}
	for _, t := range graph.Initializers {
		tensors[t.Name] = t
	}
	features := func(name string) (int, error) {
		t := tensors[name]
		if t == nil {
			return 0, fmt.Errorf("no weight %q", name)
		}
		if len(t.Dims) != 2 || t.Dims[1] < 1 || t.Dims[1] > maxFeatures {
			return 0, fmt.Errorf("weight %q has dims %v, want two, the second from 1 to %d", name, t.Dims, maxFeatures)
		}
		return int(t.Dims[1]), nil
	}
	embed, err := features("op")
	if err != nil {
		return nil, err
	}
	hidden, err := features("conv1.self")
	if err != nil {
		return nil, err
	}
	rounds := 1
	for tensors[fmt.Sprintf("conv%d.self", rounds+1)] != nil {
		rounds++
	}
	params := GCNParams(rules, embed, hidden, rounds)
	for i, p := range params {
		t := tensors[p.Name]
		if t == nil {
			return nil, fmt.Errorf("no weight %q", p.Name)
		}
		if t.Type != onnxgraph.Float32 || !slices.Equal(t.Dims, []int64{int64(p.Rows), int64(p.Cols)}) {
			return nil, fmt.Errorf("weight %q is %v of dims %v, want float32 of dims [%d %d]", p.Name, t.Type, t.Dims, p.Rows, p.Cols)
		}
		data, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		params[i].Data = make([]float64, len(data))
		for j, x := range data {
			params[i].Data[j] = float64(x)
		}
	}
	return params, nil
}

// sameGraph checks that a file's graph computes what the Go code computes with
// its weights: that it is the one that natonnx writes.
func (g *GCN) sameGraph(graph *onnxgraph.Graph) error {
	m, err := g.Model()
	if err != nil {
		return err
	}
	want := m.Graph.Nodes
	if len(graph.Nodes) != len(want) {
		return fmt.Errorf("%d nodes, want the %d of a policy of format %s", len(graph.Nodes), len(want), policyFormat)
	}
	for i, n := range graph.Nodes {
		w := want[i]
		if n.OpType != w.OpType || n.Domain != w.Domain || !slices.Equal(n.Inputs, w.Inputs) || !slices.Equal(n.Outputs, w.Outputs) || n.Int("axis", 0) != w.Int("axis", 0) {
			return fmt.Errorf("%v of %q, want %v of %q", n, n.Inputs, w, w.Inputs)
		}
	}
	return nil
}

// A policyBuilder writes the GCN as ONNX operators.
type policyBuilder struct{ *onnxgraph.Builder }

func (b *policyBuilder) graph(rules Rules, rounds int) {
	edges := onnxgraph.Symbol("edges")
	b.Input("ops", onnxgraph.Int64, onnxgraph.Shape{edges})
	b.Input("from", onnxgraph.Int64, onnxgraph.Shape{edges})
	b.Output("logits", onnxgraph.Float32, onnxgraph.Shape{edges, onnxgraph.Const(int64(rules.Learnt()))})
	b.topology()

	b.node("Gather", "own", "op", "ops")
	b.node("MatMul", "operations", "target.T", "own")
	b.node("MatMul", "inputs", "is_input", "input")
	x := b.node("Add", "x", "operations", "inputs")
	for i := range rounds {
		layer := fmt.Sprintf("conv%d.", i+1)
		b.message(layer+"in", "source", x, "incoming")
		b.message(layer+"out", "target", x, "outgoing")
		b.node("MatMul", layer+"kept", x, layer+"self")
		b.node("Add", layer+"received", layer+"in.weighted", layer+"out.weighted")
		b.node("Add", layer+"sum", layer+"kept", layer+"received")
		b.node("Add", layer+"biased", layer+"sum", layer+"bias")
		x = b.node("Relu", layer+"x", layer+"biased")
	}
	b.node("MatMul", "edge.source", "source", x)
	b.node("MatMul", "edge.source.weighted", "edge.source", "edge.from")
	b.node("MatMul", "edge.target", "target", x)
	b.node("MatMul", "edge.target.weighted", "edge.target", "edge.to")
	b.node("MatMul", "edge.own.weighted", "own", "edge.own")
	b.node("Add", "edge.ends", "edge.source.weighted", "edge.target.weighted")
	b.node("Add", "edge.sum", "edge.ends", "edge.own.weighted")
	b.node("Add", "edge.biased", "edge.sum", "edge.bias")
	b.node("Relu", "edge.x", "edge.biased")
	b.node("MatMul", "fc.weighted", "edge.x", "fc")
	b.node("Add", "logits", "fc.weighted", "fc.bias")
}

// topology makes, from the source of each edge, the matrices source and target
// (edges x nodes, one-hot), incoming and outgoing (nodes x edges, means over the
// edges into and out of a node), and the column that marks the cell's inputs.
func (b *policyBuilder) topology() {
	scalar := func(name string, v int64) { b.Init(onnxgraph.NewInt64s(name, nil, []int64{v})) }
	scalar("zero", 0)
	scalar("one", 1)
	scalar("two", 2)
	b.Init(onnxgraph.NewInt64s("axis1", []int64{1}, []int64{1}))
	b.Init(onnxgraph.NewFloat32s("half", nil, []float32{0.5}))
	b.Init(onnxgraph.NewFloat32s("unit", nil, []float32{1}))
	b.Init(onnxgraph.NewFloat32s("off_on", []int64{2}, []float32{0, 1}))

	b.node("Size", "edges", "ops")
	b.node("Range", "edge", "zero", "edges", "one")
	b.node("Div", "edge.node", "edge", "two")
	b.node("Add", "to", "edge.node", "two")
	b.node("Div", "inner", "edges", "two")
	b.node("Add", "nodes", "inner", "two")
	b.node("OneHot", "source", "from", "nodes", "off_on")
	b.node("OneHot", "target", "to", "nodes", "off_on")
	b.node("Transpose", "source.T", "source")
	b.node("Transpose", "target.T", "target")
	b.node("Mul", "incoming", "target.T", "half")
	b.node("ReduceSum", "degree", "source.T", "axis1")
	b.node("Max", "degree.1", "degree", "unit")
	b.node("Div", "outgoing", "source.T", "degree.1")
	b.node("Range", "node", "zero", "nodes", "one")
	b.node("Less", "node.is_input", "node", "two")
	b.node("Unsqueeze", "node.column", "node.is_input", "axis1")
	b.Add(onnxgraph.NewNode("Cast", "is_input", []string{"node.column"}, []string{"is_input"}, onnxgraph.IntAttr("to", int64(onnxgraph.Float32))))
}

// message adds what nodes receive along edges: of the features at the edges'
// ends, scaled by the gates of their operations, the mean, times the weights name.
func (b *policyBuilder) message(name, ends, x, mean string) {
	gate := strings.Replace(name, ".", ".gate_", 1)
	b.node("MatMul", name+".ends", ends, x)
	b.node("Gather", name+".gates", gate, "ops")
	b.node("Mul", name+".gated", name+".ends", name+".gates")
	b.node("MatMul", name+".mean", mean, name+".gated")
	b.node("MatMul", name+".weighted", name+".mean", name)
}

// node adds an operator with one output, which gives the node its name.
func (b *policyBuilder) node(op, output string, inputs ...string) string {
	b.Add(onnxgraph.NewNode(op, output, inputs, []string{output}))
	return output
}
