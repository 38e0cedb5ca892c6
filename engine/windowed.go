package engine

import (
	"fmt"

	"github.com/natonnx/natonnx/engine/window"
)

// A windowed holds the attributes of convolution and pooling that say how the
// window slides. Nil lists are ONNX's defaults.
type windowed struct {
	kernel, strides, dilations, pads []int
	autoPad                          string
	ceil                             bool
}

func newWindowed(n *node) (windowed, error) {
	w := windowed{
		kernel: attributeInts(n, "kernel_shape"), strides: attributeInts(n, "strides"),
		dilations: attributeInts(n, "dilations"), pads: attributeInts(n, "pads"),
		autoPad: n.Str("auto_pad", "NOTSET"), ceil: n.Int("ceil_mode", 0) != 0,
	}
	switch w.autoPad {
	case "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "":
		return w, nil
	}
	return w, fmt.Errorf("auto_pad %q, want NOTSET, VALID, SAME_UPPER or SAME_LOWER", w.autoPad)
}

func attributeInts(n *node, name string) []int {
	if list := n.Ints(name); len(list) > 0 {
		return convert(list)
	}
	return nil
}

// slide returns the geometry for an image batch of the given dims.
func (w windowed) slide(dims []int) (window.Slide, error) {
	if len(dims) < 3 {
		return window.Slide{}, fmt.Errorf("input is %s, want batch, channels and at least one more dimension", spell(dims))
	}
	in := dims[2:]
	begin, end := w.padding(in)
	if len(w.pads) != 0 && w.explicit() && len(w.pads) != 2*len(in) {
		return window.Slide{}, fmt.Errorf("pads has %d values, want %d", len(w.pads), 2*len(in))
	}
	return window.New(in, w.kernel, w.strides, w.dilations, begin, end, w.ceil)
}

func (w windowed) explicit() bool { return w.autoPad == "NOTSET" || w.autoPad == "" }

// padding returns the padding before and after each dimension.
func (w windowed) padding(in []int) (begin, end []int) {
	switch {
	case w.explicit():
		if len(w.pads) == 2*len(in) {
			return w.pads[:len(in)], w.pads[len(in):]
		}
		return nil, nil
	case w.autoPad == "VALID":
		return nil, nil
	}
	begin, end = make([]int, len(in)), make([]int, len(in))
	for d, n := range in {
		stride, extent := at(w.strides, d), (at(w.kernel, d)-1)*at(w.dilations, d)+1
		total := max(((n+stride-1)/stride-1)*stride+extent-n, 0)
		begin[d], end[d] = total/2, total-total/2
		if w.autoPad == "SAME_LOWER" {
			begin[d], end[d] = end[d], begin[d]
		}
	}
	return begin, end
}

// at returns element i of a list of which absent means ones.
func at(list []int, i int) int {
	if i < len(list) {
		return max(list[i], 1)
	}
	return 1
}

// result returns the dims of the image batch that comes out.
func result(in []int, channels int, s window.Slide) []int {
	out := []int{in[0], channels}
	return append(out, s.Out[5-len(in):]...)
}
