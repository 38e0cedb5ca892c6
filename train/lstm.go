package train

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/gorgonia"

	"github.com/natonnx/natonnx/transformer"
)

// LSTM is a recurrent controller, the rival of the paper's table 5: the edges of
// the cell in their order are a sequence, of which each element is the embedding
// of the operation plus that of the source node. The sequence is read twice, and
// the second reading, which knows the whole cell, decides.
func LSTM(embed, hidden int) Architecture { return lstm{embed, hidden} }

type lstm struct{ embed, hidden int }

const (
	lstmNodes  = 16 // that it has embeddings for; the last stands for all further ones
	lstmPasses = 2
)

// The gates, in the order of their weights.
const (
	gateInput = iota
	gateForget
	gateCell
	gateOutput
	gates
)

func (l lstm) weights(rng *rand.Rand, rules transformer.Rules) (out []weight) {
	add := func(name string, rows, cols int, draw func() float64) {
		w := weight{name, rows, cols, make([]float32, rows*cols)}
		for i := range w.data {
			w.data[i] = float32(draw())
		}
		out = append(out, w)
	}
	uniform := func() float64 { return (2*rng.Float64() - 1) / math.Sqrt(float64(l.hidden)) }
	add("op", len(transformer.Vocabulary()), l.embed, rng.NormFloat64)
	add("from", lstmNodes, l.embed, rng.NormFloat64)
	for g := range gates {
		add(fmt.Sprintf("gate%d.input", g), l.embed, l.hidden, uniform)
		add(fmt.Sprintf("gate%d.state", g), l.hidden, l.hidden, uniform)
		add(fmt.Sprintf("gate%d.bias", g), 1, l.hidden, func() float64 { return is(g == gateForget) }) // remembers at first
	}
	add("fc", l.hidden, rules.Learnt(), func() float64 { return rng.NormFloat64() / 100 })
	add("fc.bias", 1, rules.Learnt(), func() float64 { return 0 })
	return out
}

func (l lstm) build(b *builder, from []int) *gorgonia.Node {
	op, source := b.next(), b.next()
	x := b.add(b.pick(b.ops, op), b.pick(b.matrix("from", b.edges*b.batch, lstmNodes, func(row, v int) float64 { return is(lstmNode(from[row/b.batch]) == v) }), source))
	var fromInput, state [gates]*gorgonia.Node
	for g := range gates {
		wx, wh, bias := b.next(), b.next(), b.next()
		fromInput[g], state[g] = b.bias(b.mul(x, wx), bias), wh
	}
	fc, fcBias := b.next(), b.next()
	h := b.matrix("h", b.batch, l.hidden, func(int, int) float64 { return 0 })
	c := b.matrix("c", b.batch, l.hidden, func(int, int) float64 { return 0 })
	var all *gorgonia.Node
	for step := range lstmPasses * b.edges {
		e := step % b.edges
		here := b.matrix(fmt.Sprint("edge", step), 1, b.edges, func(_, i int) float64 { return is(i == e) })
		var gate [gates]*gorgonia.Node
		for g := range gates {
			gate[g] = b.add(b.mix(here, fromInput[g]), b.mul(h, state[g]))
			if g == gateCell {
				gate[g] = b.tanh(gate[g])
			} else {
				gate[g] = b.sigmoid(gate[g])
			}
		}
		c = b.add(b.times(gate[gateForget], c), b.times(gate[gateInput], gate[gateCell]))
		h = b.times(gate[gateOutput], b.tanh(c))
		if step < (lstmPasses-1)*b.edges {
			continue
		}
		place := b.mix(b.matrix(fmt.Sprint("place", e), b.edges, 1, func(i, _ int) float64 { return is(i == e) }), h)
		if all == nil {
			all = place
		} else {
			all = b.add(all, place)
		}
	}
	return b.bias(b.mul(all, fc), fcBias)
}

func (l lstm) policy(card transformer.Card, params []transformer.Param) (transformer.Policy, error) {
	take := taker(params)
	op, source := take.next(), take.next()
	var input, state, bias [gates]transformer.Param
	for g := range gates {
		input[g], state[g], bias[g] = take.next(), take.next(), take.next()
	}
	fc, fcBias := take.next(), take.next()
	return forward{card, func(ops, from []int) [][transformer.Actions]float64 {
		h, c, x := make([]float64, l.hidden), make([]float64, l.hidden), make([]float64, l.embed)
		logits := make([][transformer.Actions]float64, len(ops))
		for step := range lstmPasses * len(ops) {
			e := step % len(ops)
			for j := range x {
				x[j] = op.Data[ops[e]*l.embed+j] + source.Data[lstmNode(from[e])*l.embed+j]
			}
			var gate [gates][]float64
			for g := range gates {
				gate[g] = append([]float64(nil), bias[g].Data...)
				addProduct(gate[g], x, input[g])
				addProduct(gate[g], h, state[g])
			}
			for j := range h {
				c[j] = sigmoid(gate[gateForget][j])*c[j] + sigmoid(gate[gateInput][j])*math.Tanh(gate[gateCell][j])
				h[j] = sigmoid(gate[gateOutput][j]) * math.Tanh(c[j])
			}
			copy(logits[e][:], fcBias.Data)
			addProduct(logits[e][:fc.Cols], h, fc)
		}
		return logits
	}}, nil
}

func lstmNode(node int) int { return min(node, lstmNodes-1) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
