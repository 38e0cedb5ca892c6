package cellmap

import (
	"errors"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// An axis is how a kernel lies and moves along one axis of an image.
type axis struct{ kernel, stride, dilation, begin, end int64 }

// span is the distance from the first tap to the last.
func (a axis) span() int64 { return a.dilation * (a.kernel - 1) }

// become returns another kernel, in the middle of where a lies as far as that
// can be, that gives images of the same size.
func (a axis) become(kernel, dilation int64) axis {
	b := axis{kernel: kernel, stride: a.stride, dilation: dilation}
	grown := b.span() - a.span()
	b.begin = a.begin + grown/2
	b.end = a.begin + a.end + grown - b.begin
	return b
}

// count returns how many windows fit into a length where sizes are rounded up:
// the last window begins inside the image or the padding before it.
func (a axis) count(length int64) int64 {
	room := length + a.begin + a.end - a.span() - 1
	n := (room+a.stride-1)/a.stride + 1
	if (n-1)*a.stride >= length+a.begin {
		n--
	}
	return n
}

// A window is height, then width.
type window [2]axis

// taps lists where the weights of a kernel lie, as they are stored.
func (w window) taps() (list []tap) {
	for y := range w[0].kernel {
		for x := range w[1].kernel {
			list = append(list, tap{y*w[0].dilation - w[0].begin, x*w[1].dilation - w[1].begin})
		}
	}
	return list
}

// attributes are those of a convolution, or of a pooling, which is never dilated.
func (w window) attributes(dilated bool) []*onnxgraph.Attribute {
	pair := func(name string, of func(axis) int64) *onnxgraph.Attribute {
		return onnxgraph.IntsAttr(name, of(w[0]), of(w[1]))
	}
	list := []*onnxgraph.Attribute{
		pair("kernel_shape", func(a axis) int64 { return a.kernel }),
		pair("strides", func(a axis) int64 { return a.stride }),
		onnxgraph.IntsAttr("pads", w[0].begin, w[1].begin, w[0].end, w[1].end),
	}
	if dilated {
		list = append(list, pair("dilations", func(a axis) int64 { return a.dilation }))
	}
	return list
}

// longest bounds the lengths of windows: longer ones are nobody's.
const longest = 1 << 16

// windowOf reads the window of a convolution or pooling, with the Pad nodes that
// stand before it.
func (m *Map) windowOf(pads []*onnxgraph.Node, n *onnxgraph.Node) (w window, err error) {
	kernel := n.Ints("kernel_shape")
	if shape := m.Types.Of(n.Input(1)).Shape; kernel == nil && n.Is("Conv") && len(shape) == 4 {
		kernel = []int64{shape[2].N, shape[3].N}
	}
	ints := func(name string, length int, def int64) []int64 {
		if v := n.Ints(name); len(v) == length {
			return v
		}
		return slices.Repeat([]int64{def}, length)
	}
	if len(kernel) != 2 {
		return w, errors.New("its kernel is not two-dimensional")
	}
	strides, dilations, border := ints("strides", 2, 1), ints("dilations", 2, 1), ints("pads", 4, 0)
	in := m.Types.Of(n.Input(0)).Shape
	for i := range w {
		w[i] = axis{kernel[i], strides[i], dilations[i], border[i], border[i+2]}
		if err := w[i].auto(n.Str("auto_pad", "NOTSET"), in, 2+i); err != nil {
			return w, err
		}
	}
	for _, p := range pads {
		border, err := m.border(p)
		if err != nil {
			return w, err
		}
		for i := range w {
			w[i].begin += border[2+i]
			w[i].end += border[6+i]
		}
	}
	for _, a := range w {
		if min(a.kernel, a.stride, a.dilation) < 1 || min(a.begin, a.end) < 0 ||
			max(a.kernel, a.stride, a.dilation, a.begin, a.end) > longest {
			return w, errors.New("its window has odd dimensions")
		}
	}
	return w, nil
}

// auto fills in the padding that auto_pad means.
func (a *axis) auto(mode string, in onnxgraph.Shape, at int) error {
	if mode == "VALID" {
		a.begin, a.end = 0, 0
	}
	if mode != "SAME_UPPER" && mode != "SAME_LOWER" {
		return nil
	}
	total := a.span()
	if a.stride > 1 {
		if at >= len(in) || !in[at].Known() {
			return errors.New("its padding depends on a size that is not known")
		}
		n := in[at].N
		total = max((n+a.stride-1)/a.stride*a.stride-a.stride+a.span()+1-n, 0)
	}
	a.begin, a.end = total/2, total-total/2
	if mode == "SAME_LOWER" {
		a.begin, a.end = a.end, a.begin
	}
	return nil
}

// border reads what a Pad adds to an image on each side, if that is zeros.
func (m *Map) border(p *onnxgraph.Node) ([]int64, error) {
	unread := errors.New("the padding before it is not one of zeros around the image, of stored width")
	pads := p.Ints("pads")
	value := []float32{p.Float("value", 0)}
	if pads == nil {
		t := m.Model.Graph.Constant(p.Input(1))
		if t == nil || !slices.Equal(t.Dims, []int64{8}) {
			return nil, unread
		}
		var err error
		if pads, err = t.Int64s(); err != nil {
			return nil, err
		}
	}
	if v := m.Model.Graph.Constant(p.Input(2)); v != nil {
		if n, err := v.Elements(); err != nil || n != 1 {
			return nil, unread
		}
		var err error
		if value, err = v.Float32s(); err != nil {
			return nil, err
		}
	} else if p.Input(2) != "" {
		return nil, unread
	}
	if len(pads) != 8 || p.Input(3) != "" || p.Str("mode", "constant") != "constant" || value[0] != 0 || slices.Min(pads) < 0 ||
		pads[0] != 0 || pads[1] != 0 || pads[4] != 0 || pads[5] != 0 {
		return nil, unread
	}
	return pads, nil
}
