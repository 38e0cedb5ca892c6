package pool

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/window"
)

// A layer is a pooling to try.
type layer struct {
	in, kernel, stride, dilation, begin, end []int
	ceil                                     bool
	batch, channels                          int
}

func (l layer) String() string {
	return fmt.Sprintf("%dx%vx%d k%v s%v d%v p%v-%v ceil %v", l.batch, l.in, l.channels, l.kernel, l.stride, l.dilation, l.begin, l.end, l.ceil)
}

func (l layer) slide(t testing.TB) window.Slide {
	s, err := window.New(l.in, l.kernel, l.stride, l.dilation, l.begin, l.end, l.ceil)
	if err != nil {
		t.Fatalf("%v: %v", l, err)
	}
	return s
}

// square is a layer on images with equal extents.
func square(batch, size, channels, kernel, stride, dilation, begin, end int, ceil bool) layer {
	two := func(v int) []int { return []int{v, v} }
	return layer{two(size), two(kernel), two(stride), two(dilation), two(begin), two(end), ceil, batch, channels}
}

// layers are the shapes that all tests try.
func layers() []layer {
	var all []layer
	for i, channels := range []int{1, 3, 8, 16, 17, 24, 33, 96} {
		for j, kernel := range []int{1, 2, 3, 5, 7} {
			for stride := 1; stride <= 3; stride++ {
				dilation := 1 + (i+j+stride)%4/3
				begin, end := min(kernel-1, (i+stride)%3), (j+i)%3
				size := 7 + (i*j+stride)%4
				if room := size + begin + end - (kernel-1)*dilation; room < 1 {
					begin += 1 - room
				}
				all = append(all, square(1+(i+j)%2, size, channels, kernel, stride, dilation, begin, end, (i+j+stride)%2 == 0))
			}
		}
	}
	return append(all,
		square(2, 3, 130, 3, 2, 2, 5, 5, false), // some windows meet only padding
		square(1, 9, 20, 3, 4, 2, 0, 0, true),   // some elements meet no window
		square(0, 5, 16, 3, 1, 1, 1, 1, false),
		square(1, 40, 300, 3, 2, 1, 1, 1, false),
		layer{in: []int{50}, kernel: []int{5}, stride: []int{2}, begin: []int{2}, end: []int{1}, batch: 2, channels: 19},
		layer{in: []int{5, 6, 7}, kernel: []int{3, 2, 3}, stride: []int{1, 2, 1}, begin: []int{1, 0, 1}, end: []int{1, 1, 1}, batch: 2, channels: 12},
		layer{in: []int{4, 5, 6}, kernel: []int{2, 3, 5}, stride: []int{2, 1, 3}, dilation: []int{3, 1, 1}, begin: []int{1, 2, 0}, end: []int{1, 0, 2}, batch: 1, channels: 33},
	)
}

// eachWindow calls f for every window of a plane, with the elements that it
// meets, in row-major order, and how many more of padding (the definition).
func eachWindow(s window.Slide, f func(out int, in []int, padding int)) {
	out := 0
	for od := range s.Out[0] {
		for oh := range s.Out[1] {
			for ow := range s.Out[2] {
				var in []int
				padding := 0
				for k := range s.Taps() {
					at := [3]int{od, oh, ow}
					tap := [3]int{k / s.Kernel[2] / s.Kernel[1], k / s.Kernel[2] % s.Kernel[1], k % s.Kernel[2]}
					inside, padded := true, true
					for d := range at {
						at[d] = at[d]*s.Stride[d] - s.Begin[d] + tap[d]*s.Dilation[d]
						inside = inside && at[d] >= 0 && at[d] < s.In[d]
						padded = padded && at[d] < s.In[d]+s.End[d]
					}
					if inside {
						in = append(in, (at[0]*s.In[1]+at[1])*s.In[2]+at[2])
					} else if padded {
						padding++
					}
				}
				f(out, in, padding)
				out++
			}
		}
	}
}

func levels() []cpu.Level {
	var all []cpu.Level
	for l := cpu.Portable; l <= cpu.Offered(); l++ {
		all = append(all, l)
	}
	return all
}

