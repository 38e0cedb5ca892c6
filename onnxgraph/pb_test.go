package onnxgraph_test

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/natonnx/natonnx/onnxgraph"
)

// pb is a protobuf message in the making: tests build broken models with it.
type pb []byte

func (b pb) str(num protowire.Number, s string) pb {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func (b pb) msg(num protowire.Number, parts ...pb) pb {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return b.str(num, string(body))
}

func (b pb) int(num protowire.Number, values ...int64) pb {
	for _, v := range values {
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
	}
	return b
}

func (b pb) float(num protowire.Number, values ...float32) pb {
	for _, v := range values {
		b = protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(v))
	}
	return b
}

// node encodes NodeProto with these inputs and outputs.
func node(op, name string, in, out []string, attrs ...pb) pb {
	var b pb
	for _, s := range in {
		b = b.str(1, s)
	}
	for _, s := range out {
		b = b.str(2, s)
	}
	b = b.str(3, name).str(4, op)
	for _, a := range attrs {
		b = b.msg(5, a)
	}
	return b
}

func names(s ...string) []string { return s }

// value encodes ValueInfoProto of a float tensor.
func value(name string, dims ...int64) pb {
	var shape pb
	for _, d := range dims {
		shape = shape.msg(1, pb{}.int(1, d))
	}
	return pb{}.str(1, name).msg(2, pb{}.msg(1, pb{}.int(1, int64(onnxgraph.Float32)).msg(2, shape)))
}

// tensor encodes TensorProto up to its data.
func tensor(name string, dtype onnxgraph.DataType, dims ...int64) pb {
	return pb{}.int(1, dims...).int(2, int64(dtype)).str(8, name)
}

// floats encodes a float tensor of zeros in raw_data.
func floats(name string, dims ...int64) pb {
	n := int64(4)
	for _, d := range dims {
		n *= d
	}
	return tensor(name, onnxgraph.Float32, dims...).str(9, string(make([]byte, n)))
}

// A sketch is a model to be broken. The zero fields are filled in by bytes.
type sketch struct {
	ir, opset           int64
	name                string
	nodes, inits        []pb
	inputs, outputs     []pb
	graphTail, fileTail pb
}

// plain is a valid network: y = Relu(x), with nothing else.
func plain() *sketch {
	return &sketch{ir: 8, opset: 13, name: "g", nodes: []pb{node("Relu", "relu", names("x"), names("y"))},
		inputs: []pb{value("x", 1, 3, 8, 8)}, outputs: []pb{value("y", 1, 3, 8, 8)}}
}

func (s *sketch) graph() pb {
	var g pb
	for _, n := range s.nodes {
		g = g.msg(1, n)
	}
	g = g.str(2, s.name)
	for _, t := range s.inits {
		g = g.msg(5, t)
	}
	for _, v := range s.inputs {
		g = g.msg(11, v)
	}
	for _, v := range s.outputs {
		g = g.msg(12, v)
	}
	return append(g, s.graphTail...)
}

func (s *sketch) bytes() []byte {
	m := pb{}
	if s.ir != 0 {
		m = m.int(1, s.ir)
	}
	m = m.msg(7, s.graph())
	if s.opset != 0 {
		m = m.msg(8, pb{}.str(1, "").int(2, s.opset))
	}
	return append(m, s.fileTail...)
}
