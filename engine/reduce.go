package engine

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/pool"
	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A reducer is how a reduction puts numbers together.
type reducer[A wide] struct {
	start  A
	lift   func(v A) A        // what a number counts; nil: itself
	join   func(a, b A) A     // of what was lifted
	finish func(a A, n int) A // of what n numbers were joined to; nil: itself
}

// reducerOf returns a reduction of numbers between two bounds.
func reducerOf[A wide](op string, lowest, highest A) reducer[A] {
	add := func(a, b A) A { return a + b }
	square := func(v A) A { return v * v }
	real := func(f func(float64) float64) func(A, int) A {
		return func(a A, _ int) A { return A(f(float64(a))) }
	}
	switch op {
	case "ReduceMean":
		return reducer[A]{join: add, finish: func(a A, n int) A { return A(float64(a) / float64(n)) }}
	case "ReduceProd":
		return reducer[A]{start: 1, join: func(a, b A) A { return a * b }}
	case "ReduceMax":
		return reducer[A]{start: lowest, join: func(a, b A) A { return max(a, b) }}
	case "ReduceMin":
		return reducer[A]{start: highest, join: func(a, b A) A { return min(a, b) }}
	case "ReduceL1":
		return reducer[A]{lift: magnitude[A], join: add}
	case "ReduceL2":
		return reducer[A]{lift: square, join: add, finish: real(math.Sqrt)}
	case "ReduceSumSquare":
		return reducer[A]{lift: square, join: add}
	case "ReduceLogSum":
		return reducer[A]{join: add, finish: real(math.Log)}
	case "ReduceLogSumExp":
		return reducer[A]{start: lowest, join: func(a, b A) A { return A(logAddExp(float64(a), float64(b))) }}
	}
	return reducer[A]{join: add} // ReduceSum
}

func magnitude[A wide](v A) A {
	if v < 0 {
		return -v
	}
	return v
}

// logAddExp is log(exp(a)+exp(b)), without overflow on the way.
func logAddExp(a, b float64) float64 {
	most := max(a, b)
	if math.IsInf(most, 0) {
		return most
	}
	return most + math.Log1p(math.Exp(min(a, b)-most))
}

// slopes are the derivatives of reductions by one number x where the result is
// y; the mean's is that of the sum, by n. Numbers that share a maximum or a
// minimum share its gradient, too.
var slopes = map[string]func(x, y float64) float64{
	"ReduceMax": func(x, y float64) float64 { return indicator(x == y) },
	"ReduceMin": func(x, y float64) float64 { return indicator(x == y) },
	"ReduceL1":  func(x, _ float64) float64 { return float64(cmp.Compare(x, 0)) },
	"ReduceL2": func(x, y float64) float64 {
		if y == 0 {
			return 0
		}
		return x / y
	},
	"ReduceSumSquare": func(x, _ float64) float64 { return 2 * x },
	"ReduceLogSum":    func(_, y float64) float64 { return math.Exp(-y) },
	"ReduceLogSumExp": func(x, y float64) float64 { return math.Exp(x - y) },
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// A reduction folds a tensor along some of its axes.
type reduction struct {
	op   string
	axes list
	none bool // no axes are none, instead of all
	keep bool // reduced axes stay, as dims of 1
}

func newReduction(n *node) (step, error) {
	since := int64(18)
	if n.OpType == "ReduceSum" {
		since = 13
	}
	return reduction{
		op: n.OpType, axes: n.list("axes", 1, since),
		none: n.Int("noop_with_empty_axes", 0) != 0, keep: n.Int("keepdims", 1) != 0,
	}, n.require(1)
}

func (reduction) anyLayout() {}

// named returns which axes are reduced, and the dims of the result with and
// without them.
func (r reduction) named(in []*Tensor) (named []bool, kept, dims []int, err error) {
	axes, err := r.axes(in)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("axes: %w", err)
	}
	if named, err = marked(axes, len(in[0].Dims)); err != nil {
		return nil, nil, nil, err
	}
	kept = slices.Clone(in[0].Dims)
	dims = make([]int, 0, len(kept))
	for i := range kept {
		if len(axes) == 0 {
			named[i] = !r.none
		}
		if named[i] {
			kept[i] = 1
		}
		if !named[i] || r.keep {
			dims = append(dims, kept[i])
		}
	}
	return named, kept, dims, nil
}

