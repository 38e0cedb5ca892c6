package transformer

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
)

// A GCN is the graph convolutional policy of the paper (equation 3, spec section
// 2) with its faults repaired (spec section 7.1), and any number of
// convolutions. It is immutable and safe for concurrent use.
//
// With x(o) the embedding of an operation, and every weight a matrix that
// multiplies from the right:
//
//	X[v]  = input                        for the cell's inputs, nodes 0 and 1
//	X[v]  = x(e0) + x(e1)                for a node with incoming edges e0, e1
//	H1    = ReLU(conv1(X)), H2 = ReLU(conv2(H1)) and so on to H, where conv(H)[v] =
//	        H[v] Wself + mean over edges e into v   of (H[from(e)] * gin(op(e)))  Win
//	                   + mean over edges e out of v of (H[to(e)]   * gout(op(e))) Wout + b
//	logits[e] = ReLU(H[from(e)] Wfrom + H[to(e)] Wto + x(op(e)) Wown + b) Wfc + bfc
//
// What differs from the published network, and why:
//   - self weights, and messages against the direction of the edges: without
//     them no node sees its own operations, nor what becomes of its value;
//   - an edge scales what it passes by a learnt vector of its operation, so that
//     a null passes nothing; published, a null connects like a convolution;
//   - logits belong to an edge and see its own operation and both its ends;
//     published, they belong to the target node alone;
//   - the two edges of a node enter as a sum, so their order has no meaning, as
//     in the cell;
//   - nodes 0 and 1 share one embedding, since the training cells have one input;
//   - the linear layer before the first convolution is gone: two linear maps in
//     a row are one.
//
// It knows the operations of [Vocabulary] alone. Others of real networks count
// as the nearest: convolutions of every family (conv, dw_conv, sep_conv,
// dil_conv) as conv_1x1 when their kernel is 1x1 and as conv_3x3 otherwise,
// poolings as avg_pool_3x3. What it has learnt of these five it so applies to
// kinds that it was never measured on. Moves of NAT++ count alike: one to a kind
// that looks to it like the one that stands there is keeping it, and somewhat
// less likely, so that it is made where a bound asks for its saving.
type GCN struct {
	card   Card
	rules  Rules
	params []Param
	embed  int // features of an embedding
	hidden int // features of a node, and of an edge before the last layer
	w      gcnWeights
}

// A Param is a weight matrix of a policy, in rows.
type Param struct {
	Name       string
	Rows, Cols int
	Data       []float64
}

type gcnWeights struct {
	op, input          []float64
	layers             []convWeights
	from, to, own, mid []float64
	fc, bias           []float64
}

type convWeights struct{ self, in, out, gateIn, gateOut, bias []float64 }

const convParams = 6 // weights of a convolution

// The rows of the operation embedding: the operations of NAS-Bench-201.
var vocabulary = [...]cellmap.Op{
	cellmap.Null, cellmap.Skip, cellmap.Kernel(cellmap.Conv, 1, 1), cellmap.Kernel(cellmap.Conv, 3, 3), cellmap.Kernel(cellmap.AvgPool, 3, 3),
}

const (
	rowNull = iota
	rowSkip
	rowConv1x1
	rowConv3x3
	rowPool
)

// Vocabulary returns the operations that the GCN has embeddings for.
func Vocabulary() []cellmap.Op { return slices.Clone(vocabulary[:]) }

// vocabularyRow is the one place that says which row stands for an operation.
func vocabularyRow(op cellmap.Op) (int, error) {
	switch op {
	case cellmap.Null:
		return rowNull, nil
	case cellmap.Skip:
		return rowSkip, nil
	}
	h, w := op.Size()
	if h < 1 || w < 1 {
		return 0, fmt.Errorf("operation %q: want null, skip_connect or a kind with a kernel, like conv_3x3", op)
	}
	switch {
	case op.IsPool():
		return rowPool, nil
	case h == 1 && w == 1:
		return rowConv1x1, nil
	}
	return rowConv3x3, nil
}

// maxNodes bounds what a policy looks at: far more than any cell, and little
// enough that its work stays small.
const maxNodes = 4096

// Learnt returns how many actions a policy of these rules has scores for: the
// first so many, which lead to the operations of [Vocabulary].
func (r Rules) Learnt() int { return min(r.Actions, int(ToAvgPool3x3)+1) }

