package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Options of a program.
type Options struct {
	// Workers is how many cores a run uses; 0: all.
	Workers int
	// Memory is the most that the values of one run may take, in bytes; 0: no limit.
	Memory int64
	// Reserve lends the memory for values; nil: the program reserves its own.
	Reserve *Reserve
	// Keep names values to be returned beside the model's outputs.
	Keep []string
	// Finite makes a NaN or an infinity in an output an error, which names the
	// node where the first one appeared.
	Finite bool
}

// A Program is a model ready to run. It is safe for concurrent use.
type Program struct {
	model   *onnxgraph.Model
	options Options
	inputs  []Port
	outputs []Port
	names   []string
	slots   map[string]int
	calls   []call
	fixed   []*Tensor // by slot: constants that runs read
	// retain marks, in training, the slots whose values the way back reads.
	retain []bool
	// suspect is the first weight that is not finite; nil where all are.
	suspect *NonFiniteError

	mutex sync.Mutex
	idle  []*exec
	// fits remembers, by the dims of the inputs, what memory a run takes.
	fits map[string]int64
}

// A Port is an input or output of a program.
type Port struct {
	Name  string
	Type  onnxgraph.DataType
	Shape onnxgraph.Shape
}

// Compile plans the computation of a model and packs its weights. Errors name the
// node that the engine cannot run, and why.
func Compile(ctx context.Context, m *onnxgraph.Model, o Options) (*Program, error) {
	return compile(ctx, &planner{model: m, types: m.Infer(), constants: newConstants(m), slots: map[string]int{}}, o)
}

func compile(ctx context.Context, p *planner, o Options) (*Program, error) {
	m := p.model
	g := &Program{model: m, options: o, fits: map[string]int64{}}
	for _, v := range m.Graph.RealInputs() {
		g.inputs = append(g.inputs, Port{v.Name, v.Type.Elem, v.Type.Shape})
		p.slot(v.Name)
	}
	for _, v := range m.Graph.Outputs {
		g.outputs = append(g.outputs, Port{v.Name, v.Type.Elem, p.types.Of(v.Name).Shape})
	}
	for _, name := range o.Keep {
		if p.types.Of(name).Kind == "" && m.Graph.Index().Producer[name] == nil {
			return nil, fmt.Errorf("%s: no value is called %q", m.Path, name)
		}
		t := p.types.Of(name)
		g.outputs = append(g.outputs, Port{name, t.Elem, t.Shape})
	}
	wanted := make([]string, len(g.outputs))
	for i, v := range g.outputs {
		wanted[i] = v.Name
		p.slot(v.Name)
	}
	if err := p.plan(ctx, wanted); err != nil {
		return nil, err
	}
	g.calls, g.names, g.slots = p.calls, p.names, p.slots
	g.fixed = make([]*Tensor, len(p.names))
	for _, c := range g.calls {
		for _, slot := range c.in {
			if slot >= 0 {
				g.fixed[slot] = p.constants.get(g.names[slot])
			}
		}
	}
	for _, name := range wanted {
		g.fixed[p.slots[name]] = p.constants.get(name)
	}
	g.suspect = p.constants.suspect
	return g, p.constants.err
}

// Inputs lists what a run needs, in the order of the model.
func (p *Program) Inputs() []Port { return slices.Clone(p.inputs) }

// Outputs lists what a run gives: the model's outputs, then the kept values.
func (p *Program) Outputs() []Port { return slices.Clone(p.outputs) }

// Run computes the outputs for the given inputs, by name. It returns an error
// that names the node where something does not fit, a *[MemoryError] before
// it would take more memory than it may, a *[NonFiniteError] with
// [Options.Finite], and the context's error when that ends.
func (p *Program) Run(ctx context.Context, in map[string]*Tensor) (map[string]*Tensor, error) {
	if err := p.check(in); err != nil {
		return nil, err
	}
	if err := p.rehearse(in); err != nil {
		return nil, err
	}
	x := p.acquire(ctx)
	defer p.dismiss(x)
	out, err := x.all(in)
	if err != nil || !p.options.Finite || finite(out) {
		return out, err
	}
	return nil, x.culprit(in)
}

