// Package vec computes on plain slices of float32: elementwise arithmetic,
// reductions, the rows of channels-last tensors, normalization and its
// gradients, changes of layout, optimizers.
//
// The inner loops exist in assembly for AVX2 and AVX-512, chosen once by
// [cpu.Used], and in plain Go for every other machine. Levels agree but for
// rounding. What takes a [cpu.Team] works on fixed pieces, so that results are
// bit for bit the same on any number of workers.
//
// Unless said otherwise a destination may be one of the inputs (the same slice,
// not one that overlaps it partly); where slices differ in length the shortest
// rules; slices by channel hold at least as many elements as there are
// channels; and a row that is not complete is left alone.
package vec

import "github.com/natonnx/natonnx/engine/cpu"

// piece is how many elements a task of a Team works on: few enough for a
// second-level cache, enough to hide what it costs to start a task.
const piece = 32 << 10

// Parallel calls f for the pieces of [0, n), from several workers at once. A
// short range is one call, on the caller's goroutine.
func Parallel(t *cpu.Team, n int, f func(from, to int)) {
	t.Ranges(n, piece, func(_, from, to int) { f(from, to) })
}

// Add sets dst to a + b.
func Add(dst, a, b []float32) { binary(use.add, dst, a, b) }

// Sub sets dst to a - b.
func Sub(dst, a, b []float32) { binary(use.sub, dst, a, b) }

// Mul sets dst to a * b, element by element.
func Mul(dst, a, b []float32) { binary(use.mul, dst, a, b) }

// Div sets dst to a / b, element by element.
func Div(dst, a, b []float32) { binary(use.div, dst, a, b) }

// Max sets dst to the larger of a and b; NaN if either is.
func Max(dst, a, b []float32) { binary(use.max, dst, a, b) }

// Min sets dst to the smaller of a and b; NaN if either is.
func Min(dst, a, b []float32) { binary(use.min, dst, a, b) }

func binary(f func(dst, a, b []float32), dst, a, b []float32) {
	n := min(len(dst), len(a), len(b))
	f(dst[:n], a[:n], b[:n])
}

// Scale sets dst to a * s.
func Scale(dst, a []float32, s float32) {
	n := min(len(dst), len(a))
	use.scale(dst[:n], a[:n], s)
}

// Offset sets dst to a + s.
func Offset(dst, a []float32, s float32) {
	n := min(len(dst), len(a))
	use.offset(dst[:n], a[:n], s)
}

// Axpy adds a * s to dst. Whether the product is rounded first depends on the
// level.
func Axpy(dst []float32, s float32, a []float32) {
	n := min(len(dst), len(a))
	use.axpy(dst[:n], a[:n], s)
}

// Mix4 sets dst to the sum of four slices, each times its number.
func Mix4(dst []float32, s [4]float32, a [4][]float32) {
	n := min(len(dst), len(a[0]), len(a[1]), len(a[2]), len(a[3]))
	use.mix4(dst[:n], a[0][:n], a[1][:n], a[2][:n], a[3][:n], s[0], s[1], s[2], s[3])
}

// AddMix4 adds to dst what [Mix4] sets it to.
func AddMix4(dst []float32, s [4]float32, a [4][]float32) {
	n := min(len(dst), len(a[0]), len(a[1]), len(a[2]), len(a[3]))
	use.addMix4(dst[:n], a[0][:n], a[1][:n], a[2][:n], a[3][:n], s[0], s[1], s[2], s[3])
}

// Fill sets every element of dst to s.
func Fill(dst []float32, s float32) { use.fill(dst, s) }

// Clamp sets dst to a, raised to lo and then lowered to hi, either of which may
// be infinite. NaN stays NaN. Relu is Clamp between 0 and +Inf.
func Clamp(dst, a []float32, lo, hi float32) {
	n := min(len(dst), len(a))
	use.clamp(dst[:n], a[:n], lo, hi)
}

// ClampGrad sets dx to 0 where v <= lo or v >= hi, else to dy (where v is NaN,
// too). v is the input of a clamp or its output: both give the same, because
// the gradient at either end is 0, as PyTorch has it for relu and hardtanh.
func ClampGrad(dx, dy, v []float32, lo, hi float32) {
	n := min(len(dx), len(dy), len(v))
	use.clampGrad(dx[:n], dy[:n], v[:n], lo, hi)
}

// AddClampGrad adds to dx what [ClampGrad] would set it to.
func AddClampGrad(dx, dy, v []float32, lo, hi float32) {
	n := min(len(dx), len(dy), len(v))
	use.addClampGrad(dx[:n], dy[:n], v[:n], lo, hi)
}

// Sum returns the sum of all elements, added up in double precision.
func Sum(a []float32) float64 { return use.sum(a) }

// Dot returns the sum of a * b, in double precision throughout.
func Dot(a, b []float32) float64 {
	n := min(len(a), len(b))
	return use.dot(a[:n], b[:n])
}

// Dot4 returns the products of a with four slices, in single precision.
func Dot4(a []float32, b [4][]float32) (out [4]float32) {
	n := min(len(a), len(b[0]), len(b[1]), len(b[2]), len(b[3]))
	out[0], out[1], out[2], out[3] = use.dot4(a[:n], b[0][:n], b[1][:n], b[2][:n], b[3][:n])
	return out
}

// MaxOf returns the largest element: NaN if there is one, -Inf if a is empty.
func MaxOf(a []float32) float32 { return use.maxOf(a) }

// FirstNonFinite returns the index of the first NaN or infinity, or -1.
func FirstNonFinite(a []float32) int {
	n := use.finite(a)
	if n == len(a) {
		return -1
	}
	return n
}
