package distill

import (
	"math"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/vec"
)

// A moving is the exponential moving average of parameters over the steps.
type moving struct {
	values map[string][]float32
	steps  float64
}

func newMoving(params engine.Params) *moving {
	m := &moving{values: map[string][]float32{}}
	for name, x := range params {
		m.values[name] = make([]float32, len(x.Value))
		copy(m.values[name], x.Value)
	}
	return m
}

// add counts the present values in; young averages forget faster.
func (m *moving) add(params engine.Params) {
	m.steps++
	keep := min(average, m.steps/(m.steps+9))
	for name, mean := range m.values {
		for i, v := range params[name].Value {
			mean[i] += (v - mean[i]) * float32(1-keep)
		}
	}
}

// swap exchanges the parameters' values and their averages, in place: programs
// hold on to the parameters' memory.
func (m *moving) swap(params engine.Params) {
	for name, mean := range m.values {
		for i, v := range params[name].Value {
			params[name].Value[i], mean[i] = mean[i], v
		}
	}
}

// length is the Euclidean norm of all that is trained.
func length(params engine.Params) float64 {
	sum := 0.0
	for _, name := range params.Names() { // in a fixed order
		if x := params[name]; !x.Frozen {
			sum += vec.Dot(x.Value, x.Value)
		}
	}
	return math.Sqrt(sum)
}
