package stack

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A builder adds layers of PyTorch to a model.
type builder struct {
	*onnxgraph.Builder
	seed     uint64
	supernet *Supernet              // that the model is a child of; nil: none
	known    func(name string) bool // weights that need not be drawn; nil: none
	made     map[string]value       // by what a child shares
	dropped  bool                   // operations are multiplied by the input [Paths]
	paths    int                    // how many
	err      error                  // the first
}

func newBuilder(seed uint64) *builder {
	b := &builder{Builder: onnxgraph.NewBuilder("cells", 17), seed: seed, made: map[string]value{}}
	b.Producer = "natonnx"
	return b
}

// A value is a tensor of the model: batch x channels x size x size.
type value struct {
	name     string
	channels int
	size     int
}

func (b *builder) shape(v value) onnxgraph.Shape {
	size := onnxgraph.Const(int64(v.size))
	return onnxgraph.Shape{batch, onnxgraph.Const(int64(v.channels)), size, size}
}

// node adds an operator with one output, which gives the node its name.
func (b *builder) node(op, name string, inputs []string, attrs ...*onnxgraph.Attribute) string {
	b.Add(onnxgraph.NewNode(op, name, inputs, []string{name}, attrs...))
	return name
}

// A conv says what a convolution is like; zeros are ones. It is padded so that
// it keeps the size but for its stride.
type conv struct {
	out              int
	kernel, stride   [2]int
	dilation, groups int
}

func (b *builder) conv(path string, x value, c conv) value {
	c.dilation, c.groups = max(1, c.dilation), max(1, c.groups)
	for i := range c.stride {
		c.stride[i] = max(1, c.stride[i])
	}
	pad := [2]int{c.dilation * (c.kernel[0] - 1) / 2, c.dilation * (c.kernel[1] - 1) / 2}
	in := x.channels / c.groups
	weight := b.uniform(path+".weight", in*c.kernel[0]*c.kernel[1], c.out, in, c.kernel[0], c.kernel[1])
	b.node("Conv", path, []string{x.name, weight},
		ints("kernel_shape", c.kernel[:]...), ints("strides", c.stride[:]...), ints("pads", pad[0], pad[1], pad[0], pad[1]),
		ints("dilations", c.dilation, c.dilation), onnxgraph.IntAttr("group", int64(c.groups)))
	// Columns come to what rows do: of a split convolution in its second step.
	return value{path, c.out, (x.size-1)/c.stride[0] + 1}
}

func (b *builder) relu(path string, x value) value {
	x.name = b.node("Relu", path, []string{x.name})
	return x
}

func (b *builder) batchNorm(path string, x value) value {
	in := []string{x.name}
	for _, p := range []struct {
		name string
		of   float32
	}{{"weight", 1}, {"bias", 0}, {"running_mean", 0}, {"running_var", 1}} {
		name := path + "." + p.name
		if b.supernet != nil {
			name = b.supernet.plain(name, p.name, x.channels)
		}
		in = append(in, b.constant(name, x.channels, p.of))
	}
	x.name = b.node("BatchNormalization", path, in, onnxgraph.FloatAttr("epsilon", 1e-5), onnxgraph.FloatAttr("momentum", 0.9))
	return x
}

// constant adds an initializer of n equal numbers, once.
func (b *builder) constant(name string, n int, of float32) string {
	if _, ok := b.made[name]; ok {
		return name
	}
	b.made[name] = value{}
	data := make([]float32, n)
	for i := range data {
		data[i] = of
	}
	return b.Init(onnxgraph.NewFloat32s(name, []int64{int64(n)}, data))
}

func (b *builder) reluConvBN(path string, x value, c conv) value {
	return b.batchNorm(path+".bn", b.conv(path+".conv", b.relu(path+".relu", x), c))
}

