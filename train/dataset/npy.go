package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// npyHeader is what a .npy file says before its elements.
type npyHeader struct {
	descr string // "<f4": little-endian, float, 4 bytes
	shape []int
	size  int64 // of all elements, in bytes
}

// elementBytes is the size of an element of the types that are read.
var elementBytes = map[string]int{
	"|u1": 1, "|i1": 1, "<u2": 2, "<i2": 2, "<u4": 4, "<i4": 4, "<u8": 8, "<i8": 8, "<f2": 2, "<f4": 4, "<f8": 8,
}

// maxHeader bounds the header of a .npy file; NumPy itself stops at 10,000 bytes.
const maxHeader = 1 << 16

// readHeader reads the header of format version 1, 2 or 3, as NEP 1 and
// numpy.lib.format state it, and returns it with its length in bytes.
func readHeader(r io.Reader) (npyHeader, int64, error) {
	start := make([]byte, 12)
	if _, err := io.ReadFull(r, start[:10]); err != nil {
		return npyHeader{}, 0, errors.New("is too short for a NumPy array")
	}
	if string(start[:6]) != "\x93NUMPY" {
		return npyHeader{}, 0, fmt.Errorf("starts with %q, want a NumPy array", start[:6])
	}
	length, before := int64(binary.LittleEndian.Uint16(start[8:])), int64(10)
	switch version := start[6]; version {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(r, start[10:]); err != nil {
			return npyHeader{}, 0, errors.New("ends within its header")
		}
		length, before = int64(binary.LittleEndian.Uint32(start[8:])), 12
	default:
		return npyHeader{}, 0, fmt.Errorf("is NumPy format version %d, want 1 to 3", version)
	}
	if length > maxHeader {
		return npyHeader{}, 0, fmt.Errorf("has a header of %d bytes, want at most %d", length, maxHeader)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return npyHeader{}, 0, errors.New("ends within its header")
	}
	h, err := parseHeader(string(text))
	if err != nil {
		return npyHeader{}, 0, fmt.Errorf("header %.200q: %w", bytes.TrimSpace(text), err)
	}
	return h, before + length, nil
}

// parseHeader reads the Python dictionary of a header:
// {'descr': '<f4', 'fortran_order': False, 'shape': (10, 3, 32, 32), }.
func parseHeader(text string) (npyHeader, error) {
	var h npyHeader
	p := literal(text)
	if !p.take("{") {
		return h, errors.New("want a dictionary")
	}
	seen := map[string]bool{}
	for !p.take("}") {
		key, ok := p.quoted()
		if !ok || !p.take(":") || seen[key] {
			return h, fmt.Errorf("want keys descr, fortran_order and shape, at %.20q", string(p))
		}
		seen[key] = true
		switch key {
		case "descr":
			if h.descr, ok = p.quoted(); !ok {
				return h, errors.New("descr is no plain element type")
			}
		case "fortran_order":
			if !p.take("False") {
				return h, errors.New("fortran_order is not False: save numpy.ascontiguousarray(x)")
			}
		case "shape":
			if h.shape, ok = p.tuple(); !ok {
				return h, errors.New("shape is no tuple of numbers")
			}
		default:
			return h, fmt.Errorf("key %.20q, want descr, fortran_order and shape", key)
		}
		if !p.take(",") && !strings.HasPrefix(p.rest(), "}") {
			return h, fmt.Errorf("want a comma at %.20q", string(p))
		}
	}
	if len(seen) != 3 || p.rest() != "" {
		return h, errors.New("want descr, fortran_order and shape, and nothing else")
	}
	return h, h.measure()
}

// measure works out the size of the elements.
func (h *npyHeader) measure() error {
	element, ok := elementBytes[h.descr]
	if !ok {
		return fmt.Errorf("elements are %.20q, want 8-bit or little-endian numbers such as uint8 or float32", h.descr)
	}
	size := uint64(element)
	for _, n := range h.shape {
		hi, lo := bits.Mul64(size, uint64(n))
		if hi != 0 || lo > math.MaxInt64 {
			return fmt.Errorf("shape %v overflows", h.shape)
		}
		size = lo
	}
	h.size = int64(size)
	return nil
}

// A literal is what is left to read of a Python literal.
type literal string

func (p *literal) rest() string {
	*p = literal(strings.TrimLeft(string(*p), " \n\t"))
	return string(*p)
}

// take passes over a token, if it is next.
func (p *literal) take(token string) bool {
	after, ok := strings.CutPrefix(p.rest(), token)
	if ok {
		*p = literal(after)
	}
	return ok
}

func (p *literal) quoted() (string, bool) {
	for _, quote := range []string{"'", `"`} {
		if p.take(quote) {
			s, after, ok := strings.Cut(string(*p), quote)
			*p = literal(after)
			return s, ok
		}
	}
	return "", false
}

func (p *literal) tuple() ([]int, bool) {
	if !p.take("(") {
		return nil, false
	}
	shape := []int{}
	for !p.take(")") {
		digits := p.rest()
		end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
		if end < 1 {
			return nil, false
		}
		n, err := strconv.Atoi(digits[:end])
		if err != nil || len(shape) == 32 {
			return nil, false
		}
		*p = literal(digits[end:])
		p.take("L") // as Python 2 wrote it
		shape = append(shape, n)
		if !p.take(",") && !strings.HasPrefix(p.rest(), ")") {
			return nil, false
		}
	}
	return shape, true
}
