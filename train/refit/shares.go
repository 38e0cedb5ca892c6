package refit

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
)

// sharePositions is how many positions shares are taken from.
const sharePositions = 8 << 10

// Shares says for each channel of a value of the original how much it adds to
// the result of the convolution that reads it: the variance of its part, summed
// over the result's channels, wᵀ Cov(x) w for its weights w and what it has under
// the window. A normalization behind counts. x are samples of the value from.
func (f *Fitter) Shares(ctx context.Context, value, from string, x *Value) ([]float64, error) {
	m := f.Original
	reader := m.Graph.Index().Consumers[value][0].Node
	l, err := linearOf(m, reader)
	if err != nil {
		return nil, err
	}
	if l == nil || l.groups != 1 {
		return nil, fmt.Errorf("%s: %v: its weights are not read as those of a dense operation", m.Path, reader)
	}
	c := newMoments(l)
	shape := f.Types.Of(reader.Outputs[0]).Shape
	oh, ow := 1, 1
	if len(shape) == 4 {
		oh, ow = int(shape[2].N), int(shape[3].N)
	}
	p, err := newPart(ctx, m, f.Types, from, []string{value}, f.Workers)
	if err != nil {
		return nil, err
	}
	per := max(1, min(oh*ow, (sharePositions+x.Len()-1)/x.Len()))
	err = p.run(ctx, x, 0, x.Len(), func(first, last int, got map[string]*engine.Tensor) error {
		t := got[value]
		h, w := plane(t)
		for i := range last - first {
			rng := rand.New(rand.NewPCG(f.Seed, uint64(first+i)))
			for _, at := range positions(per, oh*ow, rng) {
				l.window(c.row, t.Float32s()[i*l.in*h*w:], h, w, at/ow, at%ow)
				c.add()
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	scale, err := scaleBehind(m, reader)
	if err != nil {
		return nil, err
	}
	return c.shares(scale), nil
}

// scaleBehind is what a normalization that alone reads a node's result
// multiplies channels by; nil where there is none.
func scaleBehind(m *onnxgraph.Model, n *onnxgraph.Node) ([]float32, error) {
	if u := m.Graph.Index().Consumers[n.Outputs[0]]; len(u) == 1 && u[0].Node.Is("BatchNormalization") {
		scale, _, err := affine(m, u[0].Node)
		return scale, err
	}
	return nil, nil
}

// moments are sums over windows: of the values, and of the products of those of
// one channel.
type moments struct {
	*linear
	taps     int       // of a channel
	row      []float32 // a window
	rows     int
	sum      []float64 // [channels][taps]
	products []float64 // [channels][taps][taps]
}

func newMoments(l *linear) *moments {
	t := l.kernel[0] * l.kernel[1]
	return &moments{linear: l, taps: t, row: make([]float32, l.in*t), sum: make([]float64, l.in*t), products: make([]float64, l.in*t*t)}
}

// add counts the window in row.
func (c *moments) add() {
	c.rows++
	for ch := range c.in {
		x := c.row[ch*c.taps:][:c.taps]
		sum, products := c.sum[ch*c.taps:], c.products[ch*c.taps*c.taps:]
		for i, a := range x {
			sum[i] += float64(a)
			for j, b := range x {
				products[i*c.taps+j] += float64(a) * float64(b)
			}
		}
	}
}

// shares are the variances of the channels' parts of the result.
func (c *moments) shares(scale []float32) []float64 {
	n, t := float64(max(1, c.rows)), c.taps
	all := make([]float64, c.in)
	for ch := range all {
		for o := range c.out {
			w := c.weight[o*c.in*t+ch*t:][:t]
			mean, square := 0.0, 0.0
			for i, a := range w {
				mean += float64(a) * c.sum[ch*t+i] / n
				for j, b := range w {
					square += float64(a) * float64(b) * c.products[(ch*t+i)*t+j] / n
				}
			}
			v := max(0, square-mean*mean)
			if scale != nil {
				v *= float64(scale[o]) * float64(scale[o])
			}
			all[ch] += v
		}
	}
	return all
}
