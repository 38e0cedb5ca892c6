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
	partial := t.Scratch(0, own+shared)[own:]
	t.Do(c.groups*c.pieces, func(worker, task int) {
		piece, group := task%c.pieces, task/c.pieces
		sum := partial[piece*w.size():][:w.size()]
		from := in
		if c.copied {
			from = t.Scratch(worker, own)
		}
		first, last := piece*c.bands/c.pieces, (piece+1)*c.bands/c.pieces
		for band := first; band < last; band++ {
			if c.copied {
				c.copyBand(from, in, band)
			}
			k := gradientTile{fresh: band == first, runs: c.runs(band), inStep: c.stride[2] * p.in.channels, doutStep: p.out.channels}
			for i := group * c.panels; i < min((group+1)*c.panels, w.panels()); i++ {
				panel := w.panel(i)
				k.dout = dout[panel.group*w.out+panel.first:]
				k.width, k.channels = panel.width, panel.channels
				for _, s := range c.segments {
					each(s.n, tiles[w.level].rows, func(a, b int) {
						k.in = from[panel.group*w.in+s.at+a:]
						k.sum = sum[panel.at+(s.weights+a)*panel.width:]
						k.rows = b - a
						k.run(w.level)
					})
				}
			}
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
	return c.scratch(), c.pieces * w.size()
}

// A run is a row of pixels.
type run struct {
	in, dout int // where the first begins
	n        int
}

// runs lists the rows of a band.
func (c *cut) runs(band int) []run {
	runs := make([]run, 0, c.slabs*pieces(c.count[1], c.rows))
	for i, r := range c.regions(band) {
		for h := r.h[0]; h < r.h[1]; h++ {
			in, dout := c.starts(i, r, h)
			runs = append(runs, run{in, dout, r.w[1] - r.w[0]})
		}
	}
	return runs
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
