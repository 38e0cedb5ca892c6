package vec

import "github.com/natonnx/natonnx/engine/cpu"

// kernels are the loops that exist once for each level. The float32 slices of
// one call are all of the same length, and so are the sums of its elements.
type kernels struct {
	add, sub, mul, div, max, min func(dst, a, b []float32)
	scale, offset, axpy          func(dst, a []float32, s float32)
	mix4, addMix4                func(dst, a, b, c, d []float32, sa, sb, sc, sd float32)
	fill                         func(dst []float32, s float32)
	clamp                        func(dst, a []float32, lo, hi float32)
	clampGrad, addClampGrad      func(dx, dy, v []float32, lo, hi float32)

	sum    func(a []float32) float64
	dot    func(a, b []float32) float64
	dot4   func(a, b, c, d, e []float32) (ab, ac, ad, ae float32)
	maxOf  func(a []float32) float32
	finite func(a []float32) int // how many elements stand before the first NaN or infinity

	affine    func(dst, x, scale, shift []float32, lo, hi float32)
	affineAdd func(dst, x, scale, shift, add []float32, lo, hi float32)
	addTo     func(sum []float64, x []float32)
	moments   func(sum, squares []float64, x []float32)           // adds x and x*x
	normSums  func(sum, products []float64, g, x, mean []float32) // adds g and g*(x-mean)
	normGrad  func(dx, g, x, mean, byG, byX, constant []float32)  // byG*g + byX*(x-mean) + constant
	tile      func(dst, src []float32, rows, cols, to, from int)  // transposes; to and from are the strides
	sgd       func(w, v, g []float32, lr, momentum, decay, byV, byG float32)
	// d = g + decay*w; m = keepM*m + takeM*d; v = keepV*v + takeV*d*d; w -= rate*m / (root*sqrt(v) + eps)
	adam func(w, m, v, g []float32, decay, keepM, takeM, keepV, takeV, rate, root, eps float32)

	exp, sigmoid, tanh, hardSwish        func(dst, a []float32)
	hardSigmoid                          func(dst, a []float32, alpha, beta float32)
	sigmoidGrad, tanhGrad, hardSwishGrad func(dx, dy, v []float32)
}

var use = at(cpu.Used())
