package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A quantization says how scales and zero points belong to the elements of a
// tensor: to all, to the indices of an axis, or to blocks along it. Neither
// QuantizeLinear nor DequantizeLinear has a gradient.
type quantization struct {
	axis  int
	block int                // elements; 0: not in blocks
	typ   onnxgraph.DataType // of the result, if the node says
}

func quantizationOf(n *node) quantization {
	return quantization{int(n.Int("axis", 1)), int(n.Int("block_size", 0)), onnxgraph.DataType(n.Int("output_dtype", 0))}
}

type quantize struct{ quantization }

func newQuantize(n *node) (step, error) { return quantize{quantizationOf(n)}, n.require(2) }

func (q quantize) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	typ := onnxgraph.Uint8
	if len(in) > 2 && in[2] != nil {
		typ = in[2].Type()
	} else if q.typ != onnxgraph.Undefined {
		typ = q.typ
	}
	operands, err := q.operands(x, in)
	if err != nil {
		return nil, err
	}
	if operands[0].Tensor, err = x.as(in[0], onnxgraph.Float32); err != nil {
		return nil, err
	}
	out, err := x.typed(typ, in[0].Dims, false)
	if err != nil {
		return nil, err
	}
	switch to := out.data.(type) {
	case []int8:
		level(x, to, operands)
	case []uint8:
		level(x, to, operands)
	case []int16:
		level(x, to, operands)
	case []uint16:
		level(x, to, operands)
	default:
		x.release(out)
		return nil, fmt.Errorf("quantization to %v is not supported", typ)
	}
	return []*Tensor{out}, nil
}

// level sets to to the nearest levels of a quantization, ties to even.
func level[T int8 | uint8 | int16 | uint16](x *exec, to []T, operands []operand) {
	least, most := limits[T]()
	// A float32 near big has no room for a fraction: adding big rounds, to even.
	const far, big = 1 << 20, 3 << 22
	scale(x, to, operands, func(dst []T, v, scales, zeros []float32) {
		var room [block]float32
		q := room[:len(v)]
		vec.Div(q, v, scales)
		vec.Clamp(q, q, -far, far)
		vec.Offset(q, q, big)
		vec.Offset(q, q, -big)
		vec.Add(q, q, zeros)
		vec.Clamp(q, q, float32(least), float32(most))
		for i, v := range q {
			dst[i] = T(int32(v))
		}
	})
}

type dequantize struct{ quantization }

func newDequantize(n *node) (step, error) { return dequantize{quantizationOf(n)}, n.require(2) }

func (q dequantize) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	typ := in[1].Type()
	if q.typ != onnxgraph.Undefined {
		typ = q.typ
	}
	operands, err := q.operands(x, in)
	if err != nil {
		return nil, err
	}
	out, err := x.typed(onnxgraph.Float32, in[0].Dims, false)
	if err != nil {
		return nil, err
	}
	to := out.data.([]float32)
	switch in[0].data.(type) {
	case []int8:
		scale(x, to, operands, restored[int8])
	case []uint8:
		scale(x, to, operands, restored[uint8])
	case []int16:
		scale(x, to, operands, restored[int16])
	case []uint16:
		scale(x, to, operands, restored[uint16])
	case []int32:
		scale(x, to, operands, restored[int32])
	default:
		x.release(out)
		return nil, fmt.Errorf("input 0 is %v, want an integer of 8 or 16 bits or int32", in[0])
	}
	if typ == onnxgraph.Float32 {
		return []*Tensor{out}, nil
	}
	defer x.release(out)
	rounded, err := cast(x, out, typ)
	return []*Tensor{rounded}, err
}

func restored[T integer](dst []float32, v []T, scales, zeros []float32) {
	for i, v := range v {
		dst[i] = float32(v)
	}
	vec.Sub(dst, dst, zeros)
	vec.Mul(dst, dst, scales)
}

