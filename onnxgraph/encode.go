package onnxgraph

import (
	"encoding/binary"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

func appendMessage(b []byte, num protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), body)
}

func appendText(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendInt(b []byte, num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
}

func appendInts(b []byte, num protowire.Number, list []int64) []byte {
	for _, v := range list {
		b = appendInt(b, num, v)
	}
	return b
}

func encodeProperty(p Property) []byte {
	return appendText(appendText(nil, propertyKey, p.Key), propertyValue, p.Value)
}

func encodeNode(n *Node) []byte {
	var b []byte
	for _, s := range n.Inputs {
		b = appendText(b, nodeInput, s)
	}
	for _, s := range n.Outputs {
		b = appendText(b, nodeOutput, s)
	}
	if n.Name != "" {
		b = appendText(b, nodeName, n.Name)
	}
	b = appendText(b, nodeOpType, n.OpType)
	for _, a := range n.Attributes {
		b = appendMessage(b, nodeAttribute, encodeAttribute(a))
	}
	if n.Domain != "" {
		b = appendText(b, nodeDomain, n.Domain)
	}
	return b
}

func encodeAttribute(a *Attribute) []byte {
	b := appendText(nil, attrName, a.Name)
	switch a.Type {
	case AttrFloat:
		b = protowire.AppendTag(b, attrF, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(a.Float))
	case AttrInt:
		b = appendInt(b, attrI, a.Int)
	case AttrString:
		b = appendText(b, attrS, string(a.String))
	case AttrInts:
		b = appendInts(b, attrInts, a.Ints)
	case AttrFloats:
		for _, v := range a.Floats {
			b = protowire.AppendTag(b, attrFloats, protowire.Fixed32Type)
			b = protowire.AppendFixed32(b, math.Float32bits(v))
		}
	case AttrStrings:
		for _, v := range a.Strings {
			b = appendText(b, attrStrings, string(v))
		}
	case AttrTensor:
		b = appendMessage(b, attrT, a.Tensor.raw)
	}
	return appendInt(b, attrType, int64(a.Type))
}

func encodeValue(v *Value) []byte {
	var shape []byte
	for _, d := range v.Type.Shape {
		var dim []byte
		switch {
		case d.Known():
			dim = appendInt(nil, dimValue, d.N)
		case d.Sym != "?":
			dim = appendText(nil, dimParam, d.String())
		}
		shape = appendMessage(shape, shapeDim, dim)
	}
	tensor := appendInt(nil, tensorTypeElem, int64(v.Type.Elem))
	if v.Type.Shape != nil {
		tensor = appendMessage(tensor, tensorTypeShape, shape)
	}
	return appendMessage(appendText(nil, valueName, v.Name), valueType, appendMessage(nil, typeTensor, tensor))
}

// NewNode describes a node to be added by a [Patch] or a [Builder]. Its
// attributes are made by [IntAttr] and its like, or are those of another node
// where they hold neither graphs nor tensors: a patch refuses to add such a node.
func NewNode(op, name string, inputs, outputs []string, attrs ...*Attribute) *Node {
	n := &Node{Name: name, OpType: op, Inputs: inputs, Outputs: outputs, Attributes: attrs, Index: -1}
	for _, a := range attrs {
		if !a.encodable() {
			return n
		}
	}
	n.raw = encodeNode(n)
	return n
}

// encodable reports whether the attribute is all in memory.
func (a *Attribute) encodable() bool {
	switch a.Type {
	case AttrFloat, AttrInt, AttrString, AttrFloats, AttrInts, AttrStrings:
		return a.RefAttr == ""
	case AttrTensor:
		return a.Tensor != nil && a.Tensor.raw != nil
	}
	return false
}

// IntAttr, IntsAttr, FloatAttr, StringAttr and TensorAttr make attributes for [NewNode].
func IntAttr(name string, v int64) *Attribute { return &Attribute{Name: name, Type: AttrInt, Int: v} }

// IntsAttr makes an attribute of type ints.
func IntsAttr(name string, v ...int64) *Attribute {
	return &Attribute{Name: name, Type: AttrInts, Ints: v}
}

// FloatAttr makes an attribute of type float.
func FloatAttr(name string, v float32) *Attribute {
	return &Attribute{Name: name, Type: AttrFloat, Float: v}
}

// StringAttr makes an attribute of type string.
func StringAttr(name, v string) *Attribute {
	return &Attribute{Name: name, Type: AttrString, String: []byte(v)}
}

// TensorAttr makes an attribute that holds a tensor made by [NewTensor].
func TensorAttr(name string, t *Tensor) *Attribute {
	return &Attribute{Name: name, Type: AttrTensor, Tensor: t}
}

// NewTensor makes a tensor in memory from its raw little-endian bytes.
func NewTensor(name string, dtype DataType, dims []int64, raw []byte) *Tensor {
	t := &Tensor{Name: name, Type: dtype, Dims: dims}
	b := make([]byte, 0, len(raw)+len(name)+64)
	b = appendInts(b, tensorDims, dims)
	b = appendInt(b, tensorDataType, int64(dtype))
	b = appendText(b, tensorName, name)
	b = protowire.AppendTag(b, tensorRawData, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(raw)))
	off := int64(len(b))
	t.raw = append(b, raw...)
	t.payload = payload{field: tensorRawData, spans: []span{{off, off + int64(len(raw))}}}
	return t
}

