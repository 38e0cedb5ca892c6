package onnxgraph

// An opCheck checks what the constants of one node tell about it.
type opCheck struct {
	*validator
	scope *scope
	node  *Node
}

// opChecks holds the structural rules of operators of convolutional networks,
// in so far as initializers and declared shapes decide them.
var opChecks = map[string]func(*opCheck){
	"Conv":                  (*opCheck).conv,
	"ConvTranspose":         (*opCheck).convTranspose,
	"BatchNormalization":    func(c *opCheck) { c.perChannel("scale", "bias", "mean", "variance") },
	"InstanceNormalization": func(c *opCheck) { c.perChannel("scale", "bias") },
	"Gemm":                  (*opCheck).gemm,
}

// A signature is what an operator takes in every opset version.
type signature struct {
	min, max  int    // inputs; max 0: any number
	attribute string // one that must be there, or ""
}

// signatures covers the operators of convolutional networks whose signature no
// opset version narrows.
var signatures = map[string]signature{
	"Conv": {2, 3, ""}, "ConvTranspose": {2, 3, ""}, "Gemm": {2, 3, ""}, "MatMul": {2, 2, ""},
	"BatchNormalization": {5, 5, ""}, "InstanceNormalization": {3, 3, ""}, "LRN": {1, 1, "size"}, "PRelu": {2, 2, ""},
	"MaxPool": {1, 1, "kernel_shape"}, "AveragePool": {1, 1, "kernel_shape"},
	"GlobalAveragePool": {1, 1, ""}, "GlobalMaxPool": {1, 1, ""},
	"Add": {2, 2, ""}, "Sub": {2, 2, ""}, "Mul": {2, 2, ""}, "Div": {2, 2, ""}, "Pow": {2, 2, ""}, "Where": {3, 3, ""},
	"Sum": {1, 0, ""}, "Mean": {1, 0, ""}, "Max": {1, 0, ""}, "Min": {1, 0, ""}, "Concat": {1, 0, ""},
	"Relu": {1, 1, ""}, "LeakyRelu": {1, 1, ""}, "Elu": {1, 1, ""}, "Selu": {1, 1, ""}, "Sigmoid": {1, 1, ""}, "HardSigmoid": {1, 1, ""},
	"Tanh": {1, 1, ""}, "Erf": {1, 1, ""}, "Exp": {1, 1, ""}, "Log": {1, 1, ""}, "Sqrt": {1, 1, ""}, "Abs": {1, 1, ""}, "Neg": {1, 1, ""},
	"Softmax": {1, 1, ""}, "LogSoftmax": {1, 1, ""}, "Softplus": {1, 1, ""}, "HardSwish": {1, 1, ""}, "Clip": {1, 3, ""}, "Dropout": {1, 3, ""},
	"Identity": {1, 1, ""}, "Flatten": {1, 1, ""}, "Transpose": {1, 1, ""}, "Shape": {1, 1, ""}, "Cast": {1, 1, "to"},
	"Squeeze": {1, 2, ""}, "Gather": {2, 2, ""},
}

// narrowed lists operators whose attributes became inputs in some opset version:
// files that were renumbered without being converted still have the attributes.
var narrowed = map[string]struct {
	since int64
	signature
}{
	"Reshape": {5, signature{2, 2, ""}}, "Upsample": {9, signature{2, 2, ""}}, "Slice": {10, signature{3, 5, ""}},
	"TopK": {10, signature{2, 2, ""}}, "Pad": {11, signature{2, 4, ""}}, "Unsqueeze": {13, signature{2, 2, ""}},
}

// signature checks the number of inputs and that those that must be there are;
// since says from when on, where that matters.
func (c *opCheck) signature(sig signature, since string) {
	n := len(c.node.Inputs)
	switch {
	case sig.min == sig.max && n != sig.min:
		c.failf("has %d inputs, want %d%s", n, sig.min, since)
	case n < sig.min:
		c.failf("has %d inputs, want %d or more%s", n, sig.min, since)
	case sig.max > 0 && n > sig.max:
		c.failf("has %d inputs, want %d at most%s", n, sig.max, since)
	}
	for i := range min(n, sig.min) {
		if c.node.Inputs[i] == "" {
			c.failf("input[%d] is left out, and %s needs it", i, c.node.OpType)
		}
	}
	if sig.attribute != "" && c.node.Attr(sig.attribute) == nil {
		c.failf("has no attribute %s", sig.attribute)
	}
}

func (c *opCheck) failf(format string, args ...any) { c.addf(c.scope.node(c.node), format, args...) }

// constant returns input i where an initializer fixes its dims.
func (c *opCheck) constant(i int) *Tensor { return c.scope.constant(c.node.Input(i)) }

// shape returns the declared shape of input i, or nil.
func (c *opCheck) shape(i int) Shape { return c.scope.shape(c.node.Input(i)) }

