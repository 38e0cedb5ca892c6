package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/x/gorgonnx"
	"gorgonia.org/tensor"
)

// onnxgoRuntime is onnx-go with Gorgonia: slow, and without many operators, but
// a Go reader and runtime that shares no code with package engine.
type onnxgoRuntime struct{}

func (onnxgoRuntime) Name() string  { return "onnxgo" }
func (onnxgoRuntime) About() string { return "onnx-go 0.5.0 with Gorgonia" }
func (onnxgoRuntime) Usable() error { return nil }

func (r onnxgoRuntime) Open(ctx context.Context, m *onnxgraph.Model, o Options) (Session, error) {
	if err := unlimited(m, r.Name(), o); err != nil {
		return nil, err
	}
	if external(m) {
		return nil, fmt.Errorf("%s: onnx-go reads no external data", m.Path)
	}
	for _, n := range m.Graph.Nodes {
		if err := served(m.Graph, n); err != nil {
			return nil, fmt.Errorf("%s: %v: %w", m.Path, n, err)
		}
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, err
	}
	s := &onnxgoSession{path: m.Path, model: b.Bytes(), finite: o.Finite}
	s.in, s.out = ports(m)
	return s, nil
}

// onnxgoOperators are those that onnx-go computes as ONNX defines them, in the
// nodes that the functions accept. It ignores attributes that it does not know.
var onnxgoOperators = map[string]func(*onnxgraph.Graph, *onnxgraph.Node) error{
	"Add": anyNode, "BatchNormalization": loneNorm, "Concat": anyNode, "Constant": anyNode, "Conv": plainConv, "Div": anyNode, "Dropout": anyNode,
	"Flatten": anyNode, "Gemm": fullGemm, "GlobalAveragePool": anyNode, "Identity": anyNode, "LeakyRelu": anyNode, "MatMul": anyNode,
	"MaxPool": plainPool, "Mul": anyNode, "Relu": anyNode, "Reshape": anyNode, "Sigmoid": anyNode, "Softmax": anyNode, "Sub": anyNode, "Tanh": anyNode,
	"Transpose": anyNode,
}

func served(g *onnxgraph.Graph, n *onnxgraph.Node) error {
	accepts, ok := onnxgoOperators[n.OpType]
	if !ok || n.Domain != "" {
		return errors.New("onnx-go has no such operator")
	}
	return accepts(g, n)
}

func anyNode(*onnxgraph.Graph, *onnxgraph.Node) error { return nil }

func loneNorm(g *onnxgraph.Graph, n *onnxgraph.Node) error {
	x := g.Index()
	if name := n.Input(0); len(x.Consumers[name]) != 1 || x.Output[name] != nil {
		return fmt.Errorf("onnx-go normalizes in place, which spoils %q for its other readers", n.Input(0))
	}
	return nil
}

func plainConv(_ *onnxgraph.Graph, n *onnxgraph.Node) error {
	if g := n.Int("group", 1); g != 1 {
		return fmt.Errorf("onnx-go has no grouped convolutions, found %d groups", g)
	}
	return plainWindow(n)
}

func plainPool(_ *onnxgraph.Graph, n *onnxgraph.Node) error {
	if n.Int("ceil_mode", 0) != 0 || slices.ContainsFunc(n.Ints("dilations"), func(d int64) bool { return d != 1 }) {
		return errors.New("onnx-go knows neither ceil_mode nor dilations of a pooling")
	}
	return plainWindow(n)
}

// plainWindow wants a window over two dimensions with the same padding on all sides.
func plainWindow(n *onnxgraph.Node) error {
	pads := n.Ints("pads")
	switch {
	case len(n.Ints("kernel_shape")) != 2:
		return errors.New("onnx-go wants kernel_shape of two dimensions")
	case n.Str("auto_pad", "NOTSET") != "NOTSET":
		return fmt.Errorf("auto_pad %s is not run by onnx-go as ONNX defines it", n.Str("auto_pad", ""))
	case slices.ContainsFunc(pads, func(p int64) bool { return p != pads[0] }):
		return fmt.Errorf("onnx-go wants the same padding on all sides, found %v", pads)
	}
	return nil
}

func fullGemm(_ *onnxgraph.Graph, n *onnxgraph.Node) error {
	if n.Input(2) == "" {
		return errors.New("onnx-go wants a Gemm with C")
	}
	return nil
}

type onnxgoSession struct {
	path    string
	in, out []engine.Port
	model   []byte
	finite  bool
	mutex   sync.Mutex // Gorgonia uses all cores anyway
}

func (s *onnxgoSession) Inputs() []engine.Port  { return s.in }
func (s *onnxgoSession) Outputs() []engine.Port { return s.out }
func (s *onnxgoSession) Close() error           { return nil }

// Run decodes the model anew, since a second run of a decoded one is wrong. It
// does not stop before its end.
func (s *onnxgoSession) Run(ctx context.Context, in map[string]*engine.Tensor) (out map[string]*engine.Tensor, err error) {
	defer recovered(s.path, "onnx-go", &err)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	list, err := inOrder(s.path, s.in, in)
	if err != nil {
		return nil, err
	}
	graph := gorgonnx.NewGraph()
	model := onnx.NewModel(graph)
	if err := model.UnmarshalBinary(s.model); err != nil {
		return nil, fmt.Errorf("%s: onnx-go: %w", s.path, err)
	}
	for i, t := range list {
		if err := set(model, s.in[i].Name, t); err != nil {
			return nil, fmt.Errorf("%s: input %q: %w", s.path, s.in[i].Name, err)
		}
	}
	if err := graph.Run(); err != nil {
		return nil, fmt.Errorf("%s: onnx-go: %w", s.path, err)
	}
	if out, err = s.outputs(model); err != nil || !s.finite {
		return out, err
	}
	return out, finite(s.path, s.out, out)
}

// set gives an input its value.
func set(model *onnx.Model, name string, t *engine.Tensor) error {
	data := t.Float32s()
	if data == nil {
		return fmt.Errorf("%v: onnx-go is given float32 only", t)
	}
	n, ok := model.GetNodeByName(name)
	carrier, holds := n.(onnx.DataCarrier)
	if !ok || !holds {
		return errors.New("onnx-go does not know it")
	}
	// Gorgonia may compute in place.
	return carrier.SetTensor(tensor.New(tensor.WithShape(t.Dims...), tensor.WithBacking(slices.Clone(data))))
}

func (s *onnxgoSession) outputs(model *onnx.Model) (map[string]*engine.Tensor, error) {
	list, err := model.GetOutputTensors()
	if err != nil {
		return nil, fmt.Errorf("%s: onnx-go: %w", s.path, err)
	}
	out := make(map[string]*engine.Tensor, len(list))
	for i, t := range list {
		data, ok := t.Data().([]float32)
		if !ok {
			return nil, fmt.Errorf("%s: output %q: onnx-go gave %v, want float32", s.path, s.out[i].Name, t.Dtype())
		}
		if out[s.out[i].Name], err = engine.New(slices.Clone([]int(t.Shape())), data); err != nil {
			return nil, fmt.Errorf("%s: output %q: %w", s.path, s.out[i].Name, err)
		}
	}
	return out, nil
}
