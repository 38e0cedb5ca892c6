package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/vec"
)

// An exec is one run of a program at a time: its values, memory and workers.
type exec struct {
	ctx     context.Context
	team    *cpu.Team
	arena   *arena
	program *Program
	slots   []*Tensor
	temps   []*Tensor // of the step that runs
	current int       // index of the step that runs
	inputs  []int     // its input slots
	own     []any     // by step: memory that it keeps from run to run
}

// keep returns what the running step kept on this exec before, or makes it.
func keep[T any](x *exec, make func() T) T {
	if v, ok := x.own[x.current].(T); ok {
		return v
	}
	v := make()
	x.own[x.current] = v
	return v
}

// lend returns a float32 tensor with arbitrary contents, row-major or channels-last.
func (x *exec) lend(dims []int, last bool) (*Tensor, error) {
	n, err := elements(dims)
	if err != nil {
		return nil, err
	}
	m, err := x.arena.get(n)
	if err != nil {
		return nil, err
	}
	return &Tensor{Dims: dims, data: m.floats[:n], last: last, memory: m}, nil
}

// temporary is lend for memory that the step gives back when it returns.
func (x *exec) temporary(dims []int, last bool) (*Tensor, error) {
	t, err := x.lend(dims, last)
	if err == nil {
		x.temps = append(x.temps, t)
	}
	return t, err
}

// view returns t's elements under other dims of the same product. A view of a
// channels-last tensor is one only where the order of its elements stays.
func (x *exec) view(t *Tensor, dims []int) *Tensor {
	v := *t
	v.Dims = dims
	v.last = t.last && len(dims) == len(t.Dims)
	if v.memory != nil {
		v.memory.users++
	}
	return &v
}

// into returns a tensor for the result of an elementwise step: input i itself
// where this step is its last reader, else new memory of the same dims and order.
func (x *exec) into(in []*Tensor, i int) (*Tensor, error) {
	t := in[i]
	if t.memory != nil && t.memory.users == 1 && x.dies(i) {
		return x.view(t, t.Dims), nil
	}
	return x.lend(t.Dims, t.last)
}

// dies reports whether the running step is the last reader of its input i.
func (x *exec) dies(i int) bool {
	for _, slot := range x.program.calls[x.current].dies {
		if slot == x.inputs[i] {
			return x.program.retain == nil || !x.program.retain[slot]
		}
	}
	return false
}

// release gives back one use of a tensor's memory.
func (x *exec) release(t *Tensor) {
	if t != nil {
		x.arena.put(t.memory)
	}
}

// rowMajor returns t in row-major order, converted for the running step if need be.
func (x *exec) rowMajor(t *Tensor) (*Tensor, error) { return x.order(t, false) }

// channelsLast returns a float32 tensor of three dimensions or more in
// channels-last order, converted for the running step if need be.
func (x *exec) channelsLast(t *Tensor) (*Tensor, error) { return x.order(t, true) }

func (x *exec) order(t *Tensor, last bool) (*Tensor, error) {
	if t == nil || t.last == last {
		return t, nil
	}
	batch, channels, pixels := frame(t.Dims)
	if channels == 1 || pixels == 1 {
		v := *t
		v.last = last
		return &v, nil
	}
	to, err := x.temporary(t.Dims, last)
	if err != nil {
		return nil, err
	}
	from, _ := t.data.([]float32)
	if last {
		vec.ToChannelsLast(x.team, to.data.([]float32), from, batch, channels, pixels)
	} else {
		vec.ToChannelsFirst(x.team, to.data.([]float32), from, batch, channels, pixels)
	}
	return to, nil
}

// frame splits the dims of an image batch: [batch][channels][pixels...].
func frame(dims []int) (batch, channels, pixels int) {
	return dims[0], dims[1], product(dims[2:])
}

// do runs one call on the values of its slots and returns the outputs.
func (x *exec) do(i int) error {
	c := &x.program.calls[i]
	x.current, x.inputs = i, c.in
	_, room := c.step.(roomy)
	in, err := x.gather(c.in, x.slots, room)
	if err != nil {
		return x.located(c, err)
	}
	for k, slot := range c.in {
		if slot >= 0 && in[k] == nil {
			return x.located(c, fmt.Errorf("input %d: %q has no value", k, x.program.names[slot]))
		}
	}
	out, err := x.compute(c.step, in)
	if err != nil {
		return x.located(c, err)
	}
	for k, slot := range c.out {
		if k < len(out) && slot >= 0 {
			x.slots[slot] = out[k]
		}
	}
	x.clear()
	for _, slot := range c.dies {
		x.bury(slot)
	}
	return nil
}

// bury gives back a value after its last reader, unless the way back reads it
// too. What training leaves of a value is its dims.
func (x *exec) bury(slot int) {
	t, p := x.slots[slot], x.program
	if t == nil || p.retain != nil && p.retain[slot] {
		return
	}
	x.release(t)
	x.slots[slot] = nil
	if p.retain != nil {
		x.slots[slot] = &Tensor{Dims: t.Dims, last: t.last}
	}
}

// gather returns the tensors of some slots, in row-major order unless any order will do.
func (x *exec) gather(slots []int, from []*Tensor, room bool) ([]*Tensor, error) {
	out := make([]*Tensor, len(slots))
	for k, slot := range slots {
		if slot < 0 || from[slot] == nil {
			continue
		}
		t := from[slot]
		if !room && t.data != nil {
			var err error
			if t, err = x.rowMajor(t); err != nil {
				return nil, err
			}
		}
		out[k] = t
	}
	return out, nil
}

// clear gives back the temporary tensors of the step that ran.
func (x *exec) clear() {
	for _, t := range x.temps {
		x.release(t)
	}
	x.temps = x.temps[:0]
}

// located puts the file and the node in front of an error.
func (x *exec) located(c *call, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return x.program.errorAt(c.node, err)
}
