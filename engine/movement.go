package engine

import (
	"cmp"
	"slices"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/vec"
)

// A movement visits two arrays side by side: each index of dims is one place in
// either. All operators that move elements are walks between the strides of
// their tensors, whatever the order of those in memory.
type movement struct {
	dims               []int
	to, from           []int // strides, by dimension; they may be zero or negative
	toStart, fromStart int
}

// strides returns how far apart in memory neighbours along each dimension are.
func strides(dims []int, last bool) []int {
	s := make([]int, len(dims))
	step := 1
	if last {
		s[1], step = 1, dims[1]
	}
	for i := len(dims) - 1; i >= 0; i-- {
		if last && i == 1 {
			continue
		}
		s[i] = step
		step *= dims[i]
	}
	return s
}

func (t *Tensor) strides() []int { return strides(t.Dims, t.last) }

// dot is the place of an index.
func dot(index, strides []int) int {
	sum := 0
	for i, v := range index {
		sum += v * strides[i]
	}
	return sum
}

// back is the movement from the destination to the source.
func (m movement) back() movement {
	return movement{m.dims, m.from, m.to, m.fromStart, m.toStart}
}

// tidy returns the same movement with as few dimensions as will do, at least one,
// in the order in which the destination lies in memory.
func (m movement) tidy() movement {
	order := make([]int, 0, len(m.dims))
	for i, d := range m.dims {
		if d != 1 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(abs(m.to[j]), abs(m.to[i])) })
	t := movement{toStart: m.toStart, fromStart: m.fromStart}
	for _, i := range order {
		n := len(t.dims) - 1
		if n >= 0 && t.to[n] == m.to[i]*m.dims[i] && t.from[n] == m.from[i]*m.dims[i] {
			t.dims[n] *= m.dims[i]
			t.to[n], t.from[n] = m.to[i], m.from[i]
			continue
		}
		t.dims, t.to, t.from = append(t.dims, m.dims[i]), append(t.to, m.to[i]), append(t.from, m.from[i])
	}
	if len(t.dims) == 0 {
		t.dims, t.to, t.from = []int{1}, []int{1}, []int{1}
	}
	return t
}

func abs(n int) int { return max(n, -n) }

// straight reports whether a tidy movement goes through n elements of both arrays,
// from their beginning, one by one.
func (m movement) straight(n int) bool {
	return n == 0 || len(m.dims) == 1 && m.dims[0] == n && m.toStart == 0 && m.fromStart == 0 &&
		(n == 1 || m.to[0] == 1 && m.from[0] == 1)
}

// transposes reports whether a tidy movement turns the rows of a batch of dense
// matrices into columns.
func (m movement) transposes() (batch, rows, cols int, ok bool) {
	n := len(m.dims)
	if n != 2 && n != 3 {
		return 0, 0, 0, false
	}
	cols, rows = m.dims[n-2], m.dims[n-1]
	ok = m.to[n-2] == rows && m.to[n-1] == 1 && m.from[n-2] == 1 && m.from[n-1] == cols
	batch = 1
	if n == 3 {
		batch = m.dims[0]
		ok = ok && m.to[0] == rows*cols && m.from[0] == rows*cols
	}
	return batch, rows, cols, ok && rows*cols*batch > 0
}

// count is how many rows, along the last dimension, a movement has: none where
// there is nothing to move.
func (m movement) count() int {
	if slices.Contains(m.dims, 0) {
		return 0
	}
	return product(m.dims[:len(m.dims)-1])
}

// row returns the length and strides of the rows.
func (m movement) row() (n, to, from int) {
	last := len(m.dims) - 1
	return m.dims[last], m.to[last], m.from[last]
}

// rows calls f with where each of the rows [first, end) begins.
func (m movement) rows(first, end int, f func(to, from int)) {
	if first >= end {
		return
	}
	index := make([]int, len(m.dims)-1)
	to, from := m.toStart, m.fromStart
	for i, rest := len(index)-1, first; i >= 0; i-- {
		index[i] = rest % m.dims[i]
		rest /= m.dims[i]
		to += index[i] * m.to[i]
		from += index[i] * m.from[i]
	}
	for ; first < end; first++ {
		f(to, from)
		for i := len(index) - 1; i >= 0; i-- {
			to += m.to[i]
			from += m.from[i]
			if index[i]++; index[i] < m.dims[i] {
				break
			}
			to -= index[i] * m.to[i]
			from -= index[i] * m.from[i]
			index[i] = 0
		}
	}
}

// piece is how many elements are one task.
const piece = 32 << 10

// copyAll copies what a tidy movement visits. It visits no destination twice.
func copyAll[T any](team *cpu.Team, m movement, dst, src []T) {
	n, to, from := m.row()
	if to == 1 && from == 1 && n > piece {
		m.rows(0, m.count(), func(t, f int) {
			team.Ranges(n, piece, func(_, i, end int) { copy(dst[t+i:t+end], src[f+i:]) })
		})
		return
	}
	team.Ranges(m.count(), piece/max(n, 1), func(_, first, end int) {
		m.rows(first, end, func(t, f int) { copyRow(dst, src, t, f, n, to, from) })
	})
}

func copyRow[T any](dst, src []T, t, f, n, to, from int) {
	if to == 1 && from == 1 {
		copy(dst[t:t+n], src[f:])
		return
	}
	if to == 1 && from == 0 {
		row, v := dst[t:t+n], src[f]
		for i := range row {
			row[i] = v
		}
		return
	}
	for range n {
		dst[t] = src[f]
		t += to
		f += from
	}
}

// addAll adds what a movement visits. Where it comes to a place several times, the
// sum has a fixed order.
func addAll(m movement, dst, src []float32) {
	m = m.tidy()
	n, to, from := m.row()
	m.rows(0, m.count(), func(t, f int) {
		switch {
		case to == 1 && from == 1:
			vec.Add(dst[t:t+n], dst[t:t+n], src[f:])
		case to == 0:
			sum := float64(dst[t])
			for range n {
				sum += float64(src[f])
				f += from
			}
			dst[t] = float32(sum)
		default:
			for range n {
				dst[t] += src[f]
				t += to
				f += from
			}
		}
	})
}
