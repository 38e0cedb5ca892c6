package onnxgraph

import "slices"

func inferConcat(c *call) []Type {
	elem := Undefined
	for i := 0; i < len(c.Inputs) && elem == Undefined; i++ {
		elem = c.elem(i)
	}
	return []Type{tensorType(elem, c.concatenated())}
}

func (c *call) concatenated() Shape {
	known := slices.IndexFunc(c.Inputs, func(name string) bool { return c.types.of[name].Shape != nil })
	if known < 0 || c.opset >= 4 && c.Attr("axis") == nil {
		return nil
	}
	out := append(Shape{}, c.shape(known)...)
	at, ok := axis(c.Int("axis", 1), len(out)) // 1 was the default before opset 4
	if !ok {
		return nil
	}
	out[at] = Const(0)
	for i := range c.Inputs {
		s := c.shape(i)
		if s == nil {
			out[at] = Unknown
			continue
		}
		if len(s) != len(out) {
			return nil
		}
		for j, d := range s {
			switch {
			case j == at:
				out[j] = out[j].plus(d)
			case !out[j].Known() && (d.Known() || out[j].Sym == "?"):
				out[j] = d
			}
		}
	}
	return out
}

func inferSplit(c *call) []Type {
	x := c.shape(0)
	n := int64(len(c.Outputs))
	out := make([]Type, n)
	for i := range out {
		out[i] = tensorType(c.elem(0), nil)
	}
	at, ok := axis(c.Int("axis", 0), len(x))
	if !ok {
		return out
	}
	sizes, known, present := c.listed("split", 1)
	for i := range out {
		s := append(Shape{}, x...)
		switch d := x[at]; {
		case present && (!known || int64(len(sizes)) != n):
			s[at] = Unknown
		case present:
			s[at] = Const(sizes[i])
		case c.Attr("num_outputs") == nil:
			s[at] = d.exactOver(n)
		default: // equal chunks, the last one smaller
			if s[at] = d.ceilOver(n); int64(i) == n-1 {
				s[at] = d.minus(d.ceilOver(n).times(Const(n - 1)))
			}
		}
		out[i].Shape = s
	}
	return out
}

// A cut is what Slice takes from one axis.
type cut struct {
	start, end Dim
	step       int64
	set        bool // else the whole axis
}

// cuts returns what Slice takes from each of rank axes; ok is false where it
// is not known which axes it cuts.
func (c *call) cuts(rank int) (out []cut, ok bool) {
	starts, ends := c.ints(1), c.ints(2)
	axes, axesKnown, axesSet := c.listed("axes", 3)
	steps, stepsKnown, stepsSet := c.listed("steps", 4)
	if c.opset < 10 {
		starts, ends = dims(c.Ints("starts")), dims(c.Ints("ends"))
	}
	n := max(len(starts), len(ends), len(axes))
	if s := c.shape(1); starts == nil && ends == nil && !axesSet && len(s) == 1 && s[0].Known() && s[0].N <= rankLimit {
		n = int(s[0].N)
	}
	switch {
	case n == 0 && starts == nil, axesSet && (!axesKnown || len(axes) != n), stepsSet && stepsKnown && len(steps) != n:
		return nil, false
	case starts != nil && len(starts) != n, ends != nil && len(ends) != n:
		return nil, false
	}
	out = make([]cut, rank)
	for i := 0; i < n; i++ {
		a := int64(i)
		if axesSet {
			a = axes[i]
		}
		j, ok := axis(a, rank)
		if !ok {
			return nil, false
		}
		k := cut{Unknown, Unknown, 1, true}
		if starts != nil {
			k.start = starts[i]
		}
		if ends != nil {
			k.end = ends[i]
		}
		switch {
		case stepsSet && !stepsKnown:
			k.start = Unknown
		case stepsSet:
			k.step = steps[i]
		}
		out[j] = k
	}
	return out, true
}

// take returns the first index and the number of indices that the cut takes
// from n; ok is false where its bounds are no numbers or its step makes no sense.
func (k cut) take(n int64) (first, count int64, ok bool) {
	if !k.set {
		return 0, n, true
	}
	if !k.start.Known() || !k.end.Known() || k.step == 0 || k.step == -k.step {
		return 0, 0, false
	}
	from, to := k.start.N, k.end.N
	if from < 0 {
		from += n
	}
	if to < 0 {
		to += n
	}
	if k.step > 0 {
		from, to = min(max(from, 0), n), min(max(to, 0), n)
		count = -floorDiv(from-to, k.step)
	} else {
		from, to = min(max(from, 0), n-1), min(max(to, -1), n-1)
		count = -floorDiv(to-from, -k.step)
	}
	return from, max(count, 0), true
}

// toEnd is the end that exporters write for "to the end of the axis": at least
// the greatest 32-bit number.
const toEnd = 1<<31 - 1

