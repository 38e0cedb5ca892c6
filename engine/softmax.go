package engine

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/engine/vec"
)

// A softmax normalizes exponentials, or takes the logarithm of that, along one
// axis or, before opset 13, along all from one on.
type softmax struct {
	axis    int
	flatten bool
	log     bool
}

func newSoftmax(n *node) (step, error) {
	s := softmax{axis: int(n.Int("axis", -1)), log: n.OpType == "LogSoftmax"}
	if n.opset < 13 {
		s.axis, s.flatten = int(n.Int("axis", 1)), true
	}
	return s, n.require(1)
}

func (softmax) anyLayout() {}
func (softmax) inFloat32() {}

func (s softmax) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	f := vec.Softmax
	if s.log {
		f = vec.LogSoftmax
	}
	y, err := s.along(x, in[:1], func(dst []float32, src [][]float32, n int) { f(dst, src[0], n) })
	return []*Tensor{y}, err
}

func (softmax) reads() (in, out indices) { return 0, only(0) }

func (s softmax) grad(x *exec, _, out, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	row := softmaxGrad
	if s.log {
		row = logSoftmaxGrad
	}
	dx, err := s.along(x, []*Tensor{out[0], dout[0]}, func(dst []float32, src [][]float32, n int) {
		for i := 0; i < len(dst); i += n {
			row(dst[i:i+n], src[0][i:i+n], src[1][i:i+n])
		}
	})
	return []*Tensor{dx}, err
}

// softmaxGrad sets dx to y*(dy - sum of y*dy).
func softmaxGrad(dx, y, dy []float32) {
	vec.Offset(dx, dy, -float32(vec.Dot(y, dy)))
	vec.Mul(dx, dx, y)
}

// logSoftmaxGrad sets dx to dy - exp(y)*(sum of dy).
func logSoftmaxGrad(dx, y, dy []float32) {
	vec.Exp(dx, y)
	vec.Scale(dx, dx, -float32(vec.Sum(dy)))
	vec.Add(dx, dx, dy)
}

// along calls f with rows, each of n elements, of a result and of tensors of its
// dims. A row runs along the axis.
func (s softmax) along(x *exec, list []*Tensor, f func(dst []float32, src [][]float32, n int)) (*Tensor, error) {
	list, outer, n, inner, err := s.lie(x, list)
	if err != nil {
		return nil, err
	}
	out, err := x.lend(list[0].Dims, list[0].last)
	if err != nil || out.Len() == 0 {
		return out, err
	}
	dst := out.data.([]float32)
	to, src := dst, make([][]float32, len(list))
	for i, t := range list {
		if src[i], err = singles(t); err != nil {
			return nil, err
		}
	}
	if inner > 1 {
		rows, err := x.temporary([]int{len(src) + 1, len(dst)}, false)
		if err != nil {
			return nil, err
		}
		to = rows.data.([]float32)
		for i, s := range src {
			src[i] = to[(i+1)*len(dst):][:len(dst)]
			vec.ToChannelsLast(x.team, src[i], s, outer, n, inner)
		}
	}
	x.team.Ranges(outer*inner, piece/n, func(_, first, end int) {
		part := make([][]float32, len(src))
		for i := range src {
			part[i] = src[i][first*n : end*n]
		}
		f(to[first*n:end*n], part, n)
	})
	if inner > 1 {
		vec.ToChannelsFirst(x.team, dst, to, outer, n, inner)
	}
	return out, nil
}

// lie brings tensors of the same dims into one order of memory, and returns how
// the axis lies there: [outer][n][inner].
func (s softmax) lie(x *exec, list []*Tensor) (laid []*Tensor, outer, n, inner int, err error) {
	dims := list[0].Dims
	a, err := axis(s.axis, len(dims))
	if err != nil {
		return nil, 0, 0, 0, err
	}
	last := list[0].last && !s.flatten
	laid = make([]*Tensor, len(list))
	for i, t := range list {
		if laid[i], err = x.order(t, last); err != nil {
			return nil, 0, 0, 0, err
		}
	}
	if s.flatten {
		return laid, product(dims[:a]), product(dims[a:]), 1, nil
	}
	order := backwards(len(dims), last)
	slices.Reverse(order)
	at := slices.Index(order, a)
	return laid, product(pick(dims, order[:at])), dims[a], product(pick(dims, order[at+1:])), nil
}

// singles returns the elements of a float32 tensor as they lie in memory.
func singles(t *Tensor) ([]float32, error) {
	s, ok := t.data.([]float32)
	if !ok {
		return nil, fmt.Errorf("%v, want numbers", t)
	}
	return s, nil
}
