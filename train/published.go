package train

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/gorgonia"

	"github.com/natonnx/natonnx/transformer"
)

// Published is the controller of the authors' code (spec section 2), for
// comparison: a node's features are the embeddings of its two operations side by
// side (nodes 0 and 1 have their own), then
//
//	X  = linear(features)
//	H1 = ReLU(A (X W0) + b0), H2 = A (H1 W1) + b1
//	logits of the two edges of a node = H2[node] Wfc + bfc, in their order
//
// where A counts the edges from node to node, without self-loops: no node sees
// its own operations. In the authors' code embed is 100, linear 1024, hidden 100.
func Published(embed, linear, hidden int) Architecture { return published{embed, linear, hidden} }

type published struct{ embed, linear, hidden int }

func (p published) weights(rng *rand.Rand, rules transformer.Rules) (out []weight) {
	add := func(name string, rows, cols int, draw func() float64) {
		w := weight{name, rows, cols, make([]float32, rows*cols)}
		for i := range w.data {
			w.data[i] = float32(draw())
		}
		out = append(out, w)
	}
	uniform := func(n int) func() float64 { // between plus and minus 1/sqrt(n)
		return func() float64 { return (2*rng.Float64() - 1) / math.Sqrt(float64(n)) }
	}
	// The linear layer's rows for the first and for the second operation are two
	// matrices here, and so are the last layer's columns for the two edges.
	add("op", len(transformer.Vocabulary()), p.embed, rng.NormFloat64)
	add("input.first", 2, p.embed, rng.NormFloat64)
	add("input.second", 2, p.embed, rng.NormFloat64)
	add("linear.first", p.embed, p.linear, uniform(2*p.embed))
	add("linear.second", p.embed, p.linear, uniform(2*p.embed))
	add("linear.bias", 1, p.linear, uniform(2*p.embed))
	add("conv1", p.linear, p.hidden, uniform(p.hidden))
	add("conv1.bias", 1, p.hidden, uniform(p.hidden))
	add("conv2", p.hidden, p.hidden, uniform(p.hidden))
	add("conv2.bias", 1, p.hidden, uniform(p.hidden))
	actions := rules.Learnt()
	add("fc.first", p.hidden, actions, uniform(p.hidden))
	add("fc.second", p.hidden, actions, uniform(p.hidden))
	add("fc.first.bias", 1, actions, uniform(p.hidden))
	add("fc.second.bias", 1, actions, uniform(p.hidden))
	return out
}

// build has no rows for nodes 0 and 1, which nothing leads to: all before the
// first ReLU is linear, so sums over edges come first.
func (p published) build(b *builder, from []int) *gorgonia.Node {
	inner := b.edges / 2
	arrivals := func(source, node int) (n float64) { // edges from a node to an inner one
		for _, f := range from[2*node:][:2] {
			n += is(f == source)
		}
		return n
	}
	own := b.pick(b.ops, b.next())
	inputs := b.matrix("inputs", inner*b.batch, 2, func(row, i int) float64 { return arrivals(i, row/b.batch) })
	received := func(slot int, input *gorgonia.Node) *gorgonia.Node {
		ops := b.matrix(fmt.Sprint("slot", slot), inner, b.edges, func(v, e int) float64 { return is(e%2 == slot) * arrivals(e/2+2, v) })
		return b.add(b.mix(ops, own), b.pick(inputs, input))
	}
	first, second := received(0, b.next()), received(1, b.next())
	two := b.matrix("two", inner*b.batch, 1, func(int, int) float64 { return 2 })
	x := b.add(b.mul(first, b.next()), b.mul(second, b.next()), b.pick(two, b.next()))

	w0, b0, w1, b1 := b.next(), b.next(), b.next(), b.next()
	h := b.mul(b.relu(b.bias(b.mul(x, w0), b0)), w1)
	adjacency := b.matrix("adjacency", inner, inner, func(v, f int) float64 { return arrivals(f+2, v) })
	fromInputs := b.matrix("from inputs", inner*b.batch, 1, func(row, _ int) float64 { return arrivals(0, row/b.batch) + arrivals(1, row/b.batch) })
	h = b.bias(b.add(b.mix(adjacency, h), b.pick(fromInputs, b.mul(b.relu(b0), w1))), b1)

	fcFirst, fcSecond, biasFirst, biasSecond := b.next(), b.next(), b.next(), b.next()
	edge := func(slot int, fc, bias *gorgonia.Node) *gorgonia.Node {
		node := b.matrix(fmt.Sprint("edge", slot), b.edges, inner, func(e, v int) float64 { return is(e == 2*v+slot) })
		of := b.matrix(fmt.Sprint("of", slot), b.edges*b.batch, 1, func(row, _ int) float64 { return is(row/b.batch%2 == slot) })
		return b.add(b.mix(node, b.mul(h, fc)), b.pick(of, bias))
	}
	return b.add(edge(0, fcFirst, biasFirst), edge(1, fcSecond, biasSecond))
}

// policy returns the network as Go code. All before the first ReLU is linear in
// embeddings, of which there are few: what a node's two operations add to its
// row of X W0 is worked out once.
func (p published) policy(card transformer.Card, params []transformer.Param) (transformer.Policy, error) {
	take := taker(params)
	op, inFirst, inSecond := take.next(), take.next(), take.next()
	first, second, bias := take.next(), take.next(), take.next()
	w0, b0, w1, b1 := take.next(), take.next(), take.next(), take.next()
	fc := [2]transformer.Param{take.next(), take.next()}
	fcBias := [2]transformer.Param{take.next(), take.next()}
	ops := [2][][]float64{times(times(rowsOf(op), first), w0), times(times(rowsOf(op), second), w0)}
	inputs := [2][][]float64{times(times(rowsOf(inFirst), first), w0), times(times(rowsOf(inSecond), second), w0)}
	shift := times(rowsOf(bias), w0)[0]
	return forward{card, func(cell, from []int) [][transformer.Actions]float64 {
		x := make([][]float64, len(cell)/2+2) // X W0
		for v := range x {
			x[v] = append([]float64(nil), shift...)
			for slot := range 2 {
				if v < 2 {
					addTo(x[v], inputs[slot][v])
				} else {
					addTo(x[v], ops[slot][cell[2*v-4+slot]])
				}
			}
		}
		h := gather(x, from, b0)
		for v := range h {
			for j := range h[v] {
				h[v][j] = max(h[v][j], 0)
			}
		}
		h = gather(times(h, w1), from, b1)
		logits := make([][transformer.Actions]float64, len(cell))
		for e := range logits {
			copy(logits[e][:], fcBias[e%2].Data)
			addProduct(logits[e][:fc[0].Cols], h[e/2+2], fc[e%2])
		}
		return logits
	}}, nil
}

func rowsOf(m transformer.Param) (rows [][]float64) {
	for i := range m.Rows {
		rows = append(rows, m.Data[i*m.Cols:][:m.Cols])
	}
	return rows
}

// times returns x W.
func times(x [][]float64, w transformer.Param) [][]float64 {
	out := make([][]float64, len(x))
	for v := range x {
		out[v] = make([]float64, w.Cols)
		addProduct(out[v], x[v], w)
	}
	return out
}

// gather returns A x + b: for each node the sum over what leads to it.
func gather(x [][]float64, from []int, b transformer.Param) [][]float64 {
	out := make([][]float64, len(x))
	for v := range out {
		out[v] = append([]float64(nil), b.Data...)
	}
	for e, f := range from {
		addTo(out[e/2+2], x[f])
	}
	return out
}

func addTo(y, x []float64) {
	for j, v := range x {
		y[j] += v
	}
}
