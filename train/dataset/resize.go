package dataset

import "math"

// A resizer resamples pictures as Pillow's BILINEAR filter does, which
// torchvision uses for pictures: a triangle as wide as the reduction, so that
// every source pixel counts ("antialiasing"), first across, then down, with 22
// bits of fraction and 8-bit pixels in between. It keeps its memory for the
// next picture.
type resizer struct {
	across, down taps
	rows         picture // resized across, not down
	sums         []int32
}

// taps are the weights of the source pixels of each output pixel.
type taps struct {
	first   []int   // the first source pixel
	count   []int   // how many there are
	weights []int32 // width for each output pixel
	width   int
}

const fractionBits = 22

// set works out the taps for the outputs from..from+n of a line of in pixels
// that is resized to out pixels.
func (t *taps) set(in, out, from, n int) {
	scale := float64(in) / float64(out)
	support := max(scale, 1)
	t.width = 2*int(math.Ceil(support)) + 1
	t.first, t.count = grow(t.first, n), grow(t.count, n)
	t.weights = grow(t.weights, n*t.width)
	line := make([]float64, t.width)
	for i := range n {
		center := float64((float64(from+i) + 0.5) * scale) // the conversions keep machines from fusing, and so rounding, differently
		lo := max(int(center-support+0.5), 0)
		hi := min(int(center+support+0.5), in)
		var sum float64
		for k := range hi - lo {
			line[k] = max(0, 1-math.Abs(float64((float64(k+lo)-center+0.5)*(1/support))))
			sum += line[k]
		}
		for k, w := range line[:hi-lo] {
			t.weights[i*t.width+k] = int32(0.5 + float64(w/sum*(1<<fractionBits)))
		}
		t.first[i], t.count[i] = lo, hi-lo
	}
}

// at returns the first source pixel of output i, and the weights from there.
func (t *taps) at(i int) (int, []int32) {
	return t.first[i], t.weights[i*t.width:][:t.count[i]]
}

// resize writes the wanted part of p, resized, to out. The two must differ.
func (r *resizer) resize(out, p *picture, c cut) {
	top, rows := c.at.H, c.cropped.H // of p that the second pass needs
	if c.size.H != p.H {
		r.down.set(p.H, c.size.H, c.at.H, c.cropped.H)
		top = r.down.first[0]
		rows = r.down.first[c.cropped.H-1] + r.down.count[c.cropped.H-1] - top
	}
	first := out
	if c.size.H != p.H {
		first = &r.rows
	}
	first.reset(Size{rows, c.cropped.W}, p.channels)
	if c.size.W != p.W {
		r.across.set(p.W, c.size.W, c.at.W, c.cropped.W)
	}
	for y := range rows {
		from := p.pix[(top+y)*p.W*p.channels:][:p.W*p.channels]
		to := first.pix[y*c.cropped.W*p.channels:][:c.cropped.W*p.channels]
		switch {
		case c.size.W == p.W:
			copy(to, from[c.at.W*p.channels:])
		case p.channels == 3:
			r.across.rgb(to, from)
		default:
			r.across.grey(to, from)
		}
	}
	if first != out {
		out.reset(c.cropped, p.channels)
		r.vertical(out, first, top)
	}
}

func (t *taps) rgb(to, from []byte) {
	for x := range len(to) / 3 {
		lo, weights := t.at(x)
		px := from[3*lo:][:3*len(weights)]
		var red, green, blue int32 = 1 << (fractionBits - 1), 1 << (fractionBits - 1), 1 << (fractionBits - 1)
		for _, w := range weights {
			red += w * int32(px[0])
			green += w * int32(px[1])
			blue += w * int32(px[2])
			px = px[3:]
		}
		to[3*x], to[3*x+1], to[3*x+2] = clamp(red>>fractionBits), clamp(green>>fractionBits), clamp(blue>>fractionBits)
	}
}

func (t *taps) grey(to, from []byte) {
	for x := range to {
		lo, weights := t.at(x)
		var sum int32 = 1 << (fractionBits - 1)
		for k, w := range weights {
			sum += w * int32(from[lo+k])
		}
		to[x] = clamp(sum >> fractionBits)
	}
}

// vertical resizes down; the rows of p start at row top of the source.
func (r *resizer) vertical(out, p *picture, top int) {
	n := p.W * p.channels
	r.sums = grow(r.sums, n)
	for y := range out.H {
		for i := range r.sums {
			r.sums[i] = 1 << (fractionBits - 1)
		}
		lo, weights := r.down.at(y)
		for k, w := range weights {
			row := p.pix[(lo-top+k)*n:][:n]
			sums := r.sums[:len(row)]
			for i, v := range row {
				sums[i] += w * int32(v)
			}
		}
		to := out.pix[y*n:][:n]
		for i, v := range r.sums {
			to[i] = clamp(v >> fractionBits)
		}
	}
}
