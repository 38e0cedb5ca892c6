package engine

import (
	"errors"
	"fmt"

	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A NonFiniteError says where the first NaN or infinity of a run appeared.
type NonFiniteError struct {
	Path    string
	Node    *onnxgraph.Node // nil: the value is an input or a weight
	Value   string
	Element int // of the value, in row-major order
	Number  float32
}

func (e *NonFiniteError) Error() string {
	if e.Node == nil {
		return fmt.Sprintf("%s: %q: element %d is %v", e.Path, e.Value, e.Element, e.Number)
	}
	return fmt.Sprintf("%s: %v: %q becomes %v first, in element %d", e.Path, e.Node, e.Value, e.Number, e.Element)
}

// suspicious returns an error for the first element of t that is not finite.
func suspicious(path, name string, t *Tensor) *NonFiniteError {
	f := t.Float32s()
	if i := vec.FirstNonFinite(f); i >= 0 {
		return &NonFiniteError{Path: path, Value: name, Element: i, Number: f[i]}
	}
	return nil
}

func finite(out map[string]*Tensor) bool {
	for name, t := range out {
		if suspicious("", name, t) != nil {
			return false
		}
	}
	return true
}

// culprit runs again, looking at every value, and returns where the first
// number that is not finite appears: in an input, in a weight, or behind a node.
func (x *exec) culprit(in map[string]*Tensor) error {
	p := x.program
	for _, v := range p.inputs {
		if e := suspicious(p.model.Path, v.Name, in[v.Name]); e != nil {
			return e
		}
	}
	if p.suspect != nil {
		return p.suspect
	}
	x.reset()
	x.feed(in)
	for i := range p.calls {
		if err := x.do(i); err != nil {
			return err
		}
		for _, slot := range p.calls[i].out {
			if slot < 0 || x.slots[slot] == nil {
				continue
			}
			t, err := x.rowMajor(x.slots[slot])
			if err != nil {
				return err
			}
			e := suspicious(p.model.Path, p.names[slot], t)
			x.clear()
			if e != nil {
				e.Node = p.calls[i].node
				return e
			}
		}
	}
	return errors.New("a value is not finite")
}
