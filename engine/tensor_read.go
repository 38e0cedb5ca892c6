package engine

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Read returns the elements of a tensor of a model.
func Read(t *onnxgraph.Tensor) (*Tensor, error) {
	dims := make([]int, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = int(d)
	}
	if t.Type == onnxgraph.Float32 {
		f, err := t.Float32s()
		return of(dims, f), err
	}
	if t.Type == onnxgraph.String {
		s, err := t.Strings()
		return of(dims, s), err
	}
	raw, err := t.Raw()
	if err != nil {
		return nil, err
	}
	return decode(t.Type, dims, raw)
}

// decode reads raw little-endian bytes.
func decode(typ onnxgraph.DataType, dims []int, raw []byte) (*Tensor, error) {
	le := binary.LittleEndian
	switch typ {
	case onnxgraph.Float64:
		return each(dims, raw, 8, func(b []byte) float64 { return math.Float64frombits(le.Uint64(b)) }), nil
	case onnxgraph.Int8:
		return each(dims, raw, 1, func(b []byte) int8 { return int8(b[0]) }), nil
	case onnxgraph.Uint8:
		return of(dims, raw), nil
	case onnxgraph.Bool:
		return each(dims, raw, 1, func(b []byte) bool { return b[0] != 0 }), nil
	case onnxgraph.Int16:
		return each(dims, raw, 2, func(b []byte) int16 { return int16(le.Uint16(b)) }), nil
	case onnxgraph.Uint16:
		return each(dims, raw, 2, le.Uint16), nil
	case onnxgraph.Float16:
		return each(dims, raw, 2, func(b []byte) Float16 { return Float16(le.Uint16(b)) }), nil
	case onnxgraph.BFloat16:
		return each(dims, raw, 2, func(b []byte) BFloat16 { return BFloat16(le.Uint16(b)) }), nil
	case onnxgraph.Int32:
		return each(dims, raw, 4, func(b []byte) int32 { return int32(le.Uint32(b)) }), nil
	case onnxgraph.Uint32:
		return each(dims, raw, 4, le.Uint32), nil
	case onnxgraph.Int64:
		return each(dims, raw, 8, func(b []byte) int64 { return int64(le.Uint64(b)) }), nil
	case onnxgraph.Uint64:
		return each(dims, raw, 8, le.Uint64), nil
	}
	return nil, fmt.Errorf("tensors of %v are not supported", typ)
}

func each[T Element](dims []int, raw []byte, size int, read func([]byte) T) *Tensor {
	out := make([]T, len(raw)/size)
	for i := range out {
		out[i] = read(raw[i*size:])
	}
	return of(dims, out)
}
