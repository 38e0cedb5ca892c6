package refit

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A linear is an operation whose result is linear in its weights.
type linear struct {
	node *onnxgraph.Node
	// groups of the output's channels have weights of their own.
	groups, in, out int // channels of one group
	// kernel, stride, pad (at the beginning) and dilation, height then width.
	kernel, stride, pad, dilation [2]int
	// weight is [groups*out][in*kernel], bias [groups*out].
	weight, bias []float32
	// transposed says that the file has the weight as [in][out].
	transposed bool
}

// unknowns is the number of weights of one output channel, without the bias.
func (l *linear) unknowns() int { return l.in * l.kernel[0] * l.kernel[1] }

// linearOf reads a node as a linear operation; nil where it is none that can be
// fitted: its weights must be constants of its own.
func linearOf(m *onnxgraph.Model, n *onnxgraph.Node) (*linear, error) {
	if !n.Is("Conv", "Gemm") || n.Domain != "" {
		return nil, nil
	}
	x := m.Graph.Index()
	for _, name := range []string{n.Input(1), n.Input(2)} {
		if name != "" && (m.Graph.Constant(name) == nil || len(x.Consumers[name]) != 1) {
			return nil, nil
		}
	}
	w := m.Graph.Constant(n.Input(1))
	if w == nil || w.Type != onnxgraph.Float32 {
		return nil, nil
	}
	l := &linear{node: n, groups: 1, kernel: [2]int{1, 1}, stride: [2]int{1, 1}, dilation: [2]int{1, 1}}
	var ok bool
	if n.Is("Gemm") {
		ok = l.gemm(w)
	} else {
		ok = l.conv(w)
	}
	if !ok {
		return nil, nil
	}
	return l, l.read(m, w)
}

func (l *linear) gemm(w *onnxgraph.Tensor) bool {
	n := l.node
	if len(w.Dims) != 2 || n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 || n.Int("transA", 0) != 0 {
		return false
	}
	l.in, l.out = int(w.Dims[0]), int(w.Dims[1])
	l.transposed = n.Int("transB", 0) == 0
	if !l.transposed {
		l.in, l.out = l.out, l.in
	}
	return true
}

func (l *linear) conv(w *onnxgraph.Tensor) bool {
	n := l.node
	if len(w.Dims) != 4 || n.Str("auto_pad", "NOTSET") != "NOTSET" {
		return false
	}
	l.groups = int(n.Int("group", 1))
	l.in, l.out = int(w.Dims[1]), int(w.Dims[0])/l.groups
	l.kernel = [2]int{int(w.Dims[2]), int(w.Dims[3])}
	for i, v := range n.Ints("strides") {
		l.stride[i] = int(v)
	}
	for i, v := range n.Ints("dilations") {
		l.dilation[i] = int(v)
	}
	for i, v := range n.Ints("pads") {
		if i < 2 {
			l.pad[i] = int(v)
		}
	}
	return true
}

// read takes the weights, in float32 and with a bias.
func (l *linear) read(m *onnxgraph.Model, w *onnxgraph.Tensor) error {
	values, err := w.Float32s()
	if err != nil {
		return fmt.Errorf("%s: %v: %w", m.Path, l.node, err)
	}
	l.weight = slices.Clone(values)
	if l.transposed {
		l.weight = transpose(values, l.in, l.out)
	}
	l.bias = make([]float32, l.groups*l.out)
	b := m.Graph.Constant(l.node.Input(2))
	if b == nil {
		return nil
	}
	if values, err = b.Float32s(); err != nil {
		return fmt.Errorf("%s: %v: %w", m.Path, l.node, err)
	}
	if len(values) != len(l.bias) && len(values) != 1 {
		return fmt.Errorf("%s: %v: bias of %d elements, want %d", m.Path, l.node, len(values), len(l.bias))
	}
	for i := range l.bias {
		l.bias[i] = values[i%len(values)]
	}
	return nil
}

// transpose turns [rows][cols] into [cols][rows].
func transpose(x []float32, rows, cols int) []float32 {
	y := make([]float32, len(x))
	for i := range rows {
		for j := range cols {
			y[j*rows+i] = x[i*cols+j]
		}
	}
	return y
}

// A Weights is what was fitted to one linear operation.
type Weights struct {
	Output string // the value that the operation makes
	weight []float32
	bias   []float32
}

// Apply returns the model with fitted weights in place. The operations are
// found by the values that they make. Tensors keep their names.
func Apply(m *onnxgraph.Model, fits []Weights) (*onnxgraph.Model, error) {
	p := &onnxgraph.Patch{Rule: "refit"}
	x := m.Graph.Index()
	for _, f := range fits {
		n := x.Producer[f.Output]
		if n == nil {
			return nil, fmt.Errorf("%s: no node makes %q", m.Path, f.Output)
		}
		put := func(input int, dims []int64, values []float32) {
			name := n.Input(input)
			if x.Initializer[name] != nil && slices.Equal(x.Initializer[name].Dims, dims) {
				p.Replace = append(p.Replace, onnxgraph.NewFloat32s(name, dims, values))
				return
			}
			name = "natonnx/" + f.Output + [...]string{"", "/weight", "/bias"}[input]
			p.Init = append(p.Init, onnxgraph.NewFloat32s(name, dims, values))
			p.Rewire = append(p.Rewire, onnxgraph.Rewire{Node: n, Input: input, To: name})
		}
		w := m.Graph.Constant(n.Input(1))
		if w == nil {
			return nil, fmt.Errorf("%s: %v has no constant weights", m.Path, n)
		}
		put(1, w.Dims, f.weight)
		put(2, []int64{int64(len(f.bias))}, f.bias)
	}
	return m.Apply(p)
}

// weights returns the operation's weights in the order of the file.
func (l *linear) weights() Weights {
	w := slices.Clone(l.weight)
	if l.transposed {
		w = transpose(w, l.out, l.in)
	}
	return Weights{l.node.Outputs[0], w, slices.Clone(l.bias)}
}

// A Value holds one value of a network for a number of samples.
type Value struct {
	Dims []int // of one sample
	Data []float32
}

// NewValue makes room for samples of those dims.
func NewValue(samples int, dims []int) *Value {
	v := &Value{Dims: dims}
	v.Data = make([]float32, samples*v.size())
	return v
}

func (v *Value) size() int {
	n := 1
	for _, d := range v.Dims {
		n *= d
	}
	return n
}

// Len is the number of samples.
func (v *Value) Len() int { return len(v.Data) / max(v.size(), 1) }

// Slice returns samples from to to, which share the memory.
func (v *Value) Slice(from, to int) *Value {
	return &Value{v.Dims, v.Data[from*v.size() : to*v.size()]}
}

// tensor returns the samples as a batch.
func (v *Value) tensor() (*engine.Tensor, error) {
	return engine.New(append([]int{v.Len()}, v.Dims...), v.Data)
}
