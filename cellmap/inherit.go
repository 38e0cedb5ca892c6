package cellmap

import (
	"encoding/binary"
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
)

// What a smaller or cheaper convolution inherits.
//
// An output of a convolution is y = sum over channels of w.x, where x are the
// pixels under the taps of one channel. The heir sees the pixels z under its own
// taps, and takes the weights v with the least mean square of w.x - v.z. With
// R(a, b) the mean product of the pixels under two sets of taps that is
//
//	v = w P, P = R(old, new) R(new, new)^-1        for a smaller kernel,
//	v = p d                                         for depthwise d, then pointwise p,
//
// where p (a column, one row per output) and d (a row, one column per tap) are
// the rank-1 matrix that is nearest to W P in the metric of R(new, new), W being
// all outputs' taps in one channel: with R(new, new) = L L', the first singular
// triple s, u, q of W P L gives p = sqrt(s) u and d = sqrt(s) q' L^-1.
//
// No data are at hand, so pixels are modelled, as a Markov process: of mean square
// 1, uncorrelated between channels, and so far apart as dy and dx with the mean
// product correlation^(|dy| + |dx|). Taps that the heir has too keep their weights
// to the last bit where the others are zero.

// correlation is that of neighbouring pixels. With 0.6, moves of single
// convolutions of a trained ResNet-20 and ResNet-56 left 40 % and 6 % of the KL
// divergence from the original network that they leave with 0, which is to crop.
const correlation = 0.6

// alikeness is the mean product of two pixels of a channel.
func alikeness(a, b tap) float64 {
	const far = 64 // beyond which the product is nothing
	r := 1.0
	for range min(abs(a.y-b.y)+abs(a.x-b.x), far) {
		r *= correlation
	}
	return r
}

func abs(n int64) int64 { return max(n, -n) }

// A tap is where a weight of a kernel lies, relative to the pixel that the output
// stands for.
type tap struct{ y, x int64 }

// A matrix is dense, in rows. Products are rounded one by one, so that every
// processor computes the same bits.
type matrix struct {
	rows, cols int
	v          []float64
}

func newMatrix(rows, cols int) matrix { return matrix{rows, cols, make([]float64, rows*cols)} }

func (a matrix) row(i int) []float64 { return a.v[i*a.cols:][:a.cols] }

// times returns a b.
func (a matrix) times(b matrix) matrix {
	c := newMatrix(a.rows, b.cols)
	for i := range a.rows {
		to := c.row(i)
		for k, x := range a.row(i) {
			for j, y := range b.row(k) {
				to[j] += float64(x * y)
			}
		}
	}
	return c
}

func (a matrix) transposed() matrix {
	t := newMatrix(a.cols, a.rows)
	for i := range a.rows {
		for j, x := range a.row(i) {
			t.row(j)[i] = x
		}
	}
	return t
}

// gram returns a' a.
func (a matrix) gram() matrix {
	g := newMatrix(a.cols, a.cols)
	for i := range a.rows {
		row := a.row(i)
		for k, x := range row {
			to := g.row(k)
			for j, y := range row {
				to[j] += float64(x * y)
			}
		}
	}
	return g
}

func (a matrix) trace() (sum float64) {
	for i := range a.rows {
		sum += a.v[i*a.cols+i]
	}
	return sum
}

// cholesky returns the lower triangle L of a = L L', for a that is symmetric and
// positive definite.
func (a matrix) cholesky() matrix {
	l := newMatrix(a.rows, a.rows)
	for i := range a.rows {
		for j := range i + 1 {
			s := a.row(i)[j]
			for k := range j {
				s -= float64(l.row(i)[k] * l.row(j)[k])
			}
			if i == j {
				l.row(i)[i] = math.Sqrt(s)
			} else {
				l.row(i)[j] = s / l.row(j)[j]
			}
		}
	}
	return l
}

// over returns the row x with x l = row, for a lower triangle l.
func (l matrix) over(row []float64) []float64 {
	x := make([]float64, len(row))
	for j := len(row) - 1; j >= 0; j-- {
		s := row[j]
		for i := j + 1; i < len(row); i++ {
			s -= float64(x[i] * l.row(i)[j])
		}
		x[j] = s / l.row(j)[j]
	}
	return x
}

// overTransposed returns the row x with x l' = row, for a lower triangle l.
func (l matrix) overTransposed(row []float64) []float64 {
	x := make([]float64, len(row))
	for j := range row {
		s := row[j]
		for i := range j {
			s -= float64(x[i] * l.row(j)[i])
		}
		x[j] = s / l.row(j)[j]
	}
	return x
}

