package train

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/natonnx/natonnx/engine/conv"
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/vec"
)

// A product is an operator that multiplies matrices with the engine's kernels.
// Gorgonia's own goes through Gonum, and to fresh memory in every run: for
// matrices of a megabyte, as gradients are, that takes longer than to fill it.
type product struct {
	transA, transB bool
	// fixed: the left matrix is a constant, and has no gradient.
	fixed bool
	// batch is how many rows of the right matrix, and of the result, stand side by
	// side as one: so that the left matrix sums over nodes or edges, cell by cell.
	batch int

	team   *cpu.Team
	out    *tensor.Dense
	packed *conv.Weights // the right matrix, where there are many rows
}

// dims returns the product's: [m][n] = [m][k] [k][n].
func (p *product) dims(a, b tensor.Shape) (m, n, k int, err error) {
	m, k = a[0], a[1]
	if p.transA {
		m, k = k, m
	}
	have, n := b[0], b[1]
	if p.transB {
		have, n = n, have
	}
	if have != k*p.batch {
		return 0, 0, 0, fmt.Errorf("%v of %v and %v: %d rows, want %d", p, a, b, have, k*p.batch)
	}
	return m, n * p.batch, k, nil
}

func (p *product) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	m, n, k, err := p.dims(inputs[0].Shape(), inputs[1].Shape())
	if err != nil {
		return nil, err
	}
	if p.out == nil {
		p.out = tensor.New(tensor.WithShape(m*p.batch, n/p.batch), tensor.WithBacking(make([]float32, m*n)))
	}
	p.multiply(p.out.Data().([]float32), inputs[0].Data().([]float32), inputs[1].Data().([]float32), m, n, k)
	return p.out, nil
}

// fewRows is up to how many rows a product goes row by row: packing a matrix
// costs as much as multiplying some rows by it.
const fewRows = 16

func (p *product) multiply(c, a, b []float32, m, n, k int) {
	switch few := min(m, k) <= fewRows; {
	case p.transA && few:
		mixColumns(c, a, b, m, n, k)
	case p.transA:
		conv.MultiplyATB(p.team, k, m, n, c, a, b)
	case p.transB && few:
		dots(c, a, b, m, n, k)
	case few:
		mixRows(c, a, b, m, n, k)
	case p.packed == nil:
		p.packed = conv.PackMatrix(k, n, b, p.transB)
		fallthrough
	default:
		conv.Multiply(p.team, m, c, a, p.packed.Repack(b), conv.Plain)
	}
}

// The loops below go by four rows of the large matrix, which are read once.

// mixRows computes c [m][n] = a [m][k] b [k][n].
func mixRows(c, a, b []float32, m, n, k int) {
	for p := 0; p < k; p += 4 {
		four := rowsFrom(p, k, n, b)
		for i := range m {
			var by [4]float32
			copy(by[:], a[i*k+p:(i+1)*k])
			mix(c[i*n:][:n], by, four, p == 0)
		}
	}
}

// mixColumns computes c [m][n] = aᵀ b of a [k][m] and b [k][n].
func mixColumns(c, a, b []float32, m, n, k int) {
	for p := 0; p < k; p += 4 {
		four := rowsFrom(p, k, n, b)
		for i := range m {
			var by [4]float32
			for j := range min(4, k-p) {
				by[j] = a[(p+j)*m+i]
			}
			mix(c[i*n:][:n], by, four, p == 0)
		}
	}
}

// mix sets c to a sum of rows, or adds it.
func mix(c []float32, by [4]float32, four [4][]float32, first bool) {
	switch {
	case first:
		vec.Mix4(c, by, four)
	case by != [4]float32{}: // often, in constants
		vec.AddMix4(c, by, four)
	}
}

// dots computes c [m][n] = a bᵀ of a [m][k] and b [n][k].
func dots(c, a, b []float32, m, n, k int) {
	for i := 0; i < m; i += 4 {
		four := rowsFrom(i, m, k, a)
		for j := range n {
			of := vec.Dot4(b[j*k:][:k], four)
			for r := range min(4, m-i) {
				c[(i+r)*n+j] = of[r]
			}
		}
	}
}

// rowsFrom returns rows p to p+3 of a matrix [rows][cols], the last in place of
// those beyond it.
func rowsFrom(p, rows, cols int, x []float32) (four [4][]float32) {
	for j := range four {
		four[j] = x[min(p+j, rows-1)*cols:][:cols]
	}
	return four
}

// SymDiff implements [gorgonia.SDOp], for products of which nothing is transposed.
func (p *product) SymDiff(inputs gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if p.transA || p.transB {
		return nil, fmt.Errorf("%v has no derivative", p)
	}
	b, err := gorgonia.ApplyOp(&product{transA: true, batch: p.batch, team: p.team}, inputs[0], grad)
	if err != nil || p.fixed {
		return gorgonia.Nodes{nil, b}, err
	}
	a, err := gorgonia.ApplyOp(&product{transB: true, batch: 1, team: p.team}, grad, inputs[1])
	return gorgonia.Nodes{a, b}, err
}

func (p *product) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	m, n, _, err := p.dims(in[0].(tensor.Shape), in[1].(tensor.Shape))
	return tensor.Shape{m * p.batch, n / p.batch}, err
}

// What else Gorgonia asks of an operator.

func (*product) Arity() int { return 2 }

func (*product) Type() hm.Type {
	t := hm.TypeVariable('a')
	return hm.NewFnType(t, t, t)
}

func (p *product) DiffWRT(int) []bool { return []bool{!p.fixed, true} }

func (*product) ReturnsPtr() bool { return false }

func (*product) CallsExtern() bool { return false }

func (*product) OverwritesInput() int { return -1 }

func (p *product) String() string {
	return fmt.Sprintf("product(%t, %t, %t, %d)", p.transA, p.transB, p.fixed, p.batch)
}

func (p *product) WriteHash(h hash.Hash) { h.Write([]byte(p.String())) }

func (p *product) Hashcode() uint32 { return hashOf(p) }

func hashOf(op gorgonia.Op) uint32 {
	h := fnv.New32a()
	op.WriteHash(h)
	return h.Sum32()
}
