// Package onnxgraph reads, inspects, edits and writes ONNX files.
//
// Reading is lazy: structure is decoded, tensor payloads stay where they are as
// (file, offset, length) and are read only when somebody asks for that tensor.
// Writing streams every byte range that no change has touched, so that opening
// and saving a model gives the identical file, unknown fields included.
//
// A [Model] is immutable. A change is a value, a [Patch], and [Model.Apply] is
// the one place that carries it out and checks what it left behind.
package onnxgraph
