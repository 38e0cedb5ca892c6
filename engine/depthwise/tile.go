package depthwise

// A tile is up to tileRows x tileCols results, each a vector of channels:
//
//	out[r][q] = clamp(sum over rows, taps of in[r][q]·w + bias + add[r][q])
//
// All steps count float32. The assembly reads this struct: see fields in
// engine/gen/depthwise.
type tile struct {
	out, in, w, bias, add []float32 // bias and add: nil for none; add lies as out does
	outAt, outRow, outCol int
	inAt, inRow, inCol    int
	wAt                   int
	places                []place // where each row of taps begins
	taps                  int     // in each row
	inTap, wTap           int     // from one tap of a row to the next
	channels              int
	low, high             float32
}

// A place is where a row of taps begins in the image and in the weights.
type place struct{ in, w int }

const (
	tileRows = 3
	tileCols = 4
)

// portable computes a tile of rows x cols.
func (t *tile) portable(rows, cols int) {
	var sums [64]float32
	for c := 0; c < t.channels; c += len(sums) {
		n := min(len(sums), t.channels-c)
		for r := range rows {
			for q := range cols {
				t.sum(sums[:n], t.inAt+r*t.inRow+q*t.inCol+c, t.wAt+c)
				t.store(sums[:n], t.outAt+r*t.outRow+q*t.outCol+c, c)
			}
		}
	}
}

// sum computes one result of a few channels, read from these places on.
func (t *tile) sum(sums []float32, in, w int) {
	clear(sums)
	for _, p := range t.places {
		a, b := in+p.in, w+p.w
		for range t.taps {
			x, y := t.in[a:a+len(sums)], t.w[b:b+len(sums)]
			for i := range sums {
				sums[i] += x[i] * y[i]
			}
			a, b = a+t.inTap, b+t.wTap
		}
	}
}

// store writes one result of the channels from c on.
func (t *tile) store(sums []float32, at, c int) {
	if t.bias != nil {
		for i, v := range t.bias[c : c+len(sums)] {
			sums[i] += v
		}
	}
	if t.add != nil {
		for i, v := range t.add[at : at+len(sums)] {
			sums[i] += v
		}
	}
	out := t.out[at : at+len(sums)]
	for i, v := range sums {
		if v < t.low {
			v = t.low
		}
		if v > t.high {
			v = t.high
		}
		out[i] = v
	}
}
