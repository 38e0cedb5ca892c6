package onnxgraph

// foldLimit is the most elements of an integer tensor that is followed: shapes
// are short, and weights must not be read.
const foldLimit = 64

// storedLimit bounds the encoded bytes of such a tensor.
const storedLimit = 16 * foldLimit

// tooBig reports whether a value is certainly no small list of integers.
func (t *Types) tooBig(name string) bool {
	typ := t.of[name]
	if typ.Elem != Int64 && typ.Elem != Int32 && typ.Elem != Bool || len(typ.Shape) > 1 {
		return true
	}
	return len(typ.Shape) == 1 && typ.Shape[0].Known() && typ.Shape[0].N > foldLimit
}

// ints returns the elements of input i, in order, where it is a small integer
// tensor whose elements are known or have names; else nil.
func (c *call) ints(i int) []Dim {
	name := c.Input(i)
	if name == "" {
		return nil
	}
	if v, ok := c.types.ints[name]; ok {
		return v
	}
	t := c.types.tensors[name]
	if t == nil {
		return nil
	}
	v := t.smallInts()
	c.types.ints[name] = v
	return v
}

// numbers returns the elements of input i where all are plain numbers.
func (c *call) numbers(i int) ([]int64, bool) { return numbers(c.ints(i)) }

func numbers(dims []Dim) ([]int64, bool) {
	if dims == nil {
		return nil, false
	}
	out := make([]int64, len(dims))
	for i, d := range dims {
		if !d.Known() {
			return nil, false
		}
		out[i] = d.N
	}
	return out, true
}

// listed returns the numbers of an attribute or, where it is absent, of the
// input that later opsets replaced it by. present says that either is there.
func (c *call) listed(attr string, input int) (list []int64, known, present bool) {
	if a := c.Attr(attr); a != nil {
		return a.Ints, a.Type == AttrInts, true
	}
	if !c.has(input) {
		return nil, false, false
	}
	list, known = c.numbers(input)
	return list, known, true
}

func dims(list []int64) []Dim {
	out := make([]Dim, len(list))
	for i, v := range list {
		out[i] = Const(v)
	}
	return out
}

// small reports whether t is worth reading: few elements, few bytes.
func (t *Tensor) small() bool {
	n, err := t.Elements()
	return err == nil && n <= foldLimit && t.Stored() <= storedLimit
}

// smallInts reads an integer tensor, or returns nil where it is not small,
// not of integers or not readable.
func (t *Tensor) smallInts() []Dim {
	if t.Type != Int64 && t.Type != Int32 || !t.small() {
		return nil
	}
	list, err := t.Int64s()
	if err != nil {
		return nil
	}
	return dims(list)
}

// floats returns the elements of input i where it is a small constant of floats.
func (c *call) floats(i int) []float32 {
	name := c.Input(i)
	if v, ok := c.types.floats[name]; ok {
		return v
	}
	t := c.types.tensors[name]
	if t == nil {
		return nil
	}
	v := t.smallFloats()
	c.types.floats[name] = v
	return v
}

// smallFloats is smallInts for floats.
func (t *Tensor) smallFloats() []float32 {
	if !t.Type.isFloat() || !t.small() {
		return nil
	}
	list, err := t.Float32s()
	if err != nil {
		return nil
	}
	return list
}

// foldSame carries the elements of the first input over.
func foldSame(c *call) []Dim { return c.ints(0) }

// foldCast carries the elements over where the result is of integers.
func foldCast(c *call) []Dim {
	if c.types.of[c.Outputs[0]].Elem == Bool {
		return nil
	}
	return c.ints(0)
}

func foldNeg(c *call) []Dim {
	in := c.ints(0)
	if in == nil {
		return nil
	}
	out := make([]Dim, len(in))
	for i, d := range in {
		out[i] = d.times(Const(-1))
	}
	return out
}

// foldBinary applies f to two lists of the same length, or a list and a single element.
func foldBinary(f func(a, b Dim) Dim) func(*call) []Dim {
	return func(c *call) []Dim {
		a, b := c.ints(0), c.ints(1)
		if a == nil || b == nil || len(a) != len(b) && len(a) != 1 && len(b) != 1 {
			return nil
		}
		n := max(len(a), len(b))
		if len(a) == 0 || len(b) == 0 {
			n = 0
		}
		out := make([]Dim, n)
		for i := range out {
			out[i] = f(a[i%len(a)], b[i%len(b)])
		}
		return out
	}
}

