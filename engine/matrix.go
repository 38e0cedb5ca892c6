package engine

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/engine/conv"
	"github.com/natonnx/natonnx/engine/vec"
)

// A gemm computes Gemm, alpha*A'*B' + beta*C, and in inference the Relu or Clip
// that follows it. Inputs: A, B, C.
type gemm struct {
	alpha, beta    float32
	transA, transB bool
	clamp          clamp
	fuses          bool
	packed         *conv.Weights // constant B
	k, n           int           // of it
}

func newGemm(n *node) (step, error) {
	if err := n.require(2); err != nil {
		return nil, err
	}
	g := &gemm{
		alpha: n.Float("alpha", 1), beta: n.Float("beta", 1),
		transA: n.Int("transA", 0) != 0, transB: n.Int("transB", 0) != 0,
		clamp: noClamp, fuses: !n.training(),
	}
	b := toSingle(n.constant(1))
	if b == nil || b.Float32s() == nil || len(b.Dims) != 2 {
		return g, nil
	}
	g.k, g.n = g.oriented(b.Dims, g.transB)
	g.packed = g.pack(nil, b)
	return g, nil
}

func (*gemm) inFloat32() {}

func (g *gemm) oriented(dims []int, transposed bool) (rows, columns int) {
	if transposed {
		return dims[1], dims[0]
	}
	return dims[0], dims[1]
}

// pack packs alpha*B', into p if that is there.
func (g *gemm) pack(p *conv.Weights, b *Tensor) *conv.Weights {
	k, n := g.oriented(b.Dims, g.transB)
	values := b.Float32s()
	if g.alpha != 1 {
		values = slices.Clone(values)
		vec.Scale(values, values, g.alpha)
	}
	if p == nil {
		return conv.PackMatrix(k, n, values, g.transB)
	}
	return p.Repack(values)
}

func (g *gemm) fuse(next *node, at int) (bool, string) {
	lo, hi, ok := clampOf(next)
	if !ok || !g.fuses || g.clamp != noClamp || at != 0 {
		return false, ""
	}
	g.clamp = clamp{lo, hi}
	return true, ""
}

func (g *gemm) finish() (indices, error) {
	if g.packed != nil {
		return only(1), nil
	}
	return 0, nil
}

func (g *gemm) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	a, err := matrix("A", in[0])
	if err != nil {
		return nil, err
	}
	w, k, n := g.packed, g.k, g.n
	if w == nil {
		b, err := matrix("B", in[1])
		if err != nil {
			return nil, err
		}
		k, n = g.oriented(b.Dims, g.transB)
		w = g.pack(nil, b)
	}
	m, inner := g.oriented(a.Dims, g.transA)
	if inner != k {
		return nil, fmt.Errorf("matrix A is %s and B has %d rows", spell(a.Dims), k)
	}
	values, err := x.oriented(a, g.transA)
	if err != nil {
		return nil, err
	}
	out, err := x.lend([]int{m, n}, false)
	if err != nil {
		return nil, err
	}
	e := conv.Epilogue{Min: g.clamp.lo, Max: g.clamp.hi}
	if e.Bias, e.Add, err = g.addition(x, optional(in, 2), m, n); err != nil {
		return nil, err
	}
	conv.Multiply(x.team, m, out.data.([]float32), values, w, e)
	return []*Tensor{out}, nil
}

func matrix(name string, t *Tensor) (*Tensor, error) {
	if _, ok := t.data.([]float32); !ok || len(t.Dims) != 2 {
		return nil, fmt.Errorf("matrix %s is %v, want float32 of two dimensions", name, t)
	}
	return t, nil
}

// oriented returns the elements of a matrix, transposed if asked for.
func (x *exec) oriented(t *Tensor, transposed bool) ([]float32, error) {
	if !transposed {
		return t.Float32s(), nil
	}
	to, err := x.temporary([]int{t.Dims[1], t.Dims[0]}, false)
	if err != nil {
		return nil, err
	}
	vec.ToChannelsLast(x.team, to.data.([]float32), t.Float32s(), 1, t.Dims[0], t.Dims[1])
	return to.data.([]float32), nil
}

