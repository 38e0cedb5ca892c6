package depthwise

import (
	"math"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/internal/slide"
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

// Forward convolves in, [batch][pixels][channels], into out. Padding is left
// out of the sums.
func Forward(t *cpu.Team, s window.Slide, batch, channels int, out, in []float32, w *Weights, e Epilogue) {
	forward(cpu.Used(), t, s, batch, channels, out, in, w, e)
}

func forward(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, out, in []float32, w *Weights, e Epilogue) {
	(&slide.Job{
		Op: slide.Sum, Level: level, Channels: channels, To: s.Out, From: s.In, Spans: slide.Forward(s), Out: out, In: in,
		W: w.values, WStep: w.channels, Kernel: s.Kernel, Bias: e.Bias, Add: e.Add, Low: e.Min, High: e.Max,
	}).Run(t, batch)
}

// BackwardInput writes the gradient with respect to the image into din, given
// the gradient with respect to the results.
func BackwardInput(t *cpu.Team, s window.Slide, batch, channels int, din, dout []float32, w *Weights) {
	backwardInput(cpu.Used(), t, s, batch, channels, din, dout, w)
}

func backwardInput(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, din, dout []float32, w *Weights) {
	(&slide.Job{
		Op: slide.Sum, Level: level, Channels: channels, To: s.In, From: s.Out, Spans: slide.Backward(s), Out: din, In: dout,
		W: w.values, WStep: w.channels, Kernel: s.Kernel, Low: None.Min, High: None.Max,
	}).Run(t, batch)
}
