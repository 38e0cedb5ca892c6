package vec

import (
	"math"

	"github.com/natonnx/natonnx/engine/cpu"
)

// Moments sets mean and variance, by channel, to those of the rows of x, which
// has c channels. The variance is the biased one, a mean of squares. Both are
// computed from sums in double precision, in which the squares of float32 are
// exact. No rows: both are 0.
func Moments(t *cpu.Team, mean, variance, x []float32, c int) {
	sums := sumChunks(t, len(x), c, 2, func(_ int, acc []float64, from, to int) {
		p := len(acc) / 2
		use.moments(acc[:to-from], acc[p:][:to-from], x[from:to])
	})
	for i := range len(sums) / 2 {
		rows := max(1, float64(len(x)/c))
		m := sums[i] / rows
		mean[i] = float32(m)
		variance[i] = float32(max(0, sums[c+i]/rows-m*m))
	}
}

// NormFactors sets what [Affine] needs to normalize channels: scale to
// gamma*invStd and shift to beta - mean*scale, where invStd, which it also
// sets, is 1/sqrt(variance+eps).
func NormFactors(scale, shift, invStd, mean, variance, gamma, beta []float32, eps float64) {
	for i := range min(len(scale), len(shift), len(invStd), len(mean), len(variance), len(gamma), len(beta)) {
		inv := 1 / math.Sqrt(float64(variance[i])+eps)
		s := float64(gamma[i]) * inv
		invStd[i] = float32(inv)
		scale[i] = float32(s)
		shift[i] = float32(float64(beta[i]) - float64(mean[i])*s)
	}
}

// A Norm is a normalization on its way back: of
//
//	y = clamp(gamma*(x-mean)*invStd + beta + add)
//
// on rows of C channels. Slices by channel have C elements, the others the
// shape of X.
type Norm struct {
	C                   int
	X                   []float32
	Mean, InvStd, Gamma []float32 // by channel

	Y      []float32 // the clamp's output; nil: nothing was clamped
	Lo, Hi float32   // the clamp's ends

	DY            []float32 // gradient of Y
	DX            []float32 // set to the gradient of X, which may be DY; nil: not wanted
	DAdd          []float32 // set to the gradient of add, which may be DY but not DX; nil: not wanted
	DGamma, DBeta []float32 // set to the gradients of gamma and beta, by channel; nil: not wanted
}

// NormBackward computes gradients where mean and variance are those of X itself
// (Ioffe and Szegedy, Batch Normalization, 2015, section 3). The gradient of a
// clamp is that of [ClampGrad].
func NormBackward(t *cpu.Team, n Norm) {
	sums := n.sums(t)
	if n.DX == nil || sums == nil {
		return
	}
	rows := float64(max(1, n.size()/n.C))
	factors := make([]float32, 3*n.C)
	byG, byX, constant := factors[:n.C], factors[n.C:][:n.C], factors[2*n.C:]
	for i := range n.C {
		inv := float64(n.InvStd[i])
		scale := float64(n.Gamma[i]) * inv
		byG[i] = float32(scale)
		byX[i] = float32(-scale * inv * inv * sums[n.C+i] / rows)
		constant[i] = float32(-scale * sums[i] / rows)
	}
	mean := repeat(n.Mean, n.C)
	byG, byX, constant = repeat(byG, n.C), repeat(byX, n.C), repeat(constant, n.C)
	chunks(t, n.size(), n.C, func(worker, from, to int) {
		l := to - from
		use.normGrad(n.DX[from:to], n.gradient(t, worker, from, to), n.X[from:to],
			mean[:l], byG[:l], byX[:l], constant[:l])
	})
}

// NormBackwardFrozen computes gradients where mean and variance are constants,
// as with running statistics. X and Mean are needed only for DGamma and DBeta.
func NormBackwardFrozen(t *cpu.Team, n Norm) {
	if n.C < 1 {
		return
	}
	if n.DGamma != nil || n.DBeta != nil {
		n.sums(t)
	}
	scale := make([]float32, n.C)
	Mul(scale, n.Gamma, n.InvStd)
	scale = repeat(scale, n.C)
	chunks(t, n.size(), n.C, func(worker, from, to int) {
		g := n.gradient(t, worker, from, to)
		if n.DX != nil {
			use.mul(n.DX[from:to], g, scale[:to-from])
		}
	})
}

// size is how many elements all tensors have.
func (n *Norm) size() int {
	size := len(n.DY)
	for _, s := range [][]float32{n.X, n.Y, n.DX, n.DAdd} {
		if s != nil {
			size = min(size, len(s))
		}
	}
	return size
}

// sums sets DGamma, DBeta and DAdd. It returns by channel the sums of the
// gradient before the clamp, and of that times the distance of x from the mean.
func (n *Norm) sums(t *cpu.Team) []float64 {
	mean := repeat(n.Mean, n.C)
	sums := sumChunks(t, n.size(), n.C, 2, func(worker int, acc []float64, from, to int) {
		l, p := to-from, len(acc)/2
		use.normSums(acc[:l], acc[p:][:l], n.gradient(t, worker, from, to), n.X[from:to], mean[:l])
	})
	for i := range len(sums) / 2 {
		if n.DBeta != nil {
			n.DBeta[i] = float32(sums[i])
		}
		if n.DGamma != nil {
			n.DGamma[i] = float32(sums[n.C+i] * float64(n.InvStd[i]))
		}
	}
	if n.DAdd != nil { // which now is the gradient before the clamp
		n.DY, n.Y, n.DAdd = n.DAdd, nil, nil
	}
	return sums
}

// gradient returns the gradient before the clamp of a part of the rows, and
// leaves it in DAdd if that is wanted.
func (n *Norm) gradient(t *cpu.Team, worker, from, to int) []float32 {
	g := n.DY[from:to]
	switch {
	case n.Y != nil:
		to := n.dAdd(t, worker, from, to)
		use.clampGrad(to, g, n.Y[from:][:len(g)], n.Lo, n.Hi)
		return to
	case n.DAdd != nil:
		copy(n.DAdd[from:to], g)
	}
	return g
}

// dAdd returns a part of DAdd, or memory of the worker in its place.
func (n *Norm) dAdd(t *cpu.Team, worker, from, to int) []float32 {
	if n.DAdd != nil {
		return n.DAdd[from:to]
	}
	return t.Scratch(worker, to-from)
}
