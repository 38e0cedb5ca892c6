package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/backend"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Options say how a network is run.
type Options struct {
	Runtime backend.Runtime // nil: the default one
	Workers int             // cores; 0: all
	Memory  int64           // the most that values may take, in bytes; 0: no limit
}

func (o Options) withDefaults() (Options, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	var err error
	if o.Runtime == nil {
		o.Runtime, err = backend.Find(backend.Default)
	}
	return o, err
}

// A Model is a network of one input, opened to be measured.
type Model struct {
	Path    string
	Runtime backend.Runtime
	Input   engine.Port
	// Output is the one that is measured: the first of shape N x classes or
	// N x classes x 1 x 1. Where there is none it is the first of float32, and
	// what it means is unknown.
	Output engine.Port
	// Classes is the number of classes; 0: the output has no classes, or their
	// number is not known before the run.
	Classes int
	// Classifies reports whether the output is scores of classes.
	Classifies bool
	// Batch is the batch that the network is made for; 0: any.
	Batch int
	// Workers is how many cores compute.
	Workers int

	session backend.Session
}

// Open prepares a network. One that is made for a certain batch runs on several
// batches at once, each on one core.
func Open(ctx context.Context, m *onnxgraph.Model, o Options) (*Model, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	in, err := input(m)
	if err != nil {
		return nil, err
	}
	model := &Model{Path: m.Path, Runtime: o.Runtime, Input: in, Workers: o.Workers}
	if err := model.chooseOutput(m); err != nil {
		return nil, err
	}
	run := backend.Options{Workers: o.Workers, Memory: o.Memory, Finite: true}
	if d := in.Shape[0]; d.Known() {
		model.Batch = int(d.N)
		run.Workers, run.Memory = 1, o.Memory/int64(o.Workers)
	}
	model.session, err = o.Runtime.Open(ctx, m, run)
	return model, err
}

// Close gives back what the runtime holds.
func (m *Model) Close() error { return m.session.Close() }

// input returns the only input, where networks on pictures take a batch.
func input(m *onnxgraph.Model) (engine.Port, error) {
	list := m.Graph.RealInputs()
	if len(list) != 1 {
		return engine.Port{}, fmt.Errorf("%s: has %d inputs, want one", m.Path, len(list))
	}
	v := list[0]
	p := engine.Port{Name: v.Name, Type: v.Type.Elem, Shape: v.Type.Shape}
	switch {
	case v.Type.Kind != "tensor" || p.Type != onnxgraph.Float32:
		return p, fmt.Errorf("%s: input %q is %s %v, want float32", m.Path, v.Name, v.Type.Kind, p.Type)
	case len(p.Shape) == 0:
		return p, fmt.Errorf("%s: input %q has no dimensions that are known, want a batch in the first", m.Path, v.Name)
	case p.Shape[0].Known() && p.Shape[0].N < 1:
		return p, fmt.Errorf("%s: input %q is %v, want a batch of at least 1", m.Path, v.Name, p.Shape)
	}
	return p, nil
}

func (m *Model) chooseOutput(graph *onnxgraph.Model) error {
	types := graph.Infer()
	var others []engine.Port
	for _, v := range graph.Graph.Outputs {
		t := types.Of(v.Name)
		p := engine.Port{Name: v.Name, Type: t.Elem, Shape: t.Shape}
		if t.Kind != "tensor" || p.Type != onnxgraph.Float32 {
			continue
		}
		if scores(p.Shape) {
			m.Output, m.Classifies = p, true
			if d := p.Shape[1]; d.Known() {
				m.Classes = int(d.N)
			}
			return nil
		}
		others = append(others, p)
	}
	if others == nil {
		return fmt.Errorf("%s: has no output of float32", m.Path)
	}
	m.Output = others[0]
	return nil
}

// scores reports whether a shape is that of scores of classes.
func scores(s onnxgraph.Shape) bool {
	one := onnxgraph.Const(1)
	return len(s) == 2 || len(s) == 4 && s[2].Equal(one) && s[3].Equal(one)
}