func (r reduction) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	named, kept, dims, err := r.named(in)
	if err != nil {
		return nil, err
	}
	out, err := r.reduce(x, in[0], named, kept)
	if err != nil {
		return nil, err
	}
	if out.memory != nil {
		x.temps = append(x.temps, out)
	}
	out, err = x.reshape(out, dims)
	return []*Tensor{out}, err
}

// reduce returns the result with the reduced axes, in t's order of memory.
func (r reduction) reduce(x *exec, t *Tensor, named []bool, kept []int) (*Tensor, error) {
	if err := x.room(t.Type(), kept); err != nil {
		return nil, err
	}
	g := groups(t, named)
	if src, ok := t.data.([]float32); ok {
		out, err := x.lend(kept, t.last)
		if err == nil && !r.fast(x.team, out.data.([]float32), src, g) {
			for i, v := range reducedBy(reducerOf(r.op, math.Inf(-1), math.Inf(1)), src, g) {
				out.data.([]float32)[i] = float32(v)
			}
		}
		return out, err
	}
	switch family(t.Type()) {
	case onnxgraph.Int64:
		return reduceWide(t, kept, g, reducerOf[int64](r.op, math.MinInt64, math.MaxInt64))
	case onnxgraph.Uint64:
		return reduceWide(t, kept, g, reducerOf[uint64](r.op, 0, math.MaxUint64))
	}
	return reduceWide(t, kept, g, reducerOf(r.op, math.Inf(-1), math.Inf(1)))
}

func reduceWide[A wide](t *Tensor, kept []int, g []group, f reducer[A]) (*Tensor, error) {
	src, err := widen[A](t)
	if err != nil {
		return nil, err
	}
	return narrow(t.Type(), kept, reducedBy(f, src, g))
}

// A group is a run of axes, neighbours in memory, that are all reduced or all kept.
type group struct {
	size    int
	reduced bool
}

// groups lists a tensor's axes from the outermost in memory.
func groups(t *Tensor, named []bool) []group {
	order := backwards(len(t.Dims), t.last)
	slices.Reverse(order)
	var g []group
	for _, a := range order {
		if n := len(g); n > 0 && g[n-1].reduced == named[a] {
			g[n-1].size *= t.Dims[a]
		} else if t.Dims[a] != 1 {
			g = append(g, group{t.Dims[a], named[a]})
		}
	}
	return g
}

// around returns the sizes before, of and behind the last group that is reduced;
// only says that there is no other.
func around(g []group) (at, outer, n, inner int, only bool) {
	at, outer, n, inner, only = -1, 1, 1, 1, true
	for i, v := range g {
		switch {
		case v.reduced:
			only = at < 0
			at, outer, n, inner = i, outer*n*inner, v.size, 1
		case at < 0:
			outer *= v.size
		default:
			inner *= v.size
		}
	}
	return
}

// reducedBy reduces one group after the other, from the innermost.
func reducedBy[A wide, S number](f reducer[A], src []S, g []group) []A {
	count := 1
	for _, v := range g {
		if v.reduced {
			count *= v.size
		}
	}
	at, outer, n, inner, only := around(g)
	lift := f.lift
	if lift == nil {
		lift = func(v A) A { return v }
	}
	acc := reduceGroup(src, outer, n, inner, f.start, f.join, lift)
	for !only {
		g = slices.Delete(slices.Clone(g), at, at+1)
		at, outer, n, inner, only = around(g)
		acc = reduceGroup(acc, outer, n, inner, f.start, f.join, func(v A) A { return v })
	}
	for i := range acc {
		if f.finish != nil {
			acc[i] = f.finish(acc[i], count)
		}
	}
	return acc
}

// reduceGroup folds the middle of [outer][n][inner].
func reduceGroup[A wide, S number](src []S, outer, n, inner int, start A, join func(a, b A) A, lift func(A) A) []A {
	acc := make([]A, outer*inner)
	for i := range acc {
		acc[i] = start
	}
	for o := 0; o < outer && len(src) > 0; o++ {
		row := acc[o*inner:][:inner]
		for range n {
			for i := range row {
				row[i] = join(row[i], lift(A(src[i])))
			}
			src = src[inner:]
		}
	}
	return acc
}

