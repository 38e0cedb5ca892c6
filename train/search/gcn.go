package search

import (
	"math"
	"math/rand/v2"
)

// width of the hidden layers of a gcn.
const hidden = 8

// A gcn is a graph convolution network (Kipf and Welling, Semi-supervised
// classification with graph convolutional networks, 2017) over operations, with
// weights of their own for an operation, for what it reads, and for what reads it:
//
//	H1 = tanh([X, In X, Out X, 1] W1),  H2 = tanh([H1, In H1, Out H1, 1] W2)
//	logits = [H2, 1] W3, one each to keep, skip and null an operation,
//
// where In and Out take means over neighbours: the adjacency and its
// transpose, each with rows that sum to 1.
type gcn struct {
	near   [2][][]int // nodes that a node reads, and that read it
	inputs []float64  // [X, In X, Out X, 1], in rows
	layers [3]layer
}

// A layer is a matrix.
type layer struct {
	rows, cols int
	w          []float64
}

// newGCN draws the weights of a network for a graph. The last layer starts at 0:
// all actions are as likely. The layers keep parts of the slice of all weights, which
// ends with so many zeros for others to use.
func newGCN(g Graph, rng *rand.Rand, others int) (n *gcn, weights []float64) {
	n = &gcn{}
	for i := range n.near {
		n.near[i] = make([][]int, len(g.Features))
	}
	for _, e := range g.Edges {
		n.near[0][e[1]] = append(n.near[0][e[1]], e[0])
		n.near[1][e[0]] = append(n.near[1][e[0]], e[1])
	}
	features := len(g.Names)
	n.inputs = n.gather(standardized(g.Features), features)
	shapes := [...][2]int{{3*features + 1, hidden}, {3*hidden + 1, hidden}, {hidden + 1, actions}}
	for i, s := range shapes {
		for range s[0] * s[1] {
			weights = append(weights, 0)
			if i < len(shapes)-1 {
				weights[len(weights)-1] = rng.NormFloat64() / math.Sqrt(float64(s[0]))
			}
		}
	}
	weights = append(weights, make([]float64, others)...)
	rest := weights
	for i, s := range shapes {
		size := s[0] * s[1]
		n.layers[i] = layer{rows: s[0], cols: s[1], w: rest[:size:size]}
		rest = rest[size:]
	}
	return n, weights
}

// standardized returns features in rows, of mean 0 and variance 1; those that do
// not vary are 0.
func standardized(features [][]float64) (x []float64) {
	for _, row := range features {
		x = append(x, row...)
	}
	cols := len(x) / max(len(features), 1)
	for c := range cols {
		var mean, square float64
		for _, row := range features {
			mean += row[c] / float64(len(features))
		}
		for _, row := range features {
			square += (row[c] - mean) * (row[c] - mean) / float64(len(features))
		}
		for r, row := range features {
			x[r*cols+c] = 0
			if deviation := math.Sqrt(square); deviation > 1e-9 {
				x[r*cols+c] = (row[c] - mean) / deviation
			}
		}
	}
	return x
}

// gather returns rows [X, In X, Out X, 1] for X of so many columns.
func (n *gcn) gather(x []float64, cols int) []float64 {
	nodes, width := len(n.near[0]), 3*cols+1
	y := make([]float64, nodes*width)
	for v := range nodes {
		row := y[v*width:][:width]
		copy(row, x[v*cols:][:cols])
		row[width-1] = 1
		n.pairs(v, cols, func(u, c, at int, share float64) { row[at] += share * x[u*cols+c] })
	}
	return y
}

// scatter is the transpose of gather.
func (n *gcn) scatter(y []float64, cols int) []float64 {
	nodes, width := len(n.near[0]), 3*cols+1
	x := make([]float64, nodes*cols)
	for v := range nodes {
		row := y[v*width:][:width]
		for c := range cols {
			x[v*cols+c] += row[c]
		}
		n.pairs(v, cols, func(u, c, at int, share float64) { x[u*cols+c] += share * row[at] })
	}
	return x
}

// pairs visits what a node v has of its neighbours u: column c of theirs is at
// in its own row.
func (n *gcn) pairs(v, cols int, visit func(u, c, at int, share float64)) {
	for side, near := range n.near {
		share := 1 / float64(len(near[v]))
		for _, u := range near[v] {
			for c := range cols {
				visit(u, c, (side+1)*cols+c, share)
			}
		}
	}
}

// product returns x W.
func (l layer) product(x []float64) []float64 {
	y := make([]float64, len(x)/l.rows*l.cols)
	for i := range len(x) / l.rows {
		row := y[i*l.cols:][:l.cols]
		for k, v := range x[i*l.rows:][:l.rows] {
			for j, w := range l.w[k*l.cols:][:l.cols] {
				row[j] += v * w
			}
		}
	}
	return y
}

// back adds to grad what W's gradient is for x and that of the product, and
// returns that of x.
func (l layer) back(x, gy, grad []float64) []float64 {
	gx := make([]float64, len(x))
	for i := range len(x) / l.rows {
		row := gy[i*l.cols:][:l.cols]
		for k, v := range x[i*l.rows:][:l.rows] {
			for j, g := range row {
				grad[k*l.cols+j] += v * g
				gx[i*l.rows+k] += l.w[k*l.cols+j] * g
			}
		}
	}
	return gx
}

// A pass is what one pass through the network leaves for the way back.
type pass struct{ h1, x2, h2, x3, logits []float64 }

func (n *gcn) forward() (p pass) {
	p.h1 = tanh(n.layers[0].product(n.inputs))
	p.x2 = n.gather(p.h1, hidden)
	p.h2 = tanh(n.layers[1].product(p.x2))
	for v := range n.near[0] {
		p.x3 = append(append(p.x3, p.h2[v*hidden:][:hidden]...), 1)
	}
	p.logits = n.layers[2].product(p.x3)
	return p
}

// backward returns the gradient by all weights for one by the logits.
func (n *gcn) backward(p pass, logits []float64) []float64 {
	w := n.layers
	first, second := len(w[0].w), len(w[1].w)
	grad := make([]float64, first+second+len(w[2].w))
	g3 := w[2].back(p.x3, logits, grad[first+second:])
	g := make([]float64, len(p.h2))
	for i, h := range p.h2 {
		g[i] = g3[i/hidden*(hidden+1)+i%hidden] * (1 - h*h)
	}
	g = n.scatter(w[1].back(p.x2, g, grad[first:first+second]), hidden)
	for i, h := range p.h1 {
		g[i] *= 1 - h*h
	}
	w[0].back(n.inputs, g, grad[:first])
	return grad
}

func tanh(x []float64) []float64 {
	for i, v := range x {
		x[i] = math.Tanh(v)
	}
	return x
}
