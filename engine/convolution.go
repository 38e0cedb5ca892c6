package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/natonnx/natonnx/engine/conv"
	"github.com/natonnx/natonnx/engine/depthwise"
	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/engine/window"
)

// A clamp is the Relu or Clip that a step does on the way out.
type clamp struct{ lo, hi float32 }

var noClamp = clamp{float32(math.Inf(-1)), float32(math.Inf(1))}

// A convolution computes Conv, and in inference the BatchNormalization, the
// addition and the Relu or Clip that follow it. Inputs: image, weights, bias,
// and what is added.
type convolution struct {
	windowed
	filter  conv.Filter
	clamp   clamp
	adds    bool
	weights []float32 // constant ones, until they are packed
	bias    []float32
	dense   *conv.Weights // constant weights, packed
	deep    *depthwise.Weights
	packed  indices  // the inputs that are constant weights and bias
	plan    *planner // nil where nothing can be fused: in training, or weights are computed
}

func newConvolution(n *node) (step, error) {
	if err := n.require(2); err != nil {
		return nil, err
	}
	w, err := newWindowed(n)
	if err != nil {
		return nil, err
	}
	c := &convolution{windowed: w, clamp: noClamp}
	c.filter.Groups = int(n.Int("group", 1))
	if n.training() || n.constant(1) == nil || n.has(2) && n.constant(2) == nil {
		return c, nil
	}
	c.plan = n.plan
	weights, bias := toSingle(n.constant(1)), toSingle(n.constant(2))
	if err := c.shape(weights, bias); err != nil {
		return nil, err
	}
	c.weights, c.packed = weights.Float32s(), only(1)
	if bias != nil {
		c.bias, c.packed = bias.Float32s(), only(1, 2)
	}
	return c, nil
}

func (*convolution) anyLayout() {}
func (*convolution) inFloat32() {}

// shape takes the filter's shape from the weights and checks the bias.
func (c *convolution) shape(w, bias *Tensor) error {
	if w.Float32s() == nil && w.Len() > 0 || len(w.Dims) < 3 || len(w.Dims) > 5 {
		return fmt.Errorf("weights are %v, want float32 of 3 to 5 dimensions", w)
	}
	f := &c.filter
	f.Out, f.In = w.Dims[0], w.Dims[1]*f.Groups
	if f.Groups < 1 || f.Out%f.Groups != 0 || w.Len() == 0 {
		return fmt.Errorf("weights are %s in %d groups", spell(w.Dims), f.Groups)
	}
	f.Kernel = [3]int{1, 1, 1}
	copy(f.Kernel[5-len(w.Dims):], w.Dims[2:])
	if c.kernel == nil {
		c.kernel = slices.Clone(w.Dims[2:])
	}
	if !slices.Equal(c.kernel, w.Dims[2:]) {
		return fmt.Errorf("kernel_shape is %v, the weights are %s", c.kernel, spell(w.Dims))
	}
	if bias != nil && len(bias.Float32s()) != f.Out {
		return fmt.Errorf("bias is %v, want float32 %d", bias, f.Out)
	}
	return nil
}

// depthwise reports whether every channel has a window of its own.
func (c *convolution) depthwise() bool {
	return c.filter.Groups > 1 && c.filter.Groups == c.filter.In && c.filter.In == c.filter.Out
}

func (c *convolution) fuse(next *node, at int) (bool, string) {
	if c.plan == nil || c.clamp != noClamp {
		return false, ""
	}
	if next.Is("BatchNormalization") && at == 0 && !c.adds {
		return c.normalize(next), ""
	}
	if lo, hi, ok := clampOf(next); ok && at == 0 {
		c.clamp = clamp{lo, hi}
		return true, ""
	}
	if other, ok := addend(next, at); ok && !c.adds {
		c.adds = true
		return true, other
	}
	return false, ""
}

// addend returns the other operand of an Add or Sum of two equal shapes, where
// it is there before the value of input at.
func addend(n *node, at int) (string, bool) {
	if !n.Is("Add", "Sum") || len(n.Inputs) != 2 {
		return "", false
	}
	mine, other := n.Input(at), n.Input(1-at)
	return other, mine != other && n.plan.sameShape(mine, other) && n.plan.before(other, mine)
}

// normalize multiplies a BatchNormalization into the weights and the bias.
func (c *convolution) normalize(n *node) bool {
	b, err := newBatchNorm(n)
	if err != nil {
		return false
	}
	norm, ok := b.(*batchNorm)
	if !ok || norm.scale == nil || len(norm.scale) != c.filter.Out {
		return false
	}
	scaled := slices.Clone(c.weights)
	for o, s := range norm.scale {
		one := scaled[o*len(scaled)/c.filter.Out : (o+1)*len(scaled)/c.filter.Out]
		vec.Scale(one, one, s)
	}
	bias := slices.Clone(norm.shift)
	for o, b := range c.bias {
		bias[o] += b * norm.scale[o]
	}
	c.weights, c.bias = scaled, bias
	return true
}

func (c *convolution) finish() (indices, error) {
	if c.weights == nil {
		return 0, nil
	}
	if c.depthwise() {
		c.deep = depthwise.Pack(c.filter.In, c.filter.Kernel, c.weights)
	} else {
		c.dense = conv.Pack(c.filter, c.weights)
	}
	c.weights, c.plan = nil, nil
	return c.packed, nil
}

