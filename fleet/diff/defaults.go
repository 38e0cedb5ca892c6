package diff

import (
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// windowed are the operators that slide a window; their defaults are alike.
var windowed = []string{"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "LpPool"}

// ints are the defaults of integer attributes, and of lists of which every
// element is that; by operator, "" for all windowed ones. They have been the
// same in every opset.
var ints = map[string]map[string]int64{
	"":                   {"group": 1, "dilations": 1, "strides": 1, "pads": 0, "output_padding": 0, "ceil_mode": 0, "storage_order": 0, "count_include_pad": 0},
	"Gemm":               {"transA": 0, "transB": 0},
	"BatchNormalization": {"training_mode": 0},
	"Flatten":            {"axis": 1},
	"Reshape":            {"allowzero": 0},
}

// floats are the defaults of float attributes.
var floats = map[string]map[string]float32{
	"Gemm":               {"alpha": 1, "beta": 1},
	"BatchNormalization": {"epsilon": 1e-5, "momentum": 0.9},
	"LeakyRelu":          {"alpha": 0.01},
}

// isDefault reports whether a node would compute the same without one of its
// attributes, going by the defaults of ONNX's operators. Some exporters write
// them out. weight is the constant that the node reads as its second input; nil
// where that is none.
func isDefault(n *onnxgraph.Node, a *onnxgraph.Attribute, weight *onnxgraph.Tensor) bool {
	if n.Domain != "" || a.RefAttr != "" {
		return false
	}
	op := n.OpType
	if slices.Contains(windowed, op) {
		if a.Type == onnxgraph.AttrString {
			return a.Name == "auto_pad" && string(a.String) == "NOTSET"
		}
		if a.Name == "kernel_shape" {
			return op == "Conv" && weight != nil && len(weight.Dims) > 2 && slices.Equal(a.Ints, weight.Dims[2:])
		}
		op = ""
	}
	switch a.Type {
	case onnxgraph.AttrInt:
		x, ok := ints[op][a.Name]
		return ok && a.Int == x
	case onnxgraph.AttrInts:
		x, ok := ints[op][a.Name]
		return ok && !slices.ContainsFunc(a.Ints, func(y int64) bool { return y != x })
	case onnxgraph.AttrFloat:
		x, ok := floats[op][a.Name]
		return ok && a.Float == x
	}
	return false
}