// addition brings beta*C into the form of an epilogue: a bias by column, or
// elements that are added.
func (g *gemm) addition(x *exec, c *Tensor, m, n int) (bias, add []float32, err error) {
	if c == nil || g.beta == 0 {
		return nil, nil, nil
	}
	values := c.Float32s()
	rows, columns, ok := lastTwo(c.Dims)
	if values == nil || !ok || rows != 1 && rows != m || columns != 1 && columns != n {
		return nil, nil, fmt.Errorf("matrix C is %v, want float32 that broadcasts to %dx%d", c, m, n)
	}
	if rows == 1 && columns == n && g.beta == 1 {
		return values, nil, nil
	}
	t, err := x.temporary([]int{m, n}, false)
	if err != nil {
		return nil, nil, err
	}
	add = t.data.([]float32)
	for i := range m {
		for j := range n {
			add[i*n+j] = g.beta * values[i%rows*columns+j%columns]
		}
	}
	return nil, add, nil
}

// lastTwo reads dims of at most two as rows and columns.
func lastTwo(dims []int) (rows, columns int, ok bool) {
	switch len(dims) {
	case 0:
		return 1, 1, true
	case 1:
		return 1, dims[0], true
	case 2:
		return dims[0], dims[1], true
	}
	return 0, 0, false
}

func (*gemm) reads() (in, out indices) { return only(0, 1), 0 }

func (g *gemm) grad(x *exec, in, _, dout []*Tensor, want []bool) ([]*Tensor, error) {
	dy := dout[0].Float32s()
	m, n := dout[0].Dims[0], dout[0].Dims[1]
	_, k := g.oriented(in[0].Dims, g.transA)
	din := make([]*Tensor, len(in))
	var err error
	if want[0] {
		if din[0], err = g.gradA(x, in[1], dy, m, k, n); err != nil {
			return nil, err
		}
	}
	if want[1] {
		if din[1], err = g.gradB(x, in[0], dy, m, k, n); err != nil {
			return nil, err
		}
	}
	if len(in) > 2 && want[2] {
		din[2], err = g.gradC(x, in[2], dy, m, n)
	}
	return din, err
}

// gradA is alpha * dY B'ᵀ, transposed as A is.
func (g *gemm) gradA(x *exec, b *Tensor, dy []float32, m, k, n int) (*Tensor, error) {
	w := conv.PackMatrix(n, k, b.Float32s(), !g.transB)
	return g.placed(x, g.transA, m, k, func(to []float32) {
		conv.Multiply(x.team, m, to, dy, w, conv.Plain)
	})
}

// gradB is alpha * A'ᵀ dY, transposed as B is.
func (g *gemm) gradB(x *exec, a *Tensor, dy []float32, m, k, n int) (*Tensor, error) {
	values, err := x.oriented(a, g.transA)
	if err != nil {
		return nil, err
	}
	return g.placed(x, g.transB, k, n, func(to []float32) {
		conv.MultiplyATB(x.team, m, k, n, to, values, dy)
	})
}

// placed computes a matrix of rows x columns, scales it by alpha and transposes
// it if asked for.
func (g *gemm) placed(x *exec, transposed bool, rows, columns int, compute func(to []float32)) (*Tensor, error) {
	out, err := x.lend([]int{rows, columns}, false)
	if err != nil {
		return nil, err
	}
	to := out.data.([]float32)
	compute(to)
	if g.alpha != 1 {
		vec.Scale(to, to, g.alpha)
	}
	if !transposed {
		return out, nil
	}
	turned, err := x.lend([]int{columns, rows}, false)
	if err != nil {
		return nil, err
	}
	vec.ToChannelsLast(x.team, turned.data.([]float32), to, 1, rows, columns)
	x.release(out)
	return turned, nil
}

// gradC sums beta * dY to the shape of C.
func (g *gemm) gradC(x *exec, c *Tensor, dy []float32, m, n int) (*Tensor, error) {
	out, err := x.lend(c.Dims, false)
	if err != nil {
		return nil, err
	}
	to := out.data.([]float32)
	rows, columns, _ := lastTwo(c.Dims)
	if rows == 1 && columns == n {
		vec.SumRows(x.team, to, dy, n)
	} else {
		clear(to)
		for i := range m {
			for j := range n {
				to[i%rows*columns+j%columns] += dy[i*n+j]
			}
		}
	}
	if g.beta != 1 {
		vec.Scale(to, to, g.beta)
	}
	return out, nil
}
