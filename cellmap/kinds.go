package cellmap

import (
	"errors"
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// An heir is what takes the place of an edge's convolution or pooling, and of a
// Pad before it, where a move leads to another kind of operation. What follows on
// the edge (normalization, scale, shift) stays, and so does the name of the value
// that it reads.
type heir struct {
	to       Op
	replaced []*onnxgraph.Node // in order, a Pad first
	window   window            // its own
	ceil     bool              // of a pooling
	// A convolution inherits from that of the last replaced node:
	from     window
	weight   *onnxgraph.Tensor // output channels x inputs of a group x height x width
	groups   int64
	separate bool // into depthwise and pointwise
	// Multiply-adds per output position, before and after.
	was, is int64
}

// Kernels are small, or what is inherited would take long to work out: those of
// NAT++ have at most 5x5 taps, and inherit from at most 13x13.
const (
	mostNew = 5
	mostOld = 13
)

// heir finds what takes the place of an edge's operation, or says why nothing can.
// It reads shapes alone.
func (m *Map) heir(e *Edge, to Op) (*heir, error) {
	kernel, width := to.Size()
	h, w := e.Op.Size()
	switch {
	case !slices.Contains([]string{Conv, SepConv, DilConv, MaxPool, AvgPool}, to.Family()) || kernel != width || kernel < 1 || kernel > mostNew || to != Kernel(to.Family(), kernel, kernel):
		return nil, fmt.Errorf("no rules lead to %s", to)
	case e.Op.Class() != ClassOther:
		return nil, fmt.Errorf("%s has nothing that %s could inherit", e.Op, to)
	case kernel > h || kernel > w:
		return nil, fmt.Errorf("the kernel of %s is larger than that of %s", to, e.Op)
	}
	at := slices.IndexFunc(e.Nodes, func(n *onnxgraph.Node) bool { return n.Is("Conv", "MaxPool", "AveragePool") })
	x := &heir{to: to}
	pair := at+1 < len(e.Nodes) && e.Nodes[at+1].Is("Conv")
	last := at
	if pair && to.IsPool() {
		last++
	}
	x.replaced = e.Nodes[:last+1]
	if err := m.frame(x, e.Nodes[:at], e.Nodes[at], kernel); err != nil {
		return nil, err
	}
	for _, n := range x.replaced {
		x.was += m.perPosition(n)
	}
	var err error
	if to.IsPool() {
		err = m.pooling(x)
	} else {
		err = m.convolution(x, e.Op, pair)
	}
	if err == nil && x.was > 0 && x.is >= x.was {
		err = fmt.Errorf("%s would take %d multiply-adds per output position here, and %s takes %d", to, x.is, e.Op, x.was)
	}
	return x, err
}

// frame works out the window of the heir: one that gives as large an image.
func (m *Map) frame(x *heir, pads []*onnxgraph.Node, core *onnxgraph.Node, kernel int64) (err error) {
	if x.from, err = m.windowOf(pads, core); err != nil {
		return err
	}
	for i, old := range x.from {
		dilation := int64(1)
		if x.to.Family() == DilConv {
			dilation = max(2, old.dilation)
		}
		x.window[i] = old.become(kernel, dilation)
		if x.window[i].begin < 0 || x.window[i].end < 0 {
			return fmt.Errorf("its padding is %d and %d, and %s in its place wants %d less", old.begin, old.end, x.to, old.span()-x.window[i].span())
		}
	}
	return nil
}

// perPosition returns the multiply-adds of a node per output position; 0 for a pooling.
func (m *Map) perPosition(n *onnxgraph.Node) int64 {
	w := m.Types.Of(n.Input(1)).Shape
	if !n.Is("Conv") || len(w) != 4 {
		return 0
	}
	return w[0].N * w[1].N * w[2].N * w[3].N
}

func (m *Map) pooling(x *heir) error {
	core := x.replaced[len(x.replaced)-1]
	in, out := m.Types.Of(x.replaced[0].Input(0)), m.Types.Of(core.Outputs[0])
	x.ceil = core.Int("ceil_mode", 0) != 0
	switch {
	case len(in.Shape) != 4 || len(out.Shape) != 4 || !in.Shape[1].Known() || !out.Shape[1].Known():
		return fmt.Errorf("shapes %v -> %v: a pooling needs known channels", in.Shape, out.Shape)
	case in.Shape[1] != out.Shape[1]:
		return fmt.Errorf("%v -> %v channels: a pooling keeps their number", in.Shape[1], out.Shape[1])
	case !heritable(out.Elem):
		return fmt.Errorf("its values are %v: a pooling needs float32, float16 or float64", out.Elem)
	case slices.ContainsFunc(core.Outputs[1:], func(o string) bool { return m.Model.Graph.Index().Output[o] != nil }):
		return errors.New("its second output is one of the graph's")
	}
	for i, a := range x.window {
		size := in.Shape[2+i]
		switch {
		case a.begin >= a.kernel || a.end >= a.kernel:
			return fmt.Errorf("its padding is %d and %d: windows of %s would lie outside the image", a.begin, a.end, x.to)
		case x.ceil && a != x.from[i] && (!size.Known() || a.count(size.N) != x.from[i].count(size.N)):
			return fmt.Errorf("it rounds the size of the image up, and %s might give another size", x.to)
		}
	}
	return nil
}

// convolution fills in what a convolution inherits. A pair of depthwise and
// pointwise stays one, with other depthwise taps.
func (m *Map) convolution(x *heir, old Op, pair bool) error {
	core := x.replaced[len(x.replaced)-1]
	if !core.Is("Conv") {
		return fmt.Errorf("%s has no weights that %s could inherit", old, x.to)
	}
	x.weight = m.Model.Graph.Constant(core.Input(1))
	x.groups = core.Int("group", 1)
	t := x.weight
	switch {
	case t == nil:
		return fmt.Errorf("its weight is computed, and %s inherits only from one that is stored in the file", x.to)
	case !heritable(t.Type):
		return fmt.Errorf("its weight is %v, and %s inherits only from float32, float16 or float64", t.Type, x.to)
	case len(t.Dims) != 4 || slices.Min(t.Dims) < 1 || x.groups < 1 || t.Dims[0]%x.groups != 0 || t.Dims[2] != x.from[0].kernel || t.Dims[3] != x.from[1].kernel:
		return fmt.Errorf("its weight is %v in %d groups, which is no convolution's", t.Shape(), x.groups)
	case t.Dims[2] > mostOld || t.Dims[3] > mostOld:
		return fmt.Errorf("its kernel is larger than %dx%d", mostOld, mostOld)
	}
	depthwise := t.Dims[1] == 1 && x.groups > 1
	taps := x.window[0].kernel * x.window[1].kernel
	switch family := x.to.Family(); {
	case family == Conv && old.Family() != Conv:
		return fmt.Errorf("%s has too few weights for %s", old, x.to)
	case family == Conv, depthwise && (pair || family == DilConv):
		x.is = t.Dims[0] * t.Dims[1] * taps
	case depthwise:
		return fmt.Errorf("%s is depthwise already", old)
	default:
		x.separate = true
		x.is = x.groups*t.Dims[1]*taps + t.Dims[0]*t.Dims[1]
	}
	return nil
}

// heritable are the types of weights that heirs are worked out from.
func heritable(t onnxgraph.DataType) bool {
	return t == onnxgraph.Float32 || t == onnxgraph.Float16 || t == onnxgraph.Float64
}

// Saving returns how many multiply-adds and parameters a move saves by itself,
// given the network's cost: what the operators cost that go, less what those
// cost that come.
func (m *Map) Saving(move Move, cost *onnxgraph.Cost) (madds, params int64) {
	e := move.Old()
	gone := e.Nodes
	var x *heir
	if move.To.Class() == ClassOther {
		var err error
		if x, err = m.heir(e, move.To); err != nil {
			return 0, 0
		}
		gone = x.replaced
	}
	for _, n := range gone {
		madds += cost.Nodes[n.Index].MAdds
		params += cost.Nodes[n.Index].Params
	}
	if x != nil && x.was > 0 {
		madds -= madds / x.was * x.is
	}
	if x != nil && x.weight != nil {
		params -= x.is // without padding, each weight is used once per position
		if last := x.replaced[len(x.replaced)-1]; m.Model.Graph.Constant(last.Input(2)) != nil {
			params -= x.weight.Dims[0] // the bias
		}
	}
	return madds, params
}

// Inherited returns how much of an operation its heir takes over, from 0 to 1:
// the share of the mean square of its output, bias apart, that the new weights
// reproduce, for images as [Map.Lower] models them. It reads the weights. ok is
// false where a move inherits none.
func (m *Map) Inherited(move Move) (share float64, ok bool, err error) {
	if move.To.Class() != ClassOther || move.To.IsPool() || move.To == move.Old().Op {
		return 0, false, nil
	}
	x, err := m.heir(move.Old(), move.To)
	if err != nil {
		return 0, false, err
	}
	_, e, err := x.weights()
	var unread *unreadable
	if errors.As(err, &unread) {
		err = unread.err
	}
	return e.share(), err == nil, err
}

// An unreadable weight is no refusal: the file cannot be read.
type unreadable struct{ err error }

func (u *unreadable) Error() string { return u.err.Error() }

// weights works out the weights of a convolution: one set of taps, or depthwise
// and pointwise.
func (x *heir) weights() (out [][]float64, e energy, err error) {
	stored, err := x.weight.Float32s()
	if err != nil {
		return nil, e, &unreadable{err}
	}
	d := x.weight.Dims
	taps, ins, outs := int(d[2]*d[3]), int(d[1]), int(d[0]/x.groups)
	all := newMatrix(int(d[0])*ins, taps)
	for i, v := range stored {
		all.v[i] = float64(v)
		if all.v[i]-all.v[i] != 0 {
			return nil, e, Refusal{Where: x.replaced[len(x.replaced)-1].String(), Reason: "its weight holds numbers that are not finite"}
		}
	}
	g := newLegacy(x.from.taps(), x.window.taps())
	if !x.separate {
		return [][]float64{g.kernel(all, &e).v}, e, nil
	}
	var depthwise []float64
	pointwise := make([]float64, all.rows)
	one := newMatrix(outs, taps) // what one channel gives to the outputs of its group
	for c := range int(x.groups) * ins {
		group, in := c/ins, c%ins
		for o := range outs {
			copy(one.row(o), all.row((group*outs+o)*ins+in))
		}
		d, p := g.separable(one, &e)
		depthwise = append(depthwise, d...)
		for o, v := range p {
			pointwise[(group*outs+o)*ins+in] = v
		}
	}
	return [][]float64{depthwise, pointwise}, e, nil
}

// succeeded lowers an edge whose operation is of another kind now.
func (l *lowerer) succeeded(e *Edge, op Op, from lowered) (lowered, error) {
	x, err := l.heir(e, op)
	if err != nil {
		return lowered{}, err
	}
	if from.isConstant() {
		v, err := l.through(x, from.constant)
		if err == nil {
			v, err = l.applyConstant(e.Nodes[len(x.replaced):], v)
		}
		return lowered{constant: v}, err
	}
	return lowered{values: []string{e.Value}}, l.succeed(x, from.values[0])
}

// succeed puts an heir that reads from in the place of an edge's operation.
func (l *lowerer) succeed(x *heir, from string) error {
	core := x.replaced[len(x.replaced)-1]
	l.patch.Remove = append(l.patch.Remove, core)
	l.removed[core] = true
	add := func(op, name string, inputs []string, out string, attributes ...*onnxgraph.Attribute) {
		l.patch.Add = append(l.patch.Add, onnxgraph.NewNode(op, name, inputs, []string{out}, attributes...))
	}
	if x.to.IsPool() {
		attributes := x.window.attributes(false)
		if x.ceil {
			attributes = append(attributes, onnxgraph.IntAttr("ceil_mode", 1))
		}
		add(map[string]string{MaxPool: "MaxPool", AvgPool: "AveragePool"}[x.to.Family()], core.Name, []string{from}, core.Outputs[0], attributes...)
		return nil
	}
	d := x.weight.Dims
	k := x.window[0].kernel
	shapes := [][]int64{{d[0], d[1], k, k}}
	if x.separate {
		shapes = [][]int64{{x.groups * d[1], 1, k, k}, {d[0], d[1], 1, 1}}
	}
	names, err := l.bequeath(x, shapes)
	if err != nil {
		return err
	}
	inputs := []string{from, names[0]}
	if x.separate {
		half := l.unique(halfway + core.Outputs[0])
		name := core.Name
		if name != "" {
			name += "/depthwise"
		}
		add("Conv", name, inputs, half, append(x.window.attributes(true), onnxgraph.IntAttr("group", shapes[0][0]))...)
		inputs = []string{half, names[1]}
	}
	if bias := core.Input(2); bias != "" {
		inputs = append(inputs, bias)
	}
	attributes := x.window.attributes(true)
	if x.separate {
		attributes = []*onnxgraph.Attribute{onnxgraph.IntsAttr("kernel_shape", 1, 1)}
	}
	add("Conv", core.Name, inputs, core.Outputs[0], append(attributes, onnxgraph.IntAttr("group", x.groups))...)
	return nil
}

// bequeath adds the weights of an heir and returns their names. A draft has zeros.
func (l *lowerer) bequeath(x *heir, shapes [][]int64) (names []string, err error) {
	var values [][]float64
	if !l.draft {
		if values, _, err = x.weights(); err != nil {
			return nil, err
		}
	}
	for i, dims := range shapes {
		name := x.weight.Name + "/" + string(x.to)
		if x.separate {
			name += []string{"/depthwise", "/pointwise"}[i]
		}
		name = l.unique(name)
		t := onnxgraph.NewTensor(name, x.weight.Type, dims, nil)
		if l.draft {
			size, err := t.Bytes()
			if err != nil {
				return nil, err
			}
			t = onnxgraph.NewTensor(name, x.weight.Type, dims, make([]byte, size))
		} else {
			t = tensorOf(name, x.weight.Type, dims, values[i])
		}
		l.patch.Init = append(l.patch.Init, t)
		names = append(names, name)
	}
	return names, nil
}

// through returns what an heir makes of a constant.
func (l *lowerer) through(x *heir, c constant) (constant, error) {
	switch {
	case x.to.IsPool():
		return c, nil // borders do not count
	case !c.isZero():
		return nil, fmt.Errorf("%s of a constant has no closed form here", x.to)
	}
	return l.weight(x.replaced[len(x.replaced)-1], 2)
}
