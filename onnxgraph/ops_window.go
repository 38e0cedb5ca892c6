package onnxgraph

// A window is what slides over the spatial axes in convolutions and poolings.
type window struct {
	kernel, stride, dilation []int64
	begin, end               []int64 // padding
	auto                     string  // auto_pad
	ceil                     bool
}

// window reads the attributes of a convolution or a pooling over n spatial
// axes; ok is false where one has the wrong length or a value that makes no sense.
func (c *call) window(kernel []int64, n int) (w window, ok bool) {
	w = window{kernel: kernel, stride: c.Ints("strides"), dilation: c.Ints("dilations"),
		auto: c.Str("auto_pad", "NOTSET"), ceil: c.Int("ceil_mode", 0) != 0}
	for _, list := range []*[]int64{&w.stride, &w.dilation} {
		if *list == nil {
			*list = ones(n)
		}
	}
	pads := c.Ints("pads")
	if pads == nil {
		pads = make([]int64, 2*n)
	}
	if n < 1 || len(pads) != 2*n {
		return w, false
	}
	w.begin, w.end = pads[:n], pads[n:]
	for _, list := range [][]int64{w.kernel, w.stride, w.dilation} {
		if len(list) != n {
			return w, false
		}
		for _, v := range list {
			if v < 1 {
				return w, false
			}
		}
	}
	return w, true
}

func ones(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

// reach is how far apart the first and the last tap of the kernel are.
func (w *window) reach(i int) Dim {
	return Const(w.dilation[i]).times(Const(w.kernel[i] - 1))
}

// slide returns the number of positions on axis i over an input of size in.
func (w *window) slide(i int, in Dim) Dim {
	stride := w.stride[i]
	begin, end := Const(w.begin[i]), Const(w.end[i])
	switch w.auto {
	case "SAME_UPPER", "SAME_LOWER":
		return in.ceilOver(stride)
	case "VALID":
		begin, end = Const(0), Const(0)
	}
	room := in.plus(begin).plus(end).minus(w.reach(i)).minus(Const(1)) // from the first position to the last
	if room.Known() && room.N < 0 {
		return Unknown
	}
	if !w.ceil {
		return room.over(stride).plus(Const(1))
	}
	out := room.ceilOver(stride).plus(Const(1))
	// A last position that would start in the padding after the input is dropped.
	last := out.minus(Const(1)).times(Const(stride)).minus(in).minus(begin)
	if last.Known() {
		if last.N >= 0 {
			return out.minus(Const(1))
		}
		return out
	}
	if over := end.plus(Const(stride)).minus(w.reach(i)).minus(Const(1)); over.Known() && over.N <= 0 {
		return out // it cannot start there
	}
	return Unknown
}

// kernelOf returns kernel_shape, or the spatial dimensions of the weights.
func (c *call) kernelOf(weights Shape) []int64 {
	if k := c.Ints("kernel_shape"); k != nil {
		return k
	}
	if len(weights) < 3 {
		return nil
	}
	k, _ := numbers(weights[2:])
	return k
}

// inferConv is for convolutions with input x, weights w and, where like is not
// x, the element type of input like.
func inferConv(x, w, like int) func(*call) []Type {
	return func(c *call) []Type { return []Type{tensorType(c.elem(like), c.convShape(c.shape(x), c.shape(w)))} }
}

func inferConvInteger(c *call) []Type {
	return []Type{tensorType(Int32, c.convShape(c.shape(0), c.shape(1)))}
}

func (c *call) convShape(x, w Shape) Shape {
	kernel := c.kernelOf(w)
	switch {
	case x == nil && len(w) >= 3:
		x = unknownShape(len(w))
	case x == nil && kernel != nil:
		x = unknownShape(len(kernel) + 2)
	}
	if len(x) < 3 || w != nil && len(w) != len(x) {
		return nil
	}
	out := unknownShape(len(x))
	out[0] = x[0]
	if w != nil {
		out[1] = w[0]
	}
	if win, ok := c.window(kernel, len(x)-2); ok {
		for i := range x[2:] {
			out[2+i] = win.slide(i, x[2+i])
		}
	}
	return out
}

func inferConvTranspose(c *call) []Type {
	x, w := c.shape(0), c.shape(1)
	if len(x) < 3 || w != nil && len(w) != len(x) {
		return []Type{tensorType(c.elem(0), nil)}
	}
	n := len(x) - 2
	out := unknownShape(len(x))
	out[0] = x[0]
	if w != nil {
		out[1] = w[1].times(Const(c.Int("group", 1)))
	}
	extra := c.Ints("output_padding")
	if extra == nil {
		extra = make([]int64, n)
	}
	size := c.Ints("output_shape")
	if len(size) == n+2 { // the earliest models gave batch and channels too
		size = size[2:]
	}
	win, ok := c.window(c.kernelOf(w), n)
	for i := 0; i < n; i++ {
		switch {
		case len(size) == n:
			out[2+i] = Const(size[i])
		case !ok || len(extra) != n:
		case win.auto == "SAME_UPPER" || win.auto == "SAME_LOWER":
			out[2+i] = x[2+i].times(Const(win.stride[i]))
		default:
			full := x[2+i].minus(Const(1)).times(Const(win.stride[i])).plus(win.reach(i)).plus(Const(1)).plus(Const(extra[i]))
			if win.auto != "VALID" {
				full = full.minus(Const(win.begin[i])).minus(Const(win.end[i]))
			}
			out[2+i] = full
		}
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferPool(c *call) []Type {
	x := c.shape(0)
	kernel := c.Ints("kernel_shape")
	if x == nil && kernel != nil {
		x = unknownShape(len(kernel) + 2)
	}
	var out Shape
	if len(x) >= 3 {
		out = unknownShape(len(x))
		out[0], out[1] = x[0], x[1]
		if w, ok := c.window(kernel, len(x)-2); ok {
			for i := range x[2:] {
				out[2+i] = w.slide(i, x[2+i])
			}
		}
	}
	return []Type{tensorType(c.elem(0), out), tensorType(Int64, out)} // MaxPool's second output: indices
}

func inferGlobalPool(c *call) []Type {
	x := c.shape(0)
	if x == nil {
		return []Type{tensorType(c.elem(0), nil)}
	}
	out := make(Shape, len(x))
	for i := range x {
		out[i] = Const(1)
		if i < 2 {
			out[i] = x[i]
		}
	}
	return []Type{tensorType(c.elem(0), out)}
}
