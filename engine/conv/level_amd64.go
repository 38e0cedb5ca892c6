package conv

import (
	"unsafe"

	"github.com/natonnx/natonnx/engine/cpu"
)

//go:generate go run -C ../gen ./conv -out ../conv/tile_amd64.s -stubs ../conv/tile_amd64.go -pkg conv

// run computes a tile, with at least one row. The calls are direct ones, so
// that nothing they are given moves to the heap.
func (t *tile) run(level cpu.Level) {
	if level == cpu.Portable {
		t.portable()
		return
	}
	in, weights, bias, add, out := first(t.in), first(t.weights), first(t.bias), first(t.add), first(t.out)
	at, rows, to := &t.at[0], len(t.at), &t.to[0]
	segments, count := (*int)(unsafe.Pointer(unsafe.SliceData(t.segments))), len(t.segments)
	switch {
	case level == cpu.AVX2:
		tileAVX2(in, at, rows, segments, count, weights, bias, add, out, to, t.min, t.max, t.channels)
	case t.width == 16:
		tileAVX512Narrow(in, at, rows, segments, count, weights, bias, add, out, to, t.min, t.max, t.channels)
	default:
		tileAVX512(in, at, rows, segments, count, weights, bias, add, out, to, t.min, t.max, t.channels)
	}
}

// run computes a gradient tile, with at least one row and one run.
func (t *gradientTile) run(level cpu.Level) {
	if level == cpu.Portable {
		t.portable()
		return
	}
	in, dout, sum := first(t.in), first(t.dout), first(t.sum)
	runs, count := &t.runs[0].in, len(t.runs)
	switch {
	case level == cpu.AVX2:
		gradientAVX2(in, dout, runs, count, t.inStep, t.doutStep, sum, t.rows, t.fresh)
	case t.width == 16:
		gradientAVX512Narrow(in, dout, runs, count, t.inStep, t.doutStep, sum, t.rows, t.fresh)
	default:
		gradientAVX512(in, dout, runs, count, t.inStep, t.doutStep, sum, t.rows, t.fresh)
	}
}

func first(s []float32) *float32 { return unsafe.SliceData(s) }
