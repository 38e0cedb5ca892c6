package refit

import (
	"math"
	"math/rand/v2"

	"github.com/natonnx/natonnx/engine/conv"
	"github.com/natonnx/natonnx/engine/cpu"
	"gonum.org/v1/gonum/mat"
)

// A design holds the rows of a regression: what a linear operation reads at
// sampled positions, and what it should make of it.
type design struct {
	l    *linear
	k    int       // of a row: unknowns and the bias
	x    []float32 // [groups][rows][k]
	z    []float32 // [groups][rows][out]
	rows int
	room int // rows that x and z have room for
	held int // the rows from there on are held back
	effort
	// low and high cut off the result; infinite where nothing does.
	low, high float64
}

// elementsLimit bounds a design, in elements of x.
const elementsLimit = 40 << 20

// An effort says how much work a fit is worth.
type effort struct {
	rowsPerUnknown, leastRows int
	alphas                    []float64 // the regularizations that are tried
	rounds                    int       // of letting go of targets beyond the limits
}

var (
	thorough = effort{64, 64 << 10, []float64{1e-4, 1e-3, 1e-2, 1e-1, 1}, 3}
	quick    = effort{20, 8 << 10, []float64{1e-3, 3e-2}, 1}
)

// newDesign makes room for rows from that many samples.
func newDesign(l *linear, samples, positions int, e effort) (d *design, perSample int) {
	d = &design{l: l, k: l.unknowns() + 1, effort: e, low: math.Inf(-1), high: math.Inf(1)}
	want := max(e.leastRows, e.rowsPerUnknown*d.k)
	want = min(want, elementsLimit/(d.k*l.groups))
	perSample = max(1, min(positions, (want+samples-1)/samples))
	d.room = perSample * samples
	d.x = make([]float32, l.groups*d.room*d.k)
	d.z = make([]float32, l.groups*d.room*l.out)
	return d, perSample
}

