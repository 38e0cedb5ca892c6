package engine

import (
	"fmt"
	"runtime"

	"github.com/natonnx/natonnx/onnxgraph"
)

// constants are the values that are known while a model is planned. A tensor of
// the model is read when a step first asks for it, and let go of when its
// readers have packed it, so that weights are not held twice.
type constants struct {
	path    string
	known   map[string]*Tensor
	unread  map[string]*onnxgraph.Tensor
	readers map[string]int // of the nodes that are planned
	err     error          // why a tensor could not be read
	suspect *NonFiniteError
	dropped int // bytes that wait to be collected
}

func newConstants(m *onnxgraph.Model) constants {
	c := constants{path: m.Path, known: map[string]*Tensor{}, unread: map[string]*onnxgraph.Tensor{}, readers: map[string]int{}}
	for _, t := range m.Graph.Initializers {
		c.unread[t.Name] = t
	}
	return c
}

// get returns a value, nil where it is not known.
func (c *constants) get(name string) *Tensor {
	if t := c.known[name]; t != nil {
		return t
	}
	stored := c.unread[name]
	if stored == nil || c.err != nil {
		return nil
	}
	t, err := Read(stored)
	if err != nil {
		c.err = fmt.Errorf("%s: graph.initializer %q: %w", c.path, name, err)
		return nil
	}
	delete(c.unread, name)
	c.known[name] = t
	if c.suspect == nil {
		c.suspect = suspicious(c.path, name, t)
	}
	return t
}

// has reports whether a value is known, without reading it.
func (c *constants) has(name string) bool { return c.known[name] != nil || c.unread[name] != nil }

// let goes of a value for one of its readers.
func (c *constants) let(name string) {
	if c.readers[name]--; c.readers[name] > 0 || c.known[name] == nil {
		return
	}
	c.dropped += 4 * c.known[name].Len()
	delete(c.known, name)
	if c.dropped > 64<<20 { // else the heap would grow to twice the weights
		c.dropped = 0
		runtime.GC()
	}
}
