package learn

import (
	"math"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/vec"
)

// An Optimizer changes parameters along their gradients.
type Optimizer interface {
	// Step updates every parameter that is not frozen and has a gradient, at the
	// given learning rate.
	Step(p engine.Params, rate float64)
	// State is what the optimizer remembers, by parameter and quantity, for a
	// checkpoint. The slices are the optimizer's own.
	State() map[string][]float32
	// Restore sets what State gave.
	Restore(map[string][]float32)
}

// SGD is stochastic gradient descent as torch.optim.SGD defines it.
type SGD struct {
	Momentum, WeightDecay float64
	Nesterov              bool

	memory map[string][]float32
}

// Step implements [Optimizer].
func (o *SGD) Step(p engine.Params, rate float64) {
	for name, x := range live(p) {
		v := recall(&o.memory, name+velocity, len(x.Value))
		vec.SGD(x.Value, v, x.Grad, rate, o.Momentum, o.WeightDecay, o.Nesterov)
	}
}

// State implements [Optimizer].
func (o *SGD) State() map[string][]float32 { return o.memory }

// Restore implements [Optimizer].
func (o *SGD) Restore(s map[string][]float32) { o.memory = s }

// Adam is the optimizer of Kingma and Ba (2015) as torch.optim.Adam defines it.
type Adam struct {
	Beta1, Beta2, Epsilon, WeightDecay float64

	memory map[string][]float32
}

// NewAdam returns Adam with the usual constants 0.9, 0.999 and 1e-8.
func NewAdam() *Adam { return &Adam{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8} }

// The quantities that optimizers remember of a parameter.
const (
	velocity = "/velocity"
	first    = "/first moment"
	second   = "/second moment"
	count    = "/steps"
)

// Step implements [Optimizer].
func (o *Adam) Step(p engine.Params, rate float64) {
	for name, x := range live(p) {
		m := recall(&o.memory, name+first, len(x.Value))
		v := recall(&o.memory, name+second, len(x.Value))
		n := recall(&o.memory, name+count, 1)
		n[0]++ // exact up to 2^24 steps
		vec.Adam(x.Value, m, v, x.Grad, rate, o.Beta1, o.Beta2, o.Epsilon, o.WeightDecay, int(n[0]))
	}
}

// State implements [Optimizer].
func (o *Adam) State() map[string][]float32 { return o.memory }

// Restore implements [Optimizer].
func (o *Adam) Restore(s map[string][]float32) { o.memory = s }

// live returns the parameters that a step changes.
func live(p engine.Params) engine.Params {
	out := engine.Params{}
	for name, x := range p {
		if !x.Frozen && x.Grad != nil {
			out[name] = x
		}
	}
	return out
}

func recall(memory *map[string][]float32, key string, n int) []float32 {
	if *memory == nil {
		*memory = map[string][]float32{}
	}
	if (*memory)[key] == nil {
		(*memory)[key] = make([]float32, n)
	}
	return (*memory)[key]
}

// ClipNorm scales all gradients so that their common Euclidean norm is at most
// limit, and returns the norm before.
func ClipNorm(p engine.Params, limit float64) float64 {
	sum := 0.0
	for _, name := range p.Names() { // in a fixed order
		if x := p[name]; !x.Frozen && x.Grad != nil {
			sum += float64(vec.Dot(x.Grad, x.Grad))
		}
	}
	norm := math.Sqrt(sum)
	if norm > limit {
		for _, x := range live(p) {
			vec.Scale(x.Grad, x.Grad, float32(limit/norm))
		}
	}
	return norm
}
