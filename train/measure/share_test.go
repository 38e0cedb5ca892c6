package measure

import (
	"math"
	"testing"
)

// The examples of R. G. Newcombe, Two-sided confidence intervals for the single
// proportion, Statistics in Medicine 17, 1998, table I, method 3.
func TestIntervalIsWilsons(t *testing.T) {
	for _, test := range []struct {
		share     Share
		low, high float64
	}{
		{Share{81, 263}, 0.2553, 0.3662},
		{Share{15, 148}, 0.0624, 0.1605},
		{Share{0, 20}, 0, 0.1611},
		{Share{1, 29}, 0.0061, 0.1718},
	} {
		low, high := test.share.Interval()
		if math.Abs(low-test.low) > 5e-5 || math.Abs(high-test.high) > 5e-5 {
			t.Errorf("%v: %.4f to %.4f, want %.4f to %.4f", test.share, low, high, test.low, test.high)
		}
	}
}

func TestIntervalHoldsTheShare(t *testing.T) {
	for n := range 30 {
		for k := range n + 1 {
			s := Share{k, n}
			low, high := s.Interval()
			if low < 0 || high > 1 || low > high || n > 0 && (s.Value() < low-1e-12 || s.Value() > high+1e-12) {
				t.Errorf("%v: %v to %v", s, low, high)
			}
		}
	}
}
