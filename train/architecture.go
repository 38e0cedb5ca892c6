package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"gorgonia.org/gorgonia"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// An Architecture is a kind of policy network: [GCN], [Published] or [LSTM].
type Architecture interface {
	// weights draws the weights that training starts from, in the order that
	// build takes them; the last one has a column per learnt action.
	weights(rng *rand.Rand, rules transformer.Rules) []weight
	// build returns the logits, one row per edge and cell of the batch, for the
	// topology in which edge i leads from node from[i] to node i/2+2.
	build(b *builder, from []int) *gorgonia.Node
	// policy makes a policy of trained weights.
	policy(card transformer.Card, params []transformer.Param) (transformer.Policy, error)
}

// GCN is the architecture of [transformer.GCN], with that many features per
// embedding and per node, and convolutions.
func GCN(embed, hidden, rounds int) Architecture { return gcn{embed, hidden, rounds} }

type gcn struct{ embed, hidden, rounds int }

func (g gcn) weights(rng *rand.Rand, rules transformer.Rules) (out []weight) {
	for _, p := range transformer.GCNParams(rules, g.embed, g.hidden, g.rounds) {
		w := weight{p.Name, p.Rows, p.Cols, make([]float32, p.Rows*p.Cols)}
		for i := range w.data {
			switch {
			case p.Name == "op" || p.Name == "input":
				w.data[i] = float32(rng.NormFloat64()) // as in the authors' embeddings
			case strings.Contains(p.Name, "gate"):
				w.data[i] = float32(1 + rng.NormFloat64()/2) // near the published constant 1
			case strings.Contains(p.Name, "bias"):
			case p.Name == "fc": // nearly uniform distributions, so that all actions are tried
				w.data[i] = float32(rng.NormFloat64() / 100)
			default:
				// Three such terms make a row of the result, and keep its variance.
				w.data[i] = float32((2*rng.Float64() - 1) / math.Sqrt(float64(p.Rows)))
			}
		}
		out = append(out, w)
	}
	return out
}

func (g gcn) policy(card transformer.Card, params []transformer.Param) (transformer.Policy, error) {
	return transformer.NewGCN(card, params)
}

func (g gcn) build(b *builder, from []int) *gorgonia.Node {
	incoming, outgoing, source, target := b.topology(from)
	op, input := b.next(), b.next()
	own := b.pick(b.ops, op)
	x := b.add(b.mix(b.matrix("sum", b.nodes, b.edges, func(v, e int) float64 { return is(v == e/2+2) }), own),
		b.pick(b.matrix("inputs", b.nodes*b.batch, 1, func(row, _ int) float64 { return is(row < 2*b.batch) }), input))
	for range g.rounds {
		self, in, out, gateIn, gateOut, bias := b.next(), b.next(), b.next(), b.next(), b.next(), b.next()
		messageIn := b.mix(incoming, b.times(b.mix(source, x), b.pick(b.ops, gateIn)))
		messageOut := b.mix(outgoing, b.times(b.mix(target, x), b.pick(b.ops, gateOut)))
		x = b.relu(b.bias(b.add(b.mul(x, self), b.mul(messageIn, in), b.mul(messageOut, out)), bias))
	}
	wFrom, wTo, wOwn, bias := b.next(), b.next(), b.next(), b.next()
	ends := b.add(b.mul(b.mix(source, x), wFrom), b.mul(b.mix(target, x), wTo))
	hidden := b.relu(b.bias(b.add(ends, b.mul(own, wOwn)), bias))
	fc, fcBias := b.next(), b.next()
	return b.bias(b.mul(hidden, fc), fcBias)
}

// topology returns the four matrices that carry features along edges: the
// means over a node's incoming and outgoing edges (nodes x edges), and the
// choice of an edge's source and target (edges x nodes).
func (b *builder) topology(from []int) (incoming, outgoing, source, target *gorgonia.Node) {
	degree := make([]float64, b.nodes)
	for _, f := range from {
		degree[f]++
	}
	incoming = b.matrix("incoming", b.nodes, b.edges, func(v, e int) float64 { return is(v == e/2+2) / 2 })
	outgoing = b.matrix("outgoing", b.nodes, b.edges, func(v, e int) float64 { return is(v == from[e]) / max(degree[v], 1) })
	source = b.matrix("source", b.edges, b.nodes, func(e, v int) float64 { return is(v == from[e]) })
	target = b.matrix("target", b.edges, b.nodes, func(e, v int) float64 { return is(v == e/2+2) })
	return incoming, outgoing, source, target
}

// A forward is a policy whose network is a function in Go.
type forward struct {
	card   transformer.Card
	logits func(ops, from []int) [][transformer.Actions]float64
}

func (f forward) Card() transformer.Card { return f.card }

func (f forward) Logits(ctx context.Context, form cellmap.Form) ([][transformer.Actions]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ops, from, err := transformer.Encode(form)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", f.card.Name, err)
	}
	return f.logits(ops, from), nil
}

// A taker hands out weights one by one, in their order.
type taker []transformer.Param

func (t *taker) next() transformer.Param {
	p := (*t)[0]
	*t = (*t)[1:]
	return p
}

// addProduct adds x W to y.
func addProduct(y, x []float64, w transformer.Param) {
	for i, v := range x {
		for j := range y {
			y[j] += v * w.Data[i*w.Cols+j]
		}
	}
}
