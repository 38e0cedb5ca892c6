package conv

import (
	"unsafe"

	"github.com/natonnx/natonnx/engine/cpu"
)

// The register tiles of each level: rows x wide values; the last panel of
// output channels is narrow where that suffices.
var tiles = [...]struct{ rows, wide, narrow int }{
	cpu.Portable: {2, 4, 4},
	cpu.AVX2:     {6, 16, 16},
	cpu.AVX512:   {12, 32, 16},
}

// Weights are packed for the kernels: by group, by panel of output channels,
// [tap][input channel][panel's width], with zeros for channels past the last.
type Weights struct {
	level   cpu.Level
	groups  int
	in, out int // channels of one group
	taps    int
	order   order
	data    []float32 // nil where only the shape is wanted
}

// An order says where the weight of a group, an output and input channel of it
// and a tap stands.
type order struct{ first, group, out, in, tap int }

// Pack packs the weights of a convolution, [Out][In/Groups][kD][kH][kW], for
// [Forward].
func Pack(f Filter, w []float32) *Weights {
	return filterWeights(cpu.Used(), f, false).Repack(w)
}

// PackTransposed packs the weights of a convolution, [Out][In/Groups][kD][kH][kW],
// for [BackwardInput].
func PackTransposed(f Filter, w []float32) *Weights {
	return filterWeights(cpu.Used(), f, true).Repack(w)
}

// PackMatrix packs a matrix for [Multiply]: b [k][n], or [n][k] if transposed.
func PackMatrix(k, n int, b []float32, transposed bool) *Weights {
	return newWeights(cpu.Used(), 1, k, n, 1, matrixOrder(k, n, transposed)).Repack(b)
}

func filterWeights(level cpu.Level, f Filter, transposed bool) *Weights {
	in, out, taps := f.In/f.Groups, f.Out/f.Groups, f.taps()
	if transposed { // taps run backwards, so that pixels are read forwards
		return newWeights(level, f.Groups, out, in, taps, order{taps - 1, out * in * taps, taps, in * taps, -1})
	}
	return newWeights(level, f.Groups, in, out, taps, order{0, out * in * taps, in * taps, taps, 1})
}

func matrixOrder(k, n int, transposed bool) order {
	if transposed {
		return order{out: k, in: 1}
	}
	return order{out: 1, in: n}
}

func newWeights(level cpu.Level, groups, in, out, taps int, o order) *Weights {
	return &Weights{level: level, groups: groups, in: in, out: out, taps: taps, order: o}
}

// Repack replaces the weights by others of the same shape and order, and
// returns w. It reuses w's memory: nothing else may be using w.
func (w *Weights) Repack(from []float32) *Weights {
	if w.data == nil {
		w.data = aligned(w.size())
	}
	for i := range w.blocks() {
		w.move(w.block(i), w.data, from, true)
	}
	return w
}

// A block is a panel's weights for some of the input channels: few enough that
// they stay in cache while they change places.
type block struct {
	panel
	from, to int // input channels
}

func (w *Weights) blockSize() int { return max(16, 64/w.taps) }

func (w *Weights) blocks() int { return w.panels() * pieces(w.in, w.blockSize()) }

func (w *Weights) block(i int) block {
	n := pieces(w.in, w.blockSize())
	from := i % n * w.blockSize()
	return block{w.panel(i / n), from, min(w.in, from+w.blockSize())}
}

// row is where the packed weights of a tap and an input channel begin.
func (p panel) row(w *Weights, tap, in int) int { return p.at + (tap*w.in+in)*p.width }

// move copies the weights of a block from w's order to the packed one, or back.
func (w *Weights) move(b block, packed, ordered []float32, pack bool) {
	o := w.order
	first := o.first + b.group*o.group + b.first*o.out
	if o.out == 1 { // a matrix, whose rows are those of the panel
		for in := b.from; in < b.to; in++ {
			to, from := packed[b.row(w, 0, in):][:b.channels], ordered[first+in*o.in:]
			if !pack {
				to, from = from, to
			}
			copy(to, from)
		}
		return
	}
	for c := range b.channels {
		for tap := range w.taps {
			at, p := first+c*o.out+b.from*o.in+tap*o.tap, b.row(w, tap, b.from)+c
			for range b.to - b.from {
				if pack {
					packed[p] = ordered[at]
				} else {
					ordered[at] = packed[p]
				}
				at += o.in
				p += b.width
			}
		}
	}
}

// k is how many values of the input a value of the result is a sum of.
func (w *Weights) k() int { return w.taps * w.in }

// A panel is a range of output channels that one tile computes.
type panel struct {
	group           int
	first, channels int // within the group
	width           int // channels and padding
	at              int // where its weights begin
}

// perGroup is the number of panels in each group.
func (w *Weights) perGroup() int { return pieces(w.out, tiles[w.level].wide) }

func (w *Weights) panels() int { return w.groups * w.perGroup() }

func (w *Weights) panel(i int) panel {
	t, n := tiles[w.level], w.perGroup()
	p := panel{group: i / n, first: i % n * t.wide, width: t.wide}
	p.channels = min(w.out-p.first, t.wide)
	if p.channels <= t.narrow {
		p.width = t.narrow
	}
	p.at = (p.group*w.groupWidth() + p.first) * w.k()
	return p
}

// groupWidth is the number of channels of a group, with padding.
func (w *Weights) groupWidth() int {
	t := tiles[w.level]
	full, rest := w.out/t.wide*t.wide, w.out%t.wide
	switch {
	case rest == 0:
		return full
	case rest <= t.narrow:
		return full + t.narrow
	}
	return full + t.wide
}

// size is the number of float32 that the packed weights take.
func (w *Weights) size() int { return w.groups * w.groupWidth() * w.k() }

// aligned returns n zeros that begin at a cache line, so that no vector of
// weights lies across two.
func aligned(n int) []float32 {
	const line = 16
	m := make([]float32, n+line)
	past := int(uintptr(unsafe.Pointer(unsafe.SliceData(m)))/4) % line
	return m[(line-past)%line:][:n:n]
}
