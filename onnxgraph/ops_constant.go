package onnxgraph

import "math"

// constant returns the one attribute that holds a Constant node's value, or nil.
func (c *call) constant() *Attribute {
	for _, a := range c.Attributes {
		switch a.Name {
		case "value", "value_int", "value_ints", "value_float", "value_floats", "value_string", "value_strings":
			return a
		}
	}
	return nil
}

func inferConstant(c *call) []Type {
	var t Type
	switch a := c.constant(); {
	case a == nil:
	case a.Tensor != nil:
		t = tensorType(a.Tensor.Type, a.Tensor.Shape())
	case a.Type == AttrInt:
		t = tensorType(Int64, Shape{})
	case a.Type == AttrInts:
		t = tensorType(Int64, Shape{Const(int64(len(a.Ints)))})
	case a.Type == AttrFloat:
		t = tensorType(Float32, Shape{})
	case a.Type == AttrFloats:
		t = tensorType(Float32, Shape{Const(int64(len(a.Floats)))})
	case a.Type == AttrString:
		t = tensorType(String, Shape{})
	case a.Type == AttrStrings:
		t = tensorType(String, Shape{Const(int64(len(a.Strings)))})
	}
	return []Type{t}
}

func inferConstantOfShape(c *call) []Type {
	elem := Float32
	if a := c.Attr("value"); a != nil && a.Tensor != nil {
		elem = a.Tensor.Type
	}
	shape := Shape(c.ints(0))
	if n := c.shape(0); shape == nil && len(n) == 1 && n[0].Known() && n[0].N <= rankLimit {
		shape = unknownShape(int(n[0].N))
	}
	return []Type{tensorType(elem, shape)}
}

func inferRange(c *call) []Type {
	return []Type{tensorType(c.elem(0), Shape{c.rangeLength()})}
}

func (c *call) rangeLength() Dim {
	start, limit, step := c.ints(0), c.ints(1), c.ints(2)
	if len(start) == 1 && len(limit) == 1 && len(step) == 1 {
		return rangeInts(start[0], limit[0], step[0])
	}
	a, b, s := c.floats(0), c.floats(1), c.floats(2)
	if len(a) != 1 || len(b) != 1 || len(s) != 1 {
		return Unknown
	}
	n := math.Ceil((float64(b[0]) - float64(a[0])) / float64(s[0]))
	if !(n < 1<<53) {
		return Unknown
	}
	return Const(int64(max(n, 0)))
}

func rangeInts(start, limit, step Dim) Dim {
	if !step.Known() || step.N == 0 || step.N == -step.N {
		return Unknown
	}
	way := limit.minus(start)
	if step.N < 0 {
		way, step.N = start.minus(limit), -step.N
	}
	n := way.ceilOver(step.N)
	if n.Known() {
		n.N = max(n.N, 0)
	}
	return n
}

func inferResize(c *call) []Type {
	x, axes := c.shape(0), c.Ints("axes")
	if x == nil {
		return []Type{tensorType(c.elem(0), nil)}
	}
	if axes == nil {
		axes = allAxes(len(x))
	}
	scales := c.floats(2)
	if c.opset < 11 {
		scales = c.floats(1)
	}
	if c.Str("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		scales = nil // what is cropped is scaled
	}
	sizes := c.ints(3)
	if c.Str("keep_aspect_ratio_policy", "stretch") != "stretch" {
		sizes = nil // they are bounds then
	}
	out := append(Shape{}, x...)
	for i, a := range axes {
		j, ok := axis(a, len(x))
		if !ok {
			return []Type{tensorType(c.elem(0), unknownShape(len(x)))}
		}
		out[j] = Unknown
		switch {
		case c.has(3) && len(sizes) == len(axes):
			out[j] = sizes[i]
		case !c.has(3) && len(scales) == len(axes):
			out[j] = scaled(x[j], scales[i])
		}
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferUpsample(c *call) []Type {
	x, scales := c.shape(0), c.floats(1)
	if a := c.Attr("scales"); a != nil { // opset 7
		scales = a.Floats
	}
	if c.opset < 7 && len(x) == 4 {
		scales = []float32{1, 1, c.Float("height_scale", 0), c.Float("width_scale", 0)}
	}
	if x == nil || len(scales) != len(x) {
		return []Type{tensorType(c.elem(0), nil)}
	}
	out := make(Shape, len(x))
	for i := range x {
		out[i] = scaled(x[i], scales[i])
	}
	return []Type{tensorType(c.elem(0), out)}
}

// scaled is floor(d*scale).
func scaled(d Dim, scale float32) Dim {
	whole, inverse := int64(scale), int64(1/scale)
	switch {
	case !(scale > 0 && scale < 1<<20):
		return Unknown
	case scale == float32(whole):
		return d.times(Const(whole))
	case d.Known() && d.N < 1<<31:
		return Const(int64(math.Floor(float64(float32(d.N) * scale))))
	case inverse > 0 && float32(inverse)*scale == 1:
		return d.over(inverse)
	}
	return Unknown
}
