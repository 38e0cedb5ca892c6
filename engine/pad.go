package engine

import (
	"errors"
	"fmt"
	"slices"
)

// A padding step puts a frame around a tensor, or takes one off.
type padding struct {
	pads, axes list
	mode       string
	value      float32 // before opset 11
	fromInput  bool    // the value is input 2
}

func newPad(n *node) (step, error) {
	p := padding{
		pads: n.list("pads", 1, 11), axes: n.list("", 3, 18),
		mode: n.Str("mode", "constant"), value: n.Float("value", 0), fromInput: n.opset >= 11,
	}
	if !slices.Contains([]string{"constant", "reflect", "edge", "wrap"}, p.mode) {
		return nil, fmt.Errorf("mode is %q, want constant, reflect, edge or wrap", p.mode)
	}
	if p.fromInput {
		return p, n.require(2)
	}
	return p, n.require(1)
}

// margins are what a padding does to each dimension. The elements [from,
// from+kept) of the input become [to, to+kept) of the result.
type margins struct{ dims, from, to, kept []int }

func (p padding) margins(in []*Tensor) (margins, error) {
	rank := len(in[0].Dims)
	m := margins{slices.Clone(in[0].Dims), make([]int, rank), make([]int, rank), slices.Clone(in[0].Dims)}
	pads, err := p.pads(in)
	if err != nil {
		return m, fmt.Errorf("pads: %w", err)
	}
	axes, err := p.axes(in)
	if err != nil {
		return m, fmt.Errorf("axes: %w", err)
	}
	if axes == nil {
		axes = reversed(rank)
		slices.Reverse(axes)
	}
	if _, err := marked(axes, rank); err != nil {
		return m, err
	}
	if len(pads) != 2*len(axes) {
		return m, fmt.Errorf("%d pads for %d axes", len(pads), len(axes))
	}
	for i, a := range axes {
		a, _ = axis(a, rank)
		if err := m.pad(a, pads[i], pads[len(axes)+i]); err != nil {
			return m, fmt.Errorf("pads %v of %v: %w", pads, in[0], err)
		}
	}
	if p.mode != "constant" && slices.Contains(m.kept, 0) && !slices.Contains(m.dims, 0) {
		return m, fmt.Errorf("pads %v of %v: nothing is left to continue by %s", pads, in[0], p.mode)
	}
	return m, nil
}

// pad adds so many elements before and after along an axis; fewer than none crop.
func (m *margins) pad(a, before, after int) error {
	const most = 1 << 48
	if max(before, -before, after, -after) > most || before < -most || m.dims[a]+before+after < 0 {
		return errors.New("too much")
	}
	m.kept[a] = max(0, m.dims[a]+min(before, 0)+min(after, 0))
	m.dims[a] += before + after
	m.from[a], m.to[a] = max(0, -before), min(max(0, before), m.dims[a])
	return nil
}

// centre is the movement of what is kept.
func (m *margins) centre(to, from []int) movement {
	return movement{dims: m.kept, to: to, from: from, toStart: dot(m.to, to), fromStart: dot(m.from, from)}
}

// frame calls f with the movements that fill what lies before and behind along
// an axis, from one element or, unless the mode is constant, from the result
// itself, one slab at a time. Axes before it are complete, those behind it not yet.
func (m *margins) frame(a int, mode string, strides []int, f func(movement)) {
	if slices.Contains(m.dims, 0) {
		return
	}
	base := dot(m.to[a+1:], strides[a+1:])
	fill := func(begin, end, from int) {
		s := movement{dims: slices.Concat(m.dims[:a], []int{end - begin}, m.kept[a+1:]), to: strides, from: strides}
		s.toStart, s.fromStart = base+begin*strides[a], base+from*strides[a]
		if mode == "constant" {
			s.from, s.fromStart = make([]int, len(strides)), 0
		}
		f(s)
	}
	first, behind := m.to[a], m.to[a]+m.kept[a]
	for _, side := range [][2]int{{0, first}, {behind, m.dims[a]}} {
		if mode == "constant" {
			fill(side[0], side[1], 0)
			continue
		}
		for i := side[0]; i < side[1]; i++ {
			fill(i, i+1, first+continued(i-first, m.kept[a], mode))
		}
	}
}

// continued returns which of n elements stands for the one at i beyond them.
func continued(i, n int, mode string) int {
	switch mode {
	case "edge":
		return min(max(i, 0), n-1)
	case "wrap":
		return (i%n + n) % n
	}
	period := max(2*(n-1), 1) // reflect: the outermost are not repeated
	i = (i%period + period) % period
	return min(i, period-i)
}

func (padding) anyLayout() {}

func (p padding) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	m, err := p.margins(in)
	if err != nil {
		return nil, err
	}
	if v := x.relabel(in[0], m.dims, m.centre); v != nil {
		return []*Tensor{v}, nil
	}
	out, err := x.alike(in[0], m.dims, in[0].last)
	if err != nil {
		return nil, err
	}
	x.move(out, in[0], m.centre(out.strides(), in[0].strides()))
	source := out
	if p.mode == "constant" {
		if source, err = p.filling(in); err != nil {
			return nil, err
		}
	}
	for a := range m.dims {
		m.frame(a, p.mode, out.strides(), func(s movement) { x.move(out, source, s) })
	}
	return []*Tensor{out}, nil
}

// filling returns the element that constant padding consists of.
func (p padding) filling(in []*Tensor) (*Tensor, error) {
	typ := in[0].Type()
	if p.fromInput && len(in) > 2 && in[2] != nil {
		if in[2].Type() != typ || in[2].Len() != 1 {
			return nil, fmt.Errorf("constant_value is %v, want one %v", in[2], typ)
		}
		return in[2], nil
	}
	if p.value == 0 {
		return &Tensor{Dims: []int{1}, data: kinds[typ].make(1)}, nil
	}
	return narrow(typ, []int{1}, []float64{float64(p.value)})
}

func (padding) reads() (in, out indices) { return only(1, 3), 0 }

func (p padding) grad(x *exec, in, _, dout []*Tensor, want []bool) ([]*Tensor, error) {
	if len(want) > 2 && want[2] {
		return nil, errors.New("constant_value has no gradient")
	}
	m, err := p.margins(in)
	if err != nil {
		return nil, err
	}
	g := dout[0]
	if p.mode != "constant" {
		if g, err = x.temporary(m.dims, dout[0].last); err != nil {
			return nil, err
		}
		sums := g.data.([]float32)
		copy(sums, dout[0].data.([]float32))
		for a := len(m.dims) - 1; a >= 0; a-- {
			m.frame(a, p.mode, g.strides(), func(s movement) { addAll(s.back(), sums, sums) })
		}
	}
	dx, err := x.moveBack(g, in[0].Dims, m.dims, m.centre)
	return []*Tensor{dx}, err
}