// operands returns the elements, scales and zero points, which broadcast to the
// elements. Both of the latter are float32: zero points have 16 bits at most, or
// are 0.
func (q quantization) operands(x *exec, in []*Tensor) ([]operand, error) {
	dims := in[0].Dims
	out := []operand{{Tensor: in[0]}, {}, {Tensor: of(slices.Repeat([]int{1}, len(dims)), []float32{0})}}
	for i, t := range in[1:] {
		if t == nil {
			continue
		}
		single := t.Len() == 1 && in[1].Len() == 1 // exporters mix scalars with vectors of 1
		if i > 0 && !single && !slices.Equal(t.Dims, in[1].Dims) {
			return nil, fmt.Errorf("zero points are %v, scales %v: want equal dims", t, in[1])
		}
		t, err := x.as(t, onnxgraph.Float32)
		if err != nil {
			return nil, err
		}
		if out[i+1].Tensor, err = q.fit(x, t, dims); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fit gives scales or zero points dims that broadcast to those of the elements.
func (q quantization) fit(x *exec, t *Tensor, dims []int) (*Tensor, error) {
	ones := slices.Repeat([]int{1}, len(dims))
	if t.Len() == 1 {
		return of(ones, t.data.([]float32)), nil
	}
	a, err := axis(q.axis, len(dims))
	if err != nil {
		return nil, err
	}
	if q.block > 0 {
		return q.inBlocks(x, t, dims, a)
	}
	if len(t.Dims) != 1 || t.Dims[0] != dims[a] {
		return nil, fmt.Errorf("%v for axis %d of %s, want %d elements", t, a, spell(dims), dims[a])
	}
	ones[a] = dims[a]
	return of(ones, t.data.([]float32)), nil
}

// inBlocks repeats each element of t for the elements of its block.
func (q quantization) inBlocks(x *exec, t *Tensor, dims []int, a int) (*Tensor, error) {
	want := slices.Clone(dims)
	want[a] = (dims[a] + q.block - 1) / q.block
	if !slices.Equal(t.Dims, want) {
		return nil, fmt.Errorf("%v for blocks of %d along axis %d of %s, want %s", t, q.block, a, spell(dims), spell(want))
	}
	out, err := x.temporary(dims, false)
	if err != nil {
		return nil, err
	}
	to, from := out.data.([]float32), t.data.([]float32)
	inner := product(dims[a+1:])
	for i := range product(dims[:a]) * dims[a] {
		row := i/dims[a]*want[a] + i%dims[a]/q.block
		copy(to[i*inner:][:inner], from[row*inner:])
	}
	return out, nil
}

// scale computes a result from the elements, scales and zero points.
func scale[T, R Element](x *exec, to []R, operands []operand, f func(dst []R, v []T, scales, zeros []float32)) {
	w := newNest(operands[0].Dims, operands)
	x.team.Ranges(len(to), piece, func(_, from, end int) {
		values, scales, zeros := readerOf[T](&w, 0, operands[0]), readerOf[float32](&w, 1, operands[1]), readerOf[float32](&w, 2, operands[2])
		w.blocks(from, end, func(at, pos, n int, off []int) {
			f(to[at:at+n], values.part(off[0], pos, n), scales.part(off[1], pos, n), zeros.part(off[2], pos, n))
		})
	})
}

// A dynamicQuantize computes DynamicQuantizeLinear: levels, scale, zero point.
type dynamicQuantize struct{}

func newDynamicQuantize(n *node) (step, error) { return dynamicQuantize{}, n.require(1) }

func (dynamicQuantize) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	s, ok := in[0].data.([]float32)
	if !ok {
		return nil, fmt.Errorf("input 0 is %v, want float32", in[0])
	}
	var lo, hi float32
	for _, v := range s {
		lo, hi = min(lo, v), max(hi, v)
	}
	step := (hi - lo) / 255
	zero := saturated[uint8](math.RoundToEven(float64(-lo/step)), 0, 255)
	scales, zeros := of([]int{}, []float32{step}), of([]int{}, []uint8{zero})
	out, err := quantize{}.run(x, []*Tensor{in[0], scales, zeros})
	if err != nil {
		return nil, err
	}
	return append(out, scales, zeros), nil
}
