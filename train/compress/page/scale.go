package page

import (
	"math"
	"strconv"

	"github.com/natonnx/natonnx/internal/plot"
)

// A scale maps the values of an axis to pixels.
type scale struct {
	low, high  float64 // of the axis
	from, to   float64 // in pixels
	step       float64 // between ticks
	tickDigits int     // behind the point, in percent
}

// newScale makes an axis for shares from low to high that has at most most
// ticks, at round numbers. Its ends are ticks; it ends at top at the latest.
func newScale(low, high, top, from, to float64, most int) scale {
	if !(high-low > 1e-3) { // all points are one
		low, high = low-5e-3, high+5e-3
	}
	s := scale{from: from, to: to}
	s.step = plot.RoundStep((high - low) / float64(max(most-1, 1)))
	s.tickDigits = max(0, -int(math.Floor(math.Log10(s.step)+1e-9))-2)
	const slack = 1e-9
	s.low = s.step * math.Floor(low/s.step+slack)
	s.high = min(s.step*math.Ceil(high/s.step-slack), max(top, high))
	return s
}

func (s *scale) at(x float64) float64 {
	return s.from + (s.to-s.from)*(x-s.low)/(s.high-s.low)
}

// holds reports whether a value is on the axis.
func (s *scale) holds(x float64) bool {
	const slack = 1e-9
	return x >= s.low-slack && x <= s.high+slack
}

// ticks returns the values that are marked.
func (s *scale) ticks() (list []float64) {
	first, last := math.Ceil(s.low/s.step-1e-6), math.Floor(s.high/s.step+1e-6)
	for i := first; i <= last; i++ {
		list = append(list, i*s.step+0) // + 0: no -0
	}
	return list
}

func (s *scale) label(x float64) string { return percent(x, s.tickDigits) }

// percent writes a share; the space before the sign does not break.
func percent(x float64, digits int) string {
	return strconv.FormatFloat(100*x, 'f', digits, 64) + "\u00a0%"
}
