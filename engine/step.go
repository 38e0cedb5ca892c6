package engine

import (
	"fmt"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A step computes one node of the graph, or several that were fused.
type step interface {
	// run returns the outputs. Inputs that the node leaves out are nil. A result
	// may be a view of an input; see [exec.view].
	run(x *exec, in []*Tensor) ([]*Tensor, error)
}

// A differentiable step has a gradient.
type differentiable interface {
	step
	// grad returns the gradient of each input that want asks for; others may be
	// nil. dout holds the gradients of the outputs, nil where an output has none.
	// The values of in and out that reads does not name may have been given back:
	// only their Dims are to be used.
	grad(x *exec, in, out, dout []*Tensor, want []bool) ([]*Tensor, error)
	// reads says which inputs and outputs grad needs.
	reads() (in, out indices)
}

// A roomy step takes tensors as they lie in memory; all others are handed
// row-major ones.
type roomy interface{ anyLayout() }

// A fuser takes up the node that follows it, where it can.
type fuser interface {
	// fuse reports whether the step now also computes the node next, which reads
	// the step's only output as its input at. other is the slot of a second
	// operand that the step shall read as its last input, or -1.
	fuse(next *node, at int) (ok bool, other string)
}

// A finisher is told when no more nodes will be fused into it. It returns the
// inputs that it will not read at run time, since it keeps what it needs of them.
type finisher interface {
	finish() (done indices, err error)
}

// indices is a set of small numbers.
type indices uint64

// all are all indices.
const all = ^indices(0)

// only returns the set of the given numbers.
func only(list ...int) indices {
	var s indices
	for _, i := range list {
		s |= 1 << i
	}
	return s
}

func (s indices) has(i int) bool { return i < 64 && s>>i&1 != 0 }

// A maker builds the step of a node, or says why the engine cannot.
type maker func(*node) (step, error)

// A node is a call of an operator, as makers see it.
type node struct {
	*onnxgraph.Node
	opset int64
	plan  *planner
}

// has reports whether the node has input i.
func (n *node) has(i int) bool { return n.Input(i) != "" }

// constant returns input i where it is known when the model is compiled; nil
// where it is absent or computed, or where training will change it.
func (n *node) constant(i int) *Tensor { return n.plan.constants.get(n.Input(i)) }

// training reports whether the step is made for [CompileTraining].
func (n *node) training() bool { return n.plan.training }

// integers returns the elements of an int64 or int32 tensor.
func integers(t *Tensor) ([]int, error) {
	switch s := t.data.(type) {
	case []int64:
		return convert(s), nil
	case []int32:
		return convert(s), nil
	}
	return nil, fmt.Errorf("%v, want integers", t)
}

func convert[T int32 | int64](s []T) []int {
	out := make([]int, len(s))
	for i, v := range s {
		out[i] = int(v)
	}
	return out
}

// axis brings an axis that may count from the end into [0, rank).
func axis(a, rank int) (int, error) {
	if a < -rank || a >= rank {
		return 0, fmt.Errorf("axis %d of a tensor with %d dimensions", a, rank)
	}
	if a < 0 {
		a += rank
	}
	return a, nil
}
