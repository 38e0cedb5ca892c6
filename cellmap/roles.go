package cellmap

import (
	"fmt"

	"github.com/natonnx/natonnx/onnxgraph"
)

// An opRole is what an ONNX operator can be in a cell.
type opRole uint8

const (
	roleNone   opRole = iota // has no place in a cell
	roleOp                   // an operation of the vocabulary: the heart of an edge
	rolePad                  // a border: belongs to the operation after it
	roleAffine               // a per-channel scale or shift: belongs to the operation before it
	roleAct                  // an element-wise function: the activation of a node
	rolePass                 // computes nothing at inference
	roleSum                  // adds its operands
	roleConcat               // joins nodes to the cell's output
)

// roles is the catalogue of operators that lifting understands. What stands in
// it as an activation computes each element from that element alone.
var roles = map[string]opRole{
	"Conv": roleOp, "MaxPool": roleOp, "AveragePool": roleOp,
	"Pad":                rolePad,
	"BatchNormalization": roleAffine,
	"Relu":               roleAct, "LeakyRelu": roleAct, "PRelu": roleAct, "Clip": roleAct, "Sigmoid": roleAct,
	"HardSigmoid": roleAct, "HardSwish": roleAct, "Tanh": roleAct, "Elu": roleAct, "Selu": roleAct,
	"Celu": roleAct, "Softplus": roleAct, "Gelu": roleAct, "Mish": roleAct,
	// The fake quantization of a QDQ network acts on a sum as an activation does.
	"QuantizeLinear": roleAct, "DequantizeLinear": roleAct,
	"Identity": rolePass, "Dropout": rolePass,
	"Add": roleSum, "Sum": roleSum,
	"Concat": roleConcat,
}

const (
	whySquash = "a product of two activations (squeeze-and-excitation, attention, swish) has no form as a sum of two edges"
	whyOther  = "%s is not among a cell's operators (convolution, pooling, normalization, activation, sum, concatenation)"
)

// roleOf sorts a node. Sums and products with a constant are affine.
func (l *lifter) roleOf(n *onnxgraph.Node) opRole {
	if n.Domain != "" {
		return roleNone
	}
	if n.Is("Add", "Sum", "Sub", "Mul", "Div") && len(n.Inputs) == 2 {
		first, second := l.data[n.Inputs[0]], l.data[n.Inputs[1]]
		if first && !second || second && !first && !n.Is("Sub", "Div") {
			return roleAffine
		}
	}
	r := roles[n.OpType]
	if r == roleConcat && n.Int("axis", 1) != 1 {
		return roleNone
	}
	if r != roleSum && r != roleConcat && (len(l.dataInputs(n)) != 1 || !l.data[n.Input(0)]) {
		return roleNone // a computed weight, or two data operands
	}
	return r
}

// whyNot says why a node cannot stand in a cell.
func (l *lifter) whyNot(n *onnxgraph.Node) string {
	if n.Is("Mul") {
		return whySquash
	}
	if n.Is("Conv") {
		return "its weight is computed by the network"
	}
	return fmt.Sprintf(whyOther, n.OpType)
}

// operation names a convolution or pooling in the vocabulary, with its stride,
// or says why it has no name there.
func (l *lifter) operation(n *onnxgraph.Node) (op Op, stride int64, err error) {
	kernel := n.Ints("kernel_shape")
	if n.Is("Conv") {
		w := l.types.Of(n.Input(1)).Shape
		if len(w) != 4 {
			return "", 0, fmt.Errorf("the shape of its weight is %v, want a 2-D convolution's", w)
		}
		if kernel == nil {
			kernel = []int64{w[2].N, w[3].N}
		}
	}
	if len(kernel) != 2 {
		return "", 0, fmt.Errorf("its kernel %v is not two-dimensional", kernel)
	}
	stride = 1
	for _, s := range n.Ints("strides") {
		stride = max(stride, s)
	}
	dilation := int64(1)
	for _, d := range n.Ints("dilations") {
		dilation = max(dilation, d)
	}
	family := map[string]string{"MaxPool": MaxPool, "AveragePool": AvgPool, "Conv": Conv}[n.OpType]
	if n.Is("Conv") {
		switch w := l.types.Of(n.Input(1)).Shape; {
		case dilation > 1:
			family = DilConv
		case l.pointwiseOf(n) != nil:
			family = SepConv
		case n.Int("group", 1) > 1 && w[1] == onnxgraph.Const(1):
			family = DWConv
		}
	}
	return Kernel(family, kernel[0], kernel[1]), stride, nil
}
