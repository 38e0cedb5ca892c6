package conv

import (
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/vec"
)

// gradient computes the gradient dw of a pass's weights, in w's order. Each
// piece of the bands adds up a gradient of its own, packed as w is.
func (p *pass) gradient(t *cpu.Team, dw, in, dout []float32, w *Weights) {
	c := p.cutGradient(w)
	if c == nil {
		clear(dw)
		return
	}
	in, dout = in[:p.batch*p.in.size()], dout[:p.batch*p.out.size()]
	own, shared := c.gradientScratch(w)
	first := t.Scratch(0, own+shared)
	partial := first[own:]
	t.Do(c.groups*c.pieces, func(worker, task int) {
		piece, group := task%c.pieces, task/c.pieces
		mine := first[:own]
		if worker > 0 {
			mine = t.Scratch(worker, own)
		}
		g := gradientTask{cut: c, w: w, sum: partial[piece*w.size():][:w.size()], packed: mine[c.scratch():], from: in}
		if c.copied {
			g.from = mine[:c.scratch()]
		}
		begin, end := piece*c.bands/c.pieces, (piece+1)*c.bands/c.pieces
		for band := begin; band < end; band++ {
			if c.copied {
				c.copyBand(g.from, in, band)
			}
			at, n := c.results(band)
			g.band(band, band == begin, dout[at*p.out.channels:][:n*p.out.channels], group)
		}
	})
	w.unpack(t, dw, partial, c.pieces)
}

// gradientScratch returns the float32 that each worker needs, and those that
// all share.
func (c *cut) gradientScratch(w *Weights) (own, shared int) {
	if c == nil {
		return 0, 0
	}
	return c.scratch() + maxBand*tiles[w.level].wide, c.pieces * w.size()
}

type gradientTask struct {
	*cut
	w      *Weights
	from   []float32 // the input, or the copy of a band
	packed []float32 // one panel of a band of the result's gradient
	sum    []float32
}

// band adds up the gradients of a band for a group of panels. dout is what of
// the result's gradient the band has.
func (g *gradientTask) band(band int, fresh bool, dout []float32, group int) {
	k := gradientTile{fresh: fresh, runs: g.runs(band), inStep: g.stride[2] * g.in.channels}
	for i := group * g.panels; i < min((group+1)*g.panels, g.w.panels()); i++ {
		panel := g.w.panel(i)
		k.width, k.dout, k.doutStep = panel.width, dout[panel.group*g.w.out+panel.first:], g.out.channels
		if panel.channels < panel.width || g.out.channels >= farApart {
			k.dout, k.doutStep = packPanel(g.packed, k.dout, g.out.channels, panel), panel.width
		}
		for _, s := range g.segments {
			each(s.n, tiles[g.w.level].rows, func(from, to int) {
				k.in = g.from[panel.group*g.w.in+s.at+from:]
				k.sum = g.sum[panel.row(g.w, 0, s.weights+from):]
				k.rows = to - from
				k.run(g.w.level)
			})
		}
	}
}

// packPanel puts the channels of a panel side by side for all pixels, with
// zeros for channels past the last.
func packPanel(to, from []float32, channels int, p panel) []float32 {
	n := 0
	for at := 0; at < len(from); at += channels {
		row := to[n:][:p.width]
		copy(row, from[at:][:p.channels])
		clear(row[p.channels:])
		n += p.width
	}
	return to[:n]
}

// runs lists the rows of a band.
func (c *cut) runs(band int) []run {
	runs := make([]run, 0, c.slabs*pieces(c.count[1], c.rows))
	for i, r := range c.regions(band) {
		for h := r.h[0]; h < r.h[1]; h++ {
			in, _ := c.starts(i, r, h)
			runs = append(runs, run{in, r.w[1] - r.w[0]})
		}
	}
	return runs
}

// results returns the pixels of the result that a band has: those of whole
// rows, or of a part of one, and so side by side.
func (c *cut) results(band int) (first, n int) {
	for i, r := range c.regions(band) {
		if i == 0 {
			_, first = c.starts(i, r, r.h[0])
		}
		n += (r.h[1] - r.h[0]) * (r.w[1] - r.w[0])
	}
	return first / c.out.channels, n
}

// unpack adds up that many packed gradients and writes them in w's order.
func (w *Weights) unpack(t *cpu.Team, to, partial []float32, pieces int) {
	t.Do(w.blocks(), func(_, i int) {
		b := w.block(i)
		for tap := range w.taps {
			at, n := b.row(w, tap, b.from), (b.to-b.from)*b.width
			sum := partial[at:][:n]
			for p := 1; p < pieces; p++ {
				vec.Add(sum, sum, partial[p*w.size()+at:][:n])
			}
		}
		w.move(b, partial, to, false)
	})
}
