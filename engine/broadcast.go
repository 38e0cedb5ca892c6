package engine

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// common returns the dims that all operands are broadcast to
// (ONNX, Broadcasting in ONNX: multidirectional).
func common(operands ...*Tensor) ([]int, error) {
	dims := []int{}
	for _, t := range operands {
		var err error
		if dims, err = broadcast(dims, t.Dims); err != nil {
			return nil, err
		}
	}
	return dims, nil
}

func broadcast(a, b []int) ([]int, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	dims := slices.Clone(a)
	for i, d := range b {
		at := len(a) - len(b) + i
		switch {
		case a[at] == 1:
			dims[at] = d
		case d != 1 && d != a[at]:
			return nil, fmt.Errorf("shapes %s and %s do not broadcast", spell(a), spell(b))
		}
	}
	return dims, nil
}

// An operand is a tensor of the rank of the result and in its order of memory.
type operand struct {
	*Tensor
	spare bool // the result may take its memory
}

// align brings tensors to one rank and one order of memory: that of the largest.
func (x *exec) align(rank int, tensors ...*Tensor) ([]operand, error) {
	last, most := false, -1
	for _, t := range tensors {
		if n := t.Len(); n > most || n == most && t.last {
			last, most = t.last && len(t.Dims) == rank, n
		}
	}
	out := make([]operand, len(tensors))
	for i, t := range tensors {
		to := t
		var err error
		if missing := rank - len(t.Dims); missing > 0 {
			if to, err = x.rowMajor(t); err != nil {
				return nil, err
			}
			to = &Tensor{Dims: append(slices.Repeat([]int{1}, missing), t.Dims...), data: to.data, memory: to.memory}
		}
		if to, err = x.order(to, last); err != nil {
			return nil, err
		}
		out[i] = operand{Tensor: to, spare: to.memory != nil && to.memory != t.memory}
	}
	return out, nil
}

// spare marks the operands that the running step is the only and last reader of.
func (x *exec) spare(operands []operand) {
	for i := range operands {
		o := &operands[i]
		shared := slices.ContainsFunc(operands[i+1:], func(p operand) bool { return p.memory == o.memory })
		if o.memory != nil && o.memory.users == 1 && !shared && x.dies(i) {
			o.spare = true
		}
	}
}

// target returns a tensor for the result of aligned operands of its type: a
// spare one of the first two, or new memory.
func (x *exec) target(typ onnxgraph.DataType, dims []int, operands []operand) (*Tensor, error) {
	for _, o := range operands[:min(2, len(operands))] {
		if o.spare && slices.Equal(o.Dims, dims) {
			return x.view(o.Tensor, dims), nil
		}
	}
	return x.typed(typ, dims, operands[0].last)
}

// derive returns a temporary float32 tensor that f computes from the elements of
// others, broadcast to each other.
func (x *exec) derive(f func(dst []float32, v [][]float32), from ...*Tensor) (*Tensor, error) {
	dims, err := common(from...)
	if err != nil {
		return nil, err
	}
	operands, err := x.align(len(dims), from...)
	if err != nil {
		return nil, err
	}
	out, err := x.temporary(dims, operands[0].last)
	if err == nil {
		spread(x, out.data.([]float32), dims, operands, f)
	}
	return out, err
}

// spread computes dst, of those dims, from aligned operands: f sees a part of dst
// and the same part of each operand. dst may be one of the first two operands,
// if f reads these before it writes dst.
func spread[T, R Element](x *exec, dst []R, dims []int, operands []operand, f func(dst []R, v [][]T)) {
	w := newNest(dims, operands)
	x.team.Ranges(len(dst), piece, func(_, from, to int) {
		readers := make([]reader[T], len(operands))
		for i, o := range operands {
			readers[i] = readerOf[T](&w, i, o)
		}
		v := make([][]T, len(operands))
		w.blocks(from, to, func(at, pos, n int, off []int) {
			for i := range v {
				v[i] = readers[i].part(off[i], pos, n)
			}
			f(dst[at:at+n], v)
		})
	})
}

const (
	// block is how many elements are worked on together, so that they stay in
	// the first-level cache.
	block = 2048
	// longest is the longest period that is repeated to fill a block.
	longest = 512
)

// A nest goes over the elements of a broadcast result in the order of memory. It
// does so in runs, over which each operand either lies in one piece or repeats
// a few elements, so that loops are long whatever the dims are.
type nest struct {
	run    int     // elements of a run
	period []int   // by operand: after so many elements of a run it repeats; run: never
	outer  []int   // dims around the runs, outermost first
	stride [][]int // by outer dim and operand
}

func newNest(dims []int, operands []operand) nest {
	n := len(operands)
	w := nest{run: 1, period: slices.Repeat([]int{1}, n)}
	size := slices.Repeat([]int{1}, n)
	for _, i := range backwards(len(dims), operands[0].last) {
		d := dims[i]
		if d == 1 {
			continue
		}
		stride, mine := make([]int, n), make([]int, n)
		for k, o := range operands {
			mine[k] = o.Dims[i]
			if o.Dims[i] != 1 {
				stride[k] = size[k]
			}
			size[k] *= o.Dims[i]
		}
		if len(w.outer) > 0 || !w.lengthen(d, mine) {
			w.surround(d, stride)
		}
	}
	return w
}

// backwards lists the dims of a tensor from the innermost in memory.
func backwards(rank int, last bool) []int {
	order := make([]int, 0, rank)
	for i := rank - 1; i >= 0; i-- {
		order = append(order, i)
	}
	if last {
		order = slices.Insert(slices.Delete(order, rank-2, rank-1), 0, 1)
	}
	return order
}

