package train

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/natonnx/natonnx/transformer"
)

// A network is the GCN as a Gorgonia graph, for a batch of cells that share a
// topology. Rows of matrices are node by node (or edge by edge) and, within,
// cell by cell: so a sum over edges, the same for all cells, is one product
// with a small matrix over a view of nodes x (batch * features).
type network struct {
	batch, edges, nodes, actions int
	graph                        *gorgonia.ExprGraph
	weights                      gorgonia.Nodes
	ops                          *gorgonia.Node // edges*batch x vocabulary, one-hot
	logits                       *gorgonia.Node // edges*batch x actions
	logitsGrad                   *gorgonia.Node // input: the gradient of the loss by logits
	grads                        gorgonia.Nodes // of the loss by weights
	vm                           gorgonia.VM
}

// newNetwork builds the graph over the weights' own memory, so that updating
// them in place is seen by the next run. With backward, a run also computes the
// gradients of the weights from a gradient of the logits.
func newNetwork(params []transformer.Param, from []int, batch int, backward bool) (*network, error) {
	n := &network{batch: batch, edges: len(from), nodes: len(from)/2 + 2, actions: params[len(params)-1].Cols, graph: gorgonia.NewGraph()}
	vocabulary := params[0].Rows
	n.ops = n.input("ops", n.edges*batch, vocabulary, make([]float64, n.edges*batch*vocabulary))
	for _, p := range params {
		n.weights = append(n.weights, n.input(p.Name, p.Rows, p.Cols, p.Data))
	}
	b := &builder{network: n}
	n.logits = b.build(from)
	if b.err != nil {
		return nil, b.err
	}
	if backward {
		n.logitsGrad = n.input("logits.grad", n.edges*batch, n.actions, make([]float64, n.edges*batch*n.actions))
		var err error
		n.grads, err = gorgonia.Backpropagate(gorgonia.Nodes{n.logits}, gorgonia.Nodes{n.logitsGrad}, n.weights)
		if err != nil {
			return nil, fmt.Errorf("gradient of the policy: %w", err)
		}
	}
	n.vm = gorgonia.NewTapeMachine(n.graph)
	return n, nil
}

func (n *network) close() { n.vm.Close() }

func (n *network) input(name string, rows, cols int, data []float64) *gorgonia.Node {
	value := tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
	return gorgonia.NewMatrix(n.graph, tensor.Float64, gorgonia.WithShape(rows, cols), gorgonia.WithName(name), gorgonia.WithValue(value))
}

// setOps fills the one-hot input for the operations of a batch of cells.
func (n *network) setOps(cells [][]int) {
	data := n.ops.Value().Data().([]float64)
	clear(data)
	for c, ops := range cells {
		for e, op := range ops {
			data[(e*n.batch+c)*n.ops.Shape()[1]+op] = 1
		}
	}
}

// forward returns the logits of the batch, in the order of edges and cells.
func (n *network) forward(cells [][]int) ([]float64, error) {
	n.setOps(cells)
	n.vm.Reset()
	if err := n.vm.RunAll(); err != nil {
		return nil, err
	}
	return n.logits.Value().Data().([]float64), nil
}

// backward returns the gradients of the loss by each weight, given its gradient
// by the logits of the cells.
func (n *network) backward(cells [][]int, logitsGrad []float64) ([][]float64, error) {
	copy(n.logitsGrad.Value().Data().([]float64), logitsGrad)
	if _, err := n.forward(cells); err != nil {
		return nil, err
	}
	out := make([][]float64, len(n.grads))
	for i, g := range n.grads {
		out[i] = g.Value().Data().([]float64)
	}
	return out, nil
}

// A builder adds operators to the graph; after the first error it adds none.
type builder struct {
	*network
	weight int
	err    error
}

func (b *builder) build(from []int) *gorgonia.Node {
	incoming, outgoing, source, target := b.topology(from)
	op, input := b.next(), b.next() // weights come in the order of transformer.GCNParams
	own := b.mul(b.ops, op)
	x := b.add(b.mix(b.matrix("sum", b.nodes, b.edges, func(v, e int) float64 { return is(v == e/2+2) }), own),
		b.mul(b.matrix("inputs", b.nodes*b.batch, 1, func(row, _ int) float64 { return is(row < 2*b.batch) }), input))
	for range 2 {
		self, in, out, gateIn, gateOut, bias := b.next(), b.next(), b.next(), b.next(), b.next(), b.next()
		messageIn := b.mix(incoming, b.times(b.mix(source, x), b.mul(b.ops, gateIn)))
		messageOut := b.mix(outgoing, b.times(b.mix(target, x), b.mul(b.ops, gateOut)))
		x = b.relu(b.bias(b.add(b.add(b.mul(x, self), b.mul(messageIn, in)), b.mul(messageOut, out)), bias))
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

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (b *builder) matrix(name string, rows, cols int, at func(row, col int) float64) *gorgonia.Node {
	data := make([]float64, 0, rows*cols)
	for r := range rows {
		for c := range cols {
			data = append(data, at(r, c))
		}
	}
	return b.input(name, rows, cols, data)
}

func (b *builder) next() *gorgonia.Node {
	b.weight++
	return b.weights[b.weight-1]
}

func (b *builder) apply(op func() (*gorgonia.Node, error)) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	out, err := op()
	b.err = err
	return out
}

func (b *builder) mul(x, y *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.Mul(x, y) })
}

func (b *builder) add(x, y *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.Add(x, y) })
}

func (b *builder) times(x, y *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.HadamardProd(x, y) })
}

func (b *builder) relu(x *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.Rectify(x) })
}

// bias adds a row to every row of x. The row is repeated by a product with
// ones, whose gradient needs no sum over an axis.
func (b *builder) bias(x, row *gorgonia.Node) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	ones := b.matrix("ones", x.Shape()[0], 1, func(int, int) float64 { return 1 })
	return b.add(x, b.mul(ones, row))
}

// mix multiplies a small matrix with x seen as one row per node or edge.
func (b *builder) mix(m, x *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) {
		cols := x.Shape()[1]
		wide, err := gorgonia.Reshape(x, tensor.Shape{x.Shape()[0] / b.batch, b.batch * cols})
		if err != nil {
			return nil, err
		}
		wide, err = gorgonia.Mul(m, wide)
		if err != nil {
			return nil, err
		}
		return gorgonia.Reshape(wide, tensor.Shape{m.Shape()[0] * b.batch, cols})
	})
}
