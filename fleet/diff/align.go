package diff

import "slices"

// maxAligned bounds the work of aligning two stretches, and its memory in bytes:
// the product of their lengths. Longer ones are left to the neighbours.
const maxAligned = 16 << 20

// align pairs nodes in file order, as a diff of texts pairs lines: within each
// stretch between nodes that are paired already, it finds the longest common
// subsequence of operators, attributes and shapes of constants. Changes that are
// spread over a network (a node behind each activation) leave no node with the
// ancestors or descendants that it had, but the order remains.
func (m *match) align() {
	fromA, fromB := 0, 0
	for _, i := range append(m.anchors(), len(m.ab)) {
		toB := len(m.ba)
		if i < len(m.ab) {
			toB = m.ab[i]
		}
		m.alignStretch(open(m.ab, fromA, i), open(m.ba, fromB, toB))
		fromA, fromB = i+1, toB+1
	}
}

// open lists the nodes that have no partner in a range.
func open(partner []int, from, to int) (list []int) {
	for i := from; i < to; i++ {
		if partner[i] < 0 {
			list = append(list, i)
		}
	}
	return list
}

// anchors returns the longest run of paired nodes, not necessarily neighbours,
// that have the same order on both sides.
func (m *match) anchors() []int {
	var tails []int // tails[n] ends the run of n+1 nodes that ends earliest in b
	before := make([]int, len(m.ab))
	for i, j := range m.ab {
		if j < 0 {
			continue
		}
		n, _ := slices.BinarySearchFunc(tails, j, func(k, j int) int { return m.ab[k] - j })
		before[i] = -1
		if n > 0 {
			before[i] = tails[n-1]
		}
		tails = append(tails[:n], append([]int{i}, tails[min(n+1, len(tails)):]...)...)
	}
	var run []int
	if len(tails) > 0 {
		for i := tails[len(tails)-1]; i >= 0; i = before[i] {
			run = append(run, i)
		}
	}
	slices.Reverse(run)
	return run
}

func (m *match) alignStretch(a, b []int) {
	if len(a)*len(b) == 0 || len(a) > maxAligned/len(b) {
		return
	}
	equal := func(i, j int) bool { return m.a.local[a[i]] == m.b.local[b[j]] }
	// common[j] is the length of the longest common subsequence of a[i:] and b[j:],
	// skip[i][j] whether it goes on without a[i] where that is not b[j].
	common, skip := make([]int32, len(b)+1), make([][]bool, len(a))
	for i := len(a) - 1; i >= 0; i-- {
		skip[i] = make([]bool, len(b))
		diagonal := int32(0) // of a[i+1:] and b[j+1:]
		for j := len(b) - 1; j >= 0; j-- {
			below := common[j]
			skip[i][j] = below >= common[j+1]
			common[j] = max(below, common[j+1])
			if equal(i, j) {
				common[j] = diagonal + 1
			}
			diagonal = below
		}
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case equal(i, j):
			m.pair(a[i], b[j])
			i, j = i+1, j+1
		case skip[i][j]:
			i++
		default:
			j++
		}
	}
}
