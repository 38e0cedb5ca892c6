package pool

import (
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/depthwise/span"
	"github.com/natonnx/natonnx/engine/window"
)

// Max writes the maximum over each window into out; padding does not count. A
// window that meets NaN gives NaN, as in PyTorch; one that meets only padding
// gives -Inf.
func Max(t *cpu.Team, s window.Slide, batch, channels int, out, in []float32) {
	m := newMaximum(s, batch, channels, in)
	out = out[:batch*m.outPixels*channels]
	m.eachBand(t, batch, func(image, c, n int, depth, rows span.Span) {
		for r := range rows.N {
			for _, cols := range m.spans[2] {
				for q := range cols.N {
					at := m.result(image, depth, rows.At+r, cols.At+q) + c
					m.max(out[at:at+n], m.window(image, depth, rows.Part(r, 1), cols.Part(q, 1))+c, depth, rows, cols)
				}
			}
		}
	})
}

// MaxBackward writes the gradient of [Max] into din, given the one with respect
// to its results, and the image. A window passes its gradient on to its first
// maximum in row-major order, or to its last NaN, as in PyTorch.
func MaxBackward(t *cpu.Team, s window.Slide, batch, channels int, din, dout, in []float32) {
	m := newMaximum(s, batch, channels, in)
	din = din[:len(m.in)]
	dout = dout[:batch*m.outPixels*channels]
	// Windows overlap: one task takes all of an image, in some channels.
	blocks := (channels + gradientWidth - 1) / gradientWidth
	t.Do(batch*blocks, func(_, i int) {
		image, c := i/blocks, i%blocks*gradientWidth
		n := min(gradientWidth, channels-c)
		for p := image * m.inPixels; p < (image+1)*m.inPixels; p++ {
			clear(din[p*channels+c : p*channels+c+n])
		}
		var best [gradientWidth]float32
		var where [gradientWidth]int
		m.eachWindow(image, func(result, window int, depth, rows, cols span.Span) {
			m.argMax(best[:n], where[:n], window+c, depth, rows, cols)
			for k, v := range dout[result+c : result+c+n] {
				if where[k] >= 0 {
					din[where[k]] += v
				}
			}
		})
	})
}

const gradientWidth = 32 // channels

// MaxIndices writes, for each result of [Max], the place of the maximum that
// MaxBackward would take, -1 for none: the second output of ONNX's MaxPool.
// Unlike images, indices is in ONNX's order, [batch][channels][pixels], and an
// index counts elements of the image in that order, or, with columnMajor
// (storage_order 1), with the first spatial dimension running fastest within a
// channel.
func MaxIndices(t *cpu.Team, s window.Slide, batch, channels int, indices []int64, in []float32, columnMajor bool) {
	m := newMaximum(s, batch, channels, in)
	t.Do(batch, func(_, image int) {
		best, where := make([]float32, channels), make([]int, channels)
		m.eachWindow(image, func(result, window int, depth, rows, cols span.Span) {
			m.argMax(best, where, window, depth, rows, cols)
			pixel := result/channels - image*m.outPixels
			for c, at := range where {
				index := -1
				if at >= 0 {
					index = (image*channels+c)*m.inPixels + m.place(at/channels-image*m.inPixels, columnMajor)
				}
				indices[(image*channels+c)*m.outPixels+pixel] = int64(index)
			}
		})
	})
}

// A maximum is a computation of maxima over windows.
type maximum struct {
	slide               window.Slide
	channels            int
	inPixels, outPixels int
	spans               [3][]span.Span
	in                  []float32
}

func newMaximum(s window.Slide, batch, channels int, in []float32) *maximum {
	m := &maximum{slide: s, channels: channels}
	m.inPixels, m.outPixels = s.Pixels()
	m.in = in[:batch*m.inPixels*channels]
	for d := range m.spans {
		m.spans[d] = span.Forward(s, d)
	}
	return m
}