// rank checks that an initializer has that many dimensions.
func (c *opCheck) rank(t *Tensor, role string, want int) bool {
	if len(t.Dims) != want {
		c.failf("%s %s has %d dimensions, want %d", role, quote(t.Name), len(t.Dims), want)
	}
	return len(t.Dims) == want
}

// vector checks that an initializer has one dimension of that length.
func (c *opCheck) vector(t *Tensor, role string, want int64) {
	if t != nil && c.rank(t, role, 1) && t.Dims[0] != want {
		c.failf("%s %s has %d elements, want %d", role, quote(t.Name), t.Dims[0], want)
	}
}

// kernel checks what Conv and ConvTranspose share and returns the weight and the
// groups, or nil where the rest cannot be told.
func (c *opCheck) kernel() (*Tensor, int64) {
	group := c.node.Int("group", 1)
	if group < 1 {
		c.failf("group is %d, want 1 or more", group)
		return nil, 0
	}
	w, x := c.constant(1), c.shape(0)
	if w == nil {
		return nil, 0
	}
	kernel := c.node.Ints("kernel_shape")
	switch {
	case x != nil && !c.rank(w, "weight", len(x)):
		return nil, 0
	case x == nil && kernel != nil && !c.rank(w, "weight", len(kernel)+2):
		return nil, 0
	case len(w.Dims) < 3:
		c.failf("weight %s has %d dimensions, want 3 or more", quote(w.Name), len(w.Dims))
		return nil, 0
	}
	space := len(w.Dims) - 2
	c.lengths("strides", space)
	c.lengths("dilations", space)
	c.lengths("pads", 2*space)
	if c.lengths("kernel_shape", space) {
		for i, k := range kernel {
			if k != w.Dims[i+2] {
				c.failf("kernel_shape[%d] is %d, and weight %s has %d there", i, k, quote(w.Name), w.Dims[i+2])
			}
		}
	}
	return w, group
}

// lengths checks the length of an integer list, where it is given.
func (c *opCheck) lengths(attr string, want int) bool {
	list := c.node.Ints(attr)
	if list != nil && len(list) != want {
		c.failf("%s has %d numbers, want %d", attr, len(list), want)
	}
	return len(list) == want
}

// channels checks dimension 1 of input 0 against what the weight asks for.
func (c *opCheck) channels(w *Tensor, want int64) {
	if x := c.shape(0); len(x) > 1 && x[1].Known() && x[1].N != want {
		c.failf("input %s has %d channels, and weight %s wants %d", quote(c.node.Input(0)), x[1].N, quote(w.Name), want)
	}
}

func (c *opCheck) conv() {
	w, group := c.kernel()
	if w == nil {
		return
	}
	if w.Dims[0]%group != 0 {
		c.failf("weight %s has %d output channels, want a multiple of group %d", quote(w.Name), w.Dims[0], group)
	}
	c.channels(w, w.Dims[1]*group)
	c.vector(c.constant(2), "bias", w.Dims[0])
}

func (c *opCheck) convTranspose() {
	w, group := c.kernel()
	if w == nil {
		return
	}
	if w.Dims[0]%group != 0 {
		c.failf("weight %s has %d input channels, want a multiple of group %d", quote(w.Name), w.Dims[0], group)
	}
	c.channels(w, w.Dims[0])
	c.vector(c.constant(2), "bias", w.Dims[1]*group)
}

// perChannel checks that the inputs from 1 on have one element for each channel.
func (c *opCheck) perChannel(roles ...string) {
	want := int64(-1)
	if x := c.shape(0); len(x) > 1 && x[1].Known() {
		want = x[1].N
	}
	for i, role := range roles {
		t := c.constant(i + 1)
		if t == nil {
			continue
		}
		if want < 0 && len(t.Dims) == 1 {
			want = t.Dims[0]
		}
		c.vector(t, role, want)
	}
}

// gemm checks that both factors are matrices that fit, and that the bias has at
// most two dimensions.
func (c *opCheck) gemm() {
	var inner [2]Dim
	for i, role := range []string{"input A", "input B"} {
		inner[i] = Unknown
		shape := c.shape(i)
		if shape == nil {
			continue
		}
		if len(shape) != 2 {
			c.failf("%s %s has %d dimensions, want 2", role, quote(c.node.Input(i)), len(shape))
			continue
		}
		transposed := c.node.Int([]string{"transA", "transB"}[i], 0) != 0
		inner[i] = shape[1-i]
		if transposed {
			inner[i] = shape[i]
		}
	}
	if a, b := inner[0], inner[1]; a.Known() && b.Known() && a != b {
		c.failf("input A has %d columns, and input B %s has %d rows", a.N, quote(c.node.Input(1)), b.N)
	}
	if bias := c.constant(2); bias != nil && len(bias.Dims) > 2 {
		c.failf("bias %s has %d dimensions, want 2 at most", quote(bias.Name), len(bias.Dims))
	}
}
