// Package pool slides windows over images and keeps the maximum or the mean,
// forwards and backwards, on float32 in channels-last order:
// [batch][pixels][channels].
package pool

import (
	"math"
	"slices"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/internal/slide"
	"github.com/natonnx/natonnx/engine/window"
)

// GlobalMax writes the maximum over the pixels of each image into out,
// [batch][channels], as [Max] does.
func GlobalMax(t *cpu.Team, batch, pixels, channels int, out, in []float32) {
	Max(t, whole(pixels), batch, channels, out, in)
}

// GlobalMaxBackward writes the gradient of [GlobalMax] into din, given dout,
// [batch][channels], and the image.
func GlobalMaxBackward(t *cpu.Team, batch, pixels, channels int, din, dout, in []float32) {
	MaxBackward(t, whole(pixels), batch, channels, din, dout, in)
}

// GlobalAverage writes the mean over the pixels of each image into out,
// [batch][channels].
func GlobalAverage(t *cpu.Team, batch, pixels, channels int, out, in []float32) {
	Average(t, whole(pixels), batch, channels, out, in, false)
}

// GlobalAverageBackward writes the gradient of [GlobalAverage] into din, given
// dout, [batch][channels].
func GlobalAverageBackward(t *cpu.Team, batch, pixels, channels int, din, dout []float32) {
	scale := 1 / float32(pixels)
	t.Do(batch, func(_, i int) {
		image := din[i*pixels*channels : (i+1)*pixels*channels]
		if len(image) == 0 {
			return
		}
		for c, v := range dout[i*channels : (i+1)*channels] {
			image[c] = v * scale
		}
		for p := 1; p < pixels; p++ {
			copy(image[p*channels:], image[:channels])
		}
	})
}

// whole is a window that covers an image of so many pixels.
func whole(pixels int) window.Slide {
	one := [3]int{1, 1, 1}
	row := [3]int{1, 1, pixels}
	return window.Slide{In: row, Out: one, Kernel: row, Stride: one, Dilation: one}
}

// Average writes the mean over each window into out. Padding counts as zeros if
// includePad, else not at all; what lies beyond the padding, where the last
// window of a ceil mode reaches, never counts (ONNX, AveragePool). A window that
// meets nothing that counts gives 0.
func Average(t *cpu.Team, s window.Slide, batch, channels int, out, in []float32, includePad bool) {
	average(cpu.Used(), t, s, batch, channels, out, in, includePad)
}

func average(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, out, in []float32, includePad bool) {
	j := forward(level, slide.Sum, s, channels, out, in)
	j.Run(t, batch)
	if f := newFactors(s, includePad); !f.none() {
		_, pixels := s.Pixels()
		size := pixels * channels
		t.Do(batch, func(_, i int) { f.apply(out[i*size:(i+1)*size], out[i*size:], channels, 0, channels) })
	}
}

// AverageBackward writes the gradient of [Average] into din, given the one with
// respect to its results.
func AverageBackward(t *cpu.Team, s window.Slide, batch, channels int, din, dout []float32, includePad bool) {
	averageBackward(cpu.Used(), t, s, batch, channels, din, dout, includePad)
}

func averageBackward(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, din, dout []float32, includePad bool) {
	j := backward(level, slide.Sum, s, channels, din, dout)
	f := newFactors(s, includePad)
	if f.none() {
		j.Run(t, batch)
		return
	}
	inPixels, outPixels := s.Pixels()
	from, to := inPixels*channels, outPixels*channels
	eachPart(t, batch, channels, func(worker, image, c, n int) {
		scaled := t.Scratch(worker, to)
		f.apply(scaled, dout[image*to:(image+1)*to], channels, c, n)
		part := j
		part.Out, part.In = din[image*from:], scaled
		part.Image(c, n)
	})
}

// forward computes something about every window.
func forward(level cpu.Level, op slide.Op, s window.Slide, channels int, out, in []float32) slide.Job {
	j := job(level, op, s, channels)
	j.To, j.From, j.Spans, j.Out, j.In = s.Out, s.In, slide.Forward(s), out, in
	return j
}

// backward computes something about every element of the image from the windows
// that meet it.
func backward(level cpu.Level, op slide.Op, s window.Slide, channels int, din, dout []float32) slide.Job {
	j := job(level, op, s, channels)
	j.To, j.From, j.Spans, j.Out, j.In = s.In, s.Out, slide.Backward(s), din, dout
	return j
}

// job is what is common to both. Sums weigh all elements of a window equally,
// so that a whole one gives the mean.
func job(level cpu.Level, op slide.Op, s window.Slide, channels int) slide.Job {
	j := slide.Job{Op: op, Level: level, Channels: channels, Kernel: s.Kernel}
	if op == slide.Sum {
		j.Low, j.High = float32(math.Inf(-1)), float32(math.Inf(1))
		j.W = slices.Repeat([]float32{1 / float32(s.Taps())}, channels)
	}
	return j
}

// eachPart calls f for some channels, n from c on, of every image.
func eachPart(t *cpu.Team, batch, channels int, f func(worker, image, c, n int)) {
	width := slide.Width(channels, batch)
	blocks := (channels + width - 1) / width
	t.Do(batch*blocks, func(worker, i int) {
		c := i % blocks * width
		f(worker, i/blocks, c, min(width, channels-c))
	})
}

// factors say how much more an element weighs, by dimension and position, in a
// window of which not all counts than in one of which all does.
type factors struct {
	slide window.Slide
	by    [3][]float32
}

func newFactors(s window.Slide, includePad bool) factors {
	f := factors{slide: s}
	for d := range f.by {
		lo, hi := 0, s.In[d]
		if includePad {
			lo, hi = -s.Begin[d], s.In[d]+s.End[d]
		}
		f.by[d] = make([]float32, s.Out[d])
		for o := range f.by[d] {
			counted := 0
			for k := range s.Kernel[d] {
				if i := o*s.Stride[d] - s.Begin[d] + k*s.Dilation[d]; lo <= i && i < hi {
					counted++
				}
			}
			f.by[d][o] = float32(s.Kernel[d]) / float32(max(counted, 1))
		}
	}
	return f
}

// none says whether all factors are 1.
func (f factors) none() bool {
	for _, by := range f.by {
		for _, v := range by {
			if v != 1 {
				return false
			}
		}
	}
	return true
}

// apply writes the results of one image, times their factors, in n channels from
// c on. Both slices may be the same.
func (f factors) apply(to, from []float32, channels, c, n int) {
	at := c
	for _, d := range f.by[0] {
		for _, h := range f.by[1] {
			for _, w := range f.by[2] {
				scale(to[at:at+n], from[at:at+n], d*h*w)
				at += channels
			}
		}
	}
}

func scale(to, from []float32, factor float32) {
	if factor == 1 {
		copy(to, from)
		return
	}
	for i, v := range from {
		to[i] = v * factor
	}
}
