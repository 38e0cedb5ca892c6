package learn

import "math"

// A Schedule gives the learning rate of a step, counted from 0.
type Schedule func(step int) float64

// Constant is always the same rate.
func Constant(rate float64) Schedule { return func(int) float64 { return rate } }

// Cosine falls from rate to floor along half a cosine over so many steps
// (Loshchilov and Hutter, SGDR, 2017, equation 5, one period), and stays there.
func Cosine(rate, floor float64, steps int) Schedule {
	return func(step int) float64 {
		t := math.Min(1, float64(step)/float64(max(steps, 1)))
		return floor + (rate-floor)*(1+math.Cos(math.Pi*t))/2
	}
}

// Steps multiplies the rate by factor at each of the given steps, in ascending order.
func Steps(rate, factor float64, at ...int) Schedule {
	return func(step int) float64 {
		r := rate
		for _, s := range at {
			if step >= s {
				r *= factor
			}
		}
		return r
	}
}

// Warmup rises linearly to the rate of s over the first steps: step i of n gets
// (i+1)/n of it.
func Warmup(n int, s Schedule) Schedule {
	return func(step int) float64 {
		if step < n {
			return s(step) * float64(step+1) / float64(n)
		}
		return s(step)
	}
}
