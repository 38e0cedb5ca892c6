package vec

import "math"

// Exp sets dst to e to the power of a, to about 1e-7 relative.
func Exp(dst, a []float32) { unary(use.exp, dst, a) }

// Sigmoid sets dst to 1/(1+exp(-a)), to about 2e-7 relative. What is smaller
// than the normal numbers may be 0.
func Sigmoid(dst, a []float32) { unary(use.sigmoid, dst, a) }

// Tanh sets dst to the hyperbolic tangent of a, to about 2e-7 relative.
func Tanh(dst, a []float32) { unary(use.tanh, dst, a) }

// HardSwish sets dst to a * clamp(a/6 + 1/2, 0, 1).
func HardSwish(dst, a []float32) { unary(use.hardSwish, dst, a) }

// HardSigmoid sets dst to clamp(alpha*a + beta, 0, 1).
func HardSigmoid(dst, a []float32, alpha, beta float32) {
	n := min(len(dst), len(a))
	use.hardSigmoid(dst[:n], a[:n], alpha, beta)
}

// Erf sets dst to the error function of a.
func Erf(dst, a []float32) { unary(each(math.Erf), dst, a) }

// Log sets dst to the natural logarithm of a.
func Log(dst, a []float32) { unary(each(math.Log), dst, a) }

// Sqrt sets dst to the square root of a.
func Sqrt(dst, a []float32) { unary(each(math.Sqrt), dst, a) }

func unary(f func(dst, a []float32), dst, a []float32) {
	n := min(len(dst), len(a))
	f(dst[:n], a[:n])
}

// SigmoidGrad sets dx to dy times the slope of Sigmoid where its result is y.
func SigmoidGrad(dx, dy, y []float32) { binary(use.sigmoidGrad, dx, dy, y) }

// TanhGrad sets dx to dy times the slope of Tanh where its result is y.
func TanhGrad(dx, dy, y []float32) { binary(use.tanhGrad, dx, dy, y) }

// HardSwishGrad sets dx to dy times the slope of HardSwish at x, which at -3 and
// 3 is that of the curve between them.
func HardSwishGrad(dx, dy, x []float32) { binary(use.hardSwishGrad, dx, dy, x) }

// HardSigmoidGrad sets dx to dy times the slope of HardSigmoid where its result
// is y: alpha between 0 and 1, and 0 at either.
func HardSigmoidGrad(dx, dy, y []float32, alpha float32) {
	n := min(len(dx), len(dy), len(y))
	ClampGrad(dx[:n], dy, y, 0, 1)
	Scale(dx[:n], dx, alpha)
}

// Softmax sets each row of dst, of c elements, to the softmax of that row of x.
func Softmax(dst, x []float32, c int) {
	eachRow(dst, x, c, func(dst, x []float32) {
		use.offset(dst, x, -use.maxOf(x))
		use.exp(dst, dst)
		use.scale(dst, dst, float32(1/use.sum(dst)))
	})
}

// LogSoftmax sets each row of dst, of c elements, to the logarithm of the
// softmax of that row of x.
func LogSoftmax(dst, x []float32, c int) {
	power := make([]float32, max(0, min(c, len(x))))
	eachRow(dst, x, c, func(dst, x []float32) {
		use.offset(dst, x, -use.maxOf(x))
		use.exp(power, dst)
		use.offset(dst, dst, -float32(math.Log(use.sum(power))))
	})
}

func eachRow(dst, x []float32, c int, f func(dst, x []float32)) {
	if c < 1 {
		return
	}
	for n := min(len(dst), len(x)); n >= c; n -= c {
		f(dst[:c], x[:c])
		dst, x = dst[c:], x[c:]
	}
}
