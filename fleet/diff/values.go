package diff

import (
	"encoding/binary"
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A distance sums up how far two runs of elements are apart.
type distance struct {
	size           int                  // bytes of an element; 0: elements are no whole bytes
	number         func([]byte) float64 // nil: the type has no arithmetic here
	differ         int64                // elements whose bits differ
	largest        float64              // |b - a|
	squares, whole float64              // of the differences, and of a
}

// newDistance makes a distance for elements of a type.
func newDistance(t onnxgraph.DataType) *distance {
	d := &distance{number: numbers[t]}
	if bits := t.Bits(); bits%8 == 0 {
		d.size = int(bits / 8)
	}
	return d
}

// numbers reads an element of each type that has arithmetic here.
var numbers = map[onnxgraph.DataType]func([]byte) float64{
	onnxgraph.Float32: func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) },
	onnxgraph.Float64: func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) },
	onnxgraph.BFloat16: func(b []byte) float64 {
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
	},
	onnxgraph.Float16: func(b []byte) float64 { return half(binary.LittleEndian.Uint16(b)) },
	onnxgraph.Int8:    func(b []byte) float64 { return float64(int8(b[0])) },
	onnxgraph.Uint8:   func(b []byte) float64 { return float64(b[0]) },
	onnxgraph.Bool:    func(b []byte) float64 { return float64(b[0]) },
	onnxgraph.Int16:   func(b []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(b))) },
	onnxgraph.Uint16:  func(b []byte) float64 { return float64(binary.LittleEndian.Uint16(b)) },
	onnxgraph.Int32:   func(b []byte) float64 { return float64(int32(binary.LittleEndian.Uint32(b))) },
	onnxgraph.Uint32:  func(b []byte) float64 { return float64(binary.LittleEndian.Uint32(b)) },
	onnxgraph.Int64:   func(b []byte) float64 { return float64(int64(binary.LittleEndian.Uint64(b))) },
	onnxgraph.Uint64:  func(b []byte) float64 { return float64(binary.LittleEndian.Uint64(b)) },
}

// half converts IEEE 754 binary16.
func half(h uint16) float64 {
	sign, exp, frac := 1.0, int(h>>10)&0x1f, float64(h&0x3ff)
	if h>>15 != 0 {
		sign = -1
	}
	switch {
	case exp == 0x1f && frac != 0:
		return math.NaN()
	case exp == 0x1f:
		return math.Inf(int(sign))
	case exp == 0:
		return sign * math.Ldexp(frac, -24)
	}
	return sign * math.Ldexp(frac+1024, exp-25)
}

// add takes the next elements of both. Where they have no whole bytes nothing is known of them.
func (d *distance) add(a, b []byte) {
	if d.size == 0 || len(a) != len(b) {
		return
	}
	for ; len(a) >= d.size; a, b = a[d.size:], b[d.size:] {
		same := string(a[:d.size]) == string(b[:d.size])
		if !same {
			d.differ++
		}
		if d.number == nil {
			continue
		}
		x := d.number(a)
		d.whole += x * x
		if same {
			continue // also two NaN, whose difference is none
		}
		gap := math.Abs(d.number(b) - x)
		d.squares += gap * gap
		if gap > d.largest || math.IsNaN(gap) {
			d.largest = gap
		}
	}
}

// change is the outcome for tensors of n elements.
func (d *distance) change(n int64) *ValueChange {
	c := &ValueChange{Elements: n}
	if d.size > 0 {
		c.Differing = &d.differ
	}
	if d.number != nil {
		c.MaxAbs = finite(d.largest)
		c.Relative = finite(math.Sqrt(d.squares) / math.Sqrt(d.whole))
	}
	return c
}

func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
