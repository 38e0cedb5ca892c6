package fit

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/trainable"
)

// Redraw returns a model with weights as if it had never been trained. Those of
// convolutions are normal, with the variance that keeps that of rectified values (He
// et al., Delving Deep into Rectifiers, 2015, equation 10); those of linear layers
// uniform within plus and minus the inverse root of their inputs; biases are 0, and
// normalizations do nothing yet. What else is learnt stays, gates among it.
func Redraw(m *onnxgraph.Model, seed uint64) (*onnxgraph.Model, error) {
	m, err := trainable.Lift(m)
	if err != nil {
		return nil, err
	}
	r := &redrawer{m, seed, &onnxgraph.Patch{Rule: "redraw"}, map[string]bool{}}
	for _, n := range m.Graph.Nodes {
		switch {
		case n.Is("Conv", "ConvTranspose"):
			r.draw(n, 1, func(dims []int64, rng *rand.Rand) func() float64 {
				deviation := math.Sqrt(2 / float64(product(dims[1:])))
				return func() float64 { return deviation * rng.NormFloat64() }
			})
			r.fill(n, 2, 0)
		case n.Is("Gemm", "MatMul"):
			inputs := 0
			if n.Int("transB", 0) == 1 {
				inputs = 1
			}
			r.draw(n, 1, func(dims []int64, rng *rand.Rand) func() float64 {
				bound := 1 / math.Sqrt(float64(dims[inputs]))
				return func() float64 { return bound * (2*rng.Float64() - 1) }
			})
			r.fill(n, 2, 0)
		case n.Is("BatchNormalization"):
			for i, v := range []float32{1, 0, 0, 1} {
				r.fill(n, i+1, v)
			}
		}
	}
	if len(r.patch.Replace) == 0 {
		return nil, fmt.Errorf("%s: has no weights that could be drawn anew", m.Path)
	}
	return m.Apply(r.patch)
}

type redrawer struct {
	*onnxgraph.Model
	seed  uint64
	patch *onnxgraph.Patch
	done  map[string]bool
}

// draw replaces the weight that a node reads, if that is an initializer of its own.
func (r *redrawer) draw(n *onnxgraph.Node, input int, as func(dims []int64, rng *rand.Rand) func() float64) {
	t := r.Graph.Index().Initializer[n.Input(input)]
	if t == nil || t.Type != onnxgraph.Float32 || len(t.Dims) < 2 || product(t.Dims) == 0 || r.done[t.Name] {
		return
	}
	h := fnv.New64a()
	h.Write([]byte(t.Name))
	next := as(t.Dims, rand.New(rand.NewPCG(r.seed, h.Sum64())))
	data := make([]float32, product(t.Dims))
	for i := range data {
		data[i] = float32(next())
	}
	r.replace(t, data)
}

func (r *redrawer) fill(n *onnxgraph.Node, input int, v float32) {
	t := r.Graph.Index().Initializer[n.Input(input)]
	if t == nil || t.Type != onnxgraph.Float32 || r.done[t.Name] {
		return
	}
	data := make([]float32, product(t.Dims))
	for i := range data {
		data[i] = v
	}
	r.replace(t, data)
}

func (r *redrawer) replace(t *onnxgraph.Tensor, data []float32) {
	r.done[t.Name] = true
	r.patch.Replace = append(r.patch.Replace, onnxgraph.NewFloat32s(t.Name, t.Dims, data))
}

func product(dims []int64) int {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	return n
}
