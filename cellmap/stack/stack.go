// Package stack builds the networks that cells are made for: a stem, normal cells
// with two reduction cells among them, and a classifier (spec sections 1.2, 1.3,
// 1.5 and 5.1).
package stack

import (
	"errors"
	"fmt"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A Net is a network of stacked cells.
type Net struct {
	Genotype cellmap.Genotype
	Channels int // of the first cells' nodes; reduction cells double them
	Layers   int // cells; those at a third and at two thirds reduce
	Classes  int
	Size     int  // rows and columns of the input, which has three channels
	Large    bool // the stem for ImageNet, which reduces the input to a quarter
	Seed     uint64

	// What only training needs (spec section 5.1). The weights that are there without
	// it have the same names and values.
	Paths     bool // operations but identities are multiplied by the input [Paths]
	Auxiliary bool // a second classifier behind two thirds of the cells: output [Auxiliary]
}

// The names of what only training needs. [Paths] is float32 [paths, batch, 1, 1, 1]:
// a factor for each operation of each cell and each image.
const (
	Paths     = "paths"
	Auxiliary = "auxiliary"
)

// Model returns the network with seeded weights, as PyTorch draws them: its
// input is "input" of any batch, its output "output".
func (n Net) Model(path string) (*onnxgraph.Model, error) {
	return n.build(path, newBuilder(n.Seed))
}

func (n Net) build(path string, b *builder) (*onnxgraph.Model, error) {
	if err := n.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	in := value{"input", 3, n.Size}
	b.Input(in.name, onnxgraph.Float32, b.shape(in))
	out, deep := n.body(b, in)
	if n.Paths {
		one := onnxgraph.Const(1)
		b.Input(Paths, onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Const(int64(b.paths)), batch, one, one, one})
	}
	b.classifier("classifier", out, n.Classes, "output")
	if n.Auxiliary {
		n.auxiliary(b, deep)
	}
	if b.err != nil {
		return nil, fmt.Errorf("%s: %w", path, b.err)
	}
	return b.Model(path)
}

func (n Net) check() error {
	if err := n.Genotype.Validate(); err != nil {
		return err
	}
	if n.Channels < 2 || n.Channels%2 != 0 || n.Layers < 1 || n.Classes < 1 || n.Size < 1 {
		return fmt.Errorf("%d channels, %d layers, %d classes, size %d: want an even number of channels and 1 or more of the others", n.Channels, n.Layers, n.Classes, n.Size)
	}
	for _, form := range []cellmap.Form{n.Genotype.Normal, n.Genotype.Reduce} {
		if len(form.Concat) == 0 {
			return errors.New("a cell without output nodes")
		}
		for _, e := range form.Edges {
			if err := known(e.Op); err != nil {
				return err
			}
		}
	}
	return nil
}

// Reduces reports whether a layer is a reduction cell.
func (n Net) Reduces(layer int) bool {
	return layer == n.Layers/3 && n.Layers > 2 || layer == 2*n.Layers/3 && n.Layers > 1
}

// body builds the stem and the cells. It returns what the last one leaves, and that
// behind two thirds of them.
func (n Net) body(b *builder, in value) (last, deep value) {
	before, last, reduced := n.stem(b, in)
	channels := n.Channels
	b.dropped = n.Paths
	for layer := range n.Layers {
		form, reduces := n.Genotype.Normal, n.Reduces(layer)
		if reduces {
			form, channels = n.Genotype.Reduce, 2*channels
		}
		c := &cell{b, fmt.Sprintf("cells.%d", layer), channels, reduces}
		before, last = last, c.build(form, before, last, reduced)
		reduced = reduces
		if layer == 2*n.Layers/3 {
			deep = last
		}
	}
	return last, deep
}