// factorizedReduce halves the size: two strided convolutions, one of which sees
// the input moved by a pixel.
func (b *builder) factorizedReduce(path string, x value, out int) value {
	x = b.relu(path+".relu", x)
	if x.size%2 == 1 {
		pads := b.Init(onnxgraph.NewInt64s(path+".pads", []int64{8}, []int64{0, 0, 1, 1, 0, 0, 0, 0}))
		x = value{b.node("Pad", path+".pad", []string{x.name, pads}), x.channels, x.size + 1}
	}
	half := conv{out: out / 2, kernel: [2]int{1, 1}, stride: [2]int{2, 2}}
	even := b.conv(path+".even", x, half)
	list := func(name string, v int64) string {
		return b.Init(onnxgraph.NewInt64s(path+name, []int64{2}, []int64{v, v}))
	}
	axes := b.Init(onnxgraph.NewInt64s(path+".axes", []int64{2}, []int64{2, 3}))
	moved := value{b.node("Slice", path+".move", []string{x.name, list(".starts", 1), list(".ends", math.MaxInt64), axes}), x.channels, x.size - 1}
	odd := b.conv(path+".odd", moved, half)
	joined := b.node("Concat", path+".concat", []string{even.name, odd.name}, onnxgraph.IntAttr("axis", 1))
	return b.batchNorm(path+".bn", value{joined, 2 * half.out, even.size})
}

func (b *builder) pool(path string, x value, family string, kernel, stride int) value {
	pad := (kernel - 1) / 2
	op := "MaxPool"
	if family == cellmap.AvgPool {
		op = "AveragePool" // padding does not count
	}
	b.node(op, path, []string{x.name}, ints("kernel_shape", kernel, kernel), ints("strides", stride, stride), ints("pads", pad, pad, pad, pad))
	return value{path, x.channels, (x.size+2*pad-kernel)/stride + 1}
}

// classifier adds a linear layer behind a mean over the pixels.
func (b *builder) classifier(path string, x value, classes int, output string) {
	pooled := b.node("GlobalAveragePool", path+".mean", []string{x.name})
	features := b.node("Flatten", path+".flatten", []string{pooled}, onnxgraph.IntAttr("axis", 1))
	weight := b.uniform(path+".weight", x.channels, classes, x.channels)
	bias := b.uniform(path+".bias", x.channels, classes)
	b.Add(onnxgraph.NewNode("Gemm", path+".linear", []string{features, weight, bias}, []string{output}, onnxgraph.IntAttr("transB", 1)))
	b.Output(output, onnxgraph.Float32, onnxgraph.Shape{batch, onnxgraph.Const(int64(classes))})
}

// unpadded is a convolution without padding.
func (b *builder) unpadded(path string, x value, out, kernel int) value {
	weight := b.uniform(path+".weight", x.channels*kernel*kernel, out, x.channels, kernel, kernel)
	b.node("Conv", path, []string{x.name, weight}, ints("kernel_shape", kernel, kernel))
	return value{path, out, x.size - kernel + 1}
}

// drop multiplies a value by the next of the input [Paths].
func (b *builder) drop(path string, x value) string {
	at := b.Init(onnxgraph.NewInt64s(path+".path", nil, []int64{int64(b.paths)}))
	b.paths++
	factor := b.node("Gather", path+".factor", []string{Paths, at}, onnxgraph.IntAttr("axis", 0))
	return b.node("Mul", path, []string{x.name, factor})
}

// zeros has the shape of what an operation makes of x.
func (b *builder) zeros(path string, x value, stride int) value {
	if stride > 1 {
		x = b.pool(path+".subsample", x, cellmap.MaxPool, 1, stride)
	}
	const zero = Plain + "zero"
	if _, ok := b.made[zero]; !ok {
		b.made[zero] = value{}
		b.Init(onnxgraph.NewFloat32s(zero, nil, []float32{0}))
	}
	x.name = b.node("Mul", path+".zeros", []string{x.name, zero})
	return x
}

// uniform adds a weight of those dims, drawn as PyTorch does for a layer with so
// many inputs to each output: uniformly within plus and minus its inverse root.
func (b *builder) uniform(name string, fanIn int, dims ...int) string {
	shape, n := make([]int64, len(dims)), 1
	for i, d := range dims {
		shape[i], n = int64(d), n*d
	}
	data, bound := make([]float32, n), 1/math.Sqrt(float64(fanIn))
	if b.known != nil && b.known(name) {
		return b.Init(onnxgraph.NewFloat32s(name, shape, data))
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	rng := rand.New(rand.NewPCG(b.seed, h.Sum64()))
	for i := range data {
		data[i] = float32((2*rng.Float64() - 1) * bound)
	}
	return b.Init(onnxgraph.NewFloat32s(name, shape, data))
}

func ints(name string, values ...int) *onnxgraph.Attribute {
	list := make([]int64, len(values))
	for i, v := range values {
		list[i] = int64(v)
	}
	return onnxgraph.IntsAttr(name, list...)
}
