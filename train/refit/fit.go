package refit

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A Fitter refits rewritten networks to their original. Both take any batch
// ([onnxgraph.Model.AnyBatch]), and values that both have are called the same.
type Fitter struct {
	Original *onnxgraph.Model
	Types    *onnxgraph.Types // of the original's values
	// Fit and Held are how many samples the regression sees, and how many after
	// those are held back to choose its regularization.
	Fit, Held int
	// Quick fits on fewer positions and tries less, for candidates that are compared.
	Quick   bool
	Workers int // cores; 0: all
	Seed    uint64
}

// A Stretch is a part of a rewritten network whose operations are to be fitted,
// from a value that the original has too, perhaps
// under another name.
type Stretch struct {
	From string
	// Original is what the original calls From.
	Original string
	// Outputs are the values that the operations to be fitted make, in order.
	Outputs []string
	// Stands says for values of the rewritten network that have to do as others
	// of the original, which those are; the others do as their own namesakes.
	Stands map[string]string
	// Narrowed says for values that have only some of the channels of one of the
	// original's, which those are.
	Narrowed map[string]Channels
}

// Channels are some channels of a value.
type Channels struct {
	Of   string
	Kept []int
}

// A Report says how the fit of one operation went.
type Report struct {
	Output string  // the value that the operation makes
	Alpha  float64 // of the regularization; 0: the weights stayed
	// Before and After are the squared errors on held-back samples, as shares of
	// the target's variance.
	Before, After float64
}

// Stretch fits the operations of a stretch one after the other and returns the
// network with their new weights. original and now are the values of s.From in
// the original and in the rewritten network, for Fit+Held samples or more.
func (f *Fitter) Stretch(ctx context.Context, m *onnxgraph.Model, s Stretch, original, now *Value) (*onnxgraph.Model, []Weights, []Report, error) {
	var fits []Weights
	var reports []Report
	for _, output := range s.Outputs {
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		n := m.Graph.Index().Producer[output]
		if n == nil {
			return nil, nil, nil, fmt.Errorf("%s: no node makes %q", m.Path, output)
		}
		g, err := f.goal(m, n, s)
		if err != nil {
			return nil, nil, nil, err
		}
		if g == nil {
			continue
		}
		report, err := f.fit(ctx, m, g, s, original, now)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %v: %w", m.Path, n, err)
		}
		reports = append(reports, report)
		if report.Alpha == 0 {
			continue
		}
		w := g.linear.weights()
		if m, err = Apply(m, []Weights{w}); err != nil {
			return nil, nil, nil, err
		}
		fits = append(fits, w)
	}
	return m, fits, reports, nil
}

// A goal is what a linear operation should come to.
type goal struct {
	*linear
	target    string   // the original's value
	channels  []int    // of it that the result stands for; nil: all
	others    []string // what is added to the result
	scale     []float32
	shift     []float32 // of a normalization behind the operation; nil: none
	low, high float64   // what a Relu or Clip behind it keeps
}

// goal finds out what a node should come to; nil where it cannot be fitted.
func (f *Fitter) goal(m *onnxgraph.Model, n *onnxgraph.Node, s Stretch) (*goal, error) {
	l, err := linearOf(m, n)
	if l == nil || err != nil {
		return nil, err
	}
	g := &goal{linear: l}
	x, value := m.Graph.Index(), n.Outputs[0]
	next := func() *onnxgraph.Node {
		if u := x.Consumers[value]; len(u) == 1 && u[0].Input >= 0 && x.Output[value] == nil {
			return u[0].Node
		}
		return nil
	}
	if b := next(); is(b, "BatchNormalization") && b.Inputs[0] == value {
		if g.scale, g.shift, err = affine(m, b); err != nil {
			return nil, err
		}
		if !invertible(g.scale) {
			return nil, nil
		}
		value = b.Outputs[0]
	}
	original := func(name string) string {
		if of := s.Stands[name]; of != "" {
			name = of
		} else if n, ok := s.Narrowed[name]; ok {
			name, g.channels = n.Of, n.Kept
		}
		if f.Original.Graph.Index().Producer[name] == nil {
			return ""
		}
		return name
	}
	if a := next(); is(a, "Add", "Sum") && original(a.Outputs[0]) != "" {
		for _, name := range a.Inputs {
			if name != value {
				g.others = append(g.others, name)
			}
		}
		if len(g.others) != len(a.Inputs)-1 {
			return nil, nil // added to itself
		}
		value = a.Outputs[0]
	}
	g.target = original(value)
	g.low, g.high = limits(m, next())
	if g.scale != nil { // the limits are those of another scale
		g.low, g.high = math.Inf(-1), math.Inf(1)
	}
	if g.target == "" {
		return nil, nil
	}
	return g, nil
}

// limits are what an activation keeps of its input.
func limits(m *onnxgraph.Model, n *onnxgraph.Node) (low, high float64) {
	low, high = math.Inf(-1), math.Inf(1)
	switch {
	case is(n, "Relu"):
		low = 0
	case is(n, "Clip"):
		low, high = limit(m, n, 1, "min", low), limit(m, n, 2, "max", high)
	}
	return low, high
}

