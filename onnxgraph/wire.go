package onnxgraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits on hostile input.
const (
	maxDepth   = 100       // nested messages, as in protobuf's own C++ parsers
	maxName    = 1 << 20   // bytes of a decoded string; longer texts stay in the file
	maxMemory  = 384 << 20 // bytes that decoded structure may take: 60,000 nodes with all that real ones have
	windowSize = 16 << 10
)

// What one decoded thing takes in memory, roughly: while a slice grows, its old
// and its new array are both alive.
const (
	messageCost   = 64
	entryCost     = 200
	graphCost     = 640
	nodeCost      = 320
	attributeCost = 360
	tensorCost    = 360
	valueCost     = 160
	textCost      = 80 // and its length
	numberCost    = 64
)

// A FormatError says where a file stops being an ONNX model and why.
type FormatError struct {
	File string // the model's path
	At   string // the field: graph.node[12].attribute[0]
	Msg  string
}

func (e *FormatError) Error() string {
	var parts []string
	at := e.At
	if n := len(at); n > 2*maxShown {
		at = at[:maxShown] + " ... " + at[n-maxShown:]
	}
	for _, p := range []string{e.File, at, e.Msg} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ": ")
}

func formatErrorf(at, format string, args ...any) error {
	return &FormatError{At: at, Msg: fmt.Sprintf(format, args...)}
}

// maxShown is how much of a name or a path an error shows: errors are one line.
const maxShown = 200

// quote quotes a name of unknown origin for an error.
func quote(name string) string {
	if len(name) > maxShown {
		return strconv.Quote(name[:maxShown]) + "..."
	}
	return strconv.Quote(name)
}

// within puts a parent's name in front of the field path of a FormatError.
// Hot callers test for a failure first, so that paths cost nothing otherwise.
func within(parent string, err error) error {
	var fe *FormatError
	if errors.As(err, &fe) {
		switch {
		case fe.At == "":
			fe.At = parent
		default:
			fe.At = parent + "." + fe.At
		}
	}
	return err
}

// A field is one field of a message as it stands in the source.
type field struct {
	num    protowire.Number
	typ    protowire.Type
	tag    int64  // where the tag stands
	body   span   // of a length-delimited field: its payload; else its value
	varint uint64 // the value of a varint or fixed field
}

func (f field) whole() span { return span{f.tag, f.body.end} }

// A scanner walks the protobuf wire format of a source through a small window,
// so that payloads that nobody wants are never read.
type scanner struct {
	src    io.ReaderAt
	size   int64
	window []byte
	at     int64 // where the window stands in the source
	buf    [windowSize]byte
	depth  int
	memory int // spent so far
}

// spend accounts for memory that decoding is about to take.
func (s *scanner) spend(bytes int) error {
	if s.memory += bytes; s.memory > maxMemory {
		return formatErrorf("", "the structure takes more than %d MiB of memory, want less: no network known is that large", maxMemory>>20)
	}
	return nil
}

// peek returns up to n bytes at pos; fewer only at the end of the source.
func (s *scanner) peek(pos int64, n int) ([]byte, error) {
	if pos >= s.at && pos+int64(n) <= s.at+int64(len(s.window)) {
		return s.window[pos-s.at:][:n], nil
	}
	got, err := s.src.ReadAt(s.buf[:min(windowSize, max(s.size-pos, 0))], pos)
	if err != nil && err != io.EOF {
		return nil, err
	}
	s.at, s.window = pos, s.buf[:got]
	return s.window[:min(n, got)], nil
}

// fields calls visit for every field of the message that fills m.
func (s *scanner) fields(m span, visit func(field) error) error {
	if s.depth++; s.depth > maxDepth {
		return formatErrorf("", "messages nest more than %d deep", maxDepth)
	}
	defer func() { s.depth-- }()
	if err := s.spend(messageCost); err != nil {
		return err
	}
	for pos := m.off; pos < m.end; {
		f, err := s.field(pos, m.end)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		pos = f.body.end
	}
	return nil
}

func (s *scanner) field(pos, end int64) (field, error) {
	f := field{tag: pos}
	b, err := s.peek(pos, int(min(20, end-pos))) // a tag and a length take 20 bytes at most
	if err != nil {
		return f, err
	}
	var n int
	f.num, f.typ, n = protowire.ConsumeTag(b)
	if n < 0 {
		return f, formatErrorf("", "broken field tag at byte %d", pos)
	}
	b = b[n:]
	pos += int64(n)
	switch f.typ {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(b)
		f.varint = uint64(v)
	case protowire.Fixed64Type:
		f.varint, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		var size uint64
		size, n = protowire.ConsumeVarint(b)
		if n >= 0 {
			pos += int64(n)
			if size > uint64(end-pos) {
				return f, formatErrorf("", "field %d at byte %d wants %d bytes, %d are left: the file is truncated or damaged", f.num, f.tag, size, end-pos)
			}
			f.body = span{pos, pos + int64(size)}
			return f, nil
		}
	default:
		return f, formatErrorf("", "wire type %d of field %d at byte %d is not used by ONNX", f.typ, f.num, f.tag)
	}
	if n < 0 {
		return f, formatErrorf("", "field %d at byte %d is cut short: the file is truncated or damaged", f.num, f.tag)
	}
	f.body = span{pos, pos + int64(n)}
	return f, nil
}

// want checks the wire type of a field that the schema names.
func (f field) want(t protowire.Type) error {
	if f.typ != t {
		return formatErrorf("", "field %d has wire type %d, want %d", f.num, f.typ, t)
	}
	return nil
}

// bytes reads a short length-delimited payload.
func (s *scanner) bytes(f field) ([]byte, error) {
	if err := f.want(protowire.BytesType); err != nil {
		return nil, err
	}
	n := f.body.len()
	if n > maxName {
		return nil, formatErrorf("", "field %d is a text of %d bytes, want at most %d", f.num, n, maxName)
	}
	if n <= windowSize {
		b, err := s.peek(f.body.off, int(n))
		if err == nil && int64(len(b)) < n {
			err = io.ErrUnexpectedEOF
		}
		return b, err
	}
	b := make([]byte, n)
	_, err := s.src.ReadAt(b, f.body.off)
	return b, err
}

func (s *scanner) str(f field, into *string) error {
	b, err := s.bytes(f)
	*into = string(b)
	if err != nil {
		return err
	}
	return s.spend(textCost + len(b))
}

func (s *scanner) int(f field, into *int64) error {
	*into = int64(f.varint)
	return f.want(protowire.VarintType)
}

// ints appends a repeated integer, packed or not.
func (s *scanner) ints(f field, into *[]int64) error {
	if f.typ == protowire.VarintType {
		*into = append(*into, int64(f.varint))
		return s.spend(numberCost)
	}
	return s.packed(f, func(b []byte) int {
		v, n := protowire.ConsumeVarint(b)
		*into = append(*into, int64(v))
		return n
	})
}

// floats appends a repeated float as its bits, packed or not.
func (s *scanner) floats(f field, into *[]uint32) error {
	if f.typ == protowire.Fixed32Type {
		*into = append(*into, uint32(f.varint))
		return s.spend(numberCost)
	}
	return s.packed(f, func(b []byte) int {
		if len(b) < 4 {
			return -1
		}
		*into = append(*into, binary.LittleEndian.Uint32(b))
		return 4
	})
}

func (s *scanner) packed(f field, consume func([]byte) int) error {
	b, err := s.bytes(f)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		n := consume(b)
		if n < 0 {
			return formatErrorf("", "field %d at byte %d: broken packed list", f.num, f.tag)
		}
		if err := s.spend(numberCost); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
