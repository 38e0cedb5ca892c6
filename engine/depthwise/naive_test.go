package depthwise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/window"
)

// A layer is a depthwise convolution to try.
type layer struct {
	in, kernel, stride, dilation, begin, end []int
	batch, channels                          int
}

func (l layer) String() string {
	return fmt.Sprintf("%dx%vx%d k%v s%v d%v p%v-%v", l.batch, l.in, l.channels, l.kernel, l.stride, l.dilation, l.begin, l.end)
}

func (l layer) slide(t testing.TB) window.Slide {
	s, err := window.New(l.in, l.kernel, l.stride, l.dilation, l.begin, l.end, false)
	if err != nil {
		t.Fatalf("%v: %v", l, err)
	}
	return s
}

// square is a layer on images with equal extents.
func square(batch, size, channels, kernel, stride, dilation, begin, end int) layer {
	two := func(v int) []int { return []int{v, v} }
	return layer{two(size), two(kernel), two(stride), two(dilation), two(begin), two(end), batch, channels}
}

// layers are the shapes that all tests try.
func layers() []layer {
	var all []layer
	for i, channels := range []int{1, 3, 8, 16, 17, 24, 33, 96, 960} {
		for j, kernel := range []int{1, 2, 3, 5, 7} {
			for stride := 1; stride <= 3; stride++ {
				dilation := 1 + (i+j+stride)%4/3
				begin, end := min(kernel-1, (i+stride)%3), (j+i)%3
				size := 7 + (i*j+stride)%4
				if channels == 960 {
					size = 7
				}
				if room := size + begin + end - (kernel-1)*dilation; room < 1 {
					begin += 1 - room
				}
				all = append(all, square(1+(i+j)%2, size, channels, kernel, stride, dilation, begin, end))
			}
		}
	}
	return append(all,
		square(1, 112, 32, 3, 1, 1, 1, 1),
		square(1, 56, 24, 3, 2, 1, 1, 1),
		square(3, 4, 70, 3, 1, 1, 1, 1),
		square(2, 3, 130, 3, 2, 2, 5, 5), // some windows meet only padding
		square(1, 9, 20, 3, 4, 2, 0, 0),  // some elements meet no window
		square(1, 8, 5, 3, 2, 3, 2, 1),
		square(0, 5, 16, 3, 1, 1, 1, 1),
		square(70, 2, 16, 2, 1, 1, 0, 1),
		layer{in: []int{50}, kernel: []int{5}, stride: []int{2}, begin: []int{2}, end: []int{1}, batch: 2, channels: 19},
		layer{in: []int{11}, kernel: []int{3}, stride: []int{6}, dilation: []int{4}, begin: []int{4}, end: []int{2}, batch: 1, channels: 16},
		layer{in: []int{5, 6, 7}, kernel: []int{3, 2, 3}, stride: []int{1, 2, 1}, begin: []int{1, 0, 1}, end: []int{1, 1, 1}, batch: 2, channels: 12},
		layer{in: []int{4, 5, 6}, kernel: []int{2, 3, 5}, stride: []int{2, 1, 3}, dilation: []int{3, 1, 1}, begin: []int{1, 2, 0}, end: []int{1, 0, 2}, batch: 1, channels: 33},
	)
}

// eachTap calls f for every product of a convolution of one channel: which
// result, which element of the image, and which of the window (the definition).
func eachTap(s window.Slide, f func(out, in, tap int)) {
	for od := range s.Out[0] {
		for oh := range s.Out[1] {
			for ow := range s.Out[2] {
				for kd := range s.Kernel[0] {
					for kh := range s.Kernel[1] {
						for kw := range s.Kernel[2] {
							d := od*s.Stride[0] - s.Begin[0] + kd*s.Dilation[0]
							h := oh*s.Stride[1] - s.Begin[1] + kh*s.Dilation[1]
							w := ow*s.Stride[2] - s.Begin[2] + kw*s.Dilation[2]
							if d >= 0 && d < s.In[0] && h >= 0 && h < s.In[1] && w >= 0 && w < s.In[2] {
								f((od*s.Out[1]+oh)*s.Out[2]+ow, (d*s.In[1]+h)*s.In[2]+w, (kd*s.Kernel[1]+kh)*s.Kernel[2]+kw)
							}
						}
					}
				}
			}
		}
	}
}

// naive computes the three products in float64, with the sum of magnitudes that
// rounding errors are proportional to.
type naive struct{ out, din, dw, outSize, dinSize, dwSize []float64 }

func newNaive(s window.Slide, batch, channels int, in, w, dout []float32) naive {
	inPixels, outPixels := s.Pixels()
	make2 := func(n int) ([]float64, []float64) { return make([]float64, n), make([]float64, n) }
	var r naive
	r.out, r.outSize = make2(batch * outPixels * channels)
	r.din, r.dinSize = make2(batch * inPixels * channels)
	r.dw, r.dwSize = make2(channels * s.Taps())
	eachTap(s, func(o, i, k int) {
		for b := range batch {
			for c := range channels {
				o, i, k := (b*outPixels+o)*channels+c, (b*inPixels+i)*channels+c, c*s.Taps()+k
				x, y, d := float64(in[i]), float64(w[k]), float64(dout[o])
				r.out[o] += x * y
				r.outSize[o] += math.Abs(x * y)
				r.din[i] += d * y
				r.dinSize[i] += math.Abs(d * y)
				r.dw[k] += d * x
				r.dwSize[k] += math.Abs(d * x)
			}
		}
	})
	return r
}

func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// levels are those that this machine offers.
func levels() []cpu.Level {
	var all []cpu.Level
	for l := cpu.Portable; l <= cpu.Offered(); l++ {
		all = append(all, l)
	}
	return all
}

// near fails where a result is not as exact as float32 sums are.
func near(t *testing.T, name string, got []float32, want, size []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i := range got {
		if e := math.Abs(float64(got[i]) - want[i]); !(e <= 3e-6*size[i]+1e-30) {
			t.Fatalf("%s[%d] = %g, want %g (sum of magnitudes %g)", name, i, got[i], want[i], size[i])
		}
	}
}
