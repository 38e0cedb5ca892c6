package measure

import (
	"math"
	"testing"
)

func TestDistance(t *testing.T) {
	ln := func(x float64) float32 { return float32(math.Log(x)) }
	for _, test := range []struct {
		name                   string
		a, b                   [][]float32
		largest, mean, rel, kl float64
	}{
		{"same", [][]float32{{1, 2, 3}}, [][]float32{{1, 2, 3}}, 0, 0, 0, 0},
		// |d| = 3, 4, 0 and |b| = 5, 12, 0.
		{"logits", [][]float32{{8, 16, 0}}, [][]float32{{5, 12, 0}}, 4, 7.0 / 3, 5.0 / 13, math.NaN()},
		{"two inputs", [][]float32{{1, 0}, {0, 1}}, [][]float32{{0, 0}, {0, 0}}, 1, 0.5, math.Inf(1), math.NaN()},
		// q = (1/2, 1/2), p = (1/4, 3/4): (ln 2 + ln 2/3) / 2.
		{"logarithms", [][]float32{{ln(1), ln(3)}}, [][]float32{{ln(5), ln(5)}}, math.Log(5), math.NaN(), math.NaN(), math.Log(4.0/3) / 2},
		{"probabilities", [][]float32{{0.25, 0.75}}, [][]float32{{0.5, 0.5}}, 0.25, 0.25, 0.5, math.Log(4.0/3) / 2},
		{"excluded class", [][]float32{{1, 0}}, [][]float32{{0.5, 0.5}}, 0.5, 0.5, 1, math.Inf(1)},
		{"certain class", [][]float32{{0.5, 0.5}}, [][]float32{{1, 0}}, 0.5, 0.5, math.Sqrt(0.5), math.Ln2},
	} {
		var d Distance
		for i := range test.a {
			d.add(test.a[i], test.b[i])
		}
		for _, x := range []struct {
			what      string
			got, want float64
		}{{"largest", d.MaxAbs, test.largest}, {"mean", d.MeanAbs, test.mean}, {"relative", d.Relative, test.rel}, {"KL", d.KL, test.kl}} {
			if x.want != x.got && math.Abs(x.got-x.want) > 1e-6 || math.IsNaN(x.got) {
				t.Errorf("%s: %s %v, want %v", test.name, x.what, x.got, x.want)
			}
		}
		if d.Inputs != len(test.a) {
			t.Errorf("%s: %d inputs", test.name, d.Inputs)
		}
	}
}
