package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A call is a step with the slots that it reads and writes.
type call struct {
	step step
	node *onnxgraph.Node // the first node that the step computes
	in   []int           // slots; -1: absent
	out  []int           // slots; -1: not wanted
	dies []int           // slots whose last reader this is
	// finished says that nothing more will be fused into the step.
	finished bool
}

// A planner turns the nodes of a model into calls.
type planner struct {
	model    *onnxgraph.Model
	training bool
	// batchStatistics is TrainingOptions.BatchStatistics.
	batchStatistics bool
	types           *onnxgraph.Types
	constants       constants
	slots           map[string]int
	names           []string // by slot
	calls           []call
	writer          map[string]int // index of the call that makes a value
	kept            map[string]bool
}

// plan makes the calls of all nodes that the wanted values depend on.
func (p *planner) plan(ctx context.Context, wanted []string) error {
	p.kept = make(map[string]bool, len(wanted))
	for _, name := range wanted {
		p.kept[name] = true
	}
	p.writer = map[string]int{}
	needed := p.needed(wanted)
	for _, name := range wanted {
		p.constants.readers[name]++
	}
	for _, n := range p.model.Graph.Nodes {
		if !needed[n.Index] {
			continue
		}
		for _, name := range n.Inputs {
			p.constants.readers[name]++
		}
	}
	for _, n := range p.model.Graph.Nodes {
		if !needed[n.Index] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := p.add(&node{Node: n, opset: max(p.model.OpsetVersion(), 1), plan: p})
		if p.constants.err != nil {
			return p.constants.err
		}
		if err != nil {
			return errorAt(p.model, n, err)
		}
	}
	for i := range p.calls {
		if err := p.finish(&p.calls[i]); err != nil {
			return err
		}
	}
	p.bury()
	return p.constants.err
}

// finish ends the making of a call: nothing will be fused into it any more.
func (p *planner) finish(c *call) error {
	f, ok := c.step.(finisher)
	if !ok || c.finished {
		return nil
	}
	c.finished = true
	done, err := f.finish()
	if err != nil {
		return errorAt(p.model, c.node, err)
	}
	for k, slot := range c.in {
		if slot >= 0 && done.has(k) {
			c.in[k] = -1
			p.constants.let(p.names[slot])
		}
	}
	return nil
}

// needed marks, by index, the nodes that the wanted values depend on.
func (p *planner) needed(wanted []string) map[int]bool {
	producer := p.model.Graph.Index().Producer
	marked := map[int]bool{}
	for stack := wanted; len(stack) > 0; {
		name := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := producer[name]
		if n == nil || marked[n.Index] {
			continue
		}
		marked[n.Index] = true
		stack = append(append(stack, n.Inputs...), n.Captures...)
	}
	return marked
}

// add makes the call of a node: folded where all inputs are constant, fused
// into the call before it where that one can, or a step of its own.
func (p *planner) add(n *node) error {
	make, ok := operators[n.OpType]
	if n.Domain != "" {
		return fmt.Errorf("operators of domain %q are not supported", n.Domain)
	}
	if !ok {
		return errors.New("the operator is not supported")
	}
	if p.fuse(n) {
		return nil
	}
	s, err := make(n)
	if err != nil {
		return err
	}
	c := call{step: s, node: n.Node}
	for _, name := range n.Inputs {
		c.in = append(c.in, p.slot(name))
	}
	for _, name := range n.Outputs {
		c.out = append(c.out, p.slot(name))
	}
	if p.foldable(n) {
		if folded, err := p.fold(n, c); folded || err != nil {
			return err
		}
	}
	for _, name := range n.Outputs {
		p.writer[name] = len(p.calls)
	}
	p.calls = append(p.calls, c)
	return p.settle(n)
}

// settle finishes the calls that a node reads from, since it was not fused into
// them and nothing else will be.
func (p *planner) settle(n *node) error {
	for _, name := range n.Inputs {
		if w, ok := p.writer[name]; ok && p.private(name) {
			if err := p.finish(&p.calls[w]); err != nil {
				return err
			}
		}
	}
	return nil
}

// slot returns the slot of a value, -1 for the empty name.
func (p *planner) slot(name string) int {
	if name == "" {
		return -1
	}
	if i, ok := p.slots[name]; ok {
		return i
	}
	p.slots[name] = len(p.names)
	p.names = append(p.names, name)
	return len(p.names) - 1
}

// foldable reports whether all that a node reads is constant.
func (p *planner) foldable(n *node) bool {
	if n.Is("Dropout") && p.training {
		return false
	}
	for _, name := range n.Inputs {
		if name != "" && !p.constants.has(name) {
			return false
		}
	}
	return true
}

// largest is the most memory that a constant worked out while planning may
// take, in bytes. Larger ones are left to the run, which has a limit.
const largest = 256 << 20

// fold runs a call now and makes its outputs constants, unless they are too large.
func (p *planner) fold(n *node, c call) (bool, error) {
	in := make([]*Tensor, len(n.Inputs))
	for i := range in {
		in[i] = n.constant(i)
	}
	if p.constants.err != nil {
		return false, p.constants.err
	}
	out, err := once(c, in)
	var large *MemoryError
	if errors.As(err, &large) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for i, name := range n.Outputs {
		if name != "" && i < len(out) {
			p.constants.known[name] = out[i]
		}
	}
	for _, name := range n.Inputs {
		p.constants.let(name)
	}
	return true, nil
}

// fuse lets the call that makes one of the node's inputs take the node up.
// Nobody else may read that value, and it may not be wanted itself.
func (p *planner) fuse(n *node) bool {
	if len(n.Outputs) == 0 || n.Outputs[0] == "" {
		return false
	}
	best, at := -1, -1
	for i, name := range n.Inputs {
		w, ok := p.writer[name]
		if ok && w > best && p.private(name) {
			best, at = w, i
		}
	}
	if best < 0 {
		return false
	}
	c := &p.calls[best]
	f, ok := c.step.(fuser)
	if !ok || len(c.node.Outputs) != 1 && !c.node.Is("BatchNormalization") {
		return false
	}
	ok, other := f.fuse(n, at)
	if !ok {
		return false
	}
	if other != "" {
		c.in = append(c.in, p.slot(other))
	}
	c.out[0] = p.slot(n.Outputs[0])
	p.writer[n.Outputs[0]] = best
	return true
}

// private reports whether a value has one reader and is not wanted itself.
func (p *planner) private(name string) bool {
	return !p.kept[name] && len(p.model.Graph.Index().Consumers[name]) == 1
}

// before reports whether a value is there when the call that makes another one runs.
func (p *planner) before(name, other string) bool {
	w, made := p.writer[name]
	return !made || w < p.writer[other]
}

// sameShape reports whether two values certainly have the same shape.
func (p *planner) sameShape(a, b string) bool {
	return p.types.Of(a).Shape.Equal(p.types.Of(b).Shape)
}

// bury finds the last reader of every value that is not wanted.
func (p *planner) bury() {
	wanted := make([]bool, len(p.names))
	for name := range p.kept {
		if i, ok := p.slots[name]; ok {
			wanted[i] = true
		}
	}
	for i := len(p.calls) - 1; i >= 0; i-- {
		c := &p.calls[i]
		for _, slot := range append(append([]int{}, c.in...), c.out...) {
			if slot >= 0 && !wanted[slot] {
				wanted[slot] = true
				c.dies = append(c.dies, slot)
			}
		}
	}
}
