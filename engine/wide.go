package engine

import (
	"fmt"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A wide type holds every number of a family of types. What has no fast path
// for its element type is computed in wide numbers and narrowed in the end.
type wide interface{ float64 | int64 | uint64 }

// widen returns the numbers of a row-major tensor in a wide type.
func widen[A wide](t *Tensor) ([]A, error) {
	switch s := t.data.(type) {
	case []A:
		return s, nil
	case []float32:
		return numbers[A](s), nil
	case []float64:
		return numbers[A](s), nil
	case []int8:
		return numbers[A](s), nil
	case []int16:
		return numbers[A](s), nil
	case []int32:
		return numbers[A](s), nil
	case []int64:
		return numbers[A](s), nil
	case []uint8:
		return numbers[A](s), nil
	case []uint16:
		return numbers[A](s), nil
	case []uint32:
		return numbers[A](s), nil
	case []uint64:
		return numbers[A](s), nil
	case []bool:
		return mapped(s, func(b bool) A {
			if b {
				return 1
			}
			return 0
		}), nil
	case []Float16:
		return mapped(s, func(h Float16) A { return A(h.Float32()) }), nil
	case []BFloat16:
		return mapped(s, func(h BFloat16) A { return A(h.Float32()) }), nil
	}
	return nil, fmt.Errorf("%v, want numbers", t)
}

// narrow returns a tensor of an element type that holds those numbers.
func narrow[A wide](typ onnxgraph.DataType, dims []int, s []A) (*Tensor, error) {
	switch typ {
	case onnxgraph.Float32:
		return of(dims, numbers[float32](s)), nil
	case onnxgraph.Float64:
		return of(dims, numbers[float64](s)), nil
	case onnxgraph.Int8:
		return of(dims, numbers[int8](s)), nil
	case onnxgraph.Int16:
		return of(dims, numbers[int16](s)), nil
	case onnxgraph.Int32:
		return of(dims, numbers[int32](s)), nil
	case onnxgraph.Int64:
		return of(dims, numbers[int64](s)), nil
	case onnxgraph.Uint8:
		return of(dims, numbers[uint8](s)), nil
	case onnxgraph.Uint16:
		return of(dims, numbers[uint16](s)), nil
	case onnxgraph.Uint32:
		return of(dims, numbers[uint32](s)), nil
	case onnxgraph.Uint64:
		return of(dims, numbers[uint64](s)), nil
	case onnxgraph.Bool:
		return of(dims, mapped(s, func(v A) bool { return v != 0 })), nil
	case onnxgraph.Float16:
		return of(dims, mapped(s, func(v A) Float16 { return toFloat16(float32(v)) })), nil
	case onnxgraph.BFloat16:
		return of(dims, mapped(s, func(v A) BFloat16 { return toBFloat16(float32(v)) })), nil
	}
	return nil, fmt.Errorf("tensors of %v hold no numbers", typ)
}

func numbers[B, A number](s []A) []B {
	return mapped(s, func(v A) B { return B(v) })
}

func mapped[A, B any](s []A, f func(A) B) []B {
	out := make([]B, len(s))
	for i, v := range s {
		out[i] = f(v)
	}
	return out
}

// family says which wide type holds all numbers of an element type.
func family(typ onnxgraph.DataType) onnxgraph.DataType {
	switch typ {
	case onnxgraph.Int8, onnxgraph.Int16, onnxgraph.Int32, onnxgraph.Int64:
		return onnxgraph.Int64
	case onnxgraph.Uint8, onnxgraph.Uint16, onnxgraph.Uint32, onnxgraph.Uint64, onnxgraph.Bool:
		return onnxgraph.Uint64
	}
	return onnxgraph.Float64
}
