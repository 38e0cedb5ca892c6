package engine

import (
	"fmt"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A kind is an element type, to code that movement elements without looking at them.
type kind interface {
	size() int        // bytes of an element
	make(n int) any   // a slice
	fill(to, one any) // sets all of to to the first element of one
	move(team *cpu.Team, m movement, to, from any)
	// take copies the picked rows of each of a number of matrices.
	take(to, from any, matrices, rows, cols int, picks []int)
}

// kinds are the element types that tensors hold.
var kinds = map[onnxgraph.DataType]kind{
	onnxgraph.Float32:  kindOf[float32]{4},
	onnxgraph.Float64:  kindOf[float64]{8},
	onnxgraph.Int8:     kindOf[int8]{1},
	onnxgraph.Int16:    kindOf[int16]{2},
	onnxgraph.Int32:    kindOf[int32]{4},
	onnxgraph.Int64:    kindOf[int64]{8},
	onnxgraph.Uint8:    kindOf[uint8]{1},
	onnxgraph.Uint16:   kindOf[uint16]{2},
	onnxgraph.Uint32:   kindOf[uint32]{4},
	onnxgraph.Uint64:   kindOf[uint64]{8},
	onnxgraph.Bool:     kindOf[bool]{1},
	onnxgraph.String:   kindOf[string]{16},
	onnxgraph.Float16:  kindOf[Float16]{2},
	onnxgraph.BFloat16: kindOf[BFloat16]{2},
}

type kindOf[T Element] struct{ bytes int }

func (k kindOf[T]) size() int    { return k.bytes }
func (kindOf[T]) make(n int) any { return make([]T, n) }

func (kindOf[T]) fill(to, one any) {
	s := to.([]T)
	for n := copy(s, one.([]T)[:1]); n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}

func (kindOf[T]) move(team *cpu.Team, m movement, to, from any) {
	m = m.tidy()
	if dst, ok := to.([]float32); ok {
		if batch, rows, cols, ok := m.transposes(); ok {
			vec.ToChannelsLast(team, dst[m.toStart:], from.([]float32)[m.fromStart:], batch, rows, cols)
			return
		}
	}
	copyAll(team, m, to.([]T), from.([]T))
}

func (kindOf[T]) take(to, from any, matrices, rows, cols int, picks []int) {
	dst, src := to.([]T), from.([]T)
	for range matrices {
		for _, p := range picks {
			copy(dst[:cols], src[p*cols:])
			dst = dst[cols:]
		}
		src = src[rows*cols:]
	}
}

// boundless is the most that one value may take where no limit is set, in
// bytes: more than that is a mistake or an attack.
const boundless = 64 << 30

// alike returns a tensor of t's element type with arbitrary contents.
func (x *exec) alike(t *Tensor, dims []int, last bool) (*Tensor, error) {
	return x.typed(t.Type(), dims, last)
}

// typed returns a tensor of an element type with arbitrary contents: float32
// from the arena, which counts it, others from the heap.
func (x *exec) typed(typ onnxgraph.DataType, dims []int, last bool) (*Tensor, error) {
	if err := x.room(typ, dims); err != nil {
		return nil, err
	}
	if typ == onnxgraph.Float32 {
		return x.lend(dims, last)
	}
	return &Tensor{Dims: dims, data: kinds[typ].make(product(dims))}, nil
}

// room refuses a tensor that is larger than a run may hold.
func (x *exec) room(typ onnxgraph.DataType, dims []int) error {
	k := kinds[typ]
	if k == nil {
		return fmt.Errorf("tensors of %v are not supported", typ)
	}
	n, err := elements(dims)
	if err != nil {
		return err
	}
	limit := x.arena.limit
	if limit == 0 {
		limit = boundless
	}
	if size := int64(n) * int64(k.size()); size > limit {
		return &MemoryError{Need: size, Limit: limit}
	}
	return nil
}

// move copies elements from one tensor to another of the same type.
func (x *exec) move(to, from *Tensor, m movement) {
	kinds[to.Type()].move(x.team, m, to.data, from.data)
}

// zeros returns a float32 tensor of zeros.
func (x *exec) zeros(dims []int, last bool) (*Tensor, error) {
	t, err := x.lend(dims, last)
	if err == nil {
		clear(t.data.([]float32))
	}
	return t, err
}