// fast computes common reductions of float32 over a single group, or reports
// that it does not.
func (r reduction) fast(team *cpu.Team, dst, src []float32, g []group) bool {
	_, outer, n, inner, only := around(g)
	if !only || len(src) == 0 {
		return false
	}
	rows := func(f func(row []float32) float32) bool {
		team.Ranges(outer, piece/n, func(_, from, to int) {
			for ; from < to; from++ {
				dst[from] = f(src[from*n:][:n])
			}
		})
		return true
	}
	switch {
	case inner > 1 && r.op == "ReduceMean":
		pool.GlobalAverage(team, outer, n, inner, dst, src)
		return true
	case inner > 1 && r.op == "ReduceSum":
		for o := range outer {
			vec.SumRows(team, dst[o*inner:], src[o*n*inner:][:n*inner], inner)
		}
		return true
	case inner > 1 && r.op == "ReduceMax":
		extremeRows(team, dst, src, n, inner, vec.Max)
		return true
	case inner > 1 && r.op == "ReduceMin":
		extremeRows(team, dst, src, n, inner, vec.Min)
		return true
	case inner > 1:
		return false
	case r.op == "ReduceMean":
		return rows(func(row []float32) float32 { return float32(vec.Sum(row) / float64(n)) })
	case r.op == "ReduceSum":
		return rows(func(row []float32) float32 { return float32(vec.Sum(row)) })
	case r.op == "ReduceMax":
		return rows(vec.MaxOf)
	case r.op == "ReduceSumSquare":
		return rows(func(row []float32) float32 { return float32(vec.Dot(row, row)) })
	case r.op == "ReduceL2":
		return rows(func(row []float32) float32 { return float32(math.Sqrt(vec.Dot(row, row))) })
	}
	return false
}

// extremeRows joins n rows of inner elements each to one, again and again.
func extremeRows(team *cpu.Team, dst, src []float32, n, inner int, join func(dst, a, b []float32)) {
	team.Do(len(dst)/inner, func(_, o int) {
		row, rows := dst[o*inner:][:inner], src[o*n*inner:][:n*inner]
		for copy(row, rows); len(rows) > inner; rows = rows[inner:] {
			join(row, row, rows[inner:])
		}
	})
}

func (r reduction) reads() (in, out indices) {
	if slopes[r.op] == nil {
		return only(1), 0
	}
	return all, only(0)
}

func (r reduction) grad(x *exec, in, out, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	if r.op == "ReduceProd" {
		return nil, errors.New("the operator has no gradient")
	}
	named, kept, _, err := r.named(in)
	if err != nil {
		return nil, err
	}
	g, err := x.reshape(dout[0], kept)
	if err != nil {
		return nil, err
	}
	defer x.release(g)
	dx, err := x.lend(in[0].Dims, in[0].last)
	if err != nil {
		return nil, err
	}
	m := spreading(dx, g, named)
	x.move(dx, g, m)
	to := dx.data.([]float32)
	if slope := slopes[r.op]; slope != nil {
		y, err := x.reshape(out[0], kept)
		if err != nil {
			return nil, err
		}
		defer x.release(y)
		r.steepen(to, in[0].data.([]float32), y.data.([]float32), spreading(dx, y, named), slope)
	} else if r.op == "ReduceMean" {
		vec.Scale(to, to, float32(g.Len())/float32(max(1, len(to))))
	}
	return []*Tensor{dx}, nil
}

// spreading is the movement of a reduced tensor to all that it was reduced from.
func spreading(whole, reduced *Tensor, named []bool) movement {
	from := reduced.strides()
	for i := range from {
		if named[i] {
			from[i] = 0
		}
	}
	return movement{dims: whole.Dims, to: whole.strides(), from: from}
}

// steepen multiplies gradients by the slopes at x, of the result y.
func (r reduction) steepen(dx, x, y []float32, m movement, slope func(x, y float64) float64) {
	m = m.tidy()
	n, to, from := m.row()
	each := func(f func(t, f int)) {
		m.rows(0, m.count(), func(t, s int) {
			for i := range n {
				f(t+i*to, s+i*from)
			}
		})
	}
	shares := make([]float32, len(y))
	for i := range shares {
		shares[i] = 1
	}
	if r.op == "ReduceMax" || r.op == "ReduceMin" {
		clear(shares)
		each(func(t, f int) { shares[f] += float32(slope(float64(x[t]), float64(y[f]))) })
	}
	each(func(t, f int) { dx[t] *= float32(slope(float64(x[t]), float64(y[f]))) / shares[f] })
}
