package vec

import (
	"testing"
	"unsafe"

	"github.com/natonnx/natonnx/engine/cpu"
	"golang.org/x/sys/unix"
)

// fenced returns places for n elements, of which one begins right after and one
// ends right before memory that may not be touched. Touching it ends the test
// process with a fault.
func fenced[T float32 | float64](t *testing.T, n int) [2][]T {
	page := unix.Getpagesize()
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	inner := (size/page + 1) * page
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
	at := func(offset int) []T { return unsafe.Slice((*T)(unsafe.Pointer(&m[page+offset])), n) }
	return [2][]T{at(0), at(inner - size)}
}

// TestMemoryBeyondIsNotTouched runs everything between fences.
func TestMemoryBeyondIsNotTouched(t *testing.T) {
	const most = 130
	var f [6][2][]float32
	for i := range f {
		f[i] = fenced[float32](t, most)
	}
	d := [2][2][]float64{fenced[float64](t, most), fenced[float64](t, most)}
	tile := [2][2][]float32{fenced[float32](t, most*25), fenced[float32](t, most*25)}
	eachLevel(t, func(t *testing.T) {
		for n := range most + 1 {
			for side := range 2 {
				s := make([][]float32, len(f))
				for i := range s {
					s[i] = cut(f[i][side], n, side)
				}
				a, b := cut(d[0][side], n, side), cut(d[1][side], n, side)
				for _, e := range elementwise {
					e.do(s[:e.inputs])
				}
				Sum(s[0])
				Dot(s[0], s[1])
				Dot4(s[0], [4][]float32(s[:4]))
				MaxOf(s[0])
				FirstNonFinite(s[0])
				use.addTo(a, s[0])
				use.moments(a, b, s[0])
				use.normSums(a, b, s[0], s[1], s[2])
				use.affine(s[0], s[1], s[2], s[3], 0, 1)
				use.affineAdd(s[0], s[1], s[2], s[3], s[4], 0, 1)
				use.normGrad(s[0], s[1], s[2], s[3], s[4], s[5], s[5])
				SGD(s[0], s[1], s[2], 1, 1, 1, true)
				Adam(s[0], s[1], s[2], s[3], 1, 1, 1, 1, 1, 1)
				for _, c := range []int{1, 3, 8, 16, 17, 24, 25} {
					in, out := cut(tile[0][side], n*c, side), cut(tile[1][side], n*c, side)
					ToChannelsLast(cpu.NewTeam(1), in, out, 1, c, n)
					ToChannelsFirst(cpu.NewTeam(1), in, out, 1, c, n)
				}
			}
		}
	})
}

// cut keeps n elements at the fence.
func cut[T any](s []T, n, side int) []T {
	if side == 0 {
		return s[:n:n]
	}
	return s[len(s)-n:]
}
