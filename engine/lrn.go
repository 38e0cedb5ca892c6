package engine

import (
	"fmt"
	"math"

	"github.com/natonnx/natonnx/engine/vec"
)

// A lrn normalizes each channel of a pixel by its neighbours (Krizhevsky,
// Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural
// Networks, 2012, section 3.3, but with alpha divided by the size, as in ONNX):
//
//	y = x / s^beta,  s = bias + alpha/size * (sum of x*x over a window of channels)
type lrn struct {
	alpha, beta, bias float64
	before, behind    int // channels in the window beside its own
	size              float64
}

func newLRN(n *node) (step, error) {
	size := n.Int("size", 0)
	if size < 1 || size > math.MaxInt32 {
		return nil, fmt.Errorf("size is %d", size)
	}
	return lrn{
		alpha: float64(n.Float("alpha", 1e-4)), beta: float64(n.Float("beta", 0.75)), bias: float64(n.Float("bias", 1)),
		before: int(size-1) / 2, behind: int(size) / 2, size: float64(size),
	}, n.require(1)
}

func (lrn) anyLayout() {}
func (lrn) inFloat32() {}

func (l lrn) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	y, err := l.pixels(x, in[:1], func(y []float32, v, scratch [][]float32) {
		_, power := l.scale(v[0], scratch)
		vec.Div(y, v[0], power)
	})
	return []*Tensor{y}, err
}

func (lrn) reads() (in, out indices) { return only(0), 0 }

// grad: dx = dy/s^beta - 2*alpha*beta/size * x * (sum of dy*x/s^(beta+1) over
// the windows that x is in).
func (l lrn) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	dx, err := l.pixels(x, []*Tensor{in[0], dout[0]}, func(dx []float32, v, scratch [][]float32) {
		x, dy := v[0], v[1]
		s, power := l.scale(x, scratch)
		share, sums := scratch[0], scratch[3]
		vec.Div(dx, dy, power)
		vec.Mul(share, dx, x)
		vec.Div(share, share, s)
		windowSums(sums, share, l.behind, l.before, -2*l.alpha*l.beta/l.size, 0)
		vec.Mul(sums, sums, x)
		vec.Add(dx, dx, sums)
	})
	return []*Tensor{dx}, err
}

// scale returns s and s^beta for the channels of a pixel, in the second and
// third part of the scratch memory.
func (l lrn) scale(x []float32, scratch [][]float32) (s, power []float32) {
	squares, s, power := scratch[0], scratch[1], scratch[2]
	vec.Mul(squares, x, x)
	windowSums(s, squares, l.before, l.behind, l.alpha/l.size, l.bias)
	if l.beta == 0.75 {
		vec.Sqrt(power, s)
		vec.Sqrt(squares, power)
		vec.Mul(power, power, squares)
		return s, power
	}
	for i, v := range s {
		power[i] = float32(math.Pow(float64(v), l.beta))
	}
	return s, power
}

// windowSums sets sums to offset + factor * the sum of v from so many elements
// before to so many behind.
func windowSums(sums, v []float32, before, behind int, factor, offset float64) {
	vec.Fill(sums, float32(offset))
	for k := -min(before, len(v)-1); k <= min(behind, len(v)-1); k++ {
		vec.Axpy(sums[max(0, -k):], float32(factor), v[max(0, k):])
	}
}

// pixels calls f with the channels of each pixel of the result and of tensors
// of its dims, and with four times the memory of those.
func (l lrn) pixels(x *exec, list []*Tensor, f func(y []float32, v, scratch [][]float32)) (*Tensor, error) {
	dims := list[0].Dims
	if len(dims) < 2 {
		return nil, fmt.Errorf("input is %v, want batch and channels at least", list[0])
	}
	src := make([][]float32, len(list))
	for i, t := range list {
		t, err := x.order(t, len(dims) > 2)
		if err != nil {
			return nil, err
		}
		if src[i], err = singles(t); err != nil {
			return nil, err
		}
	}
	y, err := x.lend(dims, len(dims) > 2)
	if err != nil || y.Len() == 0 {
		return y, err
	}
	dst, c := y.data.([]float32), dims[1]
	x.team.Ranges(len(dst)/c, piece/c, func(worker, first, end int) {
		memory := x.team.Scratch(worker, 4*c)
		scratch := [][]float32{memory[:c], memory[c : 2*c], memory[2*c : 3*c], memory[3*c:]}
		v := make([][]float32, len(src))
		for ; first < end; first++ {
			for i, s := range src {
				v[i] = s[first*c:][:c]
			}
			f(dst[first*c:][:c], v, scratch)
		}
	})
	return y, nil
}
