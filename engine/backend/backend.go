// Package backend runs models on one of several runtimes behind one interface:
// package engine itself, ONNX Runtime, and onnx-go.
package backend

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Options of a session.
type Options struct {
	// Workers is how many cores a run uses; 0: all.
	Workers int
	// Memory is the most that the values of one run may take, in bytes; 0: no
	// limit. Only the runtime go can keep one.
	Memory int64
	// Finite makes a NaN or an infinity in an output an error, an
	// *[engine.NonFiniteError]. The runtime go also names the node that it is from.
	Finite bool
}

// A Runtime runs models.
type Runtime interface {
	// Name is how users call the runtime.
	Name() string
	// About says what the runtime is, and in which version, as reports do.
	About() string
	// Usable returns nil, or why the runtime cannot be used here and what to do about it.
	Usable() error
	// Open prepares a model to be run. Errors name the model and, where one
	// node cannot be run, that node.
	Open(ctx context.Context, m *onnxgraph.Model, o Options) (Session, error)
}

// A Session is a model ready to run. It is safe for concurrent use.
type Session interface {
	// Inputs and Outputs are those that the model declares, in its order.
	Inputs() []engine.Port
	Outputs() []engine.Port
	// Run computes the outputs for the given inputs, by name. An ending context
	// ends the run with the context's error.
	Run(ctx context.Context, in map[string]*engine.Tensor) (map[string]*engine.Tensor, error)
	// Close gives back what the session holds. It is not used after that.
	Close() error
}

// Default is the name of the runtime that is always usable.
const Default = "go"

// All returns the runtimes, the default first, those included that cannot be used here.
func All() []Runtime { return []Runtime{goRuntime{}, ortRuntime{}, onnxgoRuntime{}} }

// Names returns the names of all runtimes.
func Names() (list []string) {
	for _, r := range All() {
		list = append(list, r.Name())
	}
	return list
}

// Find returns the runtime of that name if it is usable. The error says why it
// is not, or which ones there are.
func Find(name string) (Runtime, error) {
	all := All()
	i := slices.IndexFunc(all, func(r Runtime) bool { return r.Name() == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no runtime %q, want one of: %s", name, strings.Join(Names(), ", "))
	}
	if err := all[i].Usable(); err != nil {
		return nil, fmt.Errorf("the runtime %s cannot be used: %w", name, err)
	}
	return all[i], nil
}

// ports lists a model's inputs and outputs as it declares them.
func ports(m *onnxgraph.Model) (in, out []engine.Port) {
	for _, v := range m.Graph.RealInputs() {
		in = append(in, engine.Port{Name: v.Name, Type: v.Type.Elem, Shape: v.Type.Shape})
	}
	for _, v := range m.Graph.Outputs {
		out = append(out, engine.Port{Name: v.Name, Type: v.Type.Elem, Shape: v.Type.Shape})
	}
	return in, out
}

// inOrder returns the tensors for the ports; none may be missing.
func inOrder(path string, ports []engine.Port, in map[string]*engine.Tensor) ([]*engine.Tensor, error) {
	list := make([]*engine.Tensor, len(ports))
	for i, p := range ports {
		t := in[p.Name]
		if t == nil {
			return nil, fmt.Errorf("%s: input %q is missing", path, p.Name)
		}
		list[i] = t
	}
	return list, nil
}

// finite returns an error for the first number of an output that is not finite.
func finite(path string, ports []engine.Port, out map[string]*engine.Tensor) error {
	for _, p := range ports {
		for i, v := range out[p.Name].Float32s() {
			if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
				return &engine.NonFiniteError{Path: path, Value: p.Name, Element: i, Number: v}
			}
		}
	}
	return nil
}

// unlimited refuses a memory limit for a runtime that would not keep it.
func unlimited(m *onnxgraph.Model, name string, o Options) error {
	if o.Memory > 0 {
		return fmt.Errorf("%s: the runtime %s cannot keep a memory limit; the runtime %s can", m.Path, name, Default)
	}
	return nil
}

// recovered turns a panic of somebody else's code into an error.
func recovered(path, who string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: %s failed: %v", path, who, p)
	}
}

// external reports whether weights are in other files.
func external(m *onnxgraph.Model) bool {
	for _, t := range m.Graph.Initializers {
		if t.External != nil {
			return true
		}
	}
	return false
}
