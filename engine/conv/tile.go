package conv

// A tile is the work of one call of a kernel: the results of a few pixels for
// the channels of one panel.
type tile struct {
	in       []float32
	at       []int // where each pixel begins in in
	segments []segment
	weights  []float32
	bias     []float32 // or nil
	add      []float32 // or nil
	out      []float32
	to       []int // where the results of each pixel begin in out, and in add
	min, max float32
	channels int
	width    int
}

// portable computes a tile of 4 channels, two pixels at a time.
func (t *tile) portable() {
	for r := 0; r < len(t.at); r += 2 {
		s := min(r+1, len(t.at)-1) // at an odd end the last pixel is computed twice
		a, b := t.pair(t.at[r], t.at[s])
		t.store(t.to[r], a)
		if s > r {
			t.store(t.to[s], b)
		}
	}
}

func (t *tile) pair(a, b int) (sumA, sumB [4]float32) {
	var a0, a1, a2, a3, b0, b1, b2, b3 float32
	for _, s := range t.segments {
		w := t.weights[s.weights*4:][:s.n*4]
		y := t.in[b+s.at:][:s.n]
		for i, x := range t.in[a+s.at:][:s.n] {
			w := w[i*4:][:4]
			y := y[i]
			a0 += x * w[0]
			a1 += x * w[1]
			a2 += x * w[2]
			a3 += x * w[3]
			b0 += y * w[0]
			b1 += y * w[1]
			b2 += y * w[2]
			b3 += y * w[3]
		}
	}
	return [4]float32{a0, a1, a2, a3}, [4]float32{b0, b1, b2, b3}
}

func (t *tile) store(to int, sum [4]float32) {
	for c, v := range sum[:t.channels] {
		if t.bias != nil {
			v += t.bias[c]
		}
		if t.add != nil {
			v += t.add[to+c]
		}
		if v < t.min {
			v = t.min
		}
		if v > t.max {
			v = t.max
		}
		t.out[to+c] = v
	}
}

// A gradientTile is the work of one call of a gradient kernel: for a few values
// of the input that lie side by side, the sum over pixels of their products
// with the channels of one panel of the result's gradient.
type gradientTile struct {
	in, dout         []float32
	runs             []run
	inStep, doutStep int       // from one pixel of a run to the next
	sum              []float32 // rows x width
	fresh            bool      // sum is written, not added to
	rows             int
	channels         int
	width            int
}

// portable computes a gradient tile, two by two values at a time.
func (t *gradientTile) portable() {
	for r := 0; r < t.rows; r += 2 {
		for c := 0; c < t.channels; c += 2 {
			t.square(r, min(r+1, t.rows-1), c, min(c+1, t.channels-1))
		}
	}
}

// square computes rows r and s at channels c and d, which may be the same.
func (t *gradientTile) square(r, s, c, d int) {
	var rc, rd, sc, sd float32
	for _, run := range t.runs {
		in, dout := run.in, run.dout
		for range run.n {
			x, y := t.in[in+r], t.in[in+s]
			g, h := t.dout[dout+c], t.dout[dout+d]
			rc += x * g
			rd += x * h
			sc += y * g
			sd += y * h
			in += t.inStep
			dout += t.doutStep
		}
	}
	r, s = r*t.width, s*t.width
	if !t.fresh {
		rc, rd, sc, sd = rc+t.sum[r+c], rd+t.sum[r+d], sc+t.sum[s+c], sd+t.sum[s+d]
	}
	t.sum[r+c], t.sum[r+d], t.sum[s+c], t.sum[s+d] = rc, rd, sc, sd
}