func limit(m *onnxgraph.Model, n *onnxgraph.Node, input int, attribute string, def float64) float64 {
	if a := n.Attr(attribute); a != nil {
		return float64(a.Float)
	}
	if t := m.Graph.Constant(n.Input(input)); t != nil {
		if v, err := t.Float32s(); err == nil && len(v) == 1 {
			return float64(v[0])
		}
	}
	return def
}

// affine returns what a normalization does in inference: scale·y + shift.
func affine(m *onnxgraph.Model, n *onnxgraph.Node) (scale, shift []float32, err error) {
	var p [4][]float32
	for i := range p {
		t := m.Graph.Constant(n.Input(i + 1))
		if t == nil {
			return nil, nil, fmt.Errorf("%s: %v: input %d is no constant", m.Path, n, i+1)
		}
		if p[i], err = t.Float32s(); err != nil {
			return nil, nil, fmt.Errorf("%s: %v: %w", m.Path, n, err)
		}
	}
	scale, shift = make([]float32, len(p[0])), make([]float32, len(p[0]))
	epsilon := float64(n.Float("epsilon", 1e-5))
	for i := range scale {
		scale[i] = p[0][i] / float32(math.Sqrt(float64(p[3][i])+epsilon))
		shift[i] = p[1][i] - scale[i]*p[2][i]
	}
	return scale, shift, nil
}

// invertible reports whether no channel's scale vanishes beside the others.
func invertible(scale []float32) bool {
	least, most := math.Inf(1), 0.0
	for _, s := range scale {
		least, most = min(least, math.Abs(float64(s))), max(most, math.Abs(float64(s)))
	}
	return least > 1e-4*most
}

// fit fits one operation, in place.
func (f *Fitter) fit(ctx context.Context, m *onnxgraph.Model, g *goal, s Stretch, original, now *Value) (Report, error) {
	read := g.node.Inputs[0]
	want, err := newPart(ctx, f.Original, f.Types, s.Original, []string{g.target}, f.Workers)
	if err != nil {
		return Report{}, err
	}
	has, err := newPart(ctx, m, m.Infer(), s.From, append([]string{read}, g.others...), f.Workers)
	if err != nil {
		return Report{}, err
	}
	has.chunk = min(has.chunk, want.chunk)
	want.chunk = has.chunk
	d, err := f.collect(ctx, g, want, has, read, original, now)
	if err != nil {
		return Report{}, err
	}
	fitted, err := d.solve(cpu.NewTeam(f.Workers))
	if err != nil {
		return Report{}, err
	}
	if fitted.alpha > 0 {
		g.take(fitted.weights)
	}
	return Report{g.node.Outputs[0], fitted.alpha, fitted.before, fitted.after}, nil
}

// take stores weights of the form [channel][unknowns, bias].
func (l *linear) take(w []float32) {
	k := l.unknowns()
	for o := range l.bias {
		copy(l.weight[o*k:][:k], w[o*(k+1):])
		l.bias[o] = w[o*(k+1)+k]
	}
}

// collect fills the design of a fit.
func (f *Fitter) collect(ctx context.Context, g *goal, want, has *part, read string, original, now *Value) (*design, error) {
	var d *design
	per := 0
	samples := min(f.Fit+f.Held, now.Len())
	return d, has.run(ctx, now, 0, samples, func(first, last int, got map[string]*engine.Tensor) error {
		return want.run(ctx, original, first, last, func(first, last int, wanted map[string]*engine.Tensor) error {
			in, z := got[read], wanted[g.target]
			h, w := plane(in)
			oh, ow := plane(z)
			if d == nil {
				effort := thorough
				if f.Quick {
					effort = quick
				}
				d, per = newDesign(g.linear, samples, oh*ow, effort)
				d.low, d.high = g.low, g.high
			}
			for i := range last - first {
				if first+i == f.Fit {
					d.held = d.rows
				}
				rng := rand.New(rand.NewPCG(f.Seed, uint64(first+i)))
				x := in.Float32s()[i*g.groups*g.in*h*w:]
				d.add(x, h, w, positions(per, oh*ow, rng), ow, func(channel, position int) float32 {
					v := z.Float32s()[(i*z.Dims[1]+g.original(channel))*oh*ow+position]
					for _, name := range g.others {
						v -= got[name].Float32s()[(i*len(g.bias)+channel)*oh*ow+position]
					}
					if g.scale != nil {
						v = (v - g.shift[channel]) / g.scale[channel]
					}
					return v
				})
			}
			return nil
		})
	})
}

// original is the number of a channel among those of the target.
func (g *goal) original(channel int) int {
	if g.channels == nil {
		return channel
	}
	return g.channels[channel]
}

// plane returns the height and width of a batch of images; 1x1 of vectors.
func plane(t *engine.Tensor) (h, w int) {
	if len(t.Dims) != 4 {
		return 1, 1
	}
	return t.Dims[2], t.Dims[3]
}

// is reports whether n is a call of one of the operators; nil is none.
func is(n *onnxgraph.Node, ops ...string) bool { return n != nil && n.Is(ops...) }