// lengthen takes a dim of the result, and of the operands, into the run.
func (w *nest) lengthen(d int, mine []int) bool {
	for k, m := range mine {
		whole := w.period[k] == w.run
		if m != 1 && !whole || m == 1 && w.period[k] > longest {
			return false
		}
	}
	for k, m := range mine {
		if m != 1 {
			w.period[k] *= d
		}
	}
	w.run *= d
	return true
}

// surround puts a dim around the runs, as one with the outermost where it continues it.
func (w *nest) surround(d int, stride []int) {
	if len(w.outer) > 0 {
		next := true
		for k, s := range stride {
			next = next && s == w.stride[0][k]*w.outer[0]
		}
		if next {
			w.outer[0] *= d
			return
		}
	}
	w.outer = slices.Insert(w.outer, 0, d)
	w.stride = slices.Insert(w.stride, 0, stride)
}

// blocks calls visit for the elements [from, to) of the result: n elements of it
// begin at at, which is pos in a run for which the operands begin at off.
func (w *nest) blocks(from, to int, visit func(at, pos, n int, off []int)) {
	index, off := make([]int, len(w.outer)), make([]int, len(w.period))
	for i, rest := len(w.outer)-1, from/w.run; i >= 0; i-- {
		index[i] = rest % w.outer[i]
		rest /= w.outer[i]
		for k, s := range w.stride[i] {
			off[k] += index[i] * s
		}
	}
	for at, pos := from, from%w.run; at < to; {
		n := min(block, w.run-pos, to-at)
		visit(at, pos, n, off)
		at += n
		if pos += n; pos == w.run {
			pos = 0
			w.next(index, off)
		}
	}
}

// next goes on to the next run.
func (w *nest) next(index, off []int) {
	for i := len(index) - 1; i >= 0; i-- {
		index[i]++
		for k, s := range w.stride[i] {
			off[k] += s
		}
		if index[i] < w.outer[i] {
			return
		}
		index[i] = 0
		for k, s := range w.stride[i] {
			off[k] -= s * w.outer[i]
		}
	}
}

// A reader hands out an operand's part of a run.
type reader[T any] struct {
	data        []T
	period, run int
	repeated    []T // the period that begins at off, again and again
	off         int
}

func readerOf[T Element](w *nest, i int, o operand) reader[T] {
	return reader[T]{data: o.data.([]T), period: w.period[i], run: w.run}
}

func (r *reader[T]) part(off, pos, n int) []T {
	if r.period == r.run {
		return r.data[off+pos:][:n]
	}
	if r.repeated == nil || r.off != off {
		r.repeat(off)
	}
	return r.repeated[pos%r.period:][:n]
}

func (r *reader[T]) repeat(off int) {
	if r.repeated == nil {
		r.repeated = make([]T, min(block+r.period, r.run))
	}
	r.off = off
	for n := copy(r.repeated, r.data[off:][:r.period]); n < len(r.repeated); n *= 2 {
		copy(r.repeated[n:], r.repeated[:n])
	}
}

// reduced sums the gradient of a broadcast result back to the dims of an
// operand, in double precision and in a fixed order.
func (x *exec) reduced(g *Tensor, dims []int) (*Tensor, error) {
	if slices.Equal(g.Dims, dims) {
		return x.view(g, dims), nil
	}
	padded := append(slices.Repeat([]int{1}, len(g.Dims)-len(dims)), dims...)
	out, err := x.lend(padded, g.last)
	if err != nil {
		return nil, err
	}
	w := newNest(g.Dims, []operand{{Tensor: out}})
	from, sums := g.data.([]float32), make([]float64, out.Len())
	if period := w.period[0]; period < w.run && len(w.outer) == 0 {
		vec.SumRows(x.team, out.data.([]float32), from, period)
	} else {
		x.sumRuns(&w, sums, from)
		for i, s := range sums {
			out.data.([]float32)[i] = float32(s)
		}
	}
	if len(padded) == len(dims) {
		return out, nil
	}
	x.temps = append(x.temps, out)
	if out, err = x.rowMajor(out); err != nil {
		return nil, err
	}
	return x.view(out, dims), nil
}

// sumRuns adds up what a nest over g with one operand passes. Where different
// indices of the outermost dim belong to different sums, they are shared out.
func (x *exec) sumRuns(w *nest, sums []float64, g []float32) {
	tasks := 1
	if len(w.outer) > 0 && w.stride[0][0] > 0 {
		tasks = w.outer[0]
	}
	size := len(g) / max(tasks, 1)
	if size == 0 {
		return
	}
	x.team.Ranges(len(g), max(1, piece/size)*size, func(_, from, to int) {
		w.blocks(from, to, func(at, pos, n int, off []int) {
			addRun(sums[off[0]:], g[at:at+n], pos, w.period[0], w.run)
		})
	})
}

// addRun adds part of a run, which begins at pos, to the sums of a period.
func addRun(sums []float64, part []float32, pos, period, run int) {
	switch period {
	case run:
		for i, v := range part {
			sums[pos+i] += float64(v)
		}
	case 1:
		sums[0] += vec.Sum(part)
	default:
		for at := pos % period; len(part) > 0; at = 0 {
			n := min(period-at, len(part))
			for i, v := range part[:n] {
				sums[at+i] += float64(v)
			}
			part = part[n:]
		}
	}
}
