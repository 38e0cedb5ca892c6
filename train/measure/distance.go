package measure

import "math"

// A Distance says how far the outputs of one network are from those of another
// on the same inputs. Of no inputs all is zero.
type Distance struct {
	Inputs int
	// MaxAbs and MeanAbs are the largest and the mean |a - b| of all elements.
	MaxAbs, MeanAbs float64
	// Relative is |a - b| / |b| in the Euclidean norm over all elements, b being
	// the outputs of the network that is compared with. It is 0 where both are
	// zero and infinite where only b is.
	Relative float64
	// KL is the mean over inputs of the Kullback-Leibler divergence of a's
	// distribution over classes from b's, sum of q ln(q/p) for q of b and p of a,
	// in nats. The distributions are the softmax of the outputs, or these
	// themselves where they are distributions already.
	KL float64

	elements             int
	sum, squares, energy float64 // of |a - b|, (a - b)², b²
	divergence           float64
}

// add takes up the outputs for one input.
func (d *Distance) add(a, b []float32) {
	for i := range b {
		x, y := float64(a[i]), float64(b[i])
		diff := math.Abs(x - y)
		d.MaxAbs = math.Max(d.MaxAbs, diff) // keeps a NaN
		d.sum += diff
		d.squares += diff * diff
		d.energy += y * y
	}
	d.elements += len(b)
	d.Inputs++
	d.divergence += divergence(logs(b), logs(a))
	d.finish()
}

func (d *Distance) finish() {
	d.MeanAbs = d.sum / float64(d.elements)
	d.KL = d.divergence / float64(d.Inputs)
	if d.squares > 0 {
		d.Relative = math.Sqrt(d.squares / d.energy)
	}
}

// logs returns the logarithms of the distribution that an output states:
// of itself where it is one, else of its softmax.
func logs(out []float32) []float64 {
	list := make([]float64, len(out))
	if distribution(out) {
		for i, v := range out {
			list[i] = math.Log(float64(v))
		}
		return list
	}
	top := math.Inf(-1)
	for _, v := range out {
		top = math.Max(top, float64(v))
	}
	var sum float64
	for _, v := range out {
		sum += math.Exp(float64(v) - top)
	}
	for i, v := range out {
		list[i] = float64(v) - top - math.Log(sum)
	}
	return list
}

// distribution reports whether the elements are probabilities that add up to 1.
func distribution(out []float32) bool {
	var sum float64
	for _, v := range out {
		if v < 0 || v > 1 {
			return false
		}
		sum += float64(v)
	}
	return math.Abs(sum-1) < 1e-3
}

// divergence returns the sum of q ln(q/p), of logarithms, at least 0.
func divergence(q, p []float64) float64 {
	var sum float64
	for i := range q {
		if x := math.Exp(q[i]); x > 0 {
			sum += x * (q[i] - p[i])
		}
	}
	return math.Max(0, sum) // rounding
}
