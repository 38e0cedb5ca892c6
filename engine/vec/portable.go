package vec

import "math"

// portable is how every kernel is defined; assembly agrees with it but for rounding.
var portable = kernels{
	add: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
	},
	sub: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] - b[i]
		}
	},
	mul: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	},
	div: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] / b[i]
		}
	},
	max: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = max(a[i], b[i])
		}
	},
	min: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = min(a[i], b[i])
		}
	},
	scale: func(dst, a []float32, s float32) {
		for i := range dst {
			dst[i] = a[i] * s
		}
	},
	offset: func(dst, a []float32, s float32) {
		for i := range dst {
			dst[i] = a[i] + s
		}
	},
	axpy: func(dst, a []float32, s float32) {
		for i := range dst {
			dst[i] += a[i] * s
		}
	},
	mix4: func(dst, a, b, c, d []float32, sa, sb, sc, sd float32) {
		for i := range dst {
			dst[i] = a[i]*sa + b[i]*sb + c[i]*sc + d[i]*sd
		}
	},
	addMix4: func(dst, a, b, c, d []float32, sa, sb, sc, sd float32) {
		for i := range dst {
			dst[i] += a[i]*sa + b[i]*sb + c[i]*sc + d[i]*sd
		}
	},
	fill: func(dst []float32, s float32) {
		for i := range dst {
			dst[i] = s
		}
	},
	clamp: func(dst, a []float32, lo, hi float32) {
		for i := range dst {
			dst[i] = min(hi, max(lo, a[i]))
		}
	},
	clampGrad: func(dx, dy, v []float32, lo, hi float32) {
		for i := range dx {
			dx[i] = inside(dy[i], v[i], lo, hi)
		}
	},
	addClampGrad: func(dx, dy, v []float32, lo, hi float32) {
		for i := range dx {
			dx[i] += inside(dy[i], v[i], lo, hi)
		}
	},

	sum: func(a []float32) float64 {
		s := 0.0
		for _, v := range a {
			s += float64(v)
		}
		return s
	},
	dot4: func(a, b, c, d, e []float32) (ab, ac, ad, ae float32) {
		for i, x := range a {
			ab += x * b[i]
			ac += x * c[i]
			ad += x * d[i]
			ae += x * e[i]
		}
		return ab, ac, ad, ae
	},
	dot: func(a, b []float32) float64 {
		s := 0.0
		for i := range a {
			s += float64(a[i]) * float64(b[i])
		}
		return s
	},
	maxOf: func(a []float32) float32 {
		m := float32(math.Inf(-1))
		for _, v := range a {
			if v > m {
				m = v
			} else if v != v {
				return v
			}
		}
		return m
	},
	finite: finite,

	affine: func(dst, x, scale, shift []float32, lo, hi float32) {
		for i := range dst {
			dst[i] = min(hi, max(lo, x[i]*scale[i]+shift[i]))
		}
	},
	affineAdd: func(dst, x, scale, shift, add []float32, lo, hi float32) {
		for i := range dst {
			dst[i] = min(hi, max(lo, x[i]*scale[i]+shift[i]+add[i]))
		}
	},
	addTo: func(sum []float64, x []float32) {
		for i, v := range x {
			sum[i] += float64(v)
		}
	},
	moments: func(sum, squares []float64, x []float32) {
		for i := range x {
			v := float64(x[i])
			sum[i] += v
			squares[i] += v * v
		}
	},
	normSums: func(sum, products []float64, g, x, mean []float32) {
		for i := range g {
			sum[i] += float64(g[i])
			products[i] += float64(g[i] * (x[i] - mean[i]))
		}
	},
	normGrad: func(dx, g, x, mean, byG, byX, constant []float32) {
		for i := range dx {
			dx[i] = byG[i]*g[i] + byX[i]*(x[i]-mean[i]) + constant[i]
		}
	},
	tile: func(dst, src []float32, rows, cols, to, from int) {
		if rows < cols { // the longer loop inside
			for i := range rows {
				at := i
				for _, v := range src[i*from:][:cols] {
					dst[at] = v
					at += to
				}
			}
			return
		}
		for j := range cols {
			row := dst[j*to:][:rows]
			for i := range row {
				row[i] = src[i*from+j]
			}
		}
	},
	sgd: func(w, v, g []float32, lr, momentum, decay, byV, byG float32) {
		for i := range w {
			d := g[i] + decay*w[i]
			v[i] = momentum*v[i] + d
			w[i] -= lr * (byV*v[i] + byG*d)
		}
	},
	adam: func(w, m, v, g []float32, decay, keepM, takeM, keepV, takeV, rate, root, eps float32) {
		for i := range w {
			d := g[i] + decay*w[i]
			m[i] = keepM*m[i] + takeM*d
			v[i] = keepV*v[i] + takeV*d*d
			w[i] -= rate * m[i] / (sqrt(v[i])*root + eps)
		}
	},

	exp:     each(math.Exp),
	sigmoid: each(func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }),
	tanh:    each(math.Tanh),
	hardSwish: func(dst, a []float32) {
		for i, x := range a {
			dst[i] = x * min(1, max(0, x*(1./6)+0.5))
		}
	},
	hardSigmoid: func(dst, a []float32, alpha, beta float32) {
		for i, x := range a {
			dst[i] = min(1, max(0, x*alpha+beta))
		}
	},
	sigmoidGrad: func(dx, dy, y []float32) {
		for i := range dx {
			dx[i] = dy[i] * (y[i] - y[i]*y[i])
		}
	},
	tanhGrad: func(dx, dy, y []float32) {
		for i := range dx {
			dx[i] = dy[i] * (1 - y[i]*y[i])
		}
	},
	hardSwishGrad: func(dx, dy, x []float32) {
		for i := range dx {
			slope := x[i]*(1./3) + 0.5
			if x[i] < -3 {
				slope = 0
			} else if x[i] > 3 {
				slope = 1
			}
			dx[i] = dy[i] * slope
		}
	},
}

// inside returns g, or 0 where v is at or beyond an end.
func inside(g, v, lo, hi float32) float32 {
	if v <= lo || v >= hi {
		return 0
	}
	return g
}

func finite(a []float32) int {
	for i, v := range a {
		if v-v != 0 {
			return i
		}
	}
	return len(a)
}

func sqrt(v float32) float32 { return float32(math.Sqrt(float64(v))) }

// each applies a function in double precision.
func each(f func(float64) float64) func(dst, a []float32) {
	return func(dst, a []float32) {
		for i, v := range a {
			dst[i] = float32(f(float64(v)))
		}
	}
}
