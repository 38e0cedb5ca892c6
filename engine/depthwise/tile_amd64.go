package depthwise

import (
	"unsafe"

	"github.com/natonnx/natonnx/engine/cpu"
)

//go:generate go run -C ../gen ./depthwise -pkg depthwise -out ../depthwise/kernel_amd64.s -stubs ../depthwise/kernel_amd64.go

// compute computes a tile of rows x cols.
func (t *tile) compute(level cpu.Level, rows, cols int) {
	size := (rows-1)*tileCols + cols - 1
	switch level {
	case cpu.AVX512:
		tileAVX512((*byte)(unsafe.Pointer(t)), size)
	case cpu.AVX2:
		tileAVX2((*byte)(unsafe.Pointer(t)), size)
	default:
		t.portable(rows, cols)
	}
}