// coarse is random numbers of which many are equal, and a few NaN or infinite.
func coarse(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.IntN(6) - 3)
		switch r.IntN(60) {
		case 0:
			v[i] = float32(math.NaN())
		case 1:
			v[i] = -float32(math.NaN())
		case 2, 3, 4, 5, 6:
			v[i] = float32(math.Inf(-1))
		}
	}
	return v
}

func whole16(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.IntN(33) - 16)
	}
	return v
}

func filled(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1234
	}
	return v
}

// same compares exactly, all NaN being equal.
func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return x == y || x != x && y != y })
}

// naiveMax gives the maxima, the gradient and the indices that PyTorch would.
func naiveMax(s window.Slide, batch, channels int, in, dout []float32) (out, din []float32, indices []int64) {
	inPixels, outPixels := s.Pixels()
	out, din, indices = make([]float32, len(dout)), make([]float32, len(in)), make([]int64, len(dout))
	eachWindow(s, func(o int, taps []int, _ int) {
		for b := range batch {
			for c := range channels {
				best, where := float32(math.Inf(-1)), -1
				for _, i := range taps {
					v := in[(b*inPixels+i)*channels+c]
					if where < 0 || v > best || v != v {
						best, where = v, i
					}
				}
				at := (b*outPixels+o)*channels + c
				out[at] = best
				indices[(b*channels+c)*outPixels+o] = -1
				if where >= 0 {
					din[(b*inPixels+where)*channels+c] += dout[at]
					indices[(b*channels+c)*outPixels+o] = int64((b*channels+c)*inPixels + where)
				}
			}
		}
	})
	return out, din, indices
}

// Gradients are small whole numbers, so that sums are exact in any order.
func TestMaxAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range layers() {
		s := l.slide(t)
		inPixels, outPixels := s.Pixels()
		in, dout := coarse(r, l.batch*inPixels*l.channels), whole16(r, l.batch*outPixels*l.channels)
		wantOut, wantIn, wantIndices := naiveMax(s, l.batch, l.channels, in, dout)
		for _, workers := range []int{1, 2, 5} {
			team := cpu.NewTeam(workers)
			for _, level := range levels() {
				out, din := filled(len(dout)), filled(len(in))
				maximum(level, team, s, l.batch, l.channels, out, in)
				maximumBackward(level, team, s, l.batch, l.channels, din, dout, in)
				if !same(out, wantOut) {
					t.Errorf("%v %v: wrong maxima", l, level)
				}
				if !same(din, wantIn) {
					t.Errorf("%v %v: wrong gradient", l, level)
				}
			}
			indices := make([]int64, len(dout))
			MaxIndices(team, s, l.batch, l.channels, indices, in, false)
			if !slices.Equal(indices, wantIndices) {
				t.Errorf("%v: wrong indices", l)
			}
		}
	}
}

func TestColumnMajorIndices(t *testing.T) {
	s := layer{in: []int{2, 3, 4}, kernel: []int{2, 3, 4}}.slide(t)
	for element := range 24 {
		in := make([]float32, 2*24)
		in[element*2+1] = 1 // of channel 1
		indices := make([]int64, 2)
		MaxIndices(cpu.NewTeam(1), s, 1, 2, indices, in, true)
		d, h, w := element/12, element/4%3, element%4
		if want := []int64{0, int64(24 + d + 2*h + 6*w)}; !slices.Equal(indices, want) {
			t.Errorf("maximum at %d,%d,%d: indices %v, want %v", d, h, w, indices, want)
		}
	}
}

