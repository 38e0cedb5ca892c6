package onnxgraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Tensor is a constant: an initializer or an attribute. Its payload is read
// only by [Tensor.Float32s], [Tensor.Int64s], [Tensor.Strings] and [Tensor.Raw].
type Tensor struct {
	Name string
	Type DataType
	Dims []int64
	// External says where the payload lies, when it is not in the model file.
	External *External

	payload payload
	model   *Model // resolves External; nil for tensors built in memory
	at      span
	raw     []byte // encoded message of a tensor that is not in the file
}

// External is the external_data of a tensor.
type External struct {
	Location string // as written: a path relative to the model's folder
	Offset   int64
	Length   int64 // -1: not given, which means all that the dims need
	Checksum string
}

// payload is where the elements of a tensor are, inside the model's source.
type payload struct {
	field  protowire.Number // the field of TensorProto: raw_data, float_data, ...
	spans  []span           // several when a repeated field is written in pieces
	packed bool             // typed fields: packed, or each element with its tag
	count  int64            // elements of a field that is not packed
}

// Elements returns the product of the dims, or an error where it is negative
// or overflows.
func (t *Tensor) Elements() (int64, error) {
	n := uint64(1)
	for i, d := range t.Dims {
		if d < 0 {
			return 0, fmt.Errorf("dims[%d] is %d, want 0 or more", i, d)
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("dims %v overflow", t.Dims)
		}
		n = lo
	}
	return int64(n), nil
}

// Bytes returns the size that the dims and the element type ask for, or an
// error where that overflows. Strings count as 0.
func (t *Tensor) Bytes() (int64, error) {
	n, err := t.Elements()
	if err != nil {
		return 0, err
	}
	hi, lo := bits.Mul64(uint64(n), uint64(t.Type.Bits()))
	if hi != 0 || lo > math.MaxInt64-7 {
		return 0, fmt.Errorf("dims %v of %v overflow", t.Dims, t.Type)
	}
	return int64(lo+7) / 8, nil
}

// Shape returns the dims as a Shape.
func (t *Tensor) Shape() Shape {
	s := make(Shape, len(t.Dims))
	for i, d := range t.Dims {
		s[i] = Const(d)
	}
	return s
}

// Stored returns how many payload bytes the file that holds t has for it.
// For typed fields (float_data, ...) that is their encoded size.
func (t *Tensor) Stored() int64 {
	var n int64
	for _, s := range t.payload.spans {
		n += s.len()
	}
	return n
}

// Open returns a reader of the tensor's raw little-endian bytes, for raw and
// external data. The caller closes it.
func (t *Tensor) Open() (io.ReadCloser, error) {
	want, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	if t.External != nil {
		f, off, err := t.openExternal(want)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(f, off, want), f}, nil
	}
	if t.payload.field != tensorRawData {
		return nil, errors.New("no raw data")
	}
	s := t.payload.spans[len(t.payload.spans)-1]
	if s.len() != want {
		return nil, fmt.Errorf("%d bytes of raw data, want %d for dims %v of %v", s.len(), want, t.Dims, t.Type)
	}
	return io.NopCloser(io.NewSectionReader(t.source(), s.off, s.len())), nil
}

func (t *Tensor) source() io.ReaderAt {
	if t.raw != nil {
		return newBytesSource(t.raw)
	}
	return t.model.src
}

// Raw reads the whole payload as raw little-endian bytes, whatever the field
// that holds it. Strings have no raw form.
func (t *Tensor) Raw() ([]byte, error) {
	b, err := t.rawBytes()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return b, nil
}

func (t *Tensor) rawBytes() ([]byte, error) {
	want, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	if t.Type.Bits() == 0 {
		return nil, fmt.Errorf("%v has no raw form", t.Type)
	}
	if t.External == nil && t.payload.field != tensorRawData {
		return t.typedBytes(want)
	}
	r, err := t.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make([]byte, want) // bounded: Open has checked want against the file
	_, err = io.ReadFull(r, out)
	return out, err
}

