package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// TrainingOptions of a program whose parameters change.
type TrainingOptions struct {
	Options
	// BatchStatistics makes BatchNormalization use the statistics of the batch
	// and update its running ones; else it uses the running ones.
	BatchStatistics bool
	// OneWay says that Backward will never be called, so that nothing is kept for it.
	OneWay bool
	// InputGradients makes Backward return the gradients of the model's inputs too.
	InputGradients bool
}

// A Training runs a model forwards and backwards. One goroutine at a time uses it.
type Training struct {
	program *Program
	options TrainingOptions
	exec    *exec
	params  []*Param  // by slot
	wants   []bool    // by slot: a gradient is needed
	grads   []*Tensor // by slot, on the way back
	ran     bool      // forwards, and not back yet
}

// CompileTraining plans both ways through a model. Initializers that params
// has are read from there, at every run, so that models can share them; the
// others are constants. Only parameters that are not frozen get gradients.
func CompileTraining(ctx context.Context, m *onnxgraph.Model, params Params, o TrainingOptions) (*Training, error) {
	p := &planner{
		model: m, types: m.Infer(), constants: newConstants(m), slots: map[string]int{},
		training: true, batchStatistics: o.BatchStatistics,
	}
	for _, t := range m.Graph.Initializers {
		own := params[t.Name]
		if own == nil {
			continue
		}
		if !slices.Equal(own.Dims, shapeOf(t)) {
			return nil, fmt.Errorf("%s: parameter %q is %s, the model declares %v", m.Path, t.Name, spell(own.Dims), t.Shape())
		}
		delete(p.constants.unread, t.Name)
	}
	g, err := compile(ctx, p, o.Options)
	if err != nil {
		return nil, err
	}
	t := &Training{program: g, options: o, grads: make([]*Tensor, len(g.names)), params: make([]*Param, len(g.names))}
	for name, own := range params {
		if i, ok := g.slots[name]; ok {
			t.params[i] = own
			g.fixed[i] = of(own.Dims, own.Value)
		}
	}
	t.route()
	t.exec = g.newExec(context.Background())
	return t, nil
}

// route marks the slots that gradients flow through and those whose values the
// way back reads.
func (t *Training) route() {
	p := t.program
	t.wants = make([]bool, len(p.names))
	p.retain = make([]bool, len(p.names))
	if t.options.OneWay {
		return
	}
	for i, own := range t.params {
		t.wants[i] = own != nil && !own.Frozen
	}
	if t.options.InputGradients {
		for _, v := range p.inputs {
			t.wants[p.slots[v.Name]] = v.Type == onnxgraph.Float32
		}
	}
	for _, c := range p.calls {
		if !slices.ContainsFunc(c.in, t.wanted) {
			continue
		}
		for _, slot := range c.out {
			if slot >= 0 {
				t.wants[slot] = true
			}
		}
		if d, ok := c.step.(differentiable); ok {
			in, out := d.reads()
			mark(p.retain, c.in, in)
			mark(p.retain, c.out, out)
		}
	}
}

func mark(marks []bool, slots []int, which indices) {
	for i, slot := range slots {
		if slot >= 0 && which.has(i) {
			marks[slot] = true
		}
	}
}

func (t *Training) wanted(slot int) bool { return slot >= 0 && t.wants[slot] }

// Forward computes the outputs, as [Program.Run] does, and remembers what
// [Training.Backward] needs.
func (t *Training) Forward(ctx context.Context, in map[string]*Tensor) (map[string]*Tensor, error) {
	p := t.program
	if err := p.check(in); err != nil {
		return nil, err
	}
	if err := p.rehearse(in); err != nil {
		return nil, err
	}
	t.exec.ctx = ctx
	t.exec.reset()
	out, err := t.exec.all(in)
	if err == nil && p.options.Finite && !finite(out) {
		err = t.exec.culprit(in)
	}
	if t.ran = err == nil && !t.options.OneWay; !t.ran {
		t.exec.reset()
	}
	return out, err
}

