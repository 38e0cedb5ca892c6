// Package conv multiplies matrices and convolves images: forwards, and
// backwards to the input and to the weights.
//
// Images are channels-last float32: [batch][depth*height*width][channels]. A
// convolution is computed in register tiles of a few pixels by a panel of
// output channels. A tile reads the pixels where they lie, in the image or in a
// copy of a band of it that has the zero border; nothing is unfolded. A matrix
// product is the convolution of a row of pixels by a kernel of one element.
//
// Work is split into pieces by the sizes alone, so that results are the same
// on any number of workers. Slices that are shorter than the sizes say are
// mistakes of the caller, and panic as an index out of range does.
package conv

import (
	"math"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/window"
)

// A Filter is the shape of a convolution's weights. They are in ONNX's order:
// [Out][In/Groups][depth][height][width].
type Filter struct {
	In, Out int // channels of all groups
	Groups  int
	Kernel  [3]int
}

func (f Filter) taps() int { return f.Kernel[0] * f.Kernel[1] * f.Kernel[2] }

// An Epilogue is what happens to every result before it is stored:
// min(max(result + Bias[channel] + Add, Min), Max). NaN stays NaN.
type Epilogue struct {
	Bias []float32 // by output channel; nil: none
	Add  []float32 // laid out as the result is, and may be the same memory; nil: none
	Min  float32   // -Inf: no lower limit
	Max  float32   // +Inf: no upper limit
}

// Plain is the Epilogue that changes nothing.
var Plain = Epilogue{Min: float32(math.Inf(-1)), Max: float32(math.Inf(1))}

// Forward convolves. The shapes are in [batch][D*H*W][In] and
// out [batch][oD*oH*oW][Out]; w comes from [Pack].
func Forward(t *cpu.Team, s window.Slide, batch int, out, in []float32, w *Weights, e Epilogue) {
	p := forwardPass(s, batch, w.groups*w.in, w.groups*w.out)
	p.run(t, out, in, w, e)
}

// BackwardInput computes the gradient of a convolution's input from that of its
// result: dout [batch][oD*oH*oW][Out], din [batch][D*H*W][In], which is
// overwritten. w comes from [PackTransposed].
func BackwardInput(t *cpu.Team, s window.Slide, batch int, din, dout []float32, w *Weights) {
	for _, p := range backwardPasses(s, batch, w.groups*w.in, w.groups*w.out) {
		p.run(t, din, dout, w, Plain)
	}
}

// Multiply computes out [m][n] = a [m][k] times the matrix of [PackMatrix].
func Multiply(t *cpu.Team, m int, out, a []float32, w *Weights, e Epilogue) {
	p := matrixPass(m, w.in, w.out)
	p.run(t, out, a, w, e)
}

// MultiplyATB computes db [k][n] = aᵀ dout of a [m][k] and dout [m][n]: the
// gradient of the matrix that [Multiply] multiplied a by.
func MultiplyATB(t *cpu.Team, m, k, n int, db, a, dout []float32) {
	w := newWeights(cpu.Used(), 1, k, n, 1, matrixOrder(k, n, false))
	p := matrixPass(m, k, n)
	p.gradient(t, db, a, dout, w)
}

// BackwardWeights computes the gradient of a convolution's weights, dw in
// ONNX's order, from in [batch][D*H*W][In] and the gradient of the result,
// dout [batch][oD*oH*oW][Out]. dw is overwritten.
func BackwardWeights(t *cpu.Team, s window.Slide, batch int, f Filter, dw, in, dout []float32) {
	backwardWeights(cpu.Used(), t, s, batch, f, dw, in, dout)
}

func backwardWeights(level cpu.Level, t *cpu.Team, s window.Slide, batch int, f Filter, dw, in, dout []float32) {
	p, w := weightsPass(level, s, batch, f)
	if p.matrix {
		in, dout = dout, in
	}
	p.gradient(t, dw, in, dout, w)
}

// weightsPass returns the pass whose gradient is that of a filter. If it is a
// matrix product then input and result have changed places: doutᵀ in has the
// rows of dw, and need not be transposed.
func weightsPass(level cpu.Level, s window.Slide, batch int, f Filter) (pass, *Weights) {
	p := forwardPass(s, batch, f.In, f.Out)
	if !p.matrix {
		return p, filterWeights(level, f, false)
	}
	in, out := f.In/f.Groups, f.Out/f.Groups
	return matrixPass(p.positions(), f.Out, f.In), newWeights(level, f.Groups, out, in, 1, order{group: in * out, in: in, out: 1})
}

// Scratch returns how much memory, in float32, a team of that many workers
// needs at most for a convolution: forward alone, and for the two backward
// computations.
func Scratch(s window.Slide, batch int, f Filter, workers int) (forward, backward int) {
	w, wt := filterWeights(cpu.Used(), f, false), filterWeights(cpu.Used(), f, true)
	p := forwardPass(s, batch, f.In, f.Out)
	forward = workers * p.cut(w).scratch()
	g, gw := weightsPass(cpu.Used(), s, batch, f)
	own, shared := g.cutGradient(gw).gradientScratch(gw)
	backward = workers*own + shared
	for _, p := range backwardPasses(s, batch, f.Out, f.In) {
		backward = max(backward, workers*p.cut(wt).scratch())
	}
	return forward, backward
}
