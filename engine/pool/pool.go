// Package pool slides windows over images and keeps the maximum or the mean,
// forwards and backwards, on float32 in channels-last order:
// [batch][pixels][channels].
package pool

import (
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/depthwise"
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
	depthwise.Forward(t, s, batch, channels, out, in, equal(s, channels), depthwise.None)
	_, pixels := s.Pixels()
	if f := newFactors(s, includePad); !f.none() {
		t.Do(batch, func(_, i int) { f.apply(out[i*pixels*channels:(i+1)*pixels*channels], channels) })
	}
}

// AverageBackward writes the gradient of [Average] into din, given the one with
// respect to its results.
func AverageBackward(t *cpu.Team, s window.Slide, batch, channels int, din, dout []float32, includePad bool) {
	_, pixels := s.Pixels()
	if f := newFactors(s, includePad); !f.none() {
		size := pixels * channels
		scaled := t.Scratch(0, batch*size) // of worker 0; what follows uses none
		t.Do(batch, func(_, i int) {
			copy(scaled[i*size:(i+1)*size], dout[i*size:])
			f.apply(scaled[i*size:(i+1)*size], channels)
		})
		dout = scaled
	}
	depthwise.BackwardInput(t, s, batch, channels, din, dout, equal(s, channels))
}

// equal is the window that gives the mean where all of it counts.
func equal(s window.Slide, channels int) *depthwise.Weights {
	return depthwise.Uniform(channels, s.Kernel, 1/float32(s.Taps()))
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

// apply multiplies the results of one image by their factors.
func (f factors) apply(out []float32, channels int) {
	for _, d := range f.by[0] {
		for _, h := range f.by[1] {
			for _, w := range f.by[2] {
				if v := d * h * w; v != 1 {
					for c := range out[:channels] {
						out[c] *= v
					}
				}
				out = out[channels:]
			}
		}
	}
}
