package conv

import (
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/window"
)

// A pass computes a sum over taps at every position of a grid: position j of a
// dimension reads the input at stride*j + tap.at for each tap, zero outside the
// image, and its result stands at first + step*j.
type pass struct {
	batch       int
	in, out     image
	count       [3]int // of positions
	stride      [3]int
	first, step [3]int
	kernel      [3]int // of the packed weights
	taps        [3][]tap
	matrix      bool // a line of pixels, by a kernel of one element
}

type image struct {
	extent   [3]int
	channels int
}

func (m image) size() int { return m.extent[0] * m.extent[1] * m.extent[2] * m.channels }

// at is where a pixel of a batch of images begins.
func (m image) at(n, d, h, w int) int {
	return (((n*m.extent[0]+d)*m.extent[1]+h)*m.extent[2] + w) * m.channels
}

type tap struct {
	at    int
	index int // in the packed kernel
}

var ones = [3]int{1, 1, 1}

// matrixPass multiplies m rows of k values: a line of m pixels.
func matrixPass(m, k, n int) pass {
	line, t := [3]int{1, 1, m}, []tap{{}}
	return pass{matrix: true, batch: 1, in: image{line, k}, out: image{line, n}, count: line, stride: ones, step: ones, kernel: ones, taps: [3][]tap{t, t, t}}
}

func forwardPass(s window.Slide, batch, in, out int) pass {
	p := pass{batch: batch, in: image{s.In, in}, out: image{s.Out, out}, count: s.Out, stride: s.Stride, step: ones, kernel: s.Kernel}
	for d := range 3 {
		for k := range s.Kernel[d] {
			p.taps[d] = append(p.taps[d], tap{k*s.Dilation[d] - s.Begin[d], k})
		}
	}
	return p.flat()
}

// backwardPasses returns the passes that together write every pixel of the
// input's gradient, one for each phase of the stride: pixel p takes from result
// o through tap k where p = o*stride + k*dilation - begin. Those taps are the
// same for all pixels of a phase, and o grows by 1 from each to the next.
func backwardPasses(s window.Slide, batch, in, out int) []pass {
	var passes []pass
	p := pass{batch: batch, in: image{s.Out, in}, out: image{s.In, out}, stride: ones, step: s.Stride, kernel: s.Kernel}
	var phases func(d int)
	phases = func(d int) {
		if d == 3 {
			passes = append(passes, p.flat())
			return
		}
		for first := range min(s.Stride[d], s.In[d]) {
			p.first[d] = first
			p.count[d] = pieces(s.In[d]-first, s.Stride[d])
			p.taps[d] = nil
			for k := s.Kernel[d] - 1; k >= 0; k-- {
				if at := first + s.Begin[d] - k*s.Dilation[d]; at%s.Stride[d] == 0 {
					p.taps[d] = append(p.taps[d], tap{at / s.Stride[d], s.Kernel[d] - 1 - k})
				}
			}
			phases(d + 1)
		}
	}
	phases(0)
	return passes
}

// flat makes a matrix product of what is one: then pieces may have any size.
func (p pass) flat() pass {
	for d := range 3 {
		if p.kernel[d] != 1 || len(p.taps[d]) != 1 || p.taps[d][0].at != 0 || p.stride[d] != 1 || p.step[d] != 1 ||
			p.count[d] != p.in.extent[d] || p.count[d] != p.out.extent[d] {
			return p
		}
	}
	return matrixPass(p.positions(), p.in.channels, p.out.channels)
}

func (p *pass) positions() int { return p.batch * p.count[0] * p.count[1] * p.count[2] }

// none says that no position has a tap: all results are zero.
func (p *pass) none() bool {
	return len(p.taps[0]) == 0 || len(p.taps[1]) == 0 || len(p.taps[2]) == 0
}

// reach returns where the first and the last tap read, from stride*j. Taps are
// in ascending order.
func (p *pass) reach(d int) (lo, hi int) { return p.taps[d][0].at, p.taps[d][len(p.taps[d])-1].at }

// span is how much of the input n positions in a row read.
func (p *pass) span(d, n int) int {
	lo, hi := p.reach(d)
	return (n-1)*p.stride[d] + hi - lo + 1
}

// inside says that no tap reads outside the image.
func (p *pass) inside() bool {
	if p.none() {
		return true
	}
	for d := range 3 {
		if lo, _ := p.reach(d); lo < 0 || lo+p.span(d, p.count[d]) > p.in.extent[d] {
			return false
		}
	}
	return true
}

// run computes the pass.
func (p *pass) run(t *cpu.Team, out, in []float32, w *Weights, e Epilogue) {
	c := p.cut(w)
	if c == nil {
		return
	}
	in, out = in[:p.batch*p.in.size()], out[:p.batch*p.out.size()]
	add := e.Add
	if add != nil {
		add = add[:len(out)]
	}
	t.Do(c.groups*c.bands, func(worker, task int) {
		band, group := task%c.bands, task/c.bands
		from := in
		if c.copied {
			from = t.Scratch(worker, c.scratch())
			c.copyBand(from, in, band)
		}
		var table table
		n := table.fill(c, band)
		k := tile{segments: c.segments, min: e.Min, max: e.Max}
		for i := group * c.panels; i < min((group+1)*c.panels, w.panels()); i++ {
			panel := w.panel(i)
			first := panel.group*w.out + panel.first
			k.in, k.out = from[panel.group*w.in:], out[first:]
			k.weights, k.width, k.channels = w.data[panel.at:], panel.width, panel.channels
			if e.Bias != nil {
				k.bias = e.Bias[first:][:panel.channels]
			}
			if add != nil {
				k.add = add[first:]
			}
			each(n, tiles[w.level].rows, func(a, b int) {
				k.at, k.to = table.at[a:b], table.to[a:b]
				k.run(w.level)
			})
		}
	})
}

// each splits n into equal pieces of at most most.
func each(n, most int, f func(from, to int)) {
	count := pieces(n, most)
	for i := range count {
		f(i*n/count, (i+1)*n/count)
	}
}
