package vec

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
)

// shapes are numbers of rows and of channels: fewer and more than a vector,
// a period, a piece, and all the pieces that there may be.
var shapes = [][2]int{{0, 3}, {1, 1}, {70000, 1}, {5, 2}, {50000, 3}, {7, 8}, {1000, 16}, {3000, 24}, {100, 32}, {49, 100},
	{333, 144}, {11, 513}, {49, 1280}, {2500, 1000}}

func TestPeriods(t *testing.T) {
	for c := 1; c < 3000; c++ {
		p := period(c)
		if p%c != 0 || p < min(c, 512) || p > max(c, 2048) {
			t.Errorf("%d channels: a period of %d", c, p)
		}
		if c < 128 && p%16 != 0 {
			t.Errorf("%d channels: a period of %d is no whole number of vectors", c, p)
		}
	}
}

func TestAffine(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, s := range shapes {
			rows, c := s[0], s[1]
			n := rows * c
			x, add, scale, shift := random(n, 1), random(n, 2), random(c, 3), random(c, 4)
			for _, add := range [][]float32{nil, add} {
				dst := make([]float32, n+1)
				Affine(cpu.NewTeam(2), dst, x, c, scale, shift, add, -1, 5)
				for i := range n {
					want := float64(x[i])*float64(scale[i%c]) + float64(shift[i%c])
					if add != nil {
						want += float64(add[i])
					}
					if want = min(5, max(-1, want)); !near(dst[i], want, 2e-6) {
						t.Fatalf("%v: element %d is %v, want %v", s, i, dst[i], want)
					}
				}
				if dst[n] != 0 {
					t.Fatalf("%v: wrote beyond the end", s)
				}
			}
		}
	})
}

// columns returns the values of each channel.
func columns(x []float32, c int) [][]float64 {
	all := make([][]float64, c)
	for i, v := range x {
		all[i%c] = append(all[i%c], float64(v))
	}
	return all
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / max(1, float64(len(v)))
}

func TestSumsAndMoments(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, s := range shapes {
			rows, c := s[0], s[1]
			x := random(rows*c, 5)
			for i := range x { // means of up to 1000 deviations
				x[i] += float32(i % c % 7 * 500)
			}
			sum, m, variance := make([]float32, c), make([]float32, c), make([]float32, c)
			SumRows(cpu.NewTeam(2), sum, x, c)
			Moments(cpu.NewTeam(2), m, variance, x, c)
			for ch, v := range columns(x, c) {
				wantMean, wantSum := mean(v), 0.0
				for i := range v {
					wantSum += v[i]
					v[i] = (v[i] - wantMean) * (v[i] - wantMean)
				}
				if !near(sum[ch], wantSum, 1e-7) || !near(m[ch], wantMean, 1e-7) || !near(variance[ch], mean(v), 1e-7) {
					t.Fatalf("%v channel %d: sum %v, mean %v, variance %v, want %v, %v, %v", s, ch,
						sum[ch], m[ch], variance[ch], wantSum, wantMean, mean(v))
				}
			}
		}
	})
}

func TestVarianceIsNeverNegative(t *testing.T) {
	x := slices.Repeat([]float32{1234.567}, 1000)
	m, variance := []float32{0}, []float32{-1}
	Moments(cpu.NewTeam(1), m, variance, x, 1)
	if m[0] != 1234.567 || variance[0] < 0 || variance[0] > 1e-6 {
		t.Errorf("mean %v and variance %v of a constant", m[0], variance[0])
	}
}

// layer is a small normalization in double precision.
type layer struct {
	c                       int
	x, add, gamma, beta     []float64
	weight                  []float64 // the loss is the sum of weight*y
	lo, hi, eps             float64
	frozenMean, frozenScale []float64 // scale is 1/deviation; nil: of x itself
}

func (l *layer) y() []float64 {
	y := make([]float64, len(l.x))
	for ch := range l.c {
		var v []float64
		for i := ch; i < len(l.x); i += l.c {
			v = append(v, l.x[i])
		}
		m := mean(v)
		for i := range v {
			v[i] = (v[i] - m) * (v[i] - m)
		}
		inv := 1 / math.Sqrt(mean(v)+l.eps)
		if l.frozenMean != nil {
			m, inv = l.frozenMean[ch], l.frozenScale[ch]
		}
		for i := ch; i < len(l.x); i += l.c {
			y[i] = min(l.hi, max(l.lo, l.gamma[ch]*(l.x[i]-m)*inv+l.beta[ch]+l.add[i]))
		}
	}
	return y
}

func (l *layer) loss() float64 {
	s := 0.0
	for i, y := range l.y() {
		s += y * l.weight[i]
	}
	return s
}

// slope is the derivative of the loss by *v.
func (l *layer) slope(v *float64) float64 {
	const h = 1e-5
	at := *v
	*v = at + h
	up := l.loss()
	*v = at - h
	down := l.loss()
	*v = at
	return (up - down) / (2 * h)
}

func double(s []float32) []float64 {
	d := make([]float64, len(s))
	for i, v := range s {
		d[i] = float64(v)
	}
	return d
}

func single(s []float64) []float32 {
	f := make([]float32, len(s))
	for i, v := range s {
		f[i] = float32(v)
	}
	return f
}

func TestNormGradients(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, frozen := range []bool{false, true} {
			for _, clamped := range []bool{false, true} {
				for _, c := range []int{1, 3, 16, 20} {
					t.Run(fmt.Sprintf("frozen=%v,clamped=%v,c=%d", frozen, clamped, c), func(t *testing.T) {
						checkNorm(t, c, frozen, clamped)
					})
				}
			}
		}
	})
}