// typedBytes converts float_data, int32_data, ... to raw bytes.
func (t *Tensor) typedBytes(want int64) ([]byte, error) {
	var in []byte
	for _, s := range t.payload.spans {
		b := make([]byte, s.len())
		if _, err := t.source().ReadAt(b, s.off); err != nil {
			return nil, err
		}
		in = append(in, b...)
	}
	var out []byte
	for len(in) > 0 {
		if !t.payload.packed { // each element carries its tag
			_, _, n := protowire.ConsumeTag(in)
			if n < 0 {
				return nil, protowire.ParseError(n)
			}
			in = in[n:]
		}
		v, n := uint64(0), 0
		switch t.payload.field {
		case tensorFloatData:
			var x uint32
			x, n = protowire.ConsumeFixed32(in)
			v = uint64(x)
		case tensorDoubleData:
			v, n = protowire.ConsumeFixed64(in)
		default:
			v, n = protowire.ConsumeVarint(in)
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		in = in[n:]
		out = binary.LittleEndian.AppendUint64(out, v)[:len(out)+t.typedElementBytes()]
	}
	if int64(len(out)) < want || int64(len(out)) >= want+8 {
		return nil, fmt.Errorf("%d bytes of typed data, want %d for dims %v of %v", len(out), want, t.Dims, t.Type)
	}
	return out[:want], nil
}

// typedElementBytes is the number of bytes that one entry of a typed field
// stands for. Types under 8 bits pack one byte into an int32_data entry.
func (t *Tensor) typedElementBytes() int {
	b := t.Type.Bits()
	if t.Type == Complex64 || t.Type == Complex128 {
		b /= 2
	}
	return int(max(b, 8) / 8)
}

// Float32s reads a tensor of float32, float64, float16 or bfloat16.
func (t *Tensor) Float32s() ([]float32, error) {
	if t.Type == Float32 && (t.External != nil || t.payload.field == tensorRawData) {
		out, err := t.streamFloats()
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		return out, nil
	}
	b, err := t.Raw()
	if err != nil {
		return nil, err
	}
	step := int(t.Type.Bits() / 8)
	var at func([]byte) float32
	switch t.Type {
	case Float32:
		at = func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	case Float64:
		at = func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }
	case BFloat16:
		at = func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }
	case Float16:
		at = func(b []byte) float32 { return halfToFloat(binary.LittleEndian.Uint16(b)) }
	default:
		return nil, fmt.Errorf("tensor %q is %v, want a float type", t.Name, t.Type)
	}
	out := make([]float32, len(b)/step)
	for i := range out {
		out[i] = at(b[i*step:])
	}
	return out, nil
}

// streamFloats reads raw float32 without holding their bytes as well.
func (t *Tensor) streamFloats() ([]float32, error) {
	size, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	r, err := t.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make([]float32, size/4)
	block := make([]byte, min(size, 1<<18))
	for rest := out; len(rest) > 0; {
		n := min(len(rest), len(block)/4)
		if _, err := io.ReadFull(r, block[:4*n]); err != nil {
			return nil, err
		}
		for i := range rest[:n] {
			rest[i] = math.Float32frombits(binary.LittleEndian.Uint32(block[4*i:]))
		}
		rest = rest[n:]
	}
	return out, nil
}

// Int64s reads a tensor of int64 or int32.
func (t *Tensor) Int64s() ([]int64, error) {
	b, err := t.Raw()
	if err != nil {
		return nil, err
	}
	switch t.Type {
	case Int64:
		out := make([]int64, len(b)/8)
		for i := range out {
			out[i] = int64(binary.LittleEndian.Uint64(b[i*8:]))
		}
		return out, nil
	case Int32:
		out := make([]int64, len(b)/4)
		for i := range out {
			out[i] = int64(int32(binary.LittleEndian.Uint32(b[i*4:])))
		}
		return out, nil
	}
	return nil, fmt.Errorf("tensor %q is %v, want int64 or int32", t.Name, t.Type)
}

// Strings reads a tensor of strings.
func (t *Tensor) Strings() ([]string, error) {
	s, err := t.strings()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return s, nil
}

func (t *Tensor) strings() ([]string, error) {
	n, err := t.Elements()
	if err != nil {
		return nil, err
	}
	if t.Type != String {
		return nil, fmt.Errorf("is %v, want string", t.Type)
	}
	if t.payload.count != n {
		return nil, fmt.Errorf("%d strings, want %d for dims %v", t.payload.count, n, t.Dims)
	}
	out := make([]string, 0, n) // bounded: each has a tag in the file
	for _, s := range t.payload.spans {
		in := make([]byte, s.len())
		if _, err := t.source().ReadAt(in, s.off); err != nil {
			return nil, err
		}
		for len(in) > 0 {
			_, _, tag := protowire.ConsumeTag(in)
			if tag < 0 {
				return nil, protowire.ParseError(tag)
			}
			v, size := protowire.ConsumeBytes(in[tag:])
			if size < 0 {
				return nil, protowire.ParseError(size)
			}
			out = append(out, string(v))
			in = in[tag+size:]
		}
	}
	return out, nil
}

// halfToFloat converts IEEE 754 binary16 to binary32.
func halfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	default: // zero and subnormals: frac * 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	}
}