// NewFloat32s makes a float32 tensor in memory.
func NewFloat32s(name string, dims []int64, data []float32) *Tensor {
	raw := make([]byte, 0, 4*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return NewTensor(name, Float32, dims, raw)
}

// NewInt64s makes an int64 tensor in memory.
func NewInt64s(name string, dims []int64, data []int64) *Tensor {
	raw := make([]byte, 0, 8*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return NewTensor(name, Int64, dims, raw)
}

// editNode returns a copy of n whose inputs and outputs are replaced, place by
// place (inputs may be appended), and whose every other field, unknown ones included, is kept as encoded.
func (m *Model) editNode(n *Node, inputs, outputs []string) (*Node, error) {
	old := n.raw
	if old == nil {
		old = make([]byte, n.at.len())
		if _, err := m.src.ReadAt(old, n.at.off); err != nil {
			return nil, err
		}
	}
	c := *n
	c.Inputs, c.Outputs, c.raw = inputs, outputs, make([]byte, 0, len(old)+32)
	var in, out int
	for len(old) > 0 {
		num, _, size := protowire.ConsumeField(old)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		switch num {
		case nodeInput:
			c.raw = appendText(c.raw, nodeInput, inputs[in])
			in++
		case nodeOutput:
			c.raw = appendText(c.raw, nodeOutput, outputs[out])
			out++
		default:
			c.raw = append(c.raw, old[:size]...)
		}
		old = old[size:]
	}
	for ; in < len(inputs); in++ {
		c.raw = appendText(c.raw, nodeInput, inputs[in])
	}
	return &c, nil
}

// relocated returns the encoding of an external tensor whose data now lie at
// location[offset:offset+length].
func (t *Tensor) relocated(location string, offset, length int64) ([]byte, error) {
	src, at := t.source(), t.at
	if t.raw != nil {
		at = span{0, int64(len(t.raw))}
	}
	var b []byte
	scan := scanner{src: src, size: at.end}
	err := scan.fields(at, func(f field) error {
		if f.num == tensorExternalData || f.num == tensorDataLocation || f.num == tensorRawData {
			return nil
		}
		old := make([]byte, f.whole().len())
		_, err := src.ReadAt(old, f.tag)
		b = append(b, old...)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range []Property{
		{"location", location},
		{"offset", strconv.FormatInt(offset, 10)},
		{"length", strconv.FormatInt(length, 10)},
	} {
		b = appendMessage(b, tensorExternalData, encodeProperty(p))
	}
	return appendInt(b, tensorDataLocation, locationExternal), nil
}
