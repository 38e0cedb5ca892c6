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
	in       []float32
	runs     []run
	inStep   int       // from one pixel of a run to the next
	dout     []float32 // the pixels of all runs
	doutStep int       // from one pixel to the next
	sum      []float32 // [rows][width]
	fresh    bool      // sum is written, not added to
	rows     int
	width    int
}

// A run is a row of pixels of the input.
type run struct {
	in int // where the first begins
	n  int
}

// portable computes a gradient tile of 4 channels, two by two values at a time.
func (t *gradientTile) portable() {
	for r := 0; r < t.rows; r += 2 {
		s := min(r+1, t.rows-1) // at an odd end the last row is computed twice
		for c := 0; c < 4; c += 2 {
			t.square(r, s, c)
		}
	}
}

// square computes rows r and s at channels c and c+1.
func (t *gradientTile) square(r, s, c int) {
	var r0, r1, s0, s1 float32
	dout := c
	for _, run := range t.runs {
		at := run.in
		for range run.n {
			x, y := t.in[at+r], t.in[at+s]
			g, h := t.dout[dout], t.dout[dout+1]
			r0 += x * g
			r1 += x * h
			s0 += y * g
			s1 += y * h
			at += t.inStep
			dout += t.doutStep
		}
	}
	sumR, sumS := t.sum[r*4+c:][:2], t.sum[s*4+c:][:2]
	if !t.fresh {
		r0, r1, s0, s1 = r0+sumR[0], r1+sumR[1], s0+sumS[0], s1+sumS[1]
	}
	sumR[0], sumR[1], sumS[0], sumS[1] = r0, r1, s0, s1
}
