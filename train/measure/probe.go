package measure

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/natonnx/natonnx/onnxgraph"
)

// probes returns n samples of a shape with independent standard normal values,
// which the seed decides. Normalized pictures have about that mean and variance.
func probes(seed uint64, n int, shape []int) []float32 {
	for _, d := range shape {
		n *= d
	}
	r := rand.New(rand.NewPCG(seed, 0))
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(r.NormFloat64())
	}
	return list
}

// maxProbe bounds the values of one probe input.
const maxProbe = 1 << 26

// A Drift says how far two networks are apart on probe inputs: standard normal
// values, seeded. It is no measure of accuracy.
type Drift struct {
	Distance
	Runtime string // its name
	About   string // the runtime and its version
	Seed    uint64
	Shape   []int  // of one probe input
	Output  string // the output that is compared
	// Classifies reports whether that output is scores of classes. Where it is
	// not, KL means nothing.
	Classifies bool
}

// Drifted runs two networks, one after the other, on n probe inputs of the
// declared shape. The two must have one input each, of one shape.
func Drifted(ctx context.Context, before, after *onnxgraph.Model, n int, seed uint64, o Options) (*Drift, error) {
	a, was, shape, err := probed(ctx, before, n, seed, nil, o)
	if err != nil {
		return nil, err
	}
	b, is, _, err := probed(ctx, after, n, seed, shape, o)
	if err != nil {
		return nil, err
	}
	d := &Drift{
		Runtime: a.Runtime.Name(), About: a.Runtime.About(), Seed: seed, Shape: shape, Output: a.Output.Name, Classifies: a.Classifies && b.Classifies,
	}
	for i := range was {
		if err := d.compare(a, b, was[i], is[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// probed opens a network, runs it on probes of a shape, and closes it. Without
// a shape it is that which the network declares.
func probed(ctx context.Context, graph *onnxgraph.Model, n int, seed uint64, shape []int, o Options) (m *Model, out [][]float32, used []int, err error) {
	if m, err = Open(ctx, graph, o); err != nil {
		return nil, nil, nil, err
	}
	defer m.Close()
	if shape == nil {
		shape, err = m.probeShape(n)
	} else {
		_, err = m.Sample(shape)
	}
	if err == nil {
		out, err = m.Run(ctx, probes(seed, n, shape), shape)
	}
	return m, out, shape, err
}

// probeShape is the shape of one probe of which n fit into memory.
func (m *Model) probeShape(n int) ([]int, error) {
	shape, err := m.Sample(nil)
	if err != nil {
		return nil, err
	}
	size := n
	for _, d := range shape {
		if d < 1 || d > maxProbe/size {
			return nil, fmt.Errorf("%s: input %q is %v, too large or empty to be probed", m.Path, m.Input.Name, m.Input.Shape)
		}
		size *= d
	}
	return shape, nil
}

// compare takes up the outputs of two networks for one input, which must have
// as many elements.
func (d *Distance) compare(before, after *Model, was, is []float32) error {
	if len(was) != len(is) {
		return misfit("%s: output %q has %d elements, that of %s has %d: they cannot be compared", after.Path, after.Output.Name, len(is), before.Path, len(was))
	}
	d.add(is, was)
	return nil
}