// first returns the first eigenvector of a that is symmetric and not negative,
// of length 1: what is left of a once it has been squared often enough.
func (a matrix) first() []float64 {
	g := matrix{a.rows, a.cols, append([]float64(nil), a.v...)}
	for range 20 { // to the power 2^20
		scale := 1 / g.trace()
		for i := range g.v {
			g.v[i] *= scale
		}
		g = g.times(g)
	}
	best := 0
	for i := range g.rows { // the column of the largest diagonal element is the most exact
		if g.row(i)[i] > g.row(best)[best] {
			best = i
		}
	}
	v := append([]float64(nil), g.row(best)...)
	var square float64
	for _, x := range v {
		square += float64(x * x)
	}
	scale := 1 / math.Sqrt(square)
	for i := range v {
		v[i] *= scale
	}
	return v
}

// A legacy says what taps inherit from others.
type legacy struct {
	project  matrix // P: old taps x new taps
	old      matrix // R(old, old)
	triangle matrix // L
	whiten   matrix // P L
}

func newLegacy(old, heirs []tap) legacy {
	r := func(a, b []tap) matrix {
		m := newMatrix(len(a), len(b))
		for i := range a {
			for j := range b {
				m.row(i)[j] = alikeness(a[i], b[j])
			}
		}
		return m
	}
	g := legacy{project: r(old, heirs), old: r(old, old), triangle: r(heirs, heirs).cholesky()}
	for i, t := range old {
		row := g.project.row(i)
		copy(row, g.triangle.over(g.triangle.overTransposed(row)))
		for j, h := range heirs {
			if t == h { // which solving would give with rounding errors
				clear(row)
				row[j] = 1
			}
		}
	}
	g.whiten = g.project.times(g.triangle)
	return g
}

// An energy is a mean square, over what outputs have of it, as modelled.
type energy struct{ kept, all float64 }

func (e energy) share() float64 {
	if e.all == 0 {
		return 1
	}
	return min(max(e.kept/e.all, 0), 1)
}

// kernel returns the weights of the new taps, one row for each row of w, and
// adds up how much of the output they keep.
func (g legacy) kernel(w matrix, e *energy) matrix {
	square := w.gram()
	e.all += within(square, g.old)
	e.kept += g.whitened(square).trace()
	return w.times(g.project)
}

// whitened returns (w P L)' (w P L), given w' w.
func (g legacy) whitened(square matrix) matrix {
	return g.whiten.transposed().times(square).times(g.whiten)
}

// within returns the trace of a r, for symmetric matrices.
func within(a, r matrix) (sum float64) {
	for i, x := range a.v {
		sum += float64(x * r.v[i])
	}
	return sum
}

// separable returns the depthwise taps of one channel and the pointwise weight
// of each output, which is a row of w.
func (g legacy) separable(w matrix, e *energy) (depthwise, pointwise []float64) {
	square := w.gram()
	e.all += within(square, g.old)
	square = g.whitened(square)
	if square.trace() <= 0 {
		return make([]float64, g.triangle.rows), make([]float64, w.rows)
	}
	q := square.first()
	pointwise = w.times(g.whiten.times(matrix{len(q), 1, q})).v // s u
	var length float64
	for _, x := range pointwise {
		length += float64(x * x)
	}
	e.kept += length
	depthwise = g.triangle.over(q)
	if scale := math.Sqrt(math.Sqrt(length)); scale > 0 { // sqrt(s)
		for i := range depthwise {
			depthwise[i] *= scale
		}
		for o := range pointwise {
			pointwise[o] /= scale
		}
	}
	return depthwise, pointwise
}

// tensorOf makes an initializer of numbers in one of [heritable] types.
func tensorOf(name string, elem onnxgraph.DataType, dims []int64, values []float64) *onnxgraph.Tensor {
	var raw []byte
	for _, v := range values {
		switch elem {
		case onnxgraph.Float16:
			raw = binary.LittleEndian.AppendUint16(raw, half(v))
		case onnxgraph.Float64:
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		default:
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
		}
	}
	return onnxgraph.NewTensor(name, elem, dims, raw)
}

// half rounds a finite number to float16; what is too large becomes the largest.
func half(v float64) uint16 {
	var sign uint16
	if math.Signbit(v) {
		sign = 1 << 15
	}
	v = math.Abs(v)
	switch {
	case v >= 65504:
		return sign | 0x7bff
	case v < 1.0/(1<<14):
		return sign | uint16(math.RoundToEven(v*(1<<24)))
	}
	fraction, exponent := math.Frexp(v) // from 1/2 to 1
	return sign | uint16((exponent+13)<<10+int(math.RoundToEven(fraction*2048)))
}