// Sample returns the shape of one sample of the input, without the batch. given
// is that of the data at hand, nil for none; where both are known they must agree.
func (m *Model) Sample(given []int) ([]int, error) {
	want := m.Input.Shape[1:]
	if given == nil {
		for _, d := range want {
			if !d.Known() {
				return nil, fmt.Errorf("%s: input %q is %v: its size is open, so data have to say it", m.Path, m.Input.Name, m.Input.Shape)
			}
			given = append(given, int(d.N))
		}
		return given, nil
	}
	fits := len(given) == len(want)
	for i := range given {
		fits = fits && (!want[i].Known() || int(want[i].N) == given[i])
	}
	if !fits {
		return nil, misfit("%s: input %q is %v, a sample of the data is %s", m.Path, m.Input.Name, m.Input.Shape, spell(given))
	}
	return given, nil
}

// spell writes dims as users do: 3x32x32.
func spell(dims []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(dims), " ", "x"), "[]")
}

// Run returns the output for each of n samples of that shape, which lie one
// after the other.
func (m *Model) Run(ctx context.Context, samples []float32, shape []int) ([][]float32, error) {
	size := 1
	for _, d := range shape {
		size *= d
	}
	if size == 0 || len(samples)%size != 0 {
		return nil, fmt.Errorf("%s: %d values are no samples of %s", m.Path, len(samples), spell(shape))
	}
	n := len(samples) / size
	if n == 0 {
		return nil, nil
	}
	if m.Batch == 0 {
		return m.run(ctx, samples, n, shape)
	}
	out := make([][][]float32, (n+m.Batch-1)/m.Batch)
	err := m.each(ctx, len(out), func(ctx context.Context, i int) error {
		from, to := i*m.Batch, min(n, (i+1)*m.Batch)
		piece := samples[from*size : to*size]
		if to-from < m.Batch {
			piece = append(slices.Clone(piece), make([]float32, (m.Batch-to+from)*size)...)
		}
		rows, err := m.run(ctx, piece, m.Batch, shape)
		if err == nil {
			out[i] = rows[:to-from]
		}
		return err
	})
	return slices.Concat(out...), err
}

// each calls f for 0 to n-1 on as many cores as there are workers, and ends with
// the first error.
func (m *Model) each(ctx context.Context, n int, f func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(m.Workers, n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// run runs one batch of n samples.
func (m *Model) run(ctx context.Context, samples []float32, n int, shape []int) ([][]float32, error) {
	in, err := engine.New(append([]int{n}, shape...), samples)
	if err != nil {
		return nil, err
	}
	values, err := m.session.Run(ctx, map[string]*engine.Tensor{m.Input.Name: in})
	if err != nil {
		return nil, m.explain(err)
	}
	out := values[m.Output.Name]
	data := out.Float32s()
	if len(data) == 0 || len(out.Dims) == 0 || out.Dims[0] != n {
		return nil, fmt.Errorf("%s: output %q is %v for a batch of %d", m.Path, m.Output.Name, out, n)
	}
	return slices.Collect(slices.Chunk(data, len(data)/n)), nil
}

// explain says of which network an engine speaks that wants more memory.
func (m *Model) explain(err error) error {
	var memory *engine.MemoryError
	switch {
	case !errors.As(err, &memory):
		return err
	case m.Batch > 0 && m.Workers > 1:
		return fmt.Errorf("%s: a run %w; %d runs at a time share what is allowed", m.Path, err, m.Workers)
	}
	return fmt.Errorf("%s: a run %w", m.Path, err)
}

// errNoClasses says that accuracy makes no sense.
func (m *Model) errNoClasses() error {
	return misfit("%s: has no output of scores of classes (float32, N x classes or N x classes x 1 x 1), want one to measure accuracy and agreement", m.Path)
}
