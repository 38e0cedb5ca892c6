package onnxgraph

import "fmt"

// DataType is TensorProto.DataType.
type DataType int32

// The element types of ONNX, by their numbers in the schema.
const (
	Undefined DataType = iota
	Float32
	Uint8
	Int8
	Uint16
	Int16
	Int32
	Int64
	String
	Bool
	Float16
	Float64
	Uint32
	Uint64
	Complex64
	Complex128
	BFloat16
	Float8E4M3FN
	Float8E4M3FNUZ
	Float8E5M2
	Float8E5M2FNUZ
	Uint4
	Int4
	Float4E2M1
	Float8E8M0
	Uint2
	Int2
	Float6E2M3
	Float6E3M2
)

// dataTypes holds, for each DataType, its name and the bits of one element in
// raw data (0: no raw form).
var dataTypes = [...]struct {
	name string
	bits int64
}{
	Undefined: {"undefined", 0}, Float32: {"float32", 32}, Uint8: {"uint8", 8}, Int8: {"int8", 8},
	Uint16: {"uint16", 16}, Int16: {"int16", 16}, Int32: {"int32", 32}, Int64: {"int64", 64},
	String: {"string", 0}, Bool: {"bool", 8}, Float16: {"float16", 16}, Float64: {"float64", 64},
	Uint32: {"uint32", 32}, Uint64: {"uint64", 64}, Complex64: {"complex64", 64},
	Complex128: {"complex128", 128}, BFloat16: {"bfloat16", 16}, Float8E4M3FN: {"float8e4m3fn", 8},
	Float8E4M3FNUZ: {"float8e4m3fnuz", 8}, Float8E5M2: {"float8e5m2", 8},
	Float8E5M2FNUZ: {"float8e5m2fnuz", 8}, Uint4: {"uint4", 4}, Int4: {"int4", 4},
	Float4E2M1: {"float4e2m1", 4}, Float8E8M0: {"float8e8m0", 8}, Uint2: {"uint2", 2}, Int2: {"int2", 2},
	Float6E2M3: {"float6e2m3", 0}, Float6E3M2: {"float6e3m2", 0},
}

// Known reports whether t is a type of the ONNX schema that this version knows.
func (t DataType) Known() bool { return t > Undefined && int(t) < len(dataTypes) }

// Bits returns the size of one element in raw data, or 0 where there is no
// raw form (strings and unknown types).
func (t DataType) Bits() int64 {
	if !t.Known() {
		return 0
	}
	return dataTypes[t].bits
}

func (t DataType) String() string {
	if t < 0 || int(t) >= len(dataTypes) {
		return fmt.Sprintf("data type %d", int32(t))
	}
	return dataTypes[t].name
}
