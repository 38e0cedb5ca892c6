package supernet

import (
	"bytes"
	"fmt"

	"github.com/natonnx/natonnx/internal/plot"
)

// curves draws what transformations gain as the search goes on, as SVG.
func (r *Run) curves() ([]byte, error) {
	p := plot.Plot{
		Title: "What transformations gain in the supernet",
		Note: fmt.Sprintf("accuracy on %d architectures and %d images that trained nothing; mean and standard error",
			epochExam.Architectures, epochExam.Images),
		X: "epochs", Y: "gain in accuracy, points", Whole: true, From: float64(r.WarmUp),
		Curves: []plot.Curve{{Name: "most probable"}, {Name: "drawn from the policy"}, {Name: "random search"}},
	}
	for _, at := range r.search.Curve() {
		if at.Exam.Architectures == 0 { // the weights alone were trained
			continue
		}
		for i, g := range []Gain{at.Exam.Likeliest, at.Exam.Sampled, at.Exam.Random} {
			p.Curves[i].Points = append(p.Curves[i].Points, plot.Point{X: float64(at.Epoch), Y: 100 * g.Mean, Low: 100 * (g.Mean - g.Error), High: 100 * (g.Mean + g.Error)})
		}
	}
	var b bytes.Buffer
	err := p.SVG(&b)
	return b.Bytes(), err
}
