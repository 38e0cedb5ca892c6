package conv

import (
	"iter"
	"math"
)

const (
	maxBand    = 384     // positions in a band
	maxCopy    = 1 << 17 // float32 in a band's copy: with a panel of weights it stays in a core's own cache
	enough     = 16      // tasks, so that many cores are busy to the end
	least      = 1 << 15 // cycles, roughly, that are worth a task
	maxPartial = 1 << 23 // float32 in partial sums of a gradient
	maxPixels  = 1 << 16 // float32 from the first pixel of a band to the last (gradients only)
	tooMuch    = 1 << 40 // float32 in a band's copy: what more is, does not matter
	farApart   = 256     // float32 between pixels: so far apart, few fit into the cache's sets
)

// A cut divides a pass into tasks: a band of positions by a group of panels.
// The positions of one image and one depth are a slab.
type cut struct {
	*pass
	slabs      int // a band is this many slabs, or
	rows, cols int // one of rows x cols parts of one
	bands      int

	groups, panels int // groups of that many panels
	pieces         int // of the bands, each with partial sums of its own (gradients only)

	copied   bool   // bands are copied, with their zero border
	box      [3]int // extents of the copy of a slab's part
	segments []segment
}

// A segment is a stretch of values that lie side by side both in the input and
// in a panel.
type segment struct {
	at      int // from the pixel
	n       int
	weights int // row of the panel
}

// cut chooses the pieces of a forward computation, by size alone. Each group of
// panels reads the whole input, and each band all weights: the better is less
// traffic. It returns nil where there is nothing to compute.
func (p *pass) cut(w *Weights) *cut {
	if p.positions() == 0 || w.panels() == 0 {
		return nil
	}
	c := &cut{pass: p, copied: !p.inside()}
	tasks := p.tasks(w)
	c.group(w, tasks, 1)
	c.fit(pieces(p.positions(), tasks/c.groups))
	c.segment(w)
	return c
}

// cutGradient chooses the pieces of a gradient of weights. There is a partial
// sum for each piece of the bands: written, read, and added up.
func (p *pass) cutGradient(w *Weights) *cut {
	if p.positions() == 0 || w.size() == 0 {
		return nil
	}
	c := &cut{pass: p, copied: !p.inside()}
	tasks := p.tasks(w)
	c.group(w, tasks, 3)
	c.pieces = max(1, min(tasks/c.groups, maxPartial/w.size()))
	c.groups = min(tasks/c.pieces, w.panels())
	c.panels = pieces(w.panels(), c.groups)
	c.groups = pieces(w.panels(), c.panels)
	c.fit(min(max(64, maxPixels/(p.stride[2]*p.in.channels)), pieces(p.positions(), c.pieces)))
	c.pieces = min(c.pieces, c.bands)
	c.segment(w)
	return c
}

// tasks is how many tasks the computation is worth.
func (p *pass) tasks(w *Weights) int {
	cycles := float64(p.positions())*float64(w.groups*w.k())*float64(w.out)/32 + float64(w.size())/2
	return int(max(1, min(enough, cycles/least)))
}

// group chooses the groups of panels for about that many tasks, where traffic
// of weights costs as many times that of the input.
func (c *cut) group(w *Weights, tasks int, cost float64) {
	input := float64(c.batch * c.in.size())
	best := math.Sqrt(cost * float64(tasks) * float64(w.size()) / max(input, 1))
	c.groups = int(max(1, min(math.Round(best), float64(min(tasks, w.panels())))))
	c.panels = pieces(w.panels(), c.groups)
	c.groups = pieces(w.panels(), c.panels)
}

// fit cuts the positions into bands of about that many.
func (c *cut) fit(positions int) {
	positions = min(positions, maxBand)
	for c.size(positions); c.scratch() > maxCopy && positions > 24; c.size(positions) {
		positions /= 2
	}
}

func (c *cut) size(positions int) {
	all, plane, row := c.batch*c.count[0], c.count[1]*c.count[2], c.count[2]
	c.slabs, c.rows, c.cols = 1, 1, 1
	switch {
	case positions >= plane:
		c.slabs = min(positions/plane, all)
	case positions >= row:
		c.rows = pieces(c.count[1], positions/row)
	default:
		c.rows, c.cols = c.count[1], pieces(row, max(positions, 1))
	}
	c.bands = pieces(all, c.slabs) * c.rows * c.cols
	if c.copied {
		c.box = [3]int{len(c.taps[0]), c.span(1, pieces(c.count[1], c.rows)), c.span(2, pieces(c.count[2], c.cols))}
	}
}

// pieces is how many pieces of a size n makes.
func pieces(n, size int) int { return (n + size - 1) / size }

