package learn

import (
	"fmt"
	"math"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/vec"
)

// Ignore is the label of a sample that does not count in a loss.
const Ignore = -1

// CrossEntropy returns the mean negative log-likelihood of the labels under the
// softmax of logits, [batch][classes], and its gradient. smoothing spreads that
// share of the target evenly over all classes (Szegedy et al., 2016, section 7).
func CrossEntropy(logits *engine.Tensor, labels []int, smoothing float64) (float64, *engine.Tensor, error) {
	batch, classes, y, err := rows(logits)
	if err != nil {
		return 0, nil, err
	}
	if len(labels) != batch {
		return 0, nil, fmt.Errorf("%d labels for a batch of %d", len(labels), batch)
	}
	counted := 0
	for i, l := range labels {
		if l != Ignore && (l < 0 || l >= classes) {
			return 0, nil, fmt.Errorf("label %d of sample %d, want 0 to %d", l, i, classes-1)
		}
		if l != Ignore {
			counted++
		}
	}
	grad := make([]float32, len(y))
	p := make([]float64, classes)
	loss := 0.0
	even := smoothing / float64(classes)
	for i, l := range labels {
		if l == Ignore {
			continue
		}
		row := y[i*classes:][:classes]
		norm := softmax(p, row, 1)
		for c, v := range row {
			target := even
			if c == l {
				target += 1 - smoothing
			}
			loss -= target * (float64(v) - norm)
			grad[i*classes+c] = float32((p[c] - target) / float64(counted))
		}
	}
	g, err := engine.New(logits.Dims, grad)
	return loss / math.Max(1, float64(counted)), g, err
}

// MeanSquared returns the mean of the squared differences of y and target, and
// its gradient by y.
func MeanSquared(y, target *engine.Tensor) (float64, *engine.Tensor, error) {
	a, b := y.Float32s(), target.Float32s()
	if a == nil || len(a) != len(b) {
		return 0, nil, fmt.Errorf("values are %v, the target is %v", y, target)
	}
	grad := make([]float32, len(a))
	vec.Sub(grad, a, b)
	loss, n := vec.Dot(grad, grad), float64(len(a))
	vec.Scale(grad, grad, float32(2/n))
	g, err := engine.New(y.Dims, grad)
	return loss / n, g, err
}

// Distill returns the Kullback-Leibler divergence of the student's softmax from
// the teacher's, both at the given temperature, times its square, as the mean
// over the batch; and its gradient by the student's logits (Hinton, Vinyals and
// Dean, Distilling the Knowledge in a Neural Network, 2015, section 2).
func Distill(student, teacher *engine.Tensor, temperature float64) (float64, *engine.Tensor, error) {
	batch, classes, y, err := rows(student)
	if err != nil {
		return 0, nil, err
	}
	t := teacher.Float32s()
	if len(t) != len(y) || temperature <= 0 {
		return 0, nil, fmt.Errorf("student is %v, teacher %v, temperature %v", student, teacher, temperature)
	}
	grad := make([]float32, len(y))
	p, q := make([]float64, classes), make([]float64, classes)
	loss := 0.0
	for i := range batch {
		s, w := y[i*classes:][:classes], t[i*classes:][:classes]
		ps, qs := softmax(p, s, temperature), softmax(q, w, temperature)
		for c := range s {
			if q[c] > 0 {
				loss += q[c] * ((float64(w[c])/temperature - qs) - (float64(s[c])/temperature - ps))
			}
			grad[i*classes+c] = float32((p[c] - q[c]) * temperature / float64(batch))
		}
	}
	g, err := engine.New(student.Dims, grad)
	return loss * temperature * temperature / float64(batch), g, err
}

// rows reads a tensor as [batch][classes]; further dimensions must be 1.
func rows(t *engine.Tensor) (batch, classes int, y []float32, err error) {
	y = t.Float32s()
	if y == nil || len(t.Dims) < 2 || t.Dims[0] < 1 || t.Dims[1] < 1 || t.Len() != t.Dims[0]*t.Dims[1] {
		return 0, 0, nil, fmt.Errorf("logits are %v, want float32 of batch by classes", t)
	}
	return t.Dims[0], t.Dims[1], y, nil
}

// softmax sets p to the softmax of row/temperature and returns the logarithm of
// its denominator.
func softmax(p []float64, row []float32, temperature float64) float64 {
	top := math.Inf(-1)
	for _, v := range row {
		top = math.Max(top, float64(v)/temperature)
	}
	sum := 0.0
	for c, v := range row {
		p[c] = math.Exp(float64(v)/temperature - top)
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
	return top + math.Log(sum)
}
