package engine

import (
	"cmp"
	"fmt"
	"slices"
)

// An extreme step says where along an axis the largest or the smallest number is.
type extreme struct {
	axis             int
	sign             int // of what counts as more
	keep, lastOfMany bool
}

func newExtreme(n *node) (step, error) {
	e := extreme{axis: int(n.Int("axis", 0)), sign: 1, keep: n.Int("keepdims", 1) != 0, lastOfMany: n.Int("select_last_index", 0) != 0}
	if n.OpType == "ArgMin" {
		e.sign = -1
	}
	return e, n.require(1)
}

func (e extreme) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	a, err := axis(e.axis, len(in[0].Dims))
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(in[0].Dims)
	if dims[a] = 1; !e.keep {
		dims = slices.Delete(dims, a, a+1)
	}
	n, inner := in[0].Dims[a], product(in[0].Dims[a+1:])
	if n == 0 && product(dims) > 0 {
		return nil, fmt.Errorf("axis %d of %v is empty", a, in[0])
	}
	var places []int64
	switch s := in[0].data.(type) {
	case []float32:
		places = extremes(e, s, n, inner)
	case []int64:
		places = extremes(e, s, n, inner)
	case []uint64:
		places = extremes(e, s, n, inner)
	default:
		wide, err := widen[float64](in[0])
		if err != nil {
			return nil, err
		}
		places = extremes(e, wide, n, inner)
	}
	return []*Tensor{of(dims, places)}, nil
}

// extremes goes through [...][n][inner].
func extremes[T cmp.Ordered](e extreme, s []T, n, inner int) []int64 {
	places := make([]int64, 0, len(s)/max(n, 1))
	for ; len(s) > 0; s = s[n*inner:] {
		for i := range inner {
			best := 0
			for k := 1; k < n; k++ {
				c := e.sign * cmp.Compare(s[k*inner+i], s[best*inner+i])
				if c > 0 || c == 0 && e.lastOfMany {
					best = k
				}
			}
			places = append(places, int64(best))
		}
	}
	return places
}
