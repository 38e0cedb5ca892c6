package pool

import (
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/internal/slide"
	"github.com/natonnx/natonnx/engine/window"
)

// Max writes the maximum over each window into out; padding does not count. A
// window that meets NaN gives NaN, as in PyTorch; one that meets only padding
// gives -Inf.
func Max(t *cpu.Team, s window.Slide, batch, channels int, out, in []float32) {
	maximum(cpu.Used(), t, s, batch, channels, out, in)
}

func maximum(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, out, in []float32) {
	j := forward(level, slide.Max, s, channels, out, in)
	j.Run(t, batch)
}

// MaxBackward writes the gradient of [Max] into din, given the one with respect
// to its results, and the image. A window passes its gradient on to its first
// maximum in row-major order, or to its last NaN, as in PyTorch.
func MaxBackward(t *cpu.Team, s window.Slide, batch, channels int, din, dout, in []float32) {
	maximumBackward(cpu.Used(), t, s, batch, channels, din, dout, in)
}

func maximumBackward(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, din, dout, in []float32) {
	inPixels, outPixels := s.Pixels()
	from, to := inPixels*channels, outPixels*channels
	find := forward(level, slide.ArgMax, s, channels, nil, nil)
	route := backward(level, slide.Route, s, channels, nil, nil)
	eachPart(t, batch, channels, func(worker, image, c, n int) {
		taps := t.Scratch(worker, to)
		find, route := find, route
		find.Out, find.In = taps, in[image*from:]
		find.Image(c, n)
		route.Out, route.In, route.W = din[image*from:], dout[image*to:], taps
		route.Image(c, n)
	})
}

// MaxIndices writes, for each result of [Max], where the maximum is that
// MaxBackward would take, -1 for nowhere: the second output of ONNX's MaxPool.
// Unlike images, indices is in ONNX's order, [batch][channels][pixels], and an
// index counts elements of the image in that order, or, with columnMajor
// (storage_order 1), with the first spatial dimension running fastest within a
// channel.
func MaxIndices(t *cpu.Team, s window.Slide, batch, channels int, indices []int64, in []float32, columnMajor bool) {
	inPixels, outPixels := s.Pixels()
	places := windowPlaces(s, columnMajor)
	t.Do(batch, func(worker, image int) {
		taps := t.Scratch(worker, outPixels*channels)
		j := forward(cpu.Used(), slide.ArgMax, s, channels, taps, in[image*inPixels*channels:])
		j.Image(0, channels)
		for i, tap := range taps {
			o, c := i/channels, i%channels
			plane := image*channels + c
			index := int64(-1)
			if tap >= 0 {
				index = int64(plane*inPixels + places(o, int(tap)))
			}
			indices[plane*outPixels+o] = index
		}
	})
}

// windowPlaces returns a function that says where a tap of the window of a
// result is in a plane of the image.
func windowPlaces(s window.Slide, columnMajor bool) func(result, tap int) int {
	steps := [3]int{s.In[1] * s.In[2], s.In[2], 1}
	if columnMajor {
		steps = [3]int{1, s.In[0], s.In[0] * s.In[1]}
	}
	return func(result, tap int) int {
		place := 0
		for d := 2; d >= 0; d-- {
			o, k := result%s.Out[d], tap%s.Kernel[d]
			result, tap = result/s.Out[d], tap/s.Kernel[d]
			place += (o*s.Stride[d] - s.Begin[d] + k*s.Dilation[d]) * steps[d]
		}
		return place
	}
}
