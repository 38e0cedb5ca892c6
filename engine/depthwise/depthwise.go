package depthwise

import (
	"math"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/depthwise/span"
	"github.com/natonnx/natonnx/engine/window"
)

// An Epilogue is what happens to a convolution's results before they are
// written: out = clamp(conv + Bias + Add) into [Min, Max]. NaN stays NaN.
type Epilogue struct {
	Bias     []float32 // per channel; nil: none
	Add      []float32 // as many as results, may be the results' memory; nil: none
	Min, Max float32   // -Inf and +Inf for no limit
}

// None is the Epilogue that changes nothing.
var None = Epilogue{Min: float32(math.Inf(-1)), Max: float32(math.Inf(1))}

// Forward convolves in, [batch][pixels][channels], into out. Padding is zero.
func Forward(t *cpu.Team, s window.Slide, batch, channels int, out, in []float32, w *Weights, e Epilogue) {
	forward(cpu.Used(), t, s, batch, channels, out, in, w, e)
}

func forward(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, out, in []float32, w *Weights, e Epilogue) {
	j := job{level: level, channels: channels, to: s.Out, from: s.In, out: out, in: in, w: w, e: e}
	for d := range j.spans {
		j.spans[d] = span.Forward(s, d)
	}
	j.run(t, batch)
}

// BackwardInput writes the gradient with respect to the image into din, given
// the gradient with respect to the results.
func BackwardInput(t *cpu.Team, s window.Slide, batch, channels int, din, dout []float32, w *Weights) {
	backwardInput(cpu.Used(), t, s, batch, channels, din, dout, w)
}

func backwardInput(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, din, dout []float32, w *Weights) {
	j := job{level: level, channels: channels, to: s.In, from: s.Out, out: din, in: dout, w: w, e: None}
	for d := range j.spans {
		j.spans[d] = span.Backward(s, d)
	}
	j.run(t, batch)
}

// A job is a convolution, or its gradient with respect to the image: every
// result is a sum over the taps that its spans name.
type job struct {
	level    cpu.Level
	channels int
	to, from [3]int // extents of the results and of what they read
	spans    [3][]span.Span
	out, in  []float32
	w        *Weights
	e        Epilogue
}

// How finely work is split: enough pieces for 16 workers, but none that is done
// in less than about a microsecond.
const (
	enoughTasks = 48
	leastFloats = 8 << 10
	leastWidth  = 64 // channels
)

// run computes all results. A task is some rows of one image and some of the
// channels.
func (j *job) run(t *cpu.Team, batch int) {
	to, from := j.channels*volume(j.to), j.channels*volume(j.from)
	if batch == 0 || to == 0 {
		return
	}
	j.check(batch*to, batch*from)
	row := j.to[2] * j.channels
	bands := span.Cut(j.spans[1], roundUp(max(1, leastFloats/row), tileRows))
	slices := span.Cut(j.spans[0], 1)
	tasks := batch * len(slices) * len(bands)
	width := width(j.channels, tasks)
	blocks := (j.channels + width - 1) / width
	t.Do(tasks*blocks, func(_, i int) {
		i, block := i/blocks, i%blocks
		i, band := i/len(bands), i%len(bands)
		image, slice := i/len(slices), i%len(slices)
		c := block * width
		j.band(image*to+c, image*from+c, c, min(width, j.channels-c), slices[slice], bands[band])
	})
}

// check panics here, rather than in assembly, where memory is too short.
func (j *job) check(to, from int) {
	j.out, j.in = j.out[:to], j.in[:from]
	if j.e.Bias != nil {
		j.e.Bias = j.e.Bias[:j.channels]
	}
	if j.e.Add != nil {
		j.e.Add = j.e.Add[:to]
	}
}

// band computes the results of one slice and a run of rows, in n channels from
// c on; out and in are where these begin.
func (j *job) band(out, in, c, n int, slice, rows span.Span) {
	toRow, fromRow := j.to[2]*j.channels, j.from[2]*j.channels
	tl := tile{
		out: j.out, in: j.in, w: j.w.values, add: j.e.Add,
		outRow: rows.Step * toRow, inRow: rows.FromStep * fromRow,
		channels: n, low: j.e.Min, high: j.e.Max,
	}
	if j.e.Bias != nil {
		tl.bias = j.e.Bias[c:]
	}
	var few [16]place
	tl.places = few[:0]
	for kd := range slice.Taps {
		for kh := range rows.Taps {
			tl.places = append(tl.places, place{
				in: (kd*slice.FromTap*j.from[1] + kh*rows.FromTap) * fromRow,
				w:  (kd*slice.TapStep*j.w.kernel[1] + kh*rows.TapStep) * j.w.kernel[2] * j.w.step,
			})
		}
	}
	out += (slice.At*j.to[1] + rows.At) * toRow
	in += (slice.From*j.from[1] + rows.From) * fromRow
	w := (slice.Tap*j.w.kernel[1] + rows.Tap) * j.w.kernel[2]
	for r, tall := 0, 0; r < rows.N; r += tall {
		tall = piece(rows.N-r, tileRows)
		for _, cols := range j.spans[2] {
			tl.taps = cols.Taps
			tl.inTap, tl.wTap = cols.FromTap*j.channels, cols.TapStep*j.w.step
			tl.outCol, tl.inCol = cols.Step*j.channels, cols.FromStep*j.channels
			tl.wAt = (w+cols.Tap)*j.w.step + c
			for q, wide := 0, 0; q < cols.N; q += wide {
				wide = piece(cols.N-q, tileCols)
				tl.outAt = out + r*tl.outRow + cols.At*j.channels + q*tl.outCol
				tl.inAt = in + r*tl.inRow + cols.From*j.channels + q*tl.inCol
				tl.compute(j.level, tall, wide)
			}
		}
	}
}

// piece is the first of the fewest, nearly equal parts of n that are at most most.
func piece(n, most int) int {
	parts := (n + most - 1) / most
	return (n + parts - 1) / parts
}

// width is how many channels a task takes, given how many tasks there are if it
// takes all.
func width(channels, tasks int) int {
	parts := (enoughTasks + tasks - 1) / max(tasks, 1)
	return max(leastWidth, roundUp((channels+parts-1)/parts, leastWidth))
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func volume(d [3]int) int { return d[0] * d[1] * d[2] }
