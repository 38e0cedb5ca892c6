package cellmap

import (
	"errors"
	"fmt"
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A constant is a value that is the same at every position of a channel: nil is
// zero, one element stands for all channels.
type constant []float32

func (c constant) isZero() bool {
	for _, v := range c {
		if v != 0 {
			return false
		}
	}
	return true
}

func (c constant) at(channel int) float32 {
	switch len(c) {
	case 0:
		return 0
	case 1:
		return c[0]
	}
	return c[channel]
}

// zip combines constants channel by channel.
func zip(f func(v ...float32) float32, list ...constant) (constant, error) {
	channels := 1
	for _, c := range list {
		if len(c) > 1 && channels > 1 && len(c) != channels {
			return nil, fmt.Errorf("constants of %d and %d channels", channels, len(c))
		}
		channels = max(channels, len(c))
	}
	out, args := make(constant, channels), make([]float32, len(list))
	for i := range out {
		for k, c := range list {
			args[k] = c.at(i)
		}
		out[i] = f(args...)
	}
	return out, nil
}

func (c constant) plus(o constant) (constant, error) {
	if c == nil || o == nil {
		return append(c, o...), nil
	}
	return zip(func(v ...float32) float32 { return v[0] + v[1] }, c, o)
}

// tensor makes an initializer that broadcasts over a value of type t.
func (c constant) tensor(name string, t onnxgraph.Type) (*onnxgraph.Tensor, error) {
	if t.Elem != onnxgraph.Float32 {
		return nil, fmt.Errorf("leaves a constant of type %v, want float32", t.Elem)
	}
	return onnxgraph.NewFloat32s(name, []int64{1, int64(len(c)), 1, 1}, c), nil
}

// applyConstant computes what operators make of a constant, or says why that is
// not a constant again.
func (l *lowerer) applyConstant(nodes []*onnxgraph.Node, c constant) (constant, error) {
	for _, n := range nodes {
		out, err := l.applyOne(n, c)
		if err != nil {
			return nil, fmt.Errorf("%v on a constant: %w", n, err)
		}
		c = out
	}
	return c, nil
}

func (l *lowerer) applyOne(n *onnxgraph.Node, c constant) (constant, error) {
	switch n.OpType {
	case "Identity", "Dropout":
		return c, nil
	case "MaxPool":
		return c, nil // padding is minus infinity
	case "AveragePool":
		if !c.isZero() && n.Int("count_include_pad", 0) != 0 && padded(n) {
			return nil, errPadding
		}
		return c, nil
	case "Pad":
		return c, l.zeroBorder(n, c)
	case "Conv":
		return l.convolve(n, c)
	case "BatchNormalization":
		return l.normalize(n, c)
	}
	make, ok := activations[n.OpType]
	if !ok {
		return nil, errors.New("has no closed form here")
	}
	f, err := make(l, n)
	if err != nil {
		return nil, err
	}
	return zip(func(v ...float32) float32 { return f(v[0]) }, c)
}

var errPadding = errors.New("zero padding makes its border differ from its inside")

// padded reports whether a window may reach over the border.
func padded(n *onnxgraph.Node) bool {
	for _, p := range n.Ints("pads") {
		if p != 0 {
			return true
		}
	}
	auto := n.Str("auto_pad", "NOTSET")
	return auto != "NOTSET" && auto != "VALID" || n.Int("ceil_mode", 0) != 0
}

// zeroBorder returns nil where padding a constant gives that constant again:
// zeros around zeros.
func (l *lowerer) zeroBorder(n *onnxgraph.Node, c constant) error {
	border, err := l.weight(n, 2)
	if err == nil && (n.Str("mode", "constant") != "constant" || n.Float("value", 0) != 0 || !border.isZero() || !c.isZero()) {
		err = errPadding
	}
	return err
}

// convolve computes a convolution of a constant: bias + the sum of the weights
// times the constant. Of zero it is the bias alone, whatever the padding.
func (l *lowerer) convolve(n *onnxgraph.Node, c constant) (constant, error) {
	bias, err := l.weight(n, 2)
	if err != nil || c.isZero() {
		return bias, err
	}
	if padded(n) {
		return nil, errPadding
	}
	w, err := l.weight(n, 1)
	if err != nil {
		return nil, err
	}
	shape := l.Types.Of(n.Input(1)).Shape
	if len(shape) < 3 || !shape[0].Known() || !shape[1].Known() || len(w) == 0 {
		return nil, errors.New("its weight is not known")
	}
	outs, ins := int(shape[0].N), int(shape[1].N)
	window, perGroup := len(w)/(outs*ins), outs/int(max(n.Int("group", 1), 1))
	out := make(constant, outs)
	for o := range out {
		sum := float64(constant(bias).at(o))
		for i := range ins {
			var s float64
			for _, v := range w[(o*ins+i)*window:][:window] {
				s += float64(v)
			}
			sum += s * float64(c.at(o/perGroup*ins+i))
		}
		out[o] = float32(sum)
	}
	return out, nil
}

func (l *lowerer) normalize(n *onnxgraph.Node, c constant) (constant, error) {
	args := []constant{c}
	for i := 1; i <= 4; i++ {
		w, err := l.weight(n, i)
		if err != nil {
			return nil, err
		}
		args = append(args, w)
	}
	epsilon := n.Float("epsilon", 1e-5)
	return zip(func(v ...float32) float32 {
		x, scale, bias, mean, variance := v[0], v[1], v[2], v[3], v[4]
		return (x-mean)/float32(math.Sqrt(float64(variance+epsilon)))*scale + bias
	}, args...)
}

// weight reads a constant input of a node; nil where it has none.
func (l *lowerer) weight(n *onnxgraph.Node, input int) (constant, error) {
	name := n.Input(input)
	if name == "" {
		return nil, nil
	}
	t := l.Model.Graph.Constant(name)
	if t == nil {
		return nil, fmt.Errorf("%q is not stored in the file", name)
	}
	return t.Float32s()
}

// A scalar is an element-wise function of one number.
type scalar func(x float32) float32

// activations make the functions that can be folded, by the definitions in
// ONNX's operator documents.
var activations = map[string]func(l *lowerer, n *onnxgraph.Node) (scalar, error){
	"Relu": func(*lowerer, *onnxgraph.Node) (scalar, error) {
		return func(x float32) float32 { return max(x, 0) }, nil
	},
	"LeakyRelu": func(_ *lowerer, n *onnxgraph.Node) (scalar, error) {
		alpha := n.Float("alpha", 0.01)
		return func(x float32) float32 { return max(x, 0) + alpha*min(x, 0) }, nil
	},
	"Sigmoid": func(*lowerer, *onnxgraph.Node) (scalar, error) {
		return func(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }, nil
	},
	"HardSigmoid": func(_ *lowerer, n *onnxgraph.Node) (scalar, error) {
		alpha, beta := n.Float("alpha", 0.2), n.Float("beta", 0.5)
		return func(x float32) float32 { return min(max(alpha*x+beta, 0), 1) }, nil
	},
	"HardSwish": func(*lowerer, *onnxgraph.Node) (scalar, error) {
		return func(x float32) float32 { return x * min(max(x/6+0.5, 0), 1) }, nil
	},
	"Tanh": func(*lowerer, *onnxgraph.Node) (scalar, error) {
		return func(x float32) float32 { return float32(math.Tanh(float64(x))) }, nil
	},
	"Clip": func(l *lowerer, n *onnxgraph.Node) (scalar, error) {
		// Attributes before opset 11, inputs since.
		bounds := []float32{n.Float("min", -math.MaxFloat32), n.Float("max", math.MaxFloat32)}
		for i := range bounds {
			w, err := l.weight(n, i+1)
			if err != nil {
				return nil, err
			}
			if len(w) == 1 {
				bounds[i] = w[0]
			}
		}
		return func(x float32) float32 { return min(max(x, bounds[0]), bounds[1]) }, nil
	},
}

// foldIntoBias adds a constant to the bias of a convolution or normalization
// whose output is one of the values to be summed and is read nowhere else.
func (l *lowerer) foldIntoBias(c *Cell, k int, values []string, add constant) bool {
	x := l.Model.Graph.Index()
	for _, name := range values {
		n := x.Producer[name]
		if !n.Is("Conv", "BatchNormalization") || l.removed[n] || len(x.Consumers[name]) != 1 || x.Output[name] != nil {
			continue
		}
		old, err := l.weight(n, 2)
		t := l.Types.Of(name)
		if err != nil || t.Elem != onnxgraph.Float32 || len(t.Shape) != 4 || !t.Shape[1].Known() {
			continue
		}
		channels := t.Shape[1].N
		bias, err := zip(func(v ...float32) float32 { return v[0] + v[1] }, old, add, make(constant, channels))
		if err != nil {
			continue
		}
		folded := onnxgraph.NewFloat32s(l.name(c, k, "bias"), []int64{channels}, bias)
		l.patch.Init = append(l.patch.Init, folded)
		l.patch.Rewire = append(l.patch.Rewire, onnxgraph.Rewire{Node: n, Input: 2, To: folded.Name})
		return true
	}
	return false
}
