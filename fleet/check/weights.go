package check

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A scan is what one pass over all weights found.
type scan struct {
	broken []brokenTensor
	twins  [][]int // initializers that hold the same, by index
	fault  string  // why not all could be read
}

// A brokenTensor holds a number that it should not.
type brokenTensor struct {
	where    string
	count    int64
	first    int64 // element, in row-major order
	infinity bool  // and none is NaN
}

// fewestBytes is the size below which tensors that are stored twice do not matter.
const fewestBytes = 1 << 10

// scan reads every weight once, whatever the number of rules that ask, with a
// small buffer.
func (s *subject) scan() (*scan, error) {
	if s.scanned != nil {
		return s.scanned, nil
	}
	s.scanned = &scan{}
	learnt := map[*onnxgraph.Tensor]bool{}
	for _, t := range s.model.Parameters(s.cells.Types) {
		learnt[t] = true
	}
	list := s.model.Graph.Initializers
	alike := candidates(list)
	digests := map[[sha256.Size]byte][]int{}
	var order [][sha256.Size]byte
	buf := make([]byte, 1<<18)
	for i, t := range list {
		var h hash.Hash
		if alike[i] {
			h = sha256.New()
		}
		f := finite{bits: t.Type, allowInf: !learnt[t]}
		if h == nil && f.width() == 0 {
			continue
		}
		if err := s.read(t, buf, h, &f); err != nil {
			if s.ctx.Err() != nil {
				return nil, s.ctx.Err()
			}
			s.scanned.fault = fmt.Sprintf("%s cannot be read: %v", initializer(i, t), err)
			continue
		}
		if f.count > 0 {
			s.scanned.broken = append(s.scanned.broken, brokenTensor{initializer(i, t), f.count, f.first, !f.nan})
		}
		if h != nil {
			sum := [sha256.Size]byte(h.Sum(nil))
			if digests[sum] == nil {
				order = append(order, sum)
			}
			digests[sum] = append(digests[sum], i)
		}
	}
	for _, sum := range order {
		if twins := stored(list, digests[sum]); len(twins) > 1 {
			s.scanned.twins = append(s.scanned.twins, twins)
		}
	}
	return s.scanned, nil
}

// candidates marks the tensors that another one may equal: those of one type
// and dims.
func candidates(list []*onnxgraph.Tensor) []bool {
	same := map[string][]int{}
	for i, t := range list {
		if n, err := t.Bytes(); err == nil && n >= fewestBytes && t.Type.Bits() > 0 {
			key := fmt.Sprint(t.Type, t.Dims)
			same[key] = append(same[key], i)
		}
	}
	marked := make([]bool, len(list))
	for _, group := range same {
		for _, i := range group {
			marked[i] = len(group) > 1
		}
	}
	return marked
}

// stored leaves out tensors that lie in the same place of one data file.
func stored(list []*onnxgraph.Tensor, group []int) (apart []int) {
	places := map[onnxgraph.External]bool{}
	for _, i := range group {
		x := list[i].External
		if x != nil && places[onnxgraph.External{Location: x.Location, Offset: x.Offset}] {
			continue
		}
		if x != nil {
			places[onnxgraph.External{Location: x.Location, Offset: x.Offset}] = true
		}
		apart = append(apart, i)
	}
	return apart
}

// read passes a tensor's bytes to a hash, which may be nil, and to f.
func (s *subject) read(t *onnxgraph.Tensor, buf []byte, h hash.Hash, f *finite) error {
	if t.External == nil && t.Stored() == 0 {
		return nil // no element
	}
	r, err := t.Open()
	if err != nil { // in a typed field, which has to be decoded
		raw, err := t.Raw()
		if err != nil {
			return err
		}
		f.look(raw)
		if h != nil {
			h.Write(raw)
		}
		return nil
	}
	defer r.Close()
	for {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buf)
		f.look(buf[:n])
		if h != nil {
			h.Write(buf[:n])
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// A finite looks for numbers that are none.
type finite struct {
	bits     onnxgraph.DataType
	allowInf bool // as masks and bounds are
	seen     int64
	count    int64
	first    int64
	nan      bool
}

// width is the size of a number in bytes; 0 where it is always finite.
func (f *finite) width() int {
	switch f.bits {
	case onnxgraph.Float16, onnxgraph.BFloat16:
		return 2
	case onnxgraph.Float32:
		return 4
	case onnxgraph.Float64:
		return 8
	}
	return 0
}

// look takes up whole numbers in raw little-endian bytes.
func (f *finite) look(b []byte) {
	le := binary.LittleEndian
	switch f.bits {
	case onnxgraph.Float16:
		for ; len(b) >= 2; b = b[2:] {
			x := le.Uint16(b)
			f.note(x&0x7c00 == 0x7c00, x&0x3ff != 0)
		}
	case onnxgraph.BFloat16:
		for ; len(b) >= 2; b = b[2:] {
			x := le.Uint16(b)
			f.note(x&0x7f80 == 0x7f80, x&0x7f != 0)
		}
	case onnxgraph.Float32:
		for ; len(b) >= 4; b = b[4:] {
			x := le.Uint32(b)
			f.note(x&0x7f800000 == 0x7f800000, x&0x7fffff != 0)
		}
	case onnxgraph.Float64:
		for ; len(b) >= 8; b = b[8:] {
			x := le.Uint64(b)
			f.note(x&(0x7ff<<52) == 0x7ff<<52, x<<12 != 0)
		}
	}
}

// note takes up one number: the exponent of a NaN or an infinity, and the
// fraction of a NaN.
func (f *finite) note(special, nan bool) {
	if special && (nan || !f.allowInf) {
		if f.count == 0 {
			f.first = f.seen
		}
		f.count++
		f.nan = f.nan || nan
	}
	f.seen++
}

func (s *subject) finiteWeights() error {
	scan, err := s.scan()
	if err != nil {
		return err
	}
	for _, b := range scan.broken {
		what := "NaN"
		if b.infinity {
			what = "infinite"
		}
		s.found(b.where, "finite", what, "elements that are %s: %s, the first is element %d", what, grouped(b.count), b.first)
	}
	if scan.fault != "" {
		s.skip("%s", scan.fault)
	}
	return nil
}

func (s *subject) duplicates() error {
	scan, err := s.scan()
	if err != nil {
		return err
	}
	list := s.model.Graph.Initializers
	slices.SortFunc(scan.twins, func(a, b []int) int { return a[0] - b[0] })
	for _, group := range scan.twins {
		size, _ := list[group[0]].Bytes()
		for _, i := range group[1:] {
			s.found(initializer(i, list[i]), "", "", "holds the same %s bytes as %q", grouped(size), list[group[0]].Name)
		}
	}
	if scan.fault != "" {
		s.skip("%s", scan.fault)
	}
	return nil
}
