package refit

import (
	"context"
	"fmt"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A part is a stretch of a network from one value to others, ready to run.
type part struct {
	program *engine.Program
	from    string
	chunk   int // samples in a run
}

// chunkBytes bounds the memory of the values of one run.
const chunkBytes = 96 << 20

// newPart prepares the stretch of m between two values. m takes any batch.
func newPart(ctx context.Context, m *onnxgraph.Model, types *onnxgraph.Types, from string, to []string, workers int) (*part, error) {
	var want []string
	for _, name := range to {
		if name != from {
			want = append(want, name)
		}
	}
	p := &part{from: from, chunk: 64}
	if len(want) == 0 {
		return p, nil
	}
	sub, err := m.Extract([]*onnxgraph.Value{{Name: from, Type: types.Of(from)}}, want)
	if err != nil {
		return nil, err
	}
	if p.program, err = engine.Compile(ctx, sub, engine.Options{Workers: workers}); err != nil {
		return nil, err
	}
	shape := types.Of(from).Shape
	dims := []int{1}
	for _, d := range shape[1:] {
		if !d.Known() {
			return nil, fmt.Errorf("%s: %q is %v: its dimensions but the first must be known", m.Path, from, shape)
		}
		dims = append(dims, int(d.N))
	}
	if need, ok := p.program.Memory(map[string][]int{from: dims}); ok && need > 0 {
		p.chunk = int(max(1, min(64, chunkBytes/need)))
	}
	return p, nil
}

// run computes the wanted values for the samples first to last of x, and gives
// them to visit a chunk at a time.
func (p *part) run(ctx context.Context, x *Value, first, last int, visit func(first, last int, out map[string]*engine.Tensor) error) error {
	for i := first; i < last; i += p.chunk {
		j := min(i+p.chunk, last)
		in, err := x.Slice(i, j).tensor()
		if err != nil {
			return err
		}
		out := map[string]*engine.Tensor{}
		if p.program != nil {
			if out, err = p.program.Run(ctx, map[string]*engine.Tensor{p.from: in}); err != nil {
				return err
			}
		}
		out[p.from] = in
		if err := visit(i, j, out); err != nil {
			return err
		}
	}
	return nil
}

// all computes one wanted value for all samples of x.
func (p *part) all(ctx context.Context, x *Value, name string) (*Value, error) {
	var v *Value
	err := p.run(ctx, x, 0, x.Len(), func(first, last int, out map[string]*engine.Tensor) error {
		t := out[name]
		if v == nil {
			v = NewValue(x.Len(), t.Dims[1:])
		}
		copy(v.Slice(first, last).Data, t.Float32s())
		return nil
	})
	return v, err
}

// Advance computes a value of a network from another one, for all samples.
func (f *Fitter) Advance(ctx context.Context, m *onnxgraph.Model, from, to string, x *Value) (*Value, error) {
	if from == to {
		return x, nil
	}
	types := f.Types
	if m != f.Original {
		types = m.Infer()
	}
	p, err := newPart(ctx, m, types, from, []string{to}, f.Workers)
	if err != nil {
		return nil, err
	}
	return p.all(ctx, x, to)
}