// positions chooses n of so many positions, well spread, for one sample.
func positions(n, of int, rng *rand.Rand) []int {
	at := make([]int, n)
	if n == of {
		for i := range at {
			at[i] = i
		}
		return at
	}
	step := int(float64(of)*0.6180339887) | 1
	for gcd(step, of) != 1 {
		step += 2
	}
	start := rng.IntN(of)
	for i := range at {
		at[i] = (start + i*step) % of
	}
	return at
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// add appends rows of one sample: in is what the operation reads, [channels]
// [h][w], and z what it should make there, [channels][positions of the output].
func (d *design) add(in []float32, h, w int, at []int, outWidth int, z func(channel, position int) float32) {
	l := d.l
	for g := range l.groups {
		for i, position := range at {
			row := d.rows + i
			x := d.x[(g*d.room+row)*d.k:][:d.k]
			l.window(x, in[g*l.in*h*w:], h, w, position/outWidth, position%outWidth)
			x[d.k-1] = 1
			to := d.z[(g*d.room+row)*l.out:][:l.out]
			for o := range to {
				to[o] = z(g*l.out+o, position)
			}
		}
	}
	d.rows += len(at)
}

// window copies what the operation reads for one position of its output.
func (l *linear) window(x, in []float32, h, w, oy, ox int) {
	i := 0
	for c := range l.in {
		plane := in[c*h*w:]
		for ky := range l.kernel[0] {
			y := oy*l.stride[0] - l.pad[0] + ky*l.dilation[0]
			for kx := range l.kernel[1] {
				column := ox*l.stride[1] - l.pad[1] + kx*l.dilation[1]
				if y >= 0 && y < h && column >= 0 && column < w {
					x[i] = plane[y*w+column]
				} else {
					x[i] = 0
				}
				i++
			}
		}
	}
}

// A solution is what a fit came to.
type solution struct {
	weights []float32 // [groups*out][k], the bias last
	alpha   float64   // of the regularization; 0: the weights stay as they were
	// before and after are the squared errors on the held-back rows, as shares of
	// the targets' squares about their mean.
	before, after float64
}

// solve fits all groups.
func (d *design) solve(team *cpu.Team) (solution, error) {
	l := d.l
	s := solution{weights: make([]float32, l.groups*l.out*d.k)}
	var before, after, total float64
	for g := range l.groups {
		f := d.group(g)
		best := f.solve(team)
		copy(s.weights[g*l.out*d.k:], best.weights)
		s.alpha = max(s.alpha, best.alpha)
		before, after, total = before+best.before, after+best.after, total+f.variance()
	}
	s.before, s.after = before/max(total, 1e-30), after/max(total, 1e-30)
	return s, nil
}

// A regression is the design of one group.
type regression struct {
	k, out    int
	x, z      []float32 // fitted rows
	xh, zh    []float32 // held-back rows
	w0        []float32 // [out][k]
	low, high float64
	effort
	base []float32 // what w0 predicts of the fitted rows
}

func (d *design) group(g int) *regression {
	l := d.l
	x, z := d.x[g*d.room*d.k:][:d.rows*d.k], d.z[g*d.room*l.out:][:d.rows*l.out]
	r := &regression{k: d.k, out: l.out, low: d.low, high: d.high, effort: d.effort,
		x: x[:d.held*d.k], z: z[:d.held*l.out], xh: x[d.held*d.k:], zh: z[d.held*l.out:], w0: make([]float32, l.out*d.k)}
	for o := range l.out {
		row := r.w0[o*d.k:]
		copy(row, l.weight[(g*l.out+o)*(d.k-1):][:d.k-1])
		row[d.k-1] = l.bias[g*l.out+o]
	}
	return r
}

// solve tries all regularizations, and then lets the targets beyond the limits go.
func (r *regression) solve(team *cpu.Team) solution {
	best := solution{weights: r.w0, before: r.error(team, r.w0)}
	best.after = best.before
	gram := r.gram(team)
	right := r.right(team, r.w0)
	var factor mat.Cholesky
	for _, alpha := range r.alphas {
		w, ok := r.step(gram, right, alpha, &factor)
		if !ok {
			continue
		}
		if e := r.error(team, w); e < best.after {
			best.weights, best.alpha, best.after = w, alpha, e
		}
	}
	if best.alpha == 0 || math.IsInf(r.low, 0) && math.IsInf(r.high, 0) {
		return best
	}
	w := best.weights
	for range r.rounds {
		next, ok := r.step(gram, r.right(team, w), best.alpha, &factor)
		if !ok {
			break
		}
		w = next
		if e := r.error(team, w); e < best.after {
			best.weights, best.after = w, e
		}
	}
	return best
}

// predict multiplies rows by weights.
func (r *regression) predict(team *cpu.Team, x, w []float32) []float32 {
	rows := len(x) / r.k
	y := make([]float32, rows*r.out)
	conv.Multiply(team, rows, y, x, conv.PackMatrix(r.k, r.out, w, true), conv.Plain)
	return y
}

// error is the squared error on the held-back rows, after the limits.
func (r *regression) error(team *cpu.Team, w []float32) float64 {
	sum := 0.0
	low, high := float32(r.low), float32(r.high)
	for i, y := range r.predict(team, r.xh, w) {
		e := float64(min(max(y, low), high) - min(max(r.zh[i], low), high))
		sum += e * e
	}
	return sum
}

// variance is the sum of squares of the held-back targets about their means.
func (r *regression) variance() float64 {
	rows, sum := len(r.zh)/r.out, 0.0
	low, high := float32(r.low), float32(r.high)
	for o := range r.out {
		var s, q float64
		for i := range rows {
			v := float64(min(max(r.zh[i*r.out+o], low), high))
			s, q = s+v, q+v*v
		}
		sum += q - s*s/float64(max(rows, 1))
	}
	return sum
}

// slab is how many rows are summed in float32 before float64 takes over.
const slab = 4096

// gram is xᵀx.
func (r *regression) gram(team *cpu.Team) []float64 {
	sum, piece := make([]float64, r.k*r.k), make([]float32, r.k*r.k)
	r.slabs(func(first, rows int) {
		x := r.x[first*r.k:][:rows*r.k]
		conv.MultiplyATB(team, rows, r.k, r.k, piece, x, x)
		accumulate(sum, piece)
	})
	return sum
}

// right is xᵀ(z - x w₀) in which targets beyond a limit give way to what the
// weights w predict, as far as that lies beyond it too.
func (r *regression) right(team *cpu.Team, w []float32) []float64 {
	if r.base == nil {
		r.base = r.predict(team, r.x, r.w0)
	}
	now, low, high := r.base, float32(r.low), float32(r.high)
	later := &w[0] != &r.w0[0]
	if later {
		now = r.predict(team, r.x, w)
	}
	rest := make([]float32, len(r.z))
	for i, z := range r.z {
		if later {
			switch {
			case z <= low:
				z = min(now[i], low)
			case z >= high:
				z = max(now[i], high)
			}
		}
		rest[i] = z - r.base[i]
	}
	sum, piece := make([]float64, r.k*r.out), make([]float32, r.k*r.out)
	r.slabs(func(first, rows int) {
		conv.MultiplyATB(team, rows, r.k, r.out, piece, r.x[first*r.k:][:rows*r.k], rest[first*r.out:][:rows*r.out])
		accumulate(sum, piece)
	})
	return sum
}

func (r *regression) slabs(visit func(first, rows int)) {
	for i, n := 0, len(r.x)/r.k; i < n; i += slab {
		visit(i, min(slab, n-i))
	}
}

func accumulate(sum []float64, piece []float32) {
	for i, v := range piece {
		sum[i] += float64(v)
	}
}

// step solves (gram + λI)(w - w₀) = right.
func (r *regression) step(gram, right []float64, alpha float64, factor *mat.Cholesky) ([]float32, bool) {
	trace := 0.0
	for i := range r.k {
		trace += gram[i*r.k+i]
	}
	loaded := append([]float64(nil), gram...)
	for i := range r.k {
		loaded[i*r.k+i] += alpha * trace / float64(r.k)
	}
	if !factor.Factorize(mat.NewSymDense(r.k, loaded)) {
		return nil, false
	}
	var d mat.Dense
	if err := factor.SolveTo(&d, mat.NewDense(r.k, r.out, right)); err != nil {
		return nil, false
	}
	w := append([]float32(nil), r.w0...)
	for o := range r.out {
		for i := range r.k {
			w[o*r.k+i] += float32(d.At(i, o))
		}
	}
	for _, v := range w {
		if v != v || math.IsInf(float64(v), 0) {
			return nil, false
		}
	}
	return w, true
}
