package engine

import (
	"fmt"

	"github.com/natonnx/natonnx/engine/vec"
)

// A curve is a function of one number and its slope.
type curve struct {
	of    func(v float64) float64
	slope func(v float64) float64 // nil: there is none to speak of
	// byResult makes slope and back functions of the result.
	byResult bool

	vector func(dst, a []float32)    // of, faster; nil: none
	back   func(dx, dy, v []float32) // dy times slope, faster; nil: none
}

// A pointwise step applies a curve to every element of its only input.
type pointwise struct {
	op string
	curve
}

func newPointwise(n *node) (step, error) {
	p := &pointwise{n.OpType, curves[n.OpType](n)}
	if f := p.of; p.vector == nil {
		p.vector = func(dst, a []float32) {
			for i, v := range a {
				dst[i] = float32(f(float64(v)))
			}
		}
	}
	if f := p.slope; p.back == nil && f != nil {
		p.back = func(dx, dy, v []float32) {
			for i, v := range v {
				dx[i] = dy[i] * float32(f(float64(v)))
			}
		}
	}
	return p, n.require(1)
}

func (*pointwise) anyLayout() {}

func (p *pointwise) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	var out *Tensor
	var err error
	switch s := in[0].data.(type) {
	case []float32:
		if out, err = x.into(in, 0); err == nil {
			dst := out.data.([]float32)
			vec.Parallel(x.team, len(s), func(from, to int) { p.vector(dst[from:to], s[from:to]) })
		}
	case []float64:
		if out, err = x.alike(in[0], in[0].Dims, false); err == nil {
			for i, v := range s {
				out.data.([]float64)[i] = p.of(v)
			}
		}
	case []Float16, []BFloat16:
		return inSingle(x, in, p.run)
	default:
		out, err = compute(x, in, func(a algebra) applied { return a.exact(p.op) })
	}
	return []*Tensor{out}, err
}

func (p *pointwise) reads() (in, out indices) {
	if p.byResult {
		return 0, only(0)
	}
	return only(0), 0
}

func (p *pointwise) grad(x *exec, in, out, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	v := in[0]
	if p.byResult {
		v = out[0]
	}
	dx, err := x.slope(dout[0], v, p.back)
	return []*Tensor{dx}, err
}

// slope returns what f makes of the gradient dy and a value of the same dims.
func (x *exec) slope(dy, v *Tensor, f func(dx, dy, v []float32)) (*Tensor, error) {
	if f == nil {
		return nil, fmt.Errorf("the operator has no gradient")
	}
	v, err := x.order(v, dy.last)
	if err != nil {
		return nil, err
	}
	dx, err := x.lend(dy.Dims, dy.last)
	if err != nil {
		return nil, err
	}
	to, g, at := dx.data.([]float32), dy.data.([]float32), v.data.([]float32)
	vec.Parallel(x.team, len(to), func(from, end int) { f(to[from:end], g[from:end], at[from:end]) })
	return dx, nil
}
