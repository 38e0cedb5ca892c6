package search

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The gradients of scores by weights are what small changes of weights do.
func TestGradient(t *testing.T) {
	s, err := newSession(synthetic(compounding, 1, 4), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := newPolicy(s, rand.New(rand.NewPCG(1, 2)))
	for i := range p.weights { // the last layer, too, for the others to matter
		p.weights[i] = p.rng.NormFloat64() / 2
	}
	_, jacobian := p.scores()
	const small = 1e-5
	for j, w := range p.weights {
		p.weights[j] = w + small
		above, _ := p.scores()
		p.weights[j] = w - small
		below, _ := p.scores()
		p.weights[j] = w
		for i := range above {
			want := (above[i] - below[i]) / (2 * small)
			if got := jacobian.At(i, j); math.Abs(got-want) > 1e-7*(1+math.Abs(want)) {
				t.Fatalf("option %d, weight %d: gradient %v, want %v", i, j, got, want)
			}
		}
	}
}

// predicted returns the correlation of what a draw expects of random
// choices with their log losses.
func predicted(t *testing.T, p *policy) float64 {
	d, rng := p.draw(0), rand.New(rand.NewPCG(7, 7))
	var x, y []float64
	for range 300 {
		choice := p.randomChoice(rng, 0.5+0.4*rng.Float64())
		loss, err := p.Evaluate(t.Context(), choice)
		if err != nil {
			t.Fatal(err)
		}
		sum, factor := 0.0, 0.0
		for site, o := range choice {
			sum, factor = sum+d.destroyed[site][o], factor+d.factor[site][o]
		}
		x, y = append(x, d.power*math.Log(sum)+factor), append(y, math.Log(loss))
	}
	return correlation(x, y)
}

func correlation(x, y []float64) float64 {
	mean := func(a, b []float64) float64 { return dot(a, b) / float64(len(a)) }
	ones := make([]float64, len(x))
	for i := range ones {
		ones[i] = 1
	}
	mx, my := mean(x, ones), mean(y, ones)
	return (mean(x, y) - mx*my) / math.Sqrt((mean(x, x)-mx*mx)*(mean(y, y)-my*my))
}

// A policy knows more of candidates that it has not seen after it has learned
// from others; its network and its weights explain what it believes.
func TestPolicyLearns(t *testing.T) {
	for _, kind := range []family{compounding, coherent} {
		s, err := newSession(synthetic(kind, 2, 27), Options{Evals: 1000})
		if err != nil {
			t.Fatal(err)
		}
		p := newPolicy(s, rand.New(rand.NewPCG(1, 2)))
		before := predicted(t, p)
		rng := rand.New(rand.NewPCG(3, 3))
		for range 10 {
			var round [][]int
			for range 12 {
				round = append(round, s.another(rng))
			}
			if err := s.evaluate(t.Context(), round); err != nil {
				t.Fatal(err)
			}
			p.learn()
		}
		after := predicted(t, p)
		t.Logf("family %d: correlation with unseen log losses %.3f, after 120 others %.3f", kind, before, after)
		if before < 0.5 || after < 0.9 || after < before+0.05 {
			t.Errorf("family %d: correlation with unseen log losses %.3f, after 120 others %.3f", kind, before, after)
		}
		scores, _ := p.scores()
		for i, score := range scores {
			if math.Abs(score-p.likely[i]) > 0.3 {
				t.Errorf("family %d: option %d scores %.3f, believed is %.3f", kind, i, score, p.likely[i])
			}
		}
	}
}

// What draws stray is what is not known: less after losses were seen.
func TestDrawsNarrow(t *testing.T) {
	s, err := newSession(synthetic(coherent, 2, 12), Options{Evals: 1000})
	if err != nil {
		t.Fatal(err)
	}
	p := newPolicy(s, rand.New(rand.NewPCG(1, 2)))
	spread := func() float64 { // of the ratio of two options, so that the scale of all does not count
		sum := 0.0
		const draws = 200
		for range draws {
			d, likely := p.draw(1), p.draw(0)
			x := math.Log(d.destroyed[3][1] / d.destroyed[8][1] / (likely.destroyed[3][1] / likely.destroyed[8][1]))
			sum += x * x / draws
		}
		return math.Sqrt(sum)
	}
	before := spread()
	for _, site := range []int{3, 8} {
		choice := make([]int, 12)
		choice[site] = 1
		if err := s.evaluate(t.Context(), [][]int{choice}); err != nil {
			t.Fatal(err)
		}
	}
	p.learn()
	if after := spread(); after > before/2 {
		t.Errorf("draws stray by %.2f before two losses were seen, by %.2f after", before, after)
	}
}