// packs are the weights of one exec that change from run to run.
type packs struct {
	dense, transposed *conv.Weights
	deep              *depthwise.Weights
}

// pack packs weights that are no constants.
func (c *convolution) pack(p *packs, w []float32) {
	switch {
	case c.depthwise() && p.deep == nil:
		p.deep = depthwise.Pack(c.filter.In, c.filter.Kernel, w)
	case c.depthwise():
		p.deep.Repack(w)
	case p.dense == nil:
		p.dense = conv.Pack(c.filter, w)
	default:
		p.dense.Repack(w)
	}
}

func (c *convolution) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	with := packs{dense: c.dense, deep: c.deep}
	bias := c.bias
	if c.dense == nil && c.deep == nil {
		own := *c // the shape belongs to this run
		if err := own.shape(in[1], optional(in, 2)); err != nil {
			return nil, err
		}
		c = &own
		p := keep(x, func() *packs { return &packs{} })
		c.pack(p, in[1].Float32s())
		with = *p
		if b := optional(in, 2); b != nil {
			bias = b.Float32s()
		}
	}
	s, err := c.geometry(in[0])
	if err != nil {
		return nil, err
	}
	img, err := x.channelsLast(in[0])
	if err != nil {
		return nil, err
	}
	var add []float32
	if c.adds {
		t, err := x.channelsLast(in[len(in)-1])
		if err != nil {
			return nil, err
		}
		add = t.data.([]float32)
	}
	out, err := x.lend(result(img.Dims, c.filter.Out, s), true)
	if err != nil {
		return nil, err
	}
	c.forward(x, s, out, img, with, bias, add)
	return []*Tensor{out}, nil
}

func (c *convolution) forward(x *exec, s window.Slide, out, img *Tensor, w packs, bias, add []float32) {
	to, from := out.data.([]float32), img.data.([]float32)
	if c.depthwise() {
		e := depthwise.Epilogue{Bias: bias, Add: add, Min: c.clamp.lo, Max: c.clamp.hi}
		depthwise.Forward(x.team, s, img.Dims[0], c.filter.In, to, from, w.deep, e)
		return
	}
	e := conv.Epilogue{Bias: bias, Add: add, Min: c.clamp.lo, Max: c.clamp.hi}
	conv.Forward(x.team, s, img.Dims[0], to, from, w.dense, e)
}

// geometry checks the image against the filter.
func (c *convolution) geometry(img *Tensor) (window.Slide, error) {
	s, err := c.slide(img.Dims)
	if err != nil {
		return s, err
	}
	if _, ok := img.data.([]float32); !ok || img.Dims[1] != c.filter.In {
		return s, fmt.Errorf("input is %v, want float32 with %d channels", img, c.filter.In)
	}
	return s, nil
}

// optional returns input i, nil where the node has none.
func optional(in []*Tensor, i int) *Tensor {
	if i < len(in) {
		return in[i]
	}
	return nil
}

func (*convolution) reads() (in, out indices) { return only(0, 1), 0 }

func (c *convolution) grad(x *exec, in, _, dout []*Tensor, want []bool) ([]*Tensor, error) {
	own := *c
	c = &own
	if err := c.shape(in[1], nil); err != nil {
		return nil, err
	}
	s, err := c.geometry(in[0])
	if err != nil {
		return nil, err
	}
	img, err := x.channelsLast(in[0])
	if err != nil {
		return nil, err
	}
	dy, err := x.channelsLast(dout[0])
	if err != nil {
		return nil, err
	}
	din := make([]*Tensor, len(in))
	if want[0] {
		if din[0], err = x.lend(in[0].Dims, true); err != nil {
			return nil, err
		}
		c.backwardInput(x, s, din[0], dy, in[1])
	}
	if want[1] {
		if din[1], err = x.lend(in[1].Dims, false); err != nil {
			return nil, err
		}
		c.backwardWeights(x, s, din[1], img, dy)
	}
	if len(want) > 2 && want[2] {
		if din[2], err = x.lend([]int{c.filter.Out}, false); err != nil {
			return nil, err
		}
		vec.SumRows(x.team, din[2].data.([]float32), dy.data.([]float32), c.filter.Out)
	}
	return din, nil
}

func (c *convolution) backwardInput(x *exec, s window.Slide, din, dy, w *Tensor) {
	p := keep(x, func() *packs { return &packs{} })
	dx, g := din.data.([]float32), dy.data.([]float32)
	if c.depthwise() { // the forward pass packed the weights
		depthwise.BackwardInput(x.team, s, din.Dims[0], c.filter.In, dx, g, p.deep)
		return
	}
	if p.transposed == nil {
		p.transposed = conv.PackTransposed(c.filter, w.Float32s())
	} else {
		p.transposed.Repack(w.Float32s())
	}
	conv.BackwardInput(x.team, s, din.Dims[0], dx, g, p.transposed)
}

func (c *convolution) backwardWeights(x *exec, s window.Slide, dw, img, dy *Tensor) {
	to, from, g := dw.data.([]float32), img.data.([]float32), dy.data.([]float32)
	if c.depthwise() {
		depthwise.BackwardWeights(x.team, s, img.Dims[0], c.filter.In, to, from, g)
		return
	}
	conv.BackwardWeights(x.team, s, img.Dims[0], c.filter, to, from, g)
}