// quotient is integer division as ONNX has it, where its sign is certain.
func quotient(a, b Dim) Dim {
	switch {
	case a.Equal(b) && !b.Known():
		return Const(1)
	case !b.Known() || b.N < 1 || a.Known() && a.N < 0:
		return Unknown
	}
	return a.over(b.N)
}

// equality is 1 or 0 where both are numbers, as a Bool tensor is followed.
func equality(a, b Dim) Dim {
	switch {
	case a.Equal(b):
		return Const(1)
	case a.Known() && b.Known():
		return Const(0)
	}
	return Unknown
}

func foldConcat(c *call) []Dim {
	out := []Dim{}
	for i := range c.Inputs {
		v := c.ints(i)
		if v == nil || len(out)+len(v) > foldLimit {
			return nil
		}
		out = append(out, v...)
	}
	return out
}

func foldGather(c *call) []Dim {
	data := c.ints(0)
	at, ok := c.numbers(1)
	if !ok || data == nil || len(c.shape(0)) != 1 {
		return nil
	}
	out := make([]Dim, len(at))
	for i, a := range at {
		j, ok := axis(a, len(data))
		if !ok {
			return nil
		}
		out[i] = data[j]
	}
	return out
}

func foldSlice(c *call) []Dim {
	data := c.ints(0)
	if data == nil || len(c.shape(0)) != 1 {
		return nil
	}
	cuts, ok := c.cuts(1)
	if !ok {
		return nil
	}
	first, n, ok := cuts[0].take(int64(len(data)))
	if !ok {
		return nil
	}
	out := make([]Dim, n)
	for i := range out {
		out[i] = data[first+int64(i)*cuts[0].step]
	}
	return out
}

func foldProduct(c *call) []Dim {
	in, n := c.ints(0), product(c.result(0))
	if in == nil || len(c.shape(0)) != 1 || c.result(0) == nil || n != Const(1) {
		return nil
	}
	return []Dim{product(in)}
}

func foldWhere(c *call) []Dim {
	cond, a, b := c.ints(0), c.ints(1), c.ints(2)
	n := max(len(cond), len(a), len(b))
	for _, v := range [][]Dim{cond, a, b} {
		if v == nil || len(v) != n && len(v) != 1 {
			return nil
		}
	}
	out := make([]Dim, n)
	for i := range out {
		x, y := a[i%len(a)], b[i%len(b)]
		switch k := cond[i%len(cond)]; {
		case !k.Known():
			out[i] = Unknown
		case k.N != 0:
			out[i] = x
		default:
			out[i] = y
		}
	}
	return out
}

func foldFill(c *call) []Dim {
	s := c.result(0)
	if s == nil {
		return nil
	}
	n := product(s)
	value := []Dim{Const(0)}
	if a := c.Attr("value"); a != nil {
		if a.Tensor == nil {
			return nil
		}
		value = a.Tensor.smallInts()
	}
	if !n.Known() || n.N < 0 || n.N > foldLimit || len(value) != 1 {
		return nil
	}
	out := make([]Dim, n.N)
	for i := range out {
		out[i] = value[0]
	}
	return out
}

func foldRange(c *call) []Dim {
	start, ok := c.numbers(0)
	step, ok2 := c.numbers(2)
	s := c.result(0)
	if !ok || !ok2 || len(start) != 1 || len(step) != 1 || len(s) != 1 || !s[0].Known() || s[0].N > foldLimit {
		return nil
	}
	out := make([]Dim, s[0].N)
	for i := range out {
		out[i] = Const(start[0]).plus(Const(int64(i)).times(Const(step[0])))
	}
	return out
}

func foldShape(c *call) []Dim {
	s := c.shape(0)
	if s == nil {
		return nil
	}
	from, to := c.shapeRange(len(s))
	return append([]Dim{}, s[from:to]...)
}

func foldSize(c *call) []Dim {
	s := c.shape(0)
	if s == nil {
		return nil
	}
	return []Dim{product(s)}
}

func foldConstant(c *call) []Dim {
	switch a := c.constant(); {
	case a == nil:
		return nil
	case a.Tensor != nil:
		return a.Tensor.smallInts()
	case a.Type == AttrInt:
		return []Dim{Const(a.Int)}
	case a.Type == AttrInts && len(a.Ints) <= foldLimit:
		return dims(a.Ints)
	}
	return nil
}

// isFloat reports whether t is one of the floating-point types.
func (t DataType) isFloat() bool {
	switch t {
	case Float32, Float64, Float16, BFloat16, Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1:
		return true
	}
	return false
}