// stem returns the inputs of the first cell, and whether the second was reduced
// from the first.
func (n Net) stem(b *builder, in value) (before, last value, reduced bool) {
	if !n.Large {
		x := b.batchNorm("stem.bn", b.conv("stem.conv", in, conv{out: 3 * n.Channels, kernel: [2]int{3, 3}}))
		return x, x, false
	}
	x := b.batchNorm("stem0.bn0", b.conv("stem0.conv0", in, conv{out: n.Channels / 2, kernel: [2]int{3, 3}, stride: [2]int{2, 2}}))
	x = b.conv("stem0.conv1", b.relu("stem0.relu", x), conv{out: n.Channels, kernel: [2]int{3, 3}, stride: [2]int{2, 2}})
	x = b.batchNorm("stem0.bn1", x)
	y := b.conv("stem1.conv", b.relu("stem1.relu", x), conv{out: n.Channels, kernel: [2]int{3, 3}, stride: [2]int{2, 2}})
	return x, b.batchNorm("stem1.bn", y), true
}

// auxiliary adds the second classifier.
func (n Net) auxiliary(b *builder, x value) {
	const path = Auxiliary
	stride := 3
	if n.Large {
		stride = 2
	}
	x = b.relu(path+".relu0", x)
	b.node("AveragePool", path+".pool", []string{x.name}, ints("kernel_shape", 5, 5), ints("strides", stride, stride))
	if x = (value{path + ".pool", x.channels, (x.size-5)/stride + 1}); x.size < 2 && b.err == nil {
		b.err = fmt.Errorf("the auxiliary classifier needs more than %d rows and columns", n.Size)
		return
	}
	x = b.relu(path+".relu1", b.batchNorm(path+".bn1", b.conv(path+".conv1", x, conv{out: 128, kernel: [2]int{1, 1}})))
	x = b.unpadded(path+".conv2", x, 768, 2)
	if !n.Large {
		x = b.batchNorm(path+".bn2", x)
	}
	x = b.relu(path+".relu2", x)
	b.classifier(path, x, n.Classes, Auxiliary)
}

// A cell is one in the making.
type cell struct {
	*builder
	path     string
	channels int
	reduces  bool
}

// build adds a cell; reduced says that the input before has twice the size of
// the last one.
func (c *cell) build(form cellmap.Form, before, last value, reduced bool) value {
	nodes := make([]value, len(form.Edges)/2+2)
	if reduced {
		nodes[0] = c.factorizedReduce(c.path+".preprocess0", before, c.channels)
	} else {
		nodes[0] = c.reluConvBN(c.path+".preprocess0", before, conv{out: c.channels, kernel: [2]int{1, 1}})
	}
	nodes[1] = c.reluConvBN(c.path+".preprocess1", last, conv{out: c.channels, kernel: [2]int{1, 1}})
	for to := 2; to < len(nodes); to++ {
		var terms []value
		for i, e := range form.Edges[2*to-4:][:2] {
			if e.Op != cellmap.Null {
				terms = append(terms, c.edge(c.pathOf(e, i), e, nodes[e.From]))
			}
		}
		switch len(terms) {
		case 0:
			from := form.Edges[2*to-4].From
			nodes[to] = c.zeros(fmt.Sprintf("%s.node%d", c.path, to-2), nodes[from], c.stride(from))
		case 1:
			nodes[to] = terms[0]
		case 2:
			if terms[0].size != terms[1].size && c.err == nil {
				c.err = fmt.Errorf("%s: the edges of node %d lead to %d and %d rows: poolings with an even kernel need even sizes", c.path, to-2, terms[0].size, terms[1].size)
			}
			nodes[to] = terms[0]
			nodes[to].name = c.node("Add", fmt.Sprintf("%s.node%d.sum", c.path, to-2), []string{terms[0].name, terms[1].name})
		}
	}
	return c.join(c.output(form, nodes))
}

// output returns what a cell's output consists of.
func (c *cell) output(form cellmap.Form, nodes []value) (list []value) {
	if c.supernet != nil {
		return c.supernet.output(c, form, nodes)
	}
	for _, i := range form.Concat {
		list = append(list, nodes[i])
	}
	return list
}

// join concatenates values of one shape.
func (c *cell) join(list []value) value {
	out := list[0]
	if len(list) == 1 {
		return out
	}
	var names []string
	for _, v := range list {
		names = append(names, v.name)
	}
	out.channels *= len(names)
	out.name = c.node("Concat", c.path+".concat", names, onnxgraph.IntAttr("axis", 1))
	return out
}

