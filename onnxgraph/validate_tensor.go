package onnxgraph

import (
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxCounted is up to how many bytes of packed integers are counted one by one.
// Longer lists are only checked for being possible: weights are not read.
const maxCounted = 1 << 20

// checkTensor checks that a tensor's payload is what its dims and type ask for.
func (v *validator) checkTensor(t *Tensor) error {
	if !t.Type.Known() {
		return fmt.Errorf("element type is %v", t.Type)
	}
	n, err := t.Elements()
	if err != nil {
		return err
	}
	size, err := t.Bytes()
	if err != nil {
		return err
	}
	if t.External != nil {
		return v.checkExternal(t, size)
	}
	p := t.payload
	switch want := t.Type.field(); {
	case n == 0 && p.field != 0 && t.Stored() > 0:
		return fmt.Errorf("dims %v hold no element, and there are %d bytes of data", t.Dims, t.Stored())
	case n == 0:
		return nil
	case p.field == 0:
		return fmt.Errorf("has no data, want %d elements for dims %v", n, t.Dims)
	case p.field == tensorRawData && t.Type == String:
		return errors.New("strings stand in raw_data, want string_data")
	case p.field == tensorRawData:
		if t.Stored() != size {
			return fmt.Errorf("raw_data has %d bytes, want %d for dims %v of %v", t.Stored(), size, t.Dims, t.Type)
		}
		return nil
	case p.field != want:
		return fmt.Errorf("data of %v stand in %s, want %s", t.Type, payloadNames[p.field], payloadNames[want])
	}
	return t.checkTyped(n, size)
}

// checkTyped checks the number of entries of float_data, int32_data, ...
func (t *Tensor) checkTyped(n, size int64) error {
	want := n
	switch {
	case t.Type == Complex64 || t.Type == Complex128:
		if n > math.MaxInt64/2 {
			return fmt.Errorf("dims %v overflow", t.Dims)
		}
		want = 2 * n
	case t.Type.Bits() < 8 && t.Type.Bits() > 0:
		want = size // packed: an entry is a byte
	}
	low, high, err := t.entries()
	if err != nil {
		return err
	}
	if want < low || want > high {
		return fmt.Errorf("%s has %s entries, want %d for dims %v of %v", payloadNames[t.payload.field], between(low, high), want, t.Dims, t.Type)
	}
	return nil
}

func between(low, high int64) string {
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// entries returns how many entries the typed field has, at least and at most.
func (t *Tensor) entries() (low, high int64, err error) {
	p, size := t.payload, t.Stored()
	switch {
	case !p.packed:
		return p.count, p.count, nil
	case payloadWire[p.field] == protowire.Fixed32Type:
		return size / 4, size / 4, nil
	case payloadWire[p.field] == protowire.Fixed64Type:
		return size / 8, size / 8, nil
	case size > maxCounted:
		return (size + 9) / 10, size, nil // a varint has 1 to 10 bytes
	}
	for _, s := range p.spans {
		b := make([]byte, s.len())
		if k, err := t.source().ReadAt(b, s.off); err != nil && (err != io.EOF || k < len(b)) {
			return 0, 0, err
		}
		for _, c := range b {
			if c < 0x80 { // the last byte of a varint
				low++
			}
		}
	}
	return low, low, nil
}

// payloadNames names the payload fields as the schema does.
var payloadNames = map[protowire.Number]string{
	tensorRawData: "raw_data", tensorStringData: "string_data", tensorFloatData: "float_data", tensorDoubleData: "double_data",
	tensorInt32Data: "int32_data", tensorInt64Data: "int64_data", tensorUint64Data: "uint64_data",
}

// field is the typed field that elements of this type stand in.
func (t DataType) field() protowire.Number {
	switch t {
	case Float32, Complex64:
		return tensorFloatData
	case Float64, Complex128:
		return tensorDoubleData
	case Int64:
		return tensorInt64Data
	case Uint32, Uint64:
		return tensorUint64Data
	case String:
		return tensorStringData
	}
	return tensorInt32Data
}

// checkExternal checks that the data file is there and long enough. A file that
// cannot be used is reported once, for the first tensor that needs it.
func (v *validator) checkExternal(t *Tensor, size int64) error {
	x := t.External
	switch {
	case t.Type == String:
		return errors.New("strings cannot be external data")
	case t.payload.field != 0 && t.Stored() > 0:
		return fmt.Errorf("data are external, and in %s as well", payloadNames[t.payload.field])
	case v.badFiles[x.Location]:
		return nil
	}
	path, info, err := v.model.dataFile(x.Location)
	if errors.Is(err, errNoFolder) {
		return nil
	}
	if err != nil {
		v.badFiles[x.Location] = true
		return err
	}
	return t.checkRange(path, info.Size(), size)
}