// once runs one call outside a program, to fold constants.
func once(c call, in []*Tensor) ([]*Tensor, error) {
	x := &exec{
		ctx: context.Background(), team: cpu.NewTeam(1), arena: &arena{limit: largest},
		program: &Program{calls: []call{c}}, inputs: c.in, own: make([]any, 1),
	}
	out, err := x.compute(c.step, in)
	if err != nil {
		return nil, err
	}
	for i, t := range out {
		if t == nil {
			continue
		}
		if t, err = x.rowMajor(t); err != nil {
			return nil, err
		}
		out[i] = &Tensor{Dims: t.Dims, data: t.data}
	}
	return out, nil
}

// check compares the given inputs with those that the model declares.
func (p *Program) check(in map[string]*Tensor) error {
	for _, v := range p.inputs {
		t := in[v.Name]
		if t == nil {
			return fmt.Errorf("%s: input %q is missing", p.model.Path, v.Name)
		}
		if t.Type() != v.Type || !matches(t.Dims, v.Shape) {
			return fmt.Errorf("%s: input %q is %v, want %v %v", p.model.Path, v.Name, t, v.Type, v.Shape)
		}
	}
	for name := range in {
		if !slices.ContainsFunc(p.inputs, func(v Port) bool { return v.Name == name }) {
			return fmt.Errorf("%s: the model has no input %q", p.model.Path, name)
		}
	}
	return nil
}

func matches(dims []int, s onnxgraph.Shape) bool {
	if s == nil {
		return true
	}
	if len(s) != len(dims) {
		return false
	}
	for i, d := range s {
		if d.Known() && d.N != int64(dims[i]) {
			return false
		}
	}
	return true
}

// acquire returns an idle exec, or a new one.
func (p *Program) acquire(ctx context.Context) *exec {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if n := len(p.idle); n > 0 {
		x := p.idle[n-1]
		p.idle = p.idle[:n-1]
		x.ctx = ctx
		return x
	}
	return p.newExec(ctx)
}

func (p *Program) newExec(ctx context.Context) *exec {
	a := new(arena)
	if p.options.Reserve != nil {
		a = &p.options.Reserve.arena
	}
	a.limit = p.options.Memory
	return &exec{
		ctx: ctx, team: cpu.NewTeam(p.options.Workers), program: p, arena: a,
		slots: make([]*Tensor, len(p.names)), own: make([]any, len(p.calls)),
	}
}

// dismiss gives back all that a run left behind and keeps the exec for the next.
func (p *Program) dismiss(x *exec) {
	x.reset()
	x.ctx = nil
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.idle = append(p.idle, x)
}

// reset gives back all values.
func (x *exec) reset() {
	x.clear()
	for i, t := range x.slots {
		x.release(t)
		x.slots[i] = nil
	}
}

// all runs every call and takes the outputs out of the exec.
func (x *exec) all(in map[string]*Tensor) (map[string]*Tensor, error) {
	x.feed(in)
	for i := range x.program.calls {
		if err := x.ctx.Err(); err != nil {
			return nil, err
		}
		if err := x.do(i); err != nil {
			return nil, err
		}
	}
	return x.collect()
}

// feed puts constants and inputs into their slots.
func (x *exec) feed(in map[string]*Tensor) {
	copy(x.slots, x.program.fixed)
	for name, t := range in {
		x.slots[x.program.slots[name]] = t
	}
}

// collect returns the outputs, row-major and in memory that is the caller's.
func (x *exec) collect() (map[string]*Tensor, error) {
	out := make(map[string]*Tensor, len(x.program.outputs))
	for _, v := range x.program.outputs {
		t := x.slots[x.program.slots[v.Name]]
		if t == nil {
			return nil, fmt.Errorf("%s: output %q has no value", x.program.model.Path, v.Name)
		}
		t, err := x.rowMajor(t)
		if err != nil {
			return nil, err
		}
		out[v.Name] = t.owned()
	}
	return out, nil
}

// owned returns t in memory of its own.
func (t *Tensor) owned() *Tensor {
	if t.memory == nil {
		return &Tensor{Dims: t.Dims, data: t.data}
	}
	return of(slices.Clone(t.Dims), slices.Clone(t.data.([]float32)))
}

// errorAt puts the file and the node in front of an error.
func (p *Program) errorAt(n *onnxgraph.Node, err error) error { return errorAt(p.model, n, err) }

func errorAt(m *onnxgraph.Model, n *onnxgraph.Node, err error) error {
	return fmt.Errorf("%s: %v: %w", m.Path, n, err)
}
