package policybench

import (
	"fmt"
	"io"

	"github.com/natonnx/natonnx/internal/plot"
)

// WriteCurves draws learning curves as SVG: for each kind the mean over the
// seeds as a line, and from the lowest to the highest as a band.
func WriteCurves(w io.Writer, curves []Curve) error {
	// A policy that has not learnt anything yet may lose several times what could be gained.
	lowest := -50.0
	p := plot.Plot{
		Title: "How policies learn on NAS-Bench-201", Note: "CIFAR-10, most probable transformations of the cells that choose",
		X: "updates of the weights", Y: "captured headroom, %", Unit: "%", Whole: true, Low: 100, High: 0, Clip: &lowest,
	}
	if len(curves) > 0 && curves[0].Seeds > 1 {
		p.Note += fmt.Sprintf("; mean of %d seeds, and from the lowest to the highest", curves[0].Seeds)
	}
	for _, c := range curves {
		line := plot.Curve{Name: string(c.Kind)}
		for _, at := range c.Points {
			line.Points = append(line.Points, plot.Point{X: float64(at.Step), Y: at.Captured.Mean, Low: at.Lowest, High: at.Highest})
		}
		p.Curves = append(p.Curves, line)
	}
	return p.SVG(w)
}
