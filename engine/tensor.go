package engine

import (
	"fmt"
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Float16 and BFloat16 are the bits of half-precision numbers. The engine
// stores them; arithmetic on them is done in float32 and rounded.
type (
	Float16  uint16
	BFloat16 uint16
)

// An Element is a Go type that tensors hold.
type Element interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool | string | Float16 | BFloat16
}

// A Tensor is an array of elements. Tensors that programs return, and those
// given to them, are never changed afterwards by the engine.
type Tensor struct {
	Dims []int

	data   any     // a slice of an Element type, as long as the product of Dims
	last   bool    // the elements lie channels-last: [batch][pixels][channels]
	memory *memory // the arena's record of data; nil: the heap's
}

// New returns a tensor of those elements, which it does not copy, in row-major order.
func New[T Element](dims []int, data []T) (*Tensor, error) {
	n, err := elements(dims)
	if err != nil {
		return nil, err
	}
	if n != len(data) {
		return nil, fmt.Errorf("%d elements, want %d for dims %v", len(data), n, dims)
	}
	return &Tensor{Dims: dims, data: data}, nil
}

// heap returns a tensor of its own memory, all zeros. The caller knows that the
// dims are sound.
func heap[T Element](dims []int) *Tensor {
	return &Tensor{Dims: dims, data: make([]T, product(dims))}
}

// of wraps data that the caller made for those dims.
func of[T Element](dims []int, data []T) *Tensor { return &Tensor{Dims: dims, data: data} }

// Data returns the elements of a tensor in row-major order, or false where they
// are of another type. They are shared with the tensor.
func Data[T Element](t *Tensor) ([]T, bool) {
	s, ok := t.data.([]T)
	return s, ok && !t.last
}

// Float32s returns the elements of a float32 tensor in row-major order, nil for
// other types. They are shared with the tensor.
func (t *Tensor) Float32s() []float32 {
	s, _ := Data[float32](t)
	return s
}

// Type returns the element type.
func (t *Tensor) Type() onnxgraph.DataType {
	switch t.data.(type) {
	case []float32:
		return onnxgraph.Float32
	case []float64:
		return onnxgraph.Float64
	case []int8:
		return onnxgraph.Int8
	case []int16:
		return onnxgraph.Int16
	case []int32:
		return onnxgraph.Int32
	case []int64:
		return onnxgraph.Int64
	case []uint8:
		return onnxgraph.Uint8
	case []uint16:
		return onnxgraph.Uint16
	case []uint32:
		return onnxgraph.Uint32
	case []uint64:
		return onnxgraph.Uint64
	case []bool:
		return onnxgraph.Bool
	case []string:
		return onnxgraph.String
	case []Float16:
		return onnxgraph.Float16
	case []BFloat16:
		return onnxgraph.BFloat16
	}
	return onnxgraph.Undefined
}

// Len returns the number of elements.
func (t *Tensor) Len() int { return product(t.Dims) }

// String describes a tensor as errors do: float32 1x3x224x224.
func (t *Tensor) String() string {
	if t == nil {
		return "absent"
	}
	return fmt.Sprintf("%v %s", t.Type(), spell(t.Dims))
}

// spell writes dims as users do: 1x3x224x224.
func spell(dims []int) string {
	s := make(onnxgraph.Shape, len(dims))
	for i, d := range dims {
		s[i] = onnxgraph.Const(int64(d))
	}
	return s.String()
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// elements is product for dims from outside: it refuses those that are negative
// or overflow.
func elements(dims []int) (int, error) {
	t := onnxgraph.Tensor{Dims: make([]int64, len(dims))}
	for i, d := range dims {
		t.Dims[i] = int64(d)
	}
	n, err := t.Elements()
	if err == nil && n > math.MaxInt/16 {
		err = fmt.Errorf("dims %v overflow", dims)
	}
	return int(n), err
}
