package diff

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of ONNX's schema, for edits on the wire that no code of this
// project takes part in.
const (
	modelGraph = 7

	graphNode, graphInitializer, graphInput, graphOutput, graphValueInfo, graphSparse = 1, 5, 11, 12, 13, 15

	nodeInput, nodeOutput, nodeName, nodeAttribute = 1, 2, 3, 5

	attributeName, attributeInt, attributeInts, attributeTensor, attributeGraph, attributeGraphs = 1, 3, 8, 5, 6, 11

	tensorName, tensorRaw, sparseValues, valueName = 8, 9, 1, 1
)

// A field is one field of a message.
type field struct {
	num   protowire.Number
	whole []byte // with its tag
	value []byte // of a length-delimited field
}

func fields(message []byte) (list []field) {
	for len(message) > 0 {
		num, kind, tag := protowire.ConsumeTag(message)
		n := tag + protowire.ConsumeFieldValue(num, kind, message[tag:])
		f := field{num: num, whole: message[:n]}
		if kind == protowire.BytesType {
			f.value, _ = protowire.ConsumeBytes(message[tag:n])
		}
		list, message = append(list, f), message[n:]
	}
	return list
}

func encoded(num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
}

// edit gives every length-delimited field of those numbers another value; nil
// leaves the field out.
func edit(message []byte, change func(value []byte) []byte, numbers ...protowire.Number) (out []byte) {
	for _, f := range fields(message) {
		changed := false
		for _, n := range numbers {
			if f.num == n {
				if value := change(f.value); value != nil {
					out = append(out, encoded(n, value)...)
				}
				changed = true
			}
		}
		if !changed {
			out = append(out, f.whole...)
		}
	}
	return out
}

// renamed returns a model in which all nodes, values and tensors have other names.
func renamed(model []byte, rename func(string) string) []byte {
	name := func(b []byte) []byte {
		if len(b) == 0 {
			return []byte{}
		}
		return []byte(rename(string(b)))
	}
	var graph func([]byte) []byte
	tensor := func(b []byte) []byte { return edit(b, name, tensorName) }
	value := func(b []byte) []byte { return edit(b, name, valueName) }
	attribute := func(b []byte) []byte { return edit(b, graph, attributeGraph, attributeGraphs) }
	node := func(b []byte) []byte {
		return edit(edit(b, name, nodeInput, nodeOutput, nodeName), attribute, nodeAttribute)
	}
	graph = func(b []byte) []byte {
		b = edit(b, node, graphNode)
		b = edit(b, tensor, graphInitializer)
		b = edit(b, func(s []byte) []byte { return edit(s, tensor, sparseValues) }, graphSparse)
		return edit(b, value, graphInput, graphOutput, graphValueInfo)
	}
	return edit(model, graph, modelGraph)
}

// editNode changes node i of a model.
func editNode(model []byte, i int, change func([]byte) []byte) []byte {
	return editNth(model, graphNode, i, change)
}

// editNth changes entry i of a field of the graph.
func editNth(model []byte, number protowire.Number, i int, change func([]byte) []byte) []byte {
	return edit(model, func(g []byte) []byte {
		at := -1
		return edit(g, func(b []byte) []byte {
			if at++; at == i {
				return change(b)
			}
			return b
		}, number)
	}, modelGraph)
}
