package slide

import (
	"testing"
	"unsafe"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/window"
	"golang.org/x/sys/unix"
)

// fenced returns memory of n float32 that begins right after, or ends right
// before, memory that may not be touched: touching it ends the test process.
func fenced(t *testing.T, n int, atEnd bool) []float32 {
	page := unix.Getpagesize()
	inner := (4*n/page + 1) * page
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
	if atEnd {
		at += inner - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&m[at])), n)
}

func TestMemoryBeyondIsNotTouched(t *testing.T) {
	for _, channels := range []int{1, 5, 8, 15, 16, 19, 24, 33, 64} {
		for _, kernel := range []int{1, 3, 4} {
			two := func(v int) []int { return []int{v, v} }
			s, err := window.New(two(7), two(kernel), two(1+kernel%2), nil, two(kernel/2), two(1), false)
			if err != nil {
				t.Fatal(err)
			}
			in, out := s.Pixels()
			for _, atEnd := range []bool{false, true} {
				image, result := fenced(t, in*channels, atEnd), fenced(t, out*channels, atEnd)
				other, w, bias := fenced(t, out*channels, atEnd), fenced(t, s.Taps()*channels, atEnd), fenced(t, channels, atEnd)
				for level := cpu.Portable; level <= cpu.Offered(); level++ {
					for _, j := range []Job{
						{Op: Sum, To: s.Out, From: s.In, Spans: Forward(s), Out: result, In: image, W: w, Bias: bias, Add: other},
						{Op: Sum, To: s.In, From: s.Out, Spans: Backward(s), Out: image, In: result, W: w},
						{Op: Max, To: s.Out, From: s.In, Spans: Forward(s), Out: result, In: image},
						{Op: ArgMax, To: s.Out, From: s.In, Spans: Forward(s), Out: other, In: image},
						{Op: Route, To: s.In, From: s.Out, Spans: Backward(s), Out: image, In: result, W: other},
					} {
						j.Level, j.Channels, j.Kernel, j.WStep = level, channels, s.Kernel, channels
						j.Run(cpu.NewTeam(1), 1)
					}
				}
			}
		}
	}
}