func checkNorm(t *testing.T, c int, frozen, clamped bool) {
	const rows = 13
	n := rows * c
	l := &layer{c: c, x: double(random(n, 1)), add: double(random(n, 2)), gamma: double(random(c, 3)),
		beta: double(random(c, 4)), weight: double(random(n, 5)), lo: math.Inf(-1), hi: math.Inf(1), eps: 1e-3}
	if clamped {
		l.lo, l.hi = -1, 2.5
	}
	mean, variance, invStd := make([]float32, c), make([]float32, c), make([]float32, c)
	scale, shift := make([]float32, c), make([]float32, c)
	Moments(cpu.NewTeam(1), mean, variance, single(l.x), c)
	if frozen {
		mean, variance = random(c, 6), slices.Repeat([]float32{2.5}, c)
	}
	NormFactors(scale, shift, invStd, mean, variance, single(l.gamma), single(l.beta), l.eps)
	if frozen {
		l.frozenMean, l.frozenScale = double(mean), double(invStd)
	}
	y := make([]float32, n)
	Affine(cpu.NewTeam(1), y, single(l.x), c, scale, shift, single(l.add), float32(l.lo), float32(l.hi))
	for i, want := range l.y() {
		if !near(y[i], want, 2e-6) {
			t.Fatalf("forwards: element %d is %v, want %v", i, y[i], want)
		}
	}

	g := Norm{C: c, X: single(l.x), Mean: mean, InvStd: invStd, Gamma: single(l.gamma), DY: single(l.weight),
		DX: make([]float32, n), DAdd: make([]float32, n), DGamma: make([]float32, c), DBeta: make([]float32, c)}
	if clamped {
		g.Y, g.Lo, g.Hi = y, float32(l.lo), float32(l.hi)
	}
	backward := NormBackward
	if frozen {
		backward = NormBackwardFrozen
	}
	backward(cpu.NewTeam(1), g)
	for _, k := range []struct {
		name string
		got  []float32
		of   []float64
	}{{"x", g.DX, l.x}, {"add", g.DAdd, l.add}, {"gamma", g.DGamma, l.gamma}, {"beta", g.DBeta, l.beta}} {
		for i := range k.of {
			if want := l.slope(&k.of[i]); !near(k.got[i], want, 1e-5) {
				t.Fatalf("gradient of %s[%d]: %v, want %v", k.name, i, k.got[i], want)
			}
		}
	}

	// The same, where only DX is wanted, and that in the place of DY.
	less := g
	less.DX, less.DAdd, less.DGamma, less.DBeta = slices.Clone(g.DY), nil, nil, nil
	less.DY = less.DX
	if backward(cpu.NewTeam(1), less); !slices.Equal(less.DX, g.DX) {
		t.Error("DX in the place of DY, with nothing else wanted, differs")
	}
	// And with DAdd in the place of DY.
	less = g
	less.DAdd = slices.Clone(g.DY)
	less.DY, less.DX = less.DAdd, make([]float32, n)
	if backward(cpu.NewTeam(1), less); !slices.Equal(less.DX, g.DX) || !slices.Equal(less.DAdd, g.DAdd) {
		t.Error("with DAdd in the place of DY, gradients differ")
	}
}

// TestWorkersDoNotMatter compares every bit of what teams of different sizes compute.
func TestWorkersDoNotMatter(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, s := range shapes {
			rows, c := s[0], s[1]
			compute := func(workers int) []float32 {
				team := cpu.NewTeam(workers)
				n := rows * c
				x, dy := random(n, 1), random(n, 2)
				mean, variance, invStd, sum := make([]float32, c), make([]float32, c), make([]float32, c), make([]float32, c)
				scale, shift, y := make([]float32, c), make([]float32, c), make([]float32, n)
				SumRows(team, sum, x, c)
				Moments(team, mean, variance, x, c)
				NormFactors(scale, shift, invStd, mean, variance, random(c, 3), random(c, 4), 1e-5)
				Affine(team, y, x, c, scale, shift, nil, 0, 2)
				g := Norm{C: c, X: x, Y: y, Lo: 0, Hi: 2, Mean: mean, InvStd: invStd, Gamma: random(c, 3), DY: dy,
					DX: make([]float32, n), DGamma: make([]float32, c), DBeta: make([]float32, c)}
				NormBackward(team, g)
				return slices.Concat(sum, mean, variance, y, g.DX, g.DGamma, g.DBeta)
			}
			one := compute(1)
			for _, workers := range []int{2, 5} {
				if !slices.Equal(compute(workers), one) {
					t.Errorf("%v: %d workers compute something else than one", s, workers)
				}
			}
		}
	})
}

func TestNoChannelsIsNothing(t *testing.T) {
	team := cpu.NewTeam(1)
	for _, c := range []int{0, -1} {
		Affine(team, []float32{1}, []float32{1}, c, nil, nil, nil, 0, 1)
		SumRows(team, nil, []float32{1}, c)
		Moments(team, nil, nil, []float32{1}, c)
		NormBackward(team, Norm{C: c, DY: []float32{1}})
		NormBackwardFrozen(team, Norm{C: c, DY: []float32{1}})
		Softmax([]float32{1}, []float32{1}, c)
		LogSoftmax([]float32{1}, []float32{1}, c)
		ToChannelsLast(team, nil, nil, 1, c, 1)
	}
}
