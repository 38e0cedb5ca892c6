package vec

import "math"

// SGD takes one step of stochastic gradient descent with momentum on weights w,
// velocities v and gradients g, as torch.optim.SGD defines it (without
// dampening):
//
//	d = g + weightDecay*w
//	v = momentum*v + d
//	w = w - lr*v, or w - lr*(d + momentum*v) with nesterov
//
// v is zero before the first step.
func SGD(w, v, g []float32, lr, momentum, weightDecay float64, nesterov bool) {
	n := min(len(w), len(v), len(g))
	byV, byG := float32(1), float32(0)
	if nesterov {
		byV, byG = float32(momentum), 1
	}
	use.sgd(w[:n], v[:n], g[:n], float32(lr), float32(momentum), float32(weightDecay), byV, byG)
}

// Adam takes one step of Adam (Kingma and Ba, 2015) on weights w, first moments
// m, second moments v and gradients g, as torch.optim.Adam defines it (weight
// decay is added to the gradient). m and v are zero before the first step, which
// is number 1.
func Adam(w, m, v, g []float32, lr, beta1, beta2, eps, weightDecay float64, step int) {
	n := min(len(w), len(m), len(v), len(g))
	rate := lr / (1 - math.Pow(beta1, float64(step)))
	root := 1 / math.Sqrt(1-math.Pow(beta2, float64(step)))
	use.adam(w[:n], m[:n], v[:n], g[:n], float32(weightDecay),
		float32(beta1), float32(1-beta1), float32(beta2), float32(1-beta2),
		float32(rate), float32(root), float32(eps))
}