// length returns how many elements the cut takes from an axis of size d.
func (k cut) length(d Dim) Dim {
	if !k.set {
		return d
	}
	if d.Known() {
		if _, n, ok := k.take(d.N); ok && d.N >= 0 {
			return Const(n)
		}
		return Unknown
	}
	start, end := k.start, k.end
	switch {
	case !start.Known() || start.N < 0 || k.step < 1:
		return Unknown
	case end.Known() && end.N >= toEnd:
		end = d
	case end.Known() && end.N < 0:
		end = d.plus(end)
	case !end.Equal(d):
		return Unknown
	}
	return end.minus(start).ceilOver(k.step)
}

func inferSlice(c *call) []Type {
	x := c.shape(0)
	if x == nil {
		return []Type{tensorType(c.elem(0), nil)}
	}
	out := unknownShape(len(x))
	if cuts, ok := c.cuts(len(x)); ok {
		for i := range x {
			out[i] = cuts[i].length(x[i])
		}
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferPad(c *call) []Type {
	x := c.shape(0)
	attr := "pads"
	if c.opset < 2 {
		attr = "paddings"
	}
	var pads []Dim
	if a := c.Attr(attr); a != nil {
		pads = dims(a.Ints)
	} else {
		pads = c.ints(1)
	}
	axes, known, present := c.listed("axes", 3)
	if !present {
		known, axes = true, allAxes(len(x))
	}
	out := unknownShape(len(x))
	switch {
	case x == nil:
		return []Type{tensorType(c.elem(0), nil)}
	case !known || len(pads) != 2*len(axes):
		return []Type{tensorType(c.elem(0), out)}
	}
	copy(out, x)
	for i, a := range axes {
		j, ok := axis(a, len(x))
		if !ok {
			return []Type{tensorType(c.elem(0), unknownShape(len(x)))}
		}
		out[j] = x[j].plus(pads[i]).plus(pads[len(axes)+i])
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferTile(c *call) []Type {
	x, times := c.shape(0), c.ints(1)
	out := unknownShape(len(x))
	if x == nil {
		out = nil
	}
	if c.opset >= 6 && len(times) == len(x) {
		for i := range x {
			out[i] = x[i].times(times[i])
		}
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferFlatten(c *call) []Type {
	x := c.shape(0)
	out := unknownShape(2)
	if a := c.Int("axis", 1); x != nil && a == int64(len(x)) {
		out = Shape{product(x), Const(1)}
	} else if at, ok := axis(a, len(x)); ok {
		out = Shape{product(x[:at]), product(x[at:])}
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferReshape(c *call) []Type {
	to := c.ints(1)
	if a := c.Attr("shape"); a != nil && c.opset < 5 {
		to = dims(a.Ints)
	}
	if n := c.shape(1); to == nil && len(n) == 1 && n[0].Known() && n[0].N <= rankLimit {
		return []Type{tensorType(c.elem(0), unknownShape(int(n[0].N)))}
	}
	return []Type{tensorType(c.elem(0), reshape(c.shape(0), to, c.Int("allowzero", 0) != 0))}
}

// reshape resolves the 0 (copied) and the -1 (the rest) of a target shape.
func reshape(x Shape, to []Dim, allowZero bool) Shape {
	if to == nil || len(to) > rankLimit {
		return nil
	}
	out := append(Shape{}, to...)
	rest := -1
	for i, d := range to {
		switch {
		case d == Const(0) && !allowZero:
			out[i] = Unknown
			if i < len(x) {
				out[i] = x[i]
			}
		case d == Const(-1):
			if rest >= 0 {
				return unknownShape(len(to)) // two of them: invalid
			}
			rest = i
		}
	}
	if rest < 0 {
		return out
	}
	out[rest] = Unknown
	if x != nil {
		out[rest] = quotientOf(x, slices.Delete(append(Shape{}, out...), rest, rest+1))
	}
	return out
}

// quotientOf divides the product of x by that of y, after dropping what both have.
func quotientOf(x, y Shape) Dim {
	x = append(Shape{}, x...)
	y = slices.DeleteFunc(y, func(d Dim) bool {
		i := slices.IndexFunc(x, func(o Dim) bool { return o.Equal(d) && d != Const(0) })
		if i >= 0 {
			x = slices.Delete(x, i, i+1)
		}
		return i >= 0
	})
	over := product(y)
	if !over.Known() {
		return Unknown
	}
	return product(x).exactOver(over.N)
}

func inferSqueeze(c *call) []Type {
	x := c.shape(0)
	axes, known, present := c.listed("axes", 1)
	if x == nil || present && !known {
		return []Type{tensorType(c.elem(0), nil)}
	}
	gone := make([]bool, len(x))
	for i, d := range x {
		if !present && !d.Known() {
			return []Type{tensorType(c.elem(0), nil)} // it may be 1 and go
		}
		gone[i] = !present && d.N == 1
	}
	for _, a := range axes {
		i, ok := axis(a, len(x))
		if !ok {
			return []Type{tensorType(c.elem(0), nil)}
		}
		gone[i] = true
	}
	return []Type{tensorType(c.elem(0), x.without(gone, false))}
}

func inferUnsqueeze(c *call) []Type {
	x := c.shape(0)
	axes, known, _ := c.listed("axes", 1)
	rank := len(x) + len(axes)
	if x == nil || !known || rank > rankLimit {
		return []Type{tensorType(c.elem(0), nil)}
	}
	out := make(Shape, rank)
	for _, a := range axes {
		i, ok := axis(a, rank)
		if !ok || out[i] == Const(1) {
			return []Type{tensorType(c.elem(0), nil)}
		}
		out[i] = Const(1)
	}
	next := 0
	for i := range out {
		if out[i] != Const(1) {
			out[i] = x[next]
			next++
		}
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferTranspose(c *call) []Type {
	x, perm := c.shape(0), c.Ints("perm")
	if x == nil {
		return []Type{tensorType(c.elem(0), nil)}
	}
	out := make(Shape, len(x))
	if perm == nil {
		copy(out, x)
		slices.Reverse(out)
		return []Type{tensorType(c.elem(0), out)}
	}
	if len(perm) != len(x) {
		return []Type{tensorType(c.elem(0), nil)}
	}
	for i, p := range perm {
		out[i] = Unknown
		if p >= 0 && p < int64(len(x)) {
			out[i] = x[p]
		}
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferDepthToSpace(c *call) []Type {
	x, b := c.shape(0), Const(c.Int("blocksize", 0))
	if len(x) != 4 || b.N < 1 {
		return []Type{tensorType(c.elem(0), nil)}
	}
	depth := Unknown
	if bb := b.times(b); bb.Known() {
		depth = x[1].exactOver(bb.N)
	}
	return []Type{tensorType(c.elem(0), Shape{x[0], depth, x[2].times(b), x[3].times(b)})}
}

func inferSpaceToDepth(c *call) []Type {
	x, b := c.shape(0), Const(c.Int("blocksize", 0))
	if len(x) != 4 || b.N < 1 {
		return []Type{tensorType(c.elem(0), nil)}
	}
	return []Type{tensorType(c.elem(0), Shape{x[0], x[1].times(b.times(b)), x[2].exactOver(b.N), x[3].exactOver(b.N)})}
}

func inferGather(c *call) []Type {
	x, at := c.shape(0), c.shape(1)
	a, ok := axis(c.Int("axis", 0), len(x))
	if !ok || at == nil || len(x)+len(at) > rankLimit {
		return []Type{tensorType(c.elem(0), nil)}
	}
	return []Type{tensorType(c.elem(0), joinShapes(x[:a], at, x[a+1:]))}
}

// joinShapes puts shapes after one another; of scalars it is a scalar, never nil.
func joinShapes(parts ...Shape) Shape {
	return append(Shape{}, slices.Concat(parts...)...)
}

func inferGatherElements(c *call) []Type { return []Type{tensorType(c.elem(0), c.shape(1))} }

func inferGatherND(c *call) []Type {
	x, at := c.shape(0), c.shape(1)
	var out Shape
	if n := len(at); n > 0 && at[n-1].Known() {
		batch, depth := c.Int("batch_dims", 0), at[n-1].N
		if batch >= 0 && batch < int64(n) && depth >= 0 && depth <= int64(len(x))-batch {
			out = joinShapes(at[:n-1], x[batch+depth:])
		}
	}
	return []Type{tensorType(c.elem(0), out)}
}

func inferTopK(c *call) []Type {
	x := c.shape(0)
	k := []Dim{Const(c.Int("k", 0))}
	if c.opset >= 10 {
		k = c.ints(1)
	}
	var out Shape
	if a, ok := axis(c.Int("axis", -1), len(x)); ok {
		out = append(out, x...)
		out[a] = Unknown
		if len(k) == 1 {
			out[a] = k[0]
		}
	}
	return []Type{tensorType(c.elem(0), out), tensorType(Int64, out)}
}

// shapeRange returns which dimensions Shape reads (attributes of opset 15).
func (c *call) shapeRange(rank int) (from, to int) {
	at := func(name string, def int64) int {
		a := c.Int(name, def)
		if a < 0 {
			a += int64(rank)
		}
		return int(min(max(a, 0), int64(rank)))
	}
	from, to = at("start", 0), at("end", int64(rank))
	return from, max(from, to)
}

func inferShape(c *call) []Type {
	n := Unknown
	if s := c.shape(0); s != nil {
		from, to := c.shapeRange(len(s))
		n = Const(int64(to - from))
	}
	return []Type{tensorType(Int64, Shape{n})}
}

func inferSize(*call) []Type { return []Type{tensorType(Int64, Shape{})} }
