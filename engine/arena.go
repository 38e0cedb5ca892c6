package engine

import (
	"fmt"
	"slices"
)

// memory is a block of float32 that an arena lent out. Views of one tensor share it.
type memory struct {
	size   int
	floats []float32 // nil in a rehearsal
	users  int
}

// An arena lends memory to the values of a run and takes it back when their
// last reader is done. It never holds more than its limit.
type arena struct {
	limit int64 // bytes; 0: none
	held  int64 // bytes lent or free
	peak  int64
	free  []*memory // by ascending size
	// rehearsal arenas count and reserve nothing.
	rehearsal bool
}

// A Reserve is memory for the values of programs that run one after the other,
// never two at a time: each finds what the one before has left.
type Reserve struct{ arena arena }

// A MemoryError says that a run needs more memory than it may use. Nothing was
// reserved for it.
type MemoryError struct{ Need, Limit int64 }

func (e *MemoryError) Error() string {
	return fmt.Sprintf("needs %s of memory, the limit is %s; use a smaller batch or a higher limit", bytes(e.Need), bytes(e.Limit))
}

func bytes(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// wasteful is how much larger than asked a reused block may be.
const wasteful = 2

// get lends n floats with arbitrary contents.
func (a *arena) get(n int) (*memory, error) {
	i := a.place(n)
	if i < len(a.free) && a.free[i].size <= wasteful*n {
		m := a.free[i]
		a.free = slices.Delete(a.free, i, i+1)
		m.users = 1
		return m, nil
	}
	size := int64(n) * 4
	for a.limit > 0 && a.held+size > a.limit && len(a.free) > 0 {
		a.drop(len(a.free) - 1)
	}
	if a.limit > 0 && a.held+size > a.limit {
		return nil, &MemoryError{Need: a.held + size, Limit: a.limit}
	}
	a.held += size
	a.peak = max(a.peak, a.held)
	m := &memory{size: n, users: 1}
	if !a.rehearsal {
		m.floats = make([]float32, n)
	}
	return m, nil
}

// place returns the index of the first free block of at least n floats.
func (a *arena) place(n int) int {
	i, _ := slices.BinarySearchFunc(a.free, n, func(m *memory, n int) int { return m.size - n })
	return i
}

func (a *arena) drop(i int) {
	a.held -= int64(a.free[i].size) * 4
	a.free = slices.Delete(a.free, i, i+1)
}

// put takes back one use of a block.
func (a *arena) put(m *memory) {
	if m == nil {
		return
	}
	if m.users--; m.users > 0 {
		return
	}
	a.free = slices.Insert(a.free, a.place(m.size), m)
}
