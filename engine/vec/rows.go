package vec

import (
	"slices"

	"github.com/natonnx/natonnx/engine/cpu"
)

// Affine computes dst = clamp(x*scale + shift + add) on rows of c channels:
// scale and shift by channel, add of the shape of x or nil, the clamp as in
// [Clamp], from -Inf to +Inf for none.
func Affine(t *cpu.Team, dst, x []float32, c int, scale, shift, add []float32, lo, hi float32) {
	n := min(len(dst), len(x))
	if add != nil {
		n = min(n, len(add))
	}
	scale, shift = repeat(scale, c), repeat(shift, c)
	chunks(t, n, c, func(_, from, to int) {
		d, x, scale, shift := dst[from:to], x[from:to], scale[:to-from], shift[:to-from]
		if add == nil {
			use.affine(d, x, scale, shift, lo, hi)
		} else {
			use.affineAdd(d, x, scale, shift, add[from:to], lo, hi)
		}
	})
}

// SumRows sets sum, by channel, to the sum over the rows of x, which has c
// channels. It is added up in double precision.
func SumRows(t *cpu.Team, sum, x []float32, c int) {
	for i, s := range sumChunks(t, len(x), c, 1, func(_ int, acc []float64, from, to int) {
		use.addTo(acc[:to-from], x[from:to])
	}) {
		sum[i] = float32(s)
	}
}

// period is how many elements of rows of c channels are worked on together: a
// multiple of c and, while it stays short, of the longest vector, so that
// loops over few channels are long and need no remainder. All that is by
// channel is repeated to this length.
func period(c int) int {
	if c >= 512 {
		return c
	}
	rows := (512 + c - 1) / c
	if c < 128 {
		whole := 16 / min(c&-c, 16) // rows that fill vectors
		rows = (rows + whole - 1) / whole * whole
	}
	return rows * c
}

// repeat returns v, of c channels, repeated up to the period of c.
func repeat(v []float32, c int) []float32 {
	if c < 1 {
		return nil
	}
	if p := period(c); p > c {
		return slices.Repeat(v[:c], p/c)
	}
	return v[:c]
}

// chunks calls f for parts of the rows of c channels in n elements. A part
// begins with a row and is at most a period long.
func chunks(t *cpu.Team, n, c int, f func(worker, from, to int)) {
	if c < 1 {
		return
	}
	p := period(c)
	t.Ranges(n/c*c, max(1, piece/p)*p, func(worker, from, to int) {
		for ; from < to; from += p {
			f(worker, from, min(from+p, to))
		}
	})
}

// most is how many pieces partial sums are kept for.
const most = 64

// sumChunks adds up several quantities by channel over the rows of c channels
// in n elements. As [chunks] it calls add for every part; add adds to acc, which
// holds a period of each quantity one after another. The result has c sums of
// the first quantity, then c of the second. Partial sums of pieces are added in
// the order of the pieces.
func sumChunks(t *cpu.Team, n, c, quantities int, add func(worker int, acc []float64, from, to int)) []float64 {
	if c < 1 {
		return nil
	}
	n -= n % c
	p := period(c)
	grain := max(1, piece/p, (n/p+most-1)/most) * p
	parts := make([]float64, (n+grain-1)/grain*quantities*c)
	accs := make([]float64, t.Workers()*quantities*p)
	t.Ranges(n, grain, func(worker, from, to int) {
		acc := accs[worker*quantities*p:][:quantities*p]
		clear(acc)
		part := parts[from/grain*quantities*c:]
		for at := from; at < to; at += p {
			add(worker, acc, at, min(at+p, to))
		}
		for q := range quantities {
			fold(part[q*c:][:c], acc[q*p:][:p])
		}
	})
	total := make([]float64, quantities*c)
	fold(total, parts)
	return total
}

// fold adds rows to sum.
func fold(sum, rows []float64) {
	for ; len(rows) > 0; rows = rows[len(sum):] {
		for i, v := range rows[:len(sum)] {
			sum[i] += v
		}
	}
}