// GCNParams returns the weights of a GCN with that many features per embedding
// and per node, and convolutions, in their order, with names and dims and no data.
func GCNParams(rules Rules, embed, hidden, rounds int) []Param {
	ops := len(vocabulary)
	params := []Param{{Name: "op", Rows: ops, Cols: embed}, {Name: "input", Rows: 1, Cols: embed}}
	width := embed
	for i := range rounds {
		layer := fmt.Sprintf("conv%d.", i+1)
		params = append(params,
			Param{Name: layer + "self", Rows: width, Cols: hidden},
			Param{Name: layer + "in", Rows: width, Cols: hidden},
			Param{Name: layer + "out", Rows: width, Cols: hidden},
			Param{Name: layer + "gate_in", Rows: ops, Cols: width},
			Param{Name: layer + "gate_out", Rows: ops, Cols: width},
			Param{Name: layer + "bias", Rows: 1, Cols: hidden},
		)
		width = hidden
	}
	return append(params,
		Param{Name: "edge.from", Rows: hidden, Cols: hidden},
		Param{Name: "edge.to", Rows: hidden, Cols: hidden},
		Param{Name: "edge.own", Rows: embed, Cols: hidden},
		Param{Name: "edge.bias", Rows: 1, Cols: hidden},
		Param{Name: "fc", Rows: hidden, Cols: rules.Learnt()},
		Param{Name: "fc.bias", Rows: 1, Cols: rules.Learnt()},
	)
}

// NewGCN makes a policy of weights that are named, shaped and ordered as
// [GCNParams] says for the card's rules; all must be finite. It keeps the slices.
func NewGCN(card Card, params []Param) (*GCN, error) {
	if len(params) < 3 || params[0].Cols < 1 || params[2].Cols < 1 {
		return nil, fmt.Errorf("want the weights of a GCN, found %d", len(params))
	}
	rules, ok := RulesByName(card.Rules)
	if !ok {
		return nil, fmt.Errorf("rules %q, want %s or %s", card.Rules, NAT.Name, NATPlusPlus.Name)
	}
	g := &GCN{card: card, rules: rules, params: params, embed: params[0].Cols, hidden: params[2].Cols}
	rounds := slices.IndexFunc(params, func(p Param) bool { return p.Name == "edge.from" }) / convParams
	want := GCNParams(rules, g.embed, g.hidden, max(rounds, 1))
	if len(params) != len(want) {
		return nil, fmt.Errorf("%d weights, want %d", len(params), len(want))
	}
	for i, p := range params {
		w := want[i]
		if p.Name != w.Name || p.Rows != w.Rows || p.Cols != w.Cols || len(p.Data) != w.Rows*w.Cols {
			return nil, fmt.Errorf("weight %q is %dx%d with %d numbers, want %q of %dx%d", p.Name, p.Rows, p.Cols, len(p.Data), w.Name, w.Rows, w.Cols)
		}
		for j, x := range p.Data {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("weight %q holds %v at row %d, column %d, want finite numbers", p.Name, x, j/p.Cols, j%p.Cols)
			}
		}
	}
	g.w = nameWeights(params, max(rounds, 1))
	return g, nil
}

func nameWeights(params []Param, rounds int) (w gcnWeights) {
	next := func() []float64 {
		p := params[0]
		params = params[1:]
		return p.Data
	}
	w.op, w.input = next(), next()
	for range rounds {
		w.layers = append(w.layers, convWeights{self: next(), in: next(), out: next(), gateIn: next(), gateOut: next(), bias: next()})
	}
	w.from, w.to, w.own, w.mid = next(), next(), next(), next()
	w.fc, w.bias = next(), next()
	return w
}

// Card returns what is known of the policy.
func (g *GCN) Card() Card { return g.card }

// Params returns the weights. They are the policy's own: copy before changing.
func (g *GCN) Params() []Param { return g.params }

// Encode returns what a GCN reads of a form: for each edge the vocabulary row
// of its operation and the node that it comes from. Edge i leads to node i/2+2.
func Encode(form cellmap.Form) (ops, from []int, err error) {
	n := len(form.Edges)
	if n == 0 || n%2 != 0 || n/2 > maxNodes {
		return nil, nil, fmt.Errorf("form has %d edges, want two for each of 1 to %d nodes", n, maxNodes)
	}
	ops, from = make([]int, n), make([]int, n)
	for i, e := range form.Edges {
		if want := i/2 + 2; e.To != want || e.From < 0 || e.From >= want {
			return nil, nil, fmt.Errorf("edge %d leads from node %d to node %d, want to node %d from an earlier one", i, e.From, e.To, want)
		}
		if ops[i], err = vocabularyRow(e.Op); err != nil {
			return nil, nil, fmt.Errorf("edge %d: %w", i, err)
		}
		from[i] = e.From
	}
	return ops, from, nil
}