// eachBand calls f for pieces of the work, each some rows of one image's
// results and n channels from c on. The pieces do not depend on the team.
func (m *maximum) eachBand(t *cpu.Team, batch int, f func(image, c, n int, depth, rows span.Span)) {
	row := m.slide.Out[2] * m.channels
	if row == 0 {
		return
	}
	slices := span.Cut(m.spans[0], 1)
	bands := span.Cut(m.spans[1], max(1, bandFloats/row))
	parts := (enoughTasks + len(slices)*len(bands)*batch - 1) / max(1, len(slices)*len(bands)*batch)
	width := max(leastWidth, (m.channels+parts-1)/parts)
	blocks := (m.channels + width - 1) / width
	t.Do(batch*len(slices)*len(bands)*blocks, func(_, i int) {
		i, c := i/blocks, i%blocks*width
		i, band := i/len(bands), i%len(bands)
		f(i/len(slices), c, min(width, m.channels-c), slices[i%len(slices)], bands[band])
	})
}

const (
	enoughTasks = 48
	bandFloats  = 8 << 10
	leastWidth  = 64 // channels
)

// eachWindow calls f for every window of an image, with where its result and its
// first element begin, and spans of one position each.
func (m *maximum) eachWindow(image int, f func(result, window int, depth, rows, cols span.Span)) {
	for _, depth := range span.Cut(m.spans[0], 1) {
		for _, rows := range span.Cut(m.spans[1], 1) {
			for _, run := range m.spans[2] {
				for q := range run.N {
					cols := run.Part(q, 1)
					f(m.result(image, depth, rows.At, cols.At), m.window(image, depth, rows, cols), depth, rows, cols)
				}
			}
		}
	}
}

// result is where the result of a window is.
func (m *maximum) result(image int, depth span.Span, row, col int) int {
	out := m.slide.Out
	return (((image*out[0]+depth.At)*out[1]+row)*out[2] + col) * m.channels
}

// window is where the first element that a window meets is.
func (m *maximum) window(image int, depth, rows, cols span.Span) int {
	in := m.slide.In
	return (((image*in[0]+depth.From)*in[1]+rows.From)*in[2] + cols.From) * m.channels
}

// max writes the maximum of the window that begins there, in some channels.
func (m *maximum) max(best []float32, window int, depth, rows, cols span.Span) {
	for c := range best {
		best[c] = lowest
	}
	m.eachTap(window, depth, rows, cols, func(at int) {
		for c, v := range m.in[at : at+len(best)] {
			if v > best[c] || v != v {
				best[c] = v
			}
		}
	})
}

// argMax is max that also says where the maximum is, -1 for nowhere.
func (m *maximum) argMax(best []float32, where []int, window int, depth, rows, cols span.Span) {
	for c := range best {
		best[c], where[c] = lowest, -1
		if depth.Taps*rows.Taps*cols.Taps > 0 {
			best[c], where[c] = m.in[window+c], window+c
		}
	}
	m.eachTap(window, depth, rows, cols, func(at int) {
		for c, v := range m.in[at : at+len(best)] {
			if v > best[c] || v != v {
				best[c], where[c] = v, at+c
			}
		}
	})
}

// eachTap calls f with where each element of a window is, in row-major order.
func (m *maximum) eachTap(window int, depth, rows, cols span.Span, f func(at int)) {
	in := m.slide.In
	for d := range depth.Taps {
		for h := range rows.Taps {
			at := window + (d*depth.FromTap*in[1]+h*rows.FromTap)*in[2]*m.channels
			for range cols.Taps {
				f(at)
				at += cols.FromTap * m.channels
			}
		}
	}
}

// place is where a pixel of the image is in the given order.
func (m *maximum) place(pixel int, columnMajor bool) int {
	if !columnMajor {
		return pixel
	}
	in := m.slide.In
	w, pixel := pixel%in[2], pixel/in[2]
	h, d := pixel%in[1], pixel/in[1]
	return d + in[0]*(h+in[1]*w)
}
