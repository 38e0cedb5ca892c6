package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/natonnx/natonnx/engine/vec"
)

// A layerNorm gives rows of x the mean 0 and the variance 1, then scale and bias.
// A row is all that lies behind an axis (Ba, Kiros and Hinton, Layer
// Normalization, 2016), or a group of the channels of an image with all their
// pixels (Wu and He, Group Normalization, 2018; each channel is a group in
// Ulyanov, Vedaldi and Lempitsky, Instance Normalization, 2016).
type layerNorm struct {
	axis    int
	groups  int // of channels; 0: rows behind the axis; -1: as many as channels
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

func newInstanceNorm(n *node) (step, error) {
	return layerNorm{groups: -1, epsilon: float64(n.Float("epsilon", 1e-5))}, n.require(3)
}

func newGroupNorm(n *node) (step, error) {
	groups := n.Int("num_groups", 0)
	if groups < 1 || groups > math.MaxInt32 {
		return nil, fmt.Errorf("num_groups is %d", groups)
	}
	return layerNorm{groups: int(groups), epsilon: float64(n.Float("epsilon", 1e-5))}, n.require(3)
}

func (layerNorm) inFloat32() {}

// A layer is what a run normalizes.
type layer struct {
	axis, rows, n int
	x             []float32
	scale, bias   []float32 // for one row or for several, which follow each other; bias may be nil
	dims          []int     // of what scale and bias were broadcast to
}

func (l layerNorm) layer(x *exec, in []*Tensor) (y layer, err error) {
	if y, err = l.rows(in[0].Dims, in[1].Len()); err != nil {
		return y, err
	}
	if y.x, err = singles(in[0]); err != nil {
		return y, err
	}
	if y.scale, err = x.stretched(in[1], l.factors(in[1].Dims, y.dims), y.dims); err != nil {
		return y, fmt.Errorf("scale: %w", err)
	}
	if len(in) > 2 && in[2] != nil && in[2].data != nil {
		if y.bias, err = x.stretched(in[2], l.factors(in[2].Dims, y.dims), y.dims); err != nil {
			return y, fmt.Errorf("bias: %w", err)
		}
	}
	return y, nil
}

// rows splits dims into rows. scales is how many factors there are.
func (l layerNorm) rows(dims []int, scales int) (y layer, err error) {
	if l.groups == 0 {
		if y.axis, err = axis(l.axis, len(dims)); err == nil {
			y.rows, y.n, y.dims = product(dims[:y.axis]), product(dims[y.axis:]), dims[y.axis:]
		}
		return y, err
	}
	if len(dims) < 2 {
		return y, fmt.Errorf("input is %s, want batch and channels at least", spell(dims))
	}
	groups, sample := l.groups, product(dims[1:])
	if groups < 0 {
		groups = dims[1]
	}
	if groups > 0 && dims[1]%groups != 0 || scales != groups && scales != dims[1] {
		return y, fmt.Errorf("%d groups and %d scales for %d channels", groups, scales, dims[1])
	}
	y.rows, y.n, y.dims = dims[0]*groups, sample/max(groups, 1), []int{scales, sample / max(scales, 1)}
	return y, nil
}

// factors returns the dims of scale or bias in a rank that they are broadcast from.
func (l layerNorm) factors(own, dims []int) []int {
	if l.groups != 0 {
		return []int{product(own), 1}
	}
	for len(own) > len(dims) && own[0] == 1 {
		own = own[1:]
	}
	return own
}

// stretched returns the elements of t, seen with the dims from, broadcast to dims.
func (x *exec) stretched(t *Tensor, from, dims []int) ([]float32, error) {
	s, err := singles(t)
	if err != nil {
		return nil, err
	}
	to, err := broadcast(from, dims)
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
	x.move(out, t, expansion(from, dims)(strides(dims, false), strides(from, false)))
	return out.data.([]float32), nil
}

// of returns the part of a factor that belongs to a row.
func (y *layer) of(factor []float32, row int) []float32 {
	return factor[row*y.n%len(factor):][:y.n]
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
			vec.Mul(row, row, p.of(p.scale, r))
			if p.bias != nil {
				vec.Add(row, row, p.of(p.bias, r))
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
	if err != nil || len(p.x) == 0 {
		return []*Tensor{dx}, err
	}
	products, err := x.temporary([]int{p.rows, p.n}, false)
	if err != nil {
		return nil, err
	}
	dy, to, z := dout[0].data.([]float32), dx.data.([]float32), products.data.([]float32)
	x.team.Ranges(p.rows, piece/p.n, func(_, first, end int) {
		for r := first; r < end; r++ {
			a, b := r*p.n, (r+1)*p.n
			standardGrad(to[a:b], z[a:b], p.x[a:b], dy[a:b], p.of(p.scale, r), l.epsilon)
		}
	})
	din := []*Tensor{dx, nil, nil}
	for i, s := range [][]float32{nil, z, dy} {
		if i > 0 && i < len(in) && want[i] {
			sum, err := p.summed(x, s, l.factors(in[i].Dims, p.dims))
			if err != nil {
				return nil, err
			}
			sum.Dims = in[i].Dims
			din[i] = sum
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

// summed returns the gradient of scale or bias, seen with the dims to, given its
// parts.
func (y *layer) summed(x *exec, parts []float32, to []int) (*Tensor, error) {
	sum, err := x.temporary(y.dims, false)
	if err != nil {
		return nil, err
	}
	vec.SumRows(x.team, sum.data.([]float32), parts, sum.Len())
	return x.reduced(sum, to)
}
