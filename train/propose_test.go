package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/transformer"
)

// someProposals asks a policy with random weights about a few cells, in all writings.
func someProposals(t *testing.T) (list []*Proposal) {
	t.Helper()
	weights := randomWeights(GCN(6, 5, 3), 3)
	g, err := transformer.NewGCN(transformer.Card{Rules: transformer.NATPlusPlus.Name}, params(weights))
	if err != nil {
		t.Fatal(err)
	}
	for w := range Writings {
		p, err := NewProposer(g, &Writings[w])
		if err != nil {
			t.Fatal(err)
		}
		for cell, n := 5, 0; n < 5; cell = (cell + 3701) % Cells201 {
			if !Writings[w].Writes(cell) {
				continue
			}
			n++
			q, err := p.Propose(t.Context(), cell)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, q)
		}
	}
	return list
}

// MostProbable against the probabilities of all transformations.
func TestMostProbable(t *testing.T) {
	aliases := 0
	for _, p := range someProposals(t) {
		best := map[int]float64{} // by cell: of the transformation most likely to lead there
		transformations := 0
		var visit func(actions []transformer.Action, logProb float64)
		visit = func(actions []transformer.Action, logProb float64) {
			if len(actions) == len(p.probs) {
				transformations++
				cell := p.take(actions)
				if x, ok := best[cell]; !ok || logProb > x {
					best[cell] = logProb
				}
				return
			}
			for a, x := range p.probs[len(actions)] {
				if x > 0 {
					visit(append(slices.Clone(actions), transformer.Action(a)), logProb+math.Log(x))
				}
			}
		}
		visit(nil, 0)
		aliases += transformations - len(best)
		all := p.MostProbable(Cells201)
		if len(all) != len(best) {
			t.Fatalf("cell %d: %d transformations, want %d", p.cell, len(all), len(best))
		}
		seen := map[int]bool{}
		for i, cell := range all {
			if seen[cell] {
				t.Fatalf("cell %d: %d comes twice", p.cell, cell)
			}
			if seen[cell] = true; i > 0 && best[cell] > best[all[i-1]]+1e-9 {
				t.Errorf("cell %d: %d, of log-probability %v, comes after one of %v", p.cell, cell, best[cell], best[all[i-1]])
			}
		}
		for _, n := range []int{1, 10} {
			if got := p.MostProbable(n); !slices.Equal(got, all[:n]) {
				t.Errorf("cell %d: the first %d are %v, want %v", p.cell, n, got, all[:n])
			}
			got, want := p.Candidates(n), slices.DeleteFunc(slices.Clone(all), func(c int) bool { return c == p.cell })
			if got[0] != p.cell || !slices.Equal(got[1:], want[:n-1]) {
				t.Errorf("cell %d: candidates %v, want itself and %v", p.cell, got, want[:n-1])
			}
		}
	}
	if aliases == 0 {
		t.Error("no two transformations led to the same cell")
	}
}

// Samples at temperature 1 are draws from the policy. A low temperature leaves
// the most probable, and a high one makes all actions alike.
func TestSamplesAtTemperatures(t *testing.T) {
	for _, p := range someProposals(t) {
		same, rng := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
		for i, cell := range p.Samples(rng, 1, 5) {
			actions, _ := transformer.Draw(same, p.probs)
			if want := p.take(actions); cell != want {
				t.Errorf("sample %d is %d, want %d", i, cell, want)
			}
		}
		top := make([]transformer.Action, len(p.probs))
		for e, probs := range p.probs {
			top[e] = transformer.Action(slices.Index(probs[:], slices.Max(probs[:])))
		}
		for _, cell := range p.Samples(rng, 1e-3, 5) {
			if want := p.take(top); cell != want {
				t.Errorf("cell %d: a cold sample is %d, want %d", p.cell, cell, want)
			}
		}
		different := map[int]bool{}
		for _, cell := range p.Samples(rng, 1e6, 200) {
			different[cell] = true
		}
		if len(different) < 30 {
			t.Errorf("cell %d: %d of 200 hot samples are different", p.cell, len(different))
		}
	}
}

// Of samples and the input the most probable is taken: with many samples, the
// most probable of all.
func TestBestSample(t *testing.T) {
	for _, p := range someProposals(t) {
		rng := rand.New(rand.NewPCG(1, 2))
		if got := p.BestSample(rng, 0); got != p.cell {
			t.Errorf("of no samples the best is %d, want the input %d", got, p.cell)
		}
		if got, want := p.BestSample(rng, 20000), p.MostProbable(1)[0]; got != want {
			t.Errorf("cell %d: the best of many samples is %d, want %d", p.cell, got, want)
		}
	}
}

func TestProposerRefuses(t *testing.T) {
	g, err := transformer.NewGCN(transformer.Card{Rules: transformer.NATPlusPlus.Name}, params(randomWeights(GCN(6, 5, 3), 3)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewProposer(nameless{g}, &Writings[0]); err == nil {
		t.Error("a policy without rules was taken")
	}
}

type nameless struct{ transformer.Policy }

func (nameless) Card() transformer.Card { return transformer.Card{Name: "x"} }
