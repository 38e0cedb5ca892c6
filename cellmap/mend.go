package cellmap

import (
	"fmt"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A Mend is a linear operation in place of a node's sum that has lost all
// operands but one, to be fitted to what the others did. It begins as the
// identity, so that the network computes what it would without it.
type Mend struct {
	Cell *Cell
	Node int // 2, 3, ...
	Form MendForm
}

// A MendForm is the kind of a mend.
type MendForm uint8

const (
	// Scale is a factor and an addend per channel: a depthwise 1x1 convolution.
	Scale MendForm = iota
	// Pointwise is a dense 1x1 convolution.
	Pointwise
)

func (f MendForm) String() string { return [...]string{"scale", "pointwise"}[f] }

// LowerMended is [Map.Lower] with mends: each takes the place of a sum, under
// the name of the sum's value, and reads the operand that is left.
func (m *Map) LowerMended(moves []Move, mends []Mend, init SkipInit) (*onnxgraph.Patch, error) {
	l := m.lowerer(init)
	for _, mend := range mends {
		l.mends[mend.Cell.Nodes[mend.Node-2].Sum] = mend
	}
	return l.lower(moves)
}

// mend adds a mend of a lone operand and returns its value, which is called as
// the sum was.
func (l *lowerer) mend(c *Cell, k int, form MendForm, operand string) (string, error) {
	t := l.Types.Of(operand)
	if t.Elem != onnxgraph.Float32 || len(t.Shape) != 4 || !t.Shape[1].Known() {
		return "", fmt.Errorf("%q is %v %v: a mend needs float32 images of known channels", operand, t.Elem, t.Shape)
	}
	channels := int(t.Shape[1].N)
	weight, bias := l.name(c, k, form.String()+".weight"), l.name(c, k, form.String()+".bias")
	kernel := []*onnxgraph.Attribute{onnxgraph.IntsAttr("kernel_shape", 1, 1)}
	dims, identity := []int64{int64(channels), 1, 1, 1}, make([]float32, channels)
	if form == Scale {
		kernel = append(kernel, onnxgraph.IntAttr("group", int64(channels)))
		for i := range identity {
			identity[i] = 1
		}
	} else {
		dims[1], identity = int64(channels), make([]float32, channels*channels)
		for i := range channels {
			identity[i*channels+i] = 1
		}
	}
	l.patch.Init = append(l.patch.Init, onnxgraph.NewFloat32s(weight, dims, identity),
		onnxgraph.NewFloat32s(bias, dims[:1], make([]float32, channels)))
	sum := c.Nodes[k-2].Sum
	l.patch.Remove = append(l.patch.Remove, sum)
	l.patch.Add = append(l.patch.Add, onnxgraph.NewNode("Conv", l.name(c, k, form.String()), []string{operand, weight, bias}, sum.Outputs, kernel...))
	return sum.Outputs[0], nil
}