// Backward takes the gradients of outputs, by name, and adds those of the
// parameters to their Grad. It returns the gradients of the float32 inputs, if
// they were asked for. It follows one call of Forward.
func (t *Training) Backward(ctx context.Context, dout map[string]*Tensor) (map[string]*Tensor, error) {
	if !t.ran {
		return nil, errors.New("no way back: Forward has not run")
	}
	t.ran = false
	x, p := t.exec, t.program
	x.ctx = ctx
	defer t.forget()
	for name, g := range dout {
		slot, ok := p.slots[name]
		if !ok || !slices.ContainsFunc(p.outputs, func(v Port) bool { return v.Name == name }) {
			return nil, fmt.Errorf("%s: no output is called %q", p.model.Path, name)
		}
		if y := x.slots[slot]; y == nil || !slices.Equal(g.Dims, y.Dims) || y.Type() != onnxgraph.Float32 || g.Type() != onnxgraph.Float32 {
			return nil, fmt.Errorf("%s: the gradient of %q is %v, the output %v", p.model.Path, name, g, y)
		}
		if err := t.arrive(slot, g); err != nil {
			return nil, err
		}
	}
	for i := len(p.calls) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := t.back(i); err != nil {
			return nil, p.errorAt(p.calls[i].node, err)
		}
	}
	return t.inputGradients()
}

func (t *Training) inputGradients() (map[string]*Tensor, error) {
	if !t.options.InputGradients {
		return nil, nil
	}
	out := map[string]*Tensor{}
	for _, v := range t.program.inputs {
		if g := t.grads[t.program.slots[v.Name]]; g != nil {
			g, err := t.exec.rowMajor(g)
			if err != nil {
				return nil, err
			}
			out[v.Name] = g.owned()
		}
	}
	return out, nil
}

// forget gives back all values and gradients.
func (t *Training) forget() {
	t.exec.reset()
	for i, g := range t.grads {
		t.exec.release(g)
		t.grads[i] = nil
	}
}

// back takes the gradient through one call, if one arrived, and gives back what
// nobody needs any more.
func (t *Training) back(i int) error {
	x, c := t.exec, &t.program.calls[i]
	x.current, x.inputs = i, c.in
	arrived := slices.ContainsFunc(c.out, func(slot int) bool { return slot >= 0 && t.grads[slot] != nil })
	if arrived && slices.ContainsFunc(c.in, t.wanted) {
		if err := t.through(c); err != nil {
			return err
		}
	}
	x.clear()
	for _, slot := range c.out {
		if slot < 0 {
			continue
		}
		x.release(t.grads[slot])
		x.release(x.slots[slot])
		t.grads[slot], x.slots[slot] = nil, nil
	}
	return nil
}

// through computes the gradients of a call's inputs and sends them on.
func (t *Training) through(c *call) error {
	d, ok := c.step.(differentiable)
	if !ok {
		return errors.New("the operator has no gradient")
	}
	x := t.exec
	_, room := c.step.(roomy)
	in, err := x.gather(c.in, x.slots, room)
	if err != nil {
		return err
	}
	out, err := x.gather(c.out, x.slots, room)
	if err != nil {
		return err
	}
	dout, err := x.gather(c.out, t.grads, room)
	if err != nil {
		return err
	}
	want := make([]bool, len(c.in))
	for k, slot := range c.in {
		want[k] = t.wanted(slot)
	}
	din, err := d.grad(x, in, out, dout, want)
	if err != nil {
		return err
	}
	for k, g := range din {
		if g == nil {
			continue
		}
		if want[k] {
			if err := t.arrive(c.in[k], g); err != nil {
				return err
			}
		}
		x.release(g)
	}
	return nil
}

// arrive adds a gradient to that of a value. It takes a share of g's memory if
// it keeps it.
func (t *Training) arrive(slot int, g *Tensor) error {
	x := t.exec
	if own := t.params[slot]; own != nil {
		return t.accumulate(own, g)
	}
	have := t.grads[slot]
	if have == nil {
		t.grads[slot] = x.view(g, g.Dims)
		return nil
	}
	g, err := x.order(g, have.last)
	if err != nil {
		return err
	}
	sum := have
	if have.memory == nil || have.memory.users > 1 {
		if sum, err = x.lend(have.Dims, have.last); err != nil {
			return err
		}
		x.release(have)
	}
	x.add(sum, have, g)
	t.grads[slot] = sum
	return nil
}

// add sets to to a + b, of equal dims and order.
func (x *exec) add(to, a, b *Tensor) {
	dst, left, right := to.data.([]float32), a.data.([]float32), b.data.([]float32)
	vec.Parallel(x.team, len(dst), func(from, end int) { vec.Add(dst[from:end], left[from:end], right[from:end]) })
}

func (t *Training) accumulate(own *Param, g *Tensor) error {
	g, err := t.exec.rowMajor(g)
	if err != nil {
		return err
	}
	if own.Grad == nil {
		own.Grad = make([]float32, len(own.Value))
	}
	vec.Add(own.Grad, own.Grad, g.data.([]float32))
	return nil
}
