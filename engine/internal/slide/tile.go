package slide

import "math"

// An Op is what a Tile computes from the vectors that it meets.
type Op int

// The operations. A tap is the number of an element of the window, as a float32:
// exact in windows of up to 1<<24 elements.
const (
	Sum    Op = iota // clamp(sum of in·w, + bias + add)
	Max              // the maximum; NaN where one is NaN; -Inf of none
	ArgMax           // the tap of the first maximum, or of the last NaN; -1 of none
	Route            // the sum of in where w, which lies as in does, is the tap
)

// A Tile is up to TileCols results in each of up to Op.Rows rows, each a vector
// of channels, computed from all taps of all places. All steps count float32.
// The assembly reads this struct: see fields in engine/gen/slide.
type Tile struct {
	Out, In, W, Bias, Add []float32 // Bias and Add: nil for none; Add lies as Out does
	OutAt, OutRow, OutCol int
	InAt, InRow, InCol    int
	WAt                   int     // of a Sum
	Places                []Place // where each row of taps begins
	Taps                  int     // in each row
	InTap, WTap           int     // from one tap of a row to the next
	Channels              int
	Low, High             float32 // of a Sum: limits, which leave NaN alone
	First                 float32 // of ArgMax: the first tap, -1 for none
	Tap, Step             float32 // the first tap of a row, and how much more each next one is
	Op                    Op
}

// A Place is where a row of taps begins.
type Place struct {
	In  int
	W   int     // in the weights of a Sum
	Tap float32 // what it adds to the number of its taps
}

// The most that a Tile can be.
const (
	sumRows  = 3
	TileCols = 4
)

// Rows is how many rows a Tile can have.
func (o Op) Rows() int {
	if o == ArgMax || o == Route {
		return 1
	}
	return sumRows
}

// portable computes a tile of rows x cols.
func (t *Tile) portable(rows, cols int) {
	for c := 0; c < t.Channels; c += chunk {
		n := min(chunk, t.Channels-c)
		for r := range rows {
			for q := range cols {
				in := t.InAt + r*t.InRow + q*t.InCol + c
				at := t.OutAt + r*t.OutRow + q*t.OutCol + c
				out := t.Out[at : at+n]
				switch t.Op {
				case Sum:
					t.sum(out, in, at, c)
				case Max:
					t.max(out, in)
				case ArgMax:
					t.argMax(out, in)
				case Route:
					t.route(out, in)
				}
			}
		}
	}
}

const chunk = 64 // channels that portable takes at once

// sum computes the result of the channels from c on, which lies at at.
func (t *Tile) sum(out []float32, in, at, c int) {
	var memory [chunk]float32 // out may be t.Add
	sums := memory[:len(out)]
	for _, p := range t.Places {
		a, b := in+p.In, t.WAt+p.W+c
		for range t.Taps {
			x, y := t.In[a:a+len(sums)], t.W[b:b+len(sums)]
			for i := range sums {
				sums[i] += x[i] * y[i]
			}
			a, b = a+t.InTap, b+t.WTap
		}
	}
	if t.Bias != nil {
		for i, v := range t.Bias[c : c+len(sums)] {
			sums[i] += v
		}
	}
	if t.Add != nil {
		for i, v := range t.Add[at : at+len(sums)] {
			sums[i] += v
		}
	}
	for i, v := range sums {
		if v < t.Low {
			v = t.Low
		}
		if v > t.High {
			v = t.High
		}
		out[i] = v
	}
}

var lowest = float32(math.Inf(-1))

func (t *Tile) max(out []float32, in int) {
	for i := range out {
		out[i] = lowest
	}
	t.eachTap(in, func(at int, _ float32) {
		for i, v := range t.In[at : at+len(out)] {
			out[i] = max(out[i], v)
		}
	})
}

func (t *Tile) argMax(out []float32, in int) {
	var best [chunk]float32
	for i := range out {
		out[i], best[i] = t.First, lowest
	}
	t.eachTap(in, func(at int, tap float32) {
		for i, v := range t.In[at : at+len(out)] {
			if v > best[i] || v != v {
				out[i], best[i] = tap, v
			}
		}
	})
}

func (t *Tile) route(out []float32, in int) {
	clear(out)
	t.eachTap(in, func(at int, tap float32) {
		for i, v := range t.In[at : at+len(out)] {
			if t.W[at+i] == tap {
				out[i] += v
			}
		}
	})
}

// eachTap calls f with where each vector is, and its tap.
func (t *Tile) eachTap(in int, f func(at int, tap float32)) {
	for _, p := range t.Places {
		at, tap := in+p.In, p.Tap+t.Tap
		for range t.Taps {
			f(at, tap)
			at, tap = at+t.InTap, tap+t.Step
		}
	}
}
