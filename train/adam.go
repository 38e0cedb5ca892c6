package train

import "math"

// adam updates weights in place. Gorgonia's own solver cannot change its rate.
type adam struct {
	step int
	m, v [][]float64 // first and second moments, by weight
}

// The usual constants of Adam.
const (
	adamBeta1, adamBeta2 = 0.9, 0.999
	adamEpsilon          = 1e-8
)

func newAdam(weights [][]float64) *adam {
	a := &adam{}
	for _, w := range weights {
		a.m = append(a.m, make([]float64, len(w)))
		a.v = append(a.v, make([]float64, len(w)))
	}
	return a
}

func (a *adam) update(weights, grads [][]float64, rate float64) {
	a.step++
	c1, c2 := 1-math.Pow(adamBeta1, float64(a.step)), 1-math.Pow(adamBeta2, float64(a.step))
	for i, w := range weights {
		for j, g := range grads[i] {
			m, v := &a.m[i][j], &a.v[i][j]
			*m = adamBeta1**m + (1-adamBeta1)*g
			*v = adamBeta2**v + (1-adamBeta2)*g*g
			w[j] -= rate * (*m / c1) / (math.Sqrt(*v/c2) + adamEpsilon)
		}
	}
}
