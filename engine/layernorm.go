package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/natonnx/natonnx/engine/vec"
)

// A layerNorm gives rows of x the mean 0 and the variance 1, then scale and bias
// (Ba, Kiros and Hinton, Layer Normalization, 2016). A row is all that lies
// behind an axis.
type layerNorm struct {
	axis    int
	epsilon float64
	stats   [2]bool // the second and third output, mean and 1/deviation, are wanted
}

func newLayerNorm(n *node) (step, error) {
	if typ := n.Int("stash_type", 1); typ != 1 {
		return nil, fmt.Errorf("stash_type is %d, want 1: float32", typ)
	}
	l := layerNorm{axis: int(n.Int("axis", -1)), epsilon: float64(n.Float("epsilon", 1e-5))}
	for i := range l.stats {
		l.stats[i] = len(n.Outputs) > i+1 && n.Outputs[i+1] != ""
	}
	return l, n.require(2)
}

func (layerNorm) inFloat32() {}

// A layer is what a run normalizes.
type layer struct {
	axis, rows, n  int
	x, scale, bias []float32 // bias may be nil
}

func (layerNorm) bias(in []*Tensor) *Tensor {
	if len(in) > 2 {
		return in[2]
	}
	return nil
}

func (l layerNorm) layer(x *exec, in []*Tensor) (y layer, err error) {
	dims := in[0].Dims
	if y.axis, err = axis(l.axis, len(dims)); err != nil {
		return y, err
	}
	y.rows, y.n = product(dims[:y.axis]), product(dims[y.axis:])
	if y.x, err = singles(in[0]); err != nil {
		return y, err
	}
	if y.scale, err = x.stretched(in[1], dims[y.axis:]); err != nil {
		return y, fmt.Errorf("scale: %w", err)
	}
	if b := l.bias(in); b != nil && b.data != nil {
		if y.bias, err = x.stretched(b, dims[y.axis:]); err != nil {
			return y, fmt.Errorf("bias: %w", err)
		}
	}
	return y, nil
}

// stretched returns the elements of t, broadcast to dims.
func (x *exec) stretched(t *Tensor, dims []int) ([]float32, error) {
	s, err := singles(t)
	if err != nil {
		return nil, err
	}
	to, err := broadcast(t.Dims, dims)
	if err != nil || !slices.Equal(to, dims) {
		return nil, fmt.Errorf("%v, want float32 %s", t, spell(dims))
	}
	if len(s) == product(dims) {
		return s, nil
	}
	out, err := x.temporary(dims, false)
	if err != nil {
		return nil, err
	}
	x.move(out, t, expansion(t.Dims, dims)(out.strides(), t.strides()))
	return out.data.([]float32), nil
}

func (l layerNorm) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	p, err := l.layer(x, in)
	if err != nil {
		return nil, err
	}
	out, err := l.results(x, in[0].Dims, p.axis)
	if err != nil || len(p.x) == 0 {
		return out, err
	}
	y := out[0].data.([]float32)
	x.team.Ranges(p.rows, piece/p.n, func(_, first, end int) {
		for r := first; r < end; r++ {
			row := y[r*p.n:][:p.n]
			mean, inverse := standardize(row, p.x[r*p.n:][:p.n], l.epsilon)
			vec.Mul(row, row, p.scale)
			if p.bias != nil {
				vec.Add(row, row, p.bias)
			}
			for i, v := range []float32{mean, inverse} {
				if l.stats[i] {
					out[i+1].data.([]float32)[r] = v
				}
			}
		}
	})
	return out, nil
}

// results returns memory for the outputs that are wanted.
func (l layerNorm) results(x *exec, dims []int, axis int) ([]*Tensor, error) {
	out := make([]*Tensor, 3)
	var err error
	if out[0], err = x.lend(dims, false); err != nil {
		return nil, err
	}
	stats := append(slices.Clone(dims[:axis]), slices.Repeat([]int{1}, len(dims)-axis)...)
	for i, wanted := range l.stats {
		if wanted {
			if out[i+1], err = x.lend(stats, false); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// standardize sets y to (x-mean)*inverse, where inverse is 1/sqrt(variance+epsilon).
func standardize(y, x []float32, epsilon float64) (mean, inverse float32) {
	n := float64(len(x))
	mean = float32(vec.Sum(x) / n)
	vec.Offset(y, x, -mean)
	inverse = float32(1 / math.Sqrt(vec.Dot(y, y)/n+epsilon))
	vec.Scale(y, y, inverse)
	return mean, inverse
}

func (layerNorm) reads() (in, out indices) { return only(0, 1), 0 }

// grad: with z the standardized x and g = dy*scale,
//
//	dx = (g - mean of g - z * mean of g*z) / deviation
//
// and the gradients of scale and bias are the sums over rows of dy*z and dy.
func (l layerNorm) grad(x *exec, in, _, dout []*Tensor, want []bool) ([]*Tensor, error) {
	if slices.ContainsFunc(dout[1:], func(t *Tensor) bool { return t != nil }) {
		return nil, errors.New("the mean and the deviation have no gradient")
	}
	p, err := l.layer(x, in)
	if err != nil {
		return nil, err
	}
	dx, err := x.lend(in[0].Dims, false)
	if err != nil {
		return nil, err
	}
	products, err := x.temporary([]int{p.rows, p.n}, false)
	if err != nil {
		return nil, err
	}
	dy, to, z := dout[0].data.([]float32), dx.data.([]float32), products.data.([]float32)
	x.team.Ranges(p.rows, piece/max(p.n, 1), func(_, first, end int) {
		for r := first; r < end; r++ {
			a, b := r*p.n, (r+1)*p.n
			standardGrad(to[a:b], z[a:b], p.x[a:b], dy[a:b], p.scale, l.epsilon)
		}
	})
	din := []*Tensor{dx, nil, nil}
	for i, s := range [][]float32{nil, z, dy} {
		if i > 0 && i < len(in) && want[i] {
			if din[i], err = p.summed(x, s, in[0].Dims[p.axis:], in[i].Dims); err != nil {
				return nil, err
			}
		}
	}
	return din, nil
}

// standardGrad sets dx to the gradient of a row x, and z to dy times what
// [standardize] makes of x.
func standardGrad(dx, z, x, dy, scale []float32, epsilon float64) {
	n := float64(len(x))
	_, inverse := standardize(z, x, epsilon)
	vec.Mul(dx, dy, scale)
	mean, slope := vec.Sum(dx)/n, vec.Dot(dx, z)/n
	vec.Offset(dx, dx, -float32(mean))
	vec.Axpy(dx, -float32(slope), z)
	vec.Scale(dx, dx, inverse)
	vec.Mul(z, z, dy)
}

// summed returns the sum of rows of those dims, as a tensor that was broadcast to them.
func (p layer) summed(x *exec, rows []float32, dims, to []int) (*Tensor, error) {
	sum, err := x.temporary(dims, false)
	if err != nil {
		return nil, err
	}
	clear(sum.data.([]float32))
	vec.SumRows(x.team, sum.data.([]float32), rows, p.n)
	return x.reduced(sum, to)
}
