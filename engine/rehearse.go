package engine

import (
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Memory returns the bytes that the values of a run with inputs of those dims
// take at most, or false where shapes depend on values. Weights and what a
// worker needs for itself come on top.
func (p *Program) Memory(inputs map[string][]int) (int64, bool) {
	shapes := make(map[string]onnxgraph.Shape, len(inputs))
	for name, dims := range inputs {
		shapes[name] = constantShape(dims)
	}
	return p.rehearsal(shapes)
}

func constantShape(dims []int) onnxgraph.Shape {
	s := make(onnxgraph.Shape, len(dims))
	for i, d := range dims {
		s[i] = onnxgraph.Const(int64(d))
	}
	return s
}

// rehearse refuses a run that would not fit into the memory limit, before
// anything is reserved.
func (p *Program) rehearse(in map[string]*Tensor) error {
	if p.options.Memory <= 0 {
		return nil
	}
	key := ""
	shapes := make(map[string]onnxgraph.Shape, len(in))
	for _, v := range p.inputs {
		key += spell(in[v.Name].Dims) + " "
		shapes[v.Name] = constantShape(in[v.Name].Dims)
	}
	p.mutex.Lock()
	need, known := p.fits[key]
	p.mutex.Unlock()
	if !known {
		need, _ = p.rehearsal(shapes)
		p.mutex.Lock()
		p.fits[key] = need
		p.mutex.Unlock()
	}
	if need > p.options.Memory {
		return &MemoryError{Need: need, Limit: p.options.Memory}
	}
	return nil
}

// rehearsal goes through the calls with an arena that reserves nothing.
func (p *Program) rehearsal(inputs map[string]onnxgraph.Shape) (int64, bool) {
	types := p.model.InferAt(inputs)
	a := arena{rehearsal: true}
	lent := make([]*memory, len(p.names))
	complete := true
	for _, c := range p.calls {
		for _, slot := range c.out {
			if slot < 0 {
				continue
			}
			n, ok := floats(types.Of(p.names[slot]))
			complete = complete && ok
			lent[slot], _ = a.get(n)
			if a.held > math.MaxInt64/4 {
				return a.peak, complete
			}
		}
		for _, slot := range c.dies {
			if p.retain != nil && p.retain[slot] {
				continue
			}
			a.put(lent[slot])
			lent[slot] = nil
		}
	}
	return a.peak, complete
}

// floats returns how many float32 of an arena a value takes.
func floats(t onnxgraph.Type) (int, bool) {
	if t.Kind != "tensor" {
		return 0, false
	}
	if t.Elem != onnxgraph.Float32 {
		return 0, true
	}
	x := onnxgraph.Tensor{Type: t.Elem}
	for _, d := range t.Shape {
		if !d.Known() {
			return 0, false
		}
		x.Dims = append(x.Dims, d.N)
	}
	n, err := x.Elements()
	if err != nil || n > math.MaxInt/16 {
		return math.MaxInt / 16, true
	}
	return int(n), t.Shape != nil
}
