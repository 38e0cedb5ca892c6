package check

import "google.golang.org/protobuf/encoding/protowire"

// externalized moves the raw data of a model's only initializer to a data file,
// on the wire format, since nothing else writes such models.
func externalized(model []byte, file string) []byte {
	const graph, initializer, rawData, externalData, dataLocation = 7, 5, 9, 13, 14
	return field(model, graph, func(g []byte) []byte {
		return field(g, initializer, func(tensor []byte) []byte {
			out := field(tensor, rawData, nil)
			location := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "location")
			location = protowire.AppendString(protowire.AppendTag(location, 2, protowire.BytesType), file)
			out = protowire.AppendBytes(protowire.AppendTag(out, externalData, protowire.BytesType), location)
			return protowire.AppendVarint(protowire.AppendTag(out, dataLocation, protowire.VarintType), 1)
		})
	})
}

// field replaces the messages in a field; a nil change leaves them out.
func field(message []byte, number protowire.Number, change func([]byte) []byte) (out []byte) {
	for len(message) > 0 {
		num, kind, tag := protowire.ConsumeTag(message)
		n := tag + protowire.ConsumeFieldValue(num, kind, message[tag:])
		switch {
		case num != number:
			out = append(out, message[:n]...)
		case change != nil:
			value, _ := protowire.ConsumeBytes(message[tag:n])
			out = protowire.AppendBytes(protowire.AppendTag(out, num, kind), change(value))
		}
		message = message[n:]
	}
	return out
}
