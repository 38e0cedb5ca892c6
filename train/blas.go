package train

import (
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/tensor"

	"github.com/natonnx/natonnx/engine/conv"
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/vec"
)

// kernels multiplies float32 matrices for Gorgonia with the engine's kernels,
// on one core; all else is Gonum's.
type kernels struct{ gonum.Implementation }

// useKernels gives them to Gorgonia, unless the program has chosen others.
var useKernels = sync.OnceFunc(func() {
	if tensor.WhichBLAS() == (gonum.Implementation{}) {
		tensor.Use(kernels{})
	}
})

// teams of one: trainings run side by side, and a team does one product at a time.
var teams = sync.Pool{New: func() any { return cpu.NewTeam(1) }}

// fewRows is up to how many rows a product goes row by row: packing a matrix
// costs as much as multiplying some rows by it.
const fewRows = 16

// Sgemm implements [blas.Float32]: C = A B, either transposed, where that is
// all that is asked for and the matrices are contiguous.
func (k kernels) Sgemm(tA, tB blas.Transpose, m, n, inner int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	transA, transB := tA != blas.NoTrans, tB != blas.NoTrans
	widthA, widthB := inner, n
	if transA {
		widthA = m
	}
	if transB {
		widthB = inner
	}
	if alpha != 1 || beta != 0 || transA && transB || lda != widthA || ldb != widthB || ldc != n {
		k.Implementation.Sgemm(tA, tB, m, n, inner, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	team := teams.Get().(*cpu.Team)
	defer teams.Put(team)
	switch few := min(m, inner) <= fewRows; {
	case transA && few:
		outerProducts(c[:m*n], a, b, m, n, inner)
	case transA:
		conv.MultiplyATB(team, inner, m, n, c, a, b)
	case few && transB:
		dots(c, a, b, m, n, inner)
	case few:
		rows(c[:m*n], a, b, m, n, inner)
	default:
		conv.Multiply(team, m, c, a, conv.PackMatrix(inner, n, b, transB), conv.Plain)
	}
}

// The loops below have the rows of the large matrix outside, so that each is
// read from memory once.

// rows computes c [m][n] = a [m][k] b [k][n], passing over zeros of a.
func rows(c, a, b []float32, m, n, k int) {
	clear(c)
	for p := range k {
		for i := range m {
			if x := a[i*k+p]; x != 0 {
				vec.Axpy(c[i*n:][:n], x, b[p*n:][:n])
			}
		}
	}
}

// outerProducts computes c [m][n] = aᵀ b of a [k][m] and b [k][n].
func outerProducts(c, a, b []float32, m, n, k int) {
	clear(c)
	for i := range m {
		for p := range k {
			if x := a[p*m+i]; x != 0 {
				vec.Axpy(c[i*n:][:n], x, b[p*n:][:n])
			}
		}
	}
}

// dots computes c [m][n] = a bᵀ of a [m][k] and b [n][k].
func dots(c, a, b []float32, m, n, k int) {
	for j := range n {
		for i := range m {
			c[i*n+j] = float32(vec.Dot(a[i*k:][:k], b[j*k:][:k]))
		}
	}
}
