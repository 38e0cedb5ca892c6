package slide

import (
	"unsafe"

	"github.com/natonnx/natonnx/engine/cpu"
)

//go:generate go run -C ../../gen ./slide -pkg slide -out ../internal/slide/kernel_amd64.s -stubs ../internal/slide/kernel_amd64.go

// Compute computes a tile of rows x cols.
func (t *Tile) Compute(level cpu.Level, rows, cols int) {
	size := (rows-1)*TileCols + cols - 1
	switch level {
	case cpu.AVX512:
		t.avx512((*byte)(unsafe.Pointer(t)), size)
	case cpu.AVX2:
		t.avx2((*byte)(unsafe.Pointer(t)), size)
	default:
		t.portable(rows, cols)
	}
}

// Calls through a table would move every Tile to the heap.

func (t *Tile) avx512(self *byte, size int) {
	switch t.Op {
	case Sum:
		sumAVX512(self, size)
	case Max:
		maxAVX512(self, size)
	case ArgMax:
		argMaxAVX512(self, size)
	case Route:
		routeAVX512(self, size)
	}
}

func (t *Tile) avx2(self *byte, size int) {
	switch t.Op {
	case Sum:
		sumAVX2(self, size)
	case Max:
		maxAVX2(self, size)
	case ArgMax:
		argMaxAVX2(self, size)
	case Route:
		routeAVX2(self, size)
	}
}
