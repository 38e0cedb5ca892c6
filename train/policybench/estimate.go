package policybench

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// An Estimate is a mean over seeds. HalfWidth is half of its 95 % confidence
// interval, by Student's t; nil where one run is all there is, as no seed
// matters or one was asked for.
type Estimate struct {
	Mean      float64  `json:"mean"`
	HalfWidth *float64 `json:"half_width_95"`
	Runs      int      `json:"runs"`
}

func estimate(values []float64) (e Estimate) {
	e.Runs = len(values)
	n := float64(len(values))
	for _, x := range values {
		e.Mean += x / n
	}
	if n < 2 {
		return e
	}
	var squares float64
	for _, x := range values {
		squares += (x - e.Mean) * (x - e.Mean)
	}
	half := student(n-1) * math.Sqrt(squares/(n-1)/n)
	e.HalfWidth = &half
	return e
}

// student returns what a variable of Student's distribution with so many degrees
// of freedom exceeds, up or down, with probability 0.05.
func student(freedom float64) float64 {
	x := mathext.InvRegIncBeta(freedom/2, 0.5, 0.05)
	return math.Sqrt(freedom * (1 - x) / x)
}
