//go:build unix

package conv

import (
	"slices"
	"testing"
	"unsafe"

	"github.com/natonnx/natonnx/engine/cpu"
	"golang.org/x/sys/unix"
)

// fenced returns a copy of v right before, or right after, memory that may not
// be touched: touching it ends the test process with a fault.
func fenced(t *testing.T, v []float32, after bool) []float32 {
	page := unix.Getpagesize()
	inner := (4*len(v)/page + 1) * page
	m, err := unix.Mmap(-1, 0, inner+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Skip("no memory can be mapped: ", err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	for _, fence := range [][]byte{m[:page], m[page+inner:]} {
		if err := unix.Mprotect(fence, unix.PROT_NONE); err != nil {
			t.Skip("memory cannot be protected: ", err)
		}
	}
	at := page
	if !after {
		at += inner - 4*len(v)
	}
	f := unsafe.Slice((*float32)(unsafe.Pointer(&m[at])), len(v))
	copy(f, v)
	return f
}

func (w *Weights) fenced(t *testing.T, after bool) *Weights {
	w.data = fenced(t, w.data, after)
	return w
}

// What lies outside the operands is neither read nor written. Where a band is
// copied first, that the kernels stay inside the copy is seen at the portable
// level, which reads the same places through slices.
func TestMemoryBeyondIsNotTouched(t *testing.T) {
	var all []shape
	for _, out := range []int{1, 3, 7, 8, 9, 16, 17, 24, 31, 32, 33, 48, 100} {
		all = append(all,
			shape{1, 3, out, 1, []int{5, 5}, []int{3, 3}, nil, nil, nil, nil},
			shape{1, 5, out, 1, []int{out}, []int{1}, nil, nil, nil, nil},
			shape{2, 2, out, 1, []int{6, 5}, []int{3, 3}, []int{2, 2}, nil, []int{1, 1}, []int{1, 1}},
			shape{1, 4, 2 * out, 2, []int{4, 3}, []int{2, 3}, nil, nil, nil, nil},
		)
	}
	for _, c := range all {
		p := c.problem(t)
		for _, l := range levels() {
			for _, after := range []bool{false, true} {
				q := p
				for _, v := range []*[]float32{&q.in, &q.w, &q.dout, &q.bias, &q.add} {
					*v = fenced(t, *v, after)
				}
				team := cpu.NewTeam(1)
				out, din, dw := fenced(t, q.dout, after), fenced(t, q.in, after), fenced(t, q.w, after)
				e := Epilogue{Bias: q.bias, Add: q.add, Min: -1, Max: 1}
				Forward(team, q.s, q.batch, out, q.in, filterWeights(l, q.f, false).Repack(q.w).fenced(t, after), e)
				BackwardInput(team, q.s, q.batch, din, q.dout, filterWeights(l, q.f, true).Repack(q.w).fenced(t, after))
				backwardWeights(l, team, q.s, q.batch, q.f, dw, q.in, q.dout)
				if !slices.Equal(out, p.forward(l, 1, Epilogue{Bias: p.bias, Add: p.add, Min: -1, Max: 1})) {
					t.Errorf("%s %+v: the result depends on where the operands lie", l, c)
				}
			}
		}
	}
}