// pathOf names what an edge consists of; i says which of its node's edges it is.
func (c *cell) pathOf(e cellmap.FormEdge, i int) string {
	if c.supernet == nil {
		return fmt.Sprintf("%s.node%d.%d", c.path, e.To-2, i)
	}
	return c.slot(e)
}

// stride is that of an edge: reduction cells reduce their inputs.
func (c *cell) stride(from int) int {
	if c.reduces && from < 2 {
		return 2
	}
	return 1
}

// edge adds the operation of an edge.
func (c *cell) edge(path string, e cellmap.FormEdge, x value) value {
	stride := c.stride(e.From)
	if twin, ok := c.made[path]; ok { // the other edge, of the same slot
		return twin
	}
	out := c.operation(path, e.Op, x, stride)
	if c.dropped && out.name != x.name {
		out.name = c.drop(path+".kept", out)
	}
	if c.supernet != nil {
		c.made[path] = out
	}
	return out
}

func (c *cell) operation(path string, op cellmap.Op, x value, stride int) value {
	s := [2]int{stride, stride}
	h, w := op.Size()
	k := [2]int{int(h), int(w)}
	switch op.Family() {
	case string(cellmap.Skip):
		if stride == 1 {
			return x
		}
		return c.factorizedReduce(path, x, c.channels)
	case cellmap.MaxPool, cellmap.AvgPool:
		x = c.pool(path, x, op.Family(), int(h), stride)
		if c.supernet != nil {
			x = c.batchNorm(path+".bn", x)
		}
		return x
	case cellmap.SepConv:
		x = c.separable(path+".0", x, k, s, 1)
		return c.separable(path+".1", x, k, [2]int{1, 1}, 1)
	case cellmap.DilConv:
		return c.separable(path, x, k, s, 2)
	}
	if row, column, ok := rowColumn(op); ok {
		x = c.conv(path+".row", c.relu(path+".relu", x), conv{out: c.channels, kernel: [2]int{1, row}, stride: [2]int{1, stride}})
		return c.batchNorm(path+".bn", c.conv(path+".column", x, conv{out: c.channels, kernel: [2]int{column, 1}, stride: [2]int{stride, 1}}))
	}
	return c.reluConvBN(path, x, conv{out: c.channels, kernel: k, stride: s})
}

// separable is a depthwise and a pointwise convolution.
func (c *cell) separable(path string, x value, kernel, stride [2]int, dilation int) value {
	x = c.conv(path+".depthwise", c.relu(path+".relu", x), conv{out: c.channels, kernel: kernel, stride: stride, dilation: dilation, groups: c.channels})
	return c.batchNorm(path+".bn", c.conv(path+".pointwise", x, conv{out: c.channels, kernel: [2]int{1, 1}}))
}

// known refuses operations that no network can be built of.
func known(op cellmap.Op) error {
	h, w := op.Size()
	square := h == w && h >= 1 && h <= 15
	switch op.Family() {
	case string(cellmap.Null), string(cellmap.Skip):
		return nil
	case cellmap.MaxPool, cellmap.AvgPool:
		if square {
			return nil
		}
	case cellmap.Conv, cellmap.SepConv, cellmap.DilConv:
		if square && h%2 == 1 {
			return nil
		}
	}
	if _, _, ok := rowColumn(op); ok {
		return nil
	}
	return fmt.Errorf("operation %q: want null, skip_connect, or conv, sep_conv, dil_conv, max_pool or avg_pool with a square kernel", op)
}

// rowColumn takes apart a convolution that is split into a row and a column.
func rowColumn(op cellmap.Op) (row, column int, ok bool) {
	for k := 3; k <= 15; k += 2 {
		if op == cellmap.Op(fmt.Sprintf("conv_1x%d_%dx1", k, k)) {
			return k, k, true
		}
	}
	return 0, 0, false
}

var batch = onnxgraph.Symbol("batch")
