package engine

import (
	"fmt"
	"math"
	"slices"

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
	if operands[0].Tensor, err = cast(x, in[0], onnxgraph.Float32); err != nil {
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
		return nil, fmt.Errorf("quantization to %v is not supported", typ)
	}
	if operands[0].Tensor != in[0] {
		x.release(operands[0].Tensor)
	}
	return []*Tensor{out}, nil
}

// level sets to to the nearest levels of a quantization, ties to even.
func level[T integer](x *exec, to []T, operands []operand) {
	lo, hi := limits[T]()
	scale(x, to, operands, func(v float32, scale, zero float64) T {
		return saturated(math.RoundToEven(float64(v/float32(scale)))+zero, lo, hi)
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

func restored[T integer](v T, scale, zero float64) float32 {
	return float32(float64(v)-zero) * float32(scale)
}

// operands returns the elements, scales and zero points, which broadcast to the
// elements. Both of the latter are float64, which holds all of either.
func (q quantization) operands(x *exec, in []*Tensor) ([]operand, error) {
	dims := in[0].Dims
	out := []operand{{Tensor: in[0]}, {}, {Tensor: of(slices.Repeat([]int{1}, len(dims)), []float64{0})}}
	for i, t := range in[1:] {
		if t == nil {
			continue
		}
		single := t.Len() == 1 && in[1].Len() == 1 // exporters mix scalars with vectors of 1
		if i > 0 && !single && !slices.Equal(t.Dims, in[1].Dims) {
			return nil, fmt.Errorf("zero points are %v, scales %v: want equal dims", t, in[1])
		}
		t, err := cast(x, t, onnxgraph.Float64)
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
		return of(ones, t.data.([]float64)), nil
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
	return of(ones, t.data.([]float64)), nil
}

// inBlocks repeats each element of t for the elements of its block.
func (q quantization) inBlocks(x *exec, t *Tensor, dims []int, a int) (*Tensor, error) {
	want := slices.Clone(dims)
	want[a] = (dims[a] + q.block - 1) / q.block
	if !slices.Equal(t.Dims, want) {
		return nil, fmt.Errorf("%v for blocks of %d along axis %d of %s, want %s", t, q.block, a, spell(dims), spell(want))
	}
	out, err := x.typed(onnxgraph.Float64, dims, false)
	if err != nil {
		return nil, err
	}
	to, from := out.data.([]float64), t.data.([]float64)
	inner := product(dims[a+1:])
	for i := range product(dims[:a]) * dims[a] {
		row := i/dims[a]*want[a] + i%dims[a]/q.block
		copy(to[i*inner:][:inner], from[row*inner:])
	}
	return out, nil
}

// scale computes a result from the elements, scales and zero points.
func scale[T, R Element](x *exec, to []R, operands []operand, f func(v T, scale, zero float64) R) {
	w := newNest(operands[0].Dims, operands)
	x.team.Ranges(len(to), piece, func(_, from, end int) {
		values, scales, zeros := readerOf[T](&w, 0, operands[0]), readerOf[float64](&w, 1, operands[1]), readerOf[float64](&w, 2, operands[2])
		w.blocks(from, end, func(at, pos, n int, off []int) {
			v, s, z := values.part(off[0], pos, n), scales.part(off[1], pos, n), zeros.part(off[2], pos, n)
			for i := range v {
				to[at+i] = f(v[i], s[i], z[i])
			}
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
