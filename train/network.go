package train

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/transformer"
)

// A weight is a matrix of a policy in training, in rows.
type weight struct {
	name       string
	rows, cols int
	data       []float32
}

// params returns copies of the weights as a policy takes them.
func params(weights []weight) []transformer.Param {
	out := make([]transformer.Param, len(weights))
	for i, w := range weights {
		out[i] = transformer.Param{Name: w.name, Rows: w.rows, Cols: w.cols, Data: make([]float64, len(w.data))}
		for j, x := range w.data {
			out[i].Data[j] = float64(x)
		}
	}
	return out
}

// A network is a policy as a Gorgonia graph, for a batch of cells that share a
// topology. Rows of matrices are node by node (or edge by edge) and, within,
// cell by cell: so a sum over edges, the same for all cells, is one product
// with a small matrix over a view of nodes x (batch * features).
type network struct {
	batch, edges, nodes, actions int
	graph                        *gorgonia.ExprGraph
	weights                      gorgonia.Nodes
	ops                          *gorgonia.Node // edges*batch x vocabulary, one-hot
	logits                       *gorgonia.Node // edges*batch x actions
	objective                    *objective
	grads                        gorgonia.Nodes // of the loss by weights
	vm                           gorgonia.VM
}

// newNetwork builds the graph over the weights' own memory, so that updating
// them in place is seen by the next run.
func newNetwork(a Architecture, weights []weight, from []int, batch int) (*network, error) {
	n := &network{
		batch: batch, edges: len(from), nodes: len(from)/2 + 2, actions: weights[len(weights)-1].cols,
		graph: gorgonia.NewGraph(), objective: &objective{},
	}
	vocabulary := len(transformer.Vocabulary())
	n.ops = n.input("ops", n.edges*batch, vocabulary, make([]float32, n.edges*batch*vocabulary))
	for _, w := range weights {
		n.weights = append(n.weights, n.input(w.name, w.rows, w.cols, w.data))
	}
	b := &builder{network: n, team: cpu.NewTeam(1)}
	n.logits = a.build(b, from)
	if b.err != nil {
		return nil, b.err
	}
	grad, err := gorgonia.ApplyOp(n.objective, n.logits)
	if err == nil {
		n.grads, err = gorgonia.Backpropagate(gorgonia.Nodes{n.logits}, gorgonia.Nodes{grad}, n.weights)
	}
	if err != nil {
		return nil, fmt.Errorf("gradient of the policy: %w", err)
	}
	n.vm = gorgonia.NewTapeMachine(n.graph)
	return n, nil
}

func (n *network) close() { n.vm.Close() }

func (n *network) input(name string, rows, cols int, data []float32) *gorgonia.Node {
	value := tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
	return gorgonia.NewMatrix(n.graph, tensor.Float32, gorgonia.WithShape(rows, cols), gorgonia.WithName(name), gorgonia.WithValue(value))
}

// setOps fills the one-hot input for the operations of a batch of cells.
func (n *network) setOps(cells [][]int) {
	data := n.ops.Value().Data().([]float32)
	clear(data)
	for c, ops := range cells {
		for e, op := range ops {
			data[(e*n.batch+c)*n.ops.Shape()[1]+op] = 1
		}
	}
}

// gradients runs the network on a batch and returns the gradients of the loss by
// each weight. gradient fills that by the logits, which are in the order of edges
// and cells.
func (n *network) gradients(cells [][]int, gradient func(logits, grad []float32) error) ([][]float32, error) {
	n.setOps(cells)
	n.objective.gradient = gradient
	n.vm.Reset()
	if err := n.vm.RunAll(); err != nil {
		return nil, err
	}
	out := make([][]float32, len(n.grads))
	for i, g := range n.grads {
		out[i] = g.Value().Data().([]float32)
	}
	return out, nil
}

// A builder adds operators to the graph; after the first error it adds none.
type builder struct {
	*network
	weight int
	team   *cpu.Team // of all products: trainings run side by side, so one core each
	err    error
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (b *builder) matrix(name string, rows, cols int, at func(row, col int) float64) *gorgonia.Node {
	data := make([]float32, 0, rows*cols)
	for r := range rows {
		for c := range cols {
			data = append(data, float32(at(r, c)))
		}
	}
	return b.input(name, rows, cols, data)
}

// next returns the weights one by one, in their order.
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
	return b.product(product{batch: 1}, x, y)
}

// pick multiplies a constant matrix with weights.
func (b *builder) pick(m, weights *gorgonia.Node) *gorgonia.Node {
	return b.product(product{batch: 1, fixed: true}, m, weights)
}

// mix multiplies a small constant matrix with x seen as one row per node or edge.
func (b *builder) mix(m, x *gorgonia.Node) *gorgonia.Node {
	return b.product(product{batch: b.batch, fixed: true}, m, x)
}

func (b *builder) product(p product, x, y *gorgonia.Node) *gorgonia.Node {
	p.team = b.team
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.ApplyOp(&p, x, y) })
}

func (b *builder) add(x *gorgonia.Node, more ...*gorgonia.Node) *gorgonia.Node {
	for _, y := range more {
		x = b.apply(func() (*gorgonia.Node, error) { return gorgonia.Add(x, y) })
	}
	return x
}

func (b *builder) times(x, y *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.HadamardProd(x, y) })
}

func (b *builder) relu(x *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.Rectify(x) })
}

func (b *builder) sigmoid(x *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.Sigmoid(x) })
}

func (b *builder) tanh(x *gorgonia.Node) *gorgonia.Node {
	return b.apply(func() (*gorgonia.Node, error) { return gorgonia.Tanh(x) })
}

// bias adds a row to every row of x. The row is repeated by a product with
// ones, whose gradient needs no sum over an axis.
func (b *builder) bias(x, row *gorgonia.Node) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	ones := b.matrix("ones", x.Shape()[0], 1, func(int, int) float64 { return 1 })
	return b.add(x, b.pick(ones, row))
}
