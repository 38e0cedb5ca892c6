package measure

import "math"

// A Share is how many of a number of samples have a property.
type Share struct{ Count, Of int }

// Value is the share as a number from 0 to 1; NaN of no samples.
func (s Share) Value() float64 { return float64(s.Count) / float64(s.Of) }

// z is the quantile of the standard normal distribution for 95 %, two-sided.
const z = 1.959963984540054

// Interval returns the bounds of the 95 % score interval of a binomial
// proportion: all p for which |s - p| <= z sqrt(p(1-p)/n). It is
//
//	(s + z²/2n ± z sqrt(s(1-s)/n + z²/4n²)) / (1 + z²/n)
//
// for n samples and the share s (E. B. Wilson, Probable inference, the law of
// succession, and statistical inference, JASA 22, 1927, pages 209-212). It
// holds for samples that were drawn independently, says nothing about others,
// and is 0 to 1 of no samples.
func (s Share) Interval() (low, high float64) {
	if s.Of == 0 {
		return 0, 1
	}
	n, p := float64(s.Of), s.Value()
	centre := p + z*z/(2*n)
	spread := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	scale := 1 + z*z/n
	return max(0, (centre-spread)/scale), min(1, (centre+spread)/scale)
}

func (s *Share) count(yes bool) {
	s.Of++
	if yes {
		s.Count++
	}
}