// scratch is the number of float32 of a band's copy.
func (c *cut) scratch() int {
	if c == nil || !c.copied {
		return 0
	}
	size := float64(c.slabs) * float64(c.in.channels)
	for _, n := range c.box {
		size *= float64(n)
	}
	return int(min(size, tooMuch))
}

// segment lists what a tile reads for each of its pixels. In a convolution
// without groups the taps of a row lie side by side.
func (c *cut) segment(w *Weights) {
	if c.none() || w.in == 0 {
		return
	}
	for i, d := range c.taps[0] {
		for _, h := range c.taps[1] {
			var last *segment
			for _, x := range c.taps[2] {
				s := segment{c.offset(i, d, h, x), w.in, ((d.index*c.kernel[1]+h.index)*c.kernel[2] + x.index) * w.in}
				if last != nil && last.at+last.n == s.at && last.weights+last.n == s.weights {
					last.n += s.n
					continue
				}
				c.segments = append(c.segments, s)
				last = &c.segments[len(c.segments)-1]
			}
		}
	}
}

// offset is where a tap, the i-th of the depths, reads from a pixel.
func (c *cut) offset(i int, d, h, w tap) int {
	if !c.copied {
		return c.in.at(0, d.at, h.at, w.at)
	}
	lowH, _ := c.reach(1)
	lowW, _ := c.reach(2)
	return c.copyAt(0, i, h.at-lowH, w.at-lowW)
}

// copyAt is where a pixel of the copy of a band begins.
func (c *cut) copyAt(i, d, h, w int) int {
	return image{c.box, c.in.channels}.at(i, d, h, w)
}

// A region is the part of a slab that a band has: positions [from, to).
type region struct {
	n, d int
	h, w [2]int
}

// regions returns the regions of a band.
func (c *cut) regions(band int) iter.Seq2[int, region] {
	parts := c.rows * c.cols
	slab, part := band/parts*c.slabs, band%parts
	h, w := part/c.cols, part%c.cols
	return func(yield func(int, region) bool) {
		for i := range min(c.slabs, c.batch*c.count[0]-slab) {
			if !yield(i, region{
				(slab + i) / c.count[0], (slab + i) % c.count[0],
				[2]int{h * c.count[1] / c.rows, (h + 1) * c.count[1] / c.rows},
				[2]int{w * c.count[2] / c.cols, (w + 1) * c.count[2] / c.cols},
			}) {
				return
			}
		}
	}
}

// starts returns where the input and the result of a region's row begin.
func (c *cut) starts(i int, r region, h int) (in, out int) {
	if c.copied {
		in = c.copyAt(i, 0, (h-r.h[0])*c.stride[1], 0)
	} else {
		in = c.in.at(r.n, r.d*c.stride[0], h*c.stride[1], r.w[0]*c.stride[2])
	}
	out = c.out.at(r.n, c.first[0]+r.d*c.step[0], c.first[1]+h*c.step[1], c.first[2]+r.w[0]*c.step[2])
	return in, out
}

// A table lists where each position of a band reads and writes.
type table struct {
	at, to [maxBand]int
}

// fill lists the positions of a band, and returns how many there are.
func (t *table) fill(c *cut, band int) int {
	n, inStep, outStep := 0, c.stride[2]*c.in.channels, c.step[2]*c.out.channels
	for i, r := range c.regions(band) {
		for h := r.h[0]; h < r.h[1]; h++ {
			in, out := c.starts(i, r, h)
			at, to := t.at[n:n+r.w[1]-r.w[0]], t.to[n:n+r.w[1]-r.w[0]]
			for w := range at {
				at[w], to[w] = in, out
				in += inStep
				out += outStep
			}
			n += len(at)
		}
	}
	return n
}

// copyBand copies what a band reads, with zeros for what lies outside.
func (c *cut) copyBand(to, in []float32, band int) {
	lowH, _ := c.reach(1)
	for i, r := range c.regions(band) {
		for j, t := range c.taps[0] {
			d := r.d*c.stride[0] + t.at
			for y := range c.span(1, r.h[1]-r.h[0]) {
				h := r.h[0]*c.stride[1] + lowH + y
				row := to[c.copyAt(i, j, y, 0):][:c.box[2]*c.in.channels]
				if d < 0 || d >= c.in.extent[0] || h < 0 || h >= c.in.extent[1] {
					clear(row)
					continue
				}
				c.copyRow(row, in[c.in.at(r.n, d, h, 0):][:c.in.extent[2]*c.in.channels], r.w[0])
			}
		}
	}
}

// copyRow copies what of an image's row the positions from first read.
func (c *cut) copyRow(to, row []float32, first int) {
	low, _ := c.reach(2)
	at := (first*c.stride[2] + low) * c.in.channels
	before := min(max(-at, 0), len(to))
	clear(to[:before])
	n := copy(to[before:], row[min(max(at, 0), len(row)):])
	clear(to[before+n:])
}