// Logits implements [Policy].
func (g *GCN) Logits(ctx context.Context, form cellmap.Form) ([][Actions]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ops, from, err := Encode(form)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", g.card.Name, err)
	}
	h, width := g.embeddings(ops), g.embed
	for _, w := range g.w.layers {
		h, width = g.convolve(w, h, width, ops, from), g.hidden
	}
	return g.edgeLogits(h, ops, from), nil
}

// embeddings returns X, one row of g.embed features per node.
func (g *GCN) embeddings(ops []int) []float64 {
	d := g.embed
	x := make([]float64, (len(ops)/2+2)*d)
	copy(x, g.w.input)
	copy(x[d:], g.w.input)
	for e, op := range ops {
		row := x[(e/2+2)*d:][:d]
		for i, v := range g.w.op[op*d:][:d] {
			row[i] += v
		}
	}
	return x
}

// convolve returns ReLU(conv(x)), for rows of width features, one row of
// g.hidden features per node.
func (g *GCN) convolve(w convWeights, x []float64, width int, ops, from []int) []float64 {
	nodes := len(x) / width
	in, out, degree := make([]float64, len(x)), make([]float64, len(x)), make([]float64, nodes)
	for e, op := range ops {
		f, t := from[e], e/2+2
		degree[f]++
		gateIn, gateOut := w.gateIn[op*width:][:width], w.gateOut[op*width:][:width]
		xf, xt, sumIn, sumOut := x[f*width:][:width], x[t*width:][:width], in[t*width:][:width], out[f*width:][:width]
		for i := range width {
			sumIn[i] += xf[i] * gateIn[i] / 2
			sumOut[i] += xt[i] * gateOut[i]
		}
	}
	h := make([]float64, nodes*g.hidden)
	for v := range nodes {
		row, at := h[v*g.hidden:][:g.hidden], v*width
		copy(row, w.bias)
		addProduct(row, x[at:at+width], w.self, 1)
		addProduct(row, in[at:at+width], w.in, 1)
		addProduct(row, out[at:at+width], w.out, 1/max(degree[v], 1))
		relu(row)
	}
	return h
}

func (g *GCN) edgeLogits(h []float64, ops, from []int) [][Actions]float64 {
	logits := make([][Actions]float64, len(ops))
	mid, n, learnt := make([]float64, g.hidden), g.hidden, g.rules.Learnt()
	for e, op := range ops {
		copy(mid, g.w.mid)
		addProduct(mid, h[from[e]*n:][:n], g.w.from, 1)
		addProduct(mid, h[(e/2+2)*n:][:n], g.w.to, 1)
		addProduct(mid, g.w.op[op*g.embed:][:g.embed], g.w.own, 1)
		relu(mid)
		copy(logits[e][:], g.w.bias)
		addProduct(logits[e][:learnt], mid, g.w.fc, 1)
		g.rules.liken(&logits[e], op)
	}
	return logits
}

// alike is by how many nats a move is less likely than keeping, where the
// policy cannot tell its result from what there is.
const alike = 3

// liken gives actions that were not learnt, on an edge whose operation has a
// vocabulary row, the scores of the nearest that were.
func (r Rules) liken(logits *[Actions]float64, row int) {
	for a := Action(r.Learnt()); int(a) < r.Actions; a++ {
		switch to := actionRows[a]; {
		case to == row:
			logits[a] = logits[Keep] - alike
			if targets[a].Family() == cellmap.DilConv {
				logits[a]-- // costs what a separable one does, and inherits less
			}
		case to == rowConv1x1:
			logits[a] = logits[ToConv1x1]
		case to == rowPool:
			logits[a] = logits[ToAvgPool3x3]
		default:
			logits[a] = logits[Keep] - alike // to a dearer kind: no rule allows it
		}
	}
}

// actionRows are the vocabulary rows of what actions lead to.
var actionRows = func() (rows [Actions]int) {
	for a, op := range targets {
		if op != "" {
			rows[a], _ = vocabularyRow(op)
		}
	}
	return rows
}()

// addProduct adds scale * x W to y, W having len(x) rows and len(y) columns.
func addProduct(y, x, w []float64, scale float64) {
	for i, v := range x {
		if v == 0 {
			continue // common after a ReLU
		}
		v *= scale
		for j, m := range w[i*len(y):][:len(y)] {
			y[j] += v * m
		}
	}
}

func relu(x []float64) {
	for i, v := range x {
		x[i] = max(v, 0)
	}
}
