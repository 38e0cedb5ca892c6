package onnxgraph

// same is for operators whose outputs have the type of the first input.
func same(c *call) []Type { return []Type{c.types.of[c.Input(0)]} }

// sameOf is for operators whose output has the first input's shape.
func sameOf(elem DataType) func(*call) []Type {
	return func(c *call) []Type { return []Type{tensorType(elem, c.shape(0))} }
}

// broadcast is the shape of an element-wise operation on both (numpy's rules).
// Dimensions that may or may not fit are unknown.
func broadcast(a, b Shape) Shape {
	if a == nil || b == nil {
		return nil
	}
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append(Shape{}, a...)
	for i, d := range b {
		p := &out[len(a)-len(b)+i]
		*p = broadcastDim(*p, d)
	}
	return out
}

func broadcastDim(a, b Dim) Dim {
	switch {
	case a.Equal(b) || b == Const(1):
		return a
	case a == Const(1):
		return b
	case a.Known() != b.Known(): // a number other than 1 wins: the other must be it, or 1
		if a.Known() {
			return a
		}
		return b
	}
	return Unknown
}

// broadcast is the shape of an element-wise operation on all inputs, and their
// element type.
func (c *call) broadcast() (elem DataType, shape Shape) {
	elem, shape = c.elem(0), c.shape(0)
	for i := 1; i < len(c.Inputs); i++ {
		if elem == Undefined {
			elem = c.elem(i)
		}
		shape = broadcast(shape, c.shape(i))
	}
	return elem, shape
}

func broadcasting(c *call) []Type {
	elem, shape := c.broadcast()
	if c.opset < 7 && c.Int("broadcast", 0) != 0 { // the second input was fitted to the first
		shape = c.shape(0)
	}
	return []Type{tensorType(elem, shape)}
}

func comparison(c *call) []Type {
	t := broadcasting(c)
	return []Type{tensorType(Bool, t[0].Shape)}
}

func inferWhere(c *call) []Type {
	elem := c.elem(1)
	if elem == Undefined {
		elem = c.elem(2)
	}
	return []Type{tensorType(elem, broadcast(c.shape(0), broadcast(c.shape(1), c.shape(2))))}
}

func inferExpand(c *call) []Type {
	x, to := c.shape(0), Shape(c.ints(1))
	if n := c.shape(1); to == nil && len(n) == 1 && n[0].Known() && n[0].N <= rankLimit {
		to = unknownShape(int(n[0].N))
	}
	return []Type{tensorType(c.elem(0), broadcast(x, to))}
}

func inferDropout(c *call) []Type {
	x := c.types.of[c.Input(0)]
	mask := tensorType(Bool, x.Shape)
	if c.opset < 10 {
		mask = x
	}
	return []Type{x, mask}
}

func inferBatchNorm(c *call) []Type {
	stat := tensorType(c.elem(1), c.shape(1))
	return []Type{c.types.of[c.Input(0)], stat, stat, stat, stat} // training: running and saved statistics
}

func inferLayerNorm(c *call) []Type {
	x := c.types.of[c.Input(0)]
	stat := tensorType(DataType(c.Int("stash_type", int64(Float32))), nil)
	if a, ok := axis(c.Int("axis", -1), len(x.Shape)); ok {
		stat.Shape = append(Shape{}, x.Shape...)
		for i := a; i < len(stat.Shape); i++ {
			stat.Shape[i] = Const(1)
		}
	}
	return []Type{x, stat, stat}
}

func inferReduce(c *call) []Type {
	return []Type{tensorType(c.elem(0), c.reduced())}
}

func (c *call) reduced() Shape {
	x := c.shape(0)
	axes, known, present := c.listed("axes", 1)
	keep := c.Int("keepdims", 1) != 0
	switch {
	case x == nil:
		return nil
	case present && !known:
		if keep {
			return unknownShape(len(x))
		}
		return nil
	case len(axes) == 0 && c.Int("noop_with_empty_axes", 0) != 0:
		return x
	}
	gone := make([]bool, len(x))
	for i := range gone {
		gone[i] = len(axes) == 0
	}
	for _, a := range axes {
		i, ok := axis(a, len(x))
		if !ok {
			return nil
		}
		gone[i] = true
	}
	return x.without(gone, keep)
}

// without drops the marked axes, or makes them 1.
func (s Shape) without(gone []bool, keep bool) Shape {
	out := Shape{}
	for i, d := range s {
		switch {
		case !gone[i]:
			out = append(out, d)
		case keep:
			out = append(out, Const(1))
		}
	}
	return out
}

func inferArg(c *call) []Type {
	x := c.shape(0)
	a, ok := axis(c.Int("axis", 0), len(x))
	if !ok {
		return []Type{tensorType(Int64, nil)}
	}
	gone := make([]bool, len(x))
	gone[a] = true
	return []Type{tensorType(Int64, x.without(gone, c.Int("keepdims", 1) != 0))}
}

func inferCast(c *call) []Type {
	return []Type{tensorType(DataType(c.Int("to", 0)), c.shape(0))}
}

func inferCastLike(c *call) []Type { return []Type{tensorType(c.elem(1), c.shape(0))} }

func inferQuantize(c *call) []Type {
	elem := DataType(c.Int("output_dtype", 0))
	if elem == Undefined {
		elem = Uint8
		if c.has(2) {
			elem = c.elem(2)
		}
	}
	return []Type{tensorType(elem, c.shape(0))}
}

func inferDequantize(c *call) []Type {
	elem := DataType(c.Int("output_dtype", 0))
	if elem == Undefined {
		elem = c.elem(1)
	}
	return []Type{tensorType(elem, c.shape(0))}
}

func inferDynamicQuantize(c *call) []Type {
	return []Type{tensorType(Uint8, c.shape(0)), tensorType(Float32, Shape{}), tensorType(Uint8, Shape{})}
}