// The rules that the documentation states, in numbers.
func TestTiesAndNaN(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	s := layer{in: []int{4}, kernel: []int{4}}.slide(t)
	for _, c := range []struct {
		name  string
		in    [4]float32
		want  float32
		place int
	}{
		{"tie", [4]float32{1, 7, 7, 7}, 7, 1},
		{"NaN beats infinity", [4]float32{1, nan, inf, 2}, nan, 1},
		{"last NaN", [4]float32{nan, 1, nan, 2}, nan, 2},
		{"all lowest", [4]float32{-inf, -inf, -inf, -inf}, -inf, 0},
	} {
		for _, level := range levels() {
			for _, channels := range []int{1, 20} {
				var in []float32
				for _, v := range c.in {
					in = append(in, slices.Repeat([]float32{v}, channels)...)
				}
				out, din := make([]float32, channels), make([]float32, 4*channels)
				maximum(level, cpu.NewTeam(1), s, 1, channels, out, in)
				maximumBackward(level, cpu.NewTeam(1), s, 1, channels, din, slices.Repeat([]float32{5}, channels), in)
				wantIn := make([]float32, 4*channels)
				for k := range channels {
					wantIn[c.place*channels+k] = 5
				}
				if !same(out, slices.Repeat([]float32{c.want}, channels)) || !same(din, wantIn) {
					t.Errorf("%s, %v: %v and gradient %v, want %g at %d", c.name, level, out, din, c.want, c.place)
				}
			}
		}
	}
}

func TestAverageAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, l := range layers() {
		s := l.slide(t)
		inPixels, outPixels := s.Pixels()
		in, dout := whole16(r, l.batch*inPixels*l.channels), whole16(r, l.batch*outPixels*l.channels)
		for _, includePad := range []bool{false, true} {
			wantOut, wantIn := make([]float64, len(dout)), make([]float64, len(in))
			eachWindow(s, func(o int, taps []int, padding int) {
				n := float64(len(taps))
				if includePad {
					n += float64(padding)
				}
				for b := range l.batch {
					for c := range l.channels {
						for _, i := range taps {
							wantOut[(b*outPixels+o)*l.channels+c] += float64(in[(b*inPixels+i)*l.channels+c]) / n
							wantIn[(b*inPixels+i)*l.channels+c] += float64(dout[(b*outPixels+o)*l.channels+c]) / n
						}
					}
				}
			})
			for _, level := range levels() {
				var first [2][]float32
				for _, workers := range []int{1, 2, 5} {
					team := cpu.NewTeam(workers)
					out, din := filled(len(dout)), filled(len(in))
					average(level, team, s, l.batch, l.channels, out, in, includePad)
					averageBackward(level, team, s, l.batch, l.channels, din, dout, includePad)
					near(t, l.String()+" out", out, wantOut)
					near(t, l.String()+" din", din, wantIn)
					if workers == 1 {
						first = [2][]float32{out, din}
					}
					if !slices.Equal(out, first[0]) || !slices.Equal(din, first[1]) {
						t.Errorf("%v: %d workers give other bits than one", l, workers)
					}
				}
			}
		}
	}
}

func near(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	for i := range got {
		if !(math.Abs(float64(got[i])-want[i]) <= 1e-4) {
			t.Fatalf("%s[%d] = %g, want %g", name, i, got[i], want[i])
		}
	}
}

func TestGlobal(t *testing.T) {
	team := cpu.NewTeam(2)
	in := []float32{1, 8, 3, 4, 2, 6, 0, -1, 5, 5, 7, 5} // 2 images, 3 pixels, 2 channels
	for name, c := range map[string]struct {
		forward  func(out []float32)
		backward func(din []float32)
		out, din []float32
	}{
		"average": {
			func(out []float32) { GlobalAverage(team, 2, 3, 2, out, in) },
			func(din []float32) { GlobalAverageBackward(team, 2, 3, 2, din, []float32{3, 6, 9, 12}) },
			[]float32{2, 6, 4, 3}, []float32{1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4},
		},
		"max": {
			func(out []float32) { GlobalMax(team, 2, 3, 2, out, in) },
			func(din []float32) { GlobalMaxBackward(team, 2, 3, 2, din, []float32{3, 6, 9, 12}, in) },
			[]float32{3, 8, 7, 5}, []float32{0, 6, 3, 0, 0, 0, 0, 0, 0, 12, 9, 0},
		},
	} {
		out, din := filled(4), filled(12)
		c.forward(out)
		c.backward(din)
		for i := range out {
			if math.Abs(float64(out[i]-c.out[i])) > 1e-5 {
				t.Errorf("%s: %v, want %v", name, out, c.out)
			}
		}
		for i := range din {
			if math.Abs(float64(din[i]-c.din[i])) > 1e-5 {
				t.Errorf("%s: gradient %v, want %v", name, din, c.din)
			}
		}
	}
}
