package transformer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
)

// forms that policies are tried on: a VGG block with padding, and one with
// every class, a fixed edge and two edges from one node.
var (
	vggForm = cellmap.Form{Concat: []int{4}, Edges: []cellmap.FormEdge{
		{Op: cellmap.Null, From: 0, To: 2}, {Op: cellmap.Skip, From: 1, To: 2},
		{Op: cellmap.Null, From: 0, To: 3}, {Op: "conv_3x3", From: 2, To: 3},
		{Op: cellmap.Null, From: 0, To: 4}, {Op: "max_pool_2x2", From: 3, To: 4},
	}}
	mixedForm = cellmap.Form{Concat: []int{4, 5}, Edges: []cellmap.FormEdge{
		{Op: "sep_conv_3x3", From: 1, To: 2}, {Op: cellmap.Skip, From: 1, To: 2},
		{Op: "conv_5x5", From: 0, To: 3}, {Op: cellmap.Null, From: 2, To: 3},
		{Op: cellmap.Skip, From: 3, To: 4, Fixed: true}, {Op: "conv_1x1", From: 2, To: 4},
		{Op: "avg_pool_3x3", From: 1, To: 5}, {Op: cellmap.Skip, From: 4, To: 5},
	}}
)

func randomLogits(rng *rand.Rand, edges int) [][Actions]float64 {
	logits := make([][Actions]float64, edges)
	for i := range logits {
		for a := range logits[i] {
			logits[i][a] = 3 * rng.NormFloat64()
		}
	}
	return logits
}

func TestMaskedActionsHaveNoProbability(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	legal := func(edge int, a Action) bool { return edge != 2 || a == ToSkip }
	for range 200 {
		logits := randomLogits(rng, len(mixedForm.Edges))
		logits[4][ToNull] = 800 // overflows exp, and must not matter on a fixed edge
		for i, p := range Probabilities(logits, NAT, mixedForm, legal) {
			var sum float64
			for a, x := range p {
				sum += x
				allowed := NAT.Allows(mixedForm.Edges[i], Action(a)) && (Action(a) == Keep || legal(i, Action(a)))
				if !allowed && x != 0 || allowed && !(x > 0) {
					t.Fatalf("edge %d, %v: probability %v, allowed %v", i, Action(a), x, allowed)
				}
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Fatalf("edge %d: probabilities sum to %v", i, sum)
			}
		}
	}
}

// Sampling must follow the distribution: frequencies against an independently
// computed softmax, within five standard deviations.
func TestSampleFrequencies(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	logits := randomLogits(rng, len(mixedForm.Edges))
	const n = 20000
	var count [8][Actions]float64
	for range n {
		actions, logProb := Sample(rng, logits, NAT, mixedForm, nil)
		want := 0.0
		for i, a := range actions {
			if !NAT.Allows(mixedForm.Edges[i], a) {
				t.Fatalf("edge %d: sampled %v, which the rules forbid", i, a)
			}
			count[i][a]++
			want += math.Log(softmax(logits[i], mixedForm.Edges[i])[a])
		}
		if math.Abs(logProb-want) > 1e-9 {
			t.Fatalf("log probability %v, want %v", logProb, want)
		}
	}
	for i := range count {
		p := softmax(logits[i], mixedForm.Edges[i])
		for a := range p {
			if d := math.Abs(count[i][a]/n - p[a]); d > 5*math.Sqrt(p[a]*(1-p[a])/n)+1e-12 {
				t.Errorf("edge %d, %v: frequency %v, probability %v", i, Action(a), count[i][a]/n, p[a])
			}
		}
	}
}

func softmax(logits [Actions]float64, e cellmap.FormEdge) (p [Actions]float64) {
	sum := 0.0
	for a := range p {
		if NAT.Allows(e, Action(a)) {
			p[a] = math.Exp(logits[a])
			sum += p[a]
		}
	}
	for a := range p {
		p[a] /= sum
	}
	return p
}

func TestSampleRepeats(t *testing.T) {
	draw := func() (all []Action) {
		rng := rand.New(rand.NewPCG(7, 0))
		logits := randomLogits(rng, len(vggForm.Edges))
		for range 20 {
			actions, _ := Sample(rng, logits, NAT, vggForm, nil)
			all = append(all, actions...)
		}
		return all
	}
	if !slices.Equal(draw(), draw()) {
		t.Error("the same seed gave other samples")
	}
}

func TestBest(t *testing.T) {
	logits := [][Actions]float64{
		{0, 1, 9},             // null: skip
		{9, 1, 2},             // skip: null
		{9, 1, 2},             // null: "null" is masked, skip over keep
		{0, 5, 5},             // conv: a tie, keep
		{math.Inf(1), 2, 1},   // null: a masked infinity does no harm
		{-1e300, -1e300, -10}, // pool: skip
	}
	want := []Action{ToSkip, ToNull, ToSkip, Keep, Keep, ToSkip}
	got, logProb := Best(logits, NAT, vggForm, nil)
	if !slices.Equal(got, want) {
		t.Errorf("Best = %v, want %v", got, want)
	}
	if !(logProb < 0) || math.IsInf(logProb, 0) {
		t.Errorf("log probability %v", logProb)
	}
	keep := func(int, Action) bool { return false }
	if got, logProb := Best(logits, NAT, vggForm, keep); slices.ContainsFunc(got, func(a Action) bool { return a != Keep }) || logProb != 0 {
		t.Errorf("with nothing legal Best = %v at %v, want keep at 0", got, logProb)
	}
}

func TestEntropy(t *testing.T) {
	logits := make([][Actions]float64, len(vggForm.Edges))
	// Uniform: three nulls, one skip with two actions, conv and pool with three.
	if got, want := Entropy(logits, NAT, vggForm, nil), 4*math.Log(2)+2*math.Log(3); math.Abs(got-want) > 1e-12 {
		t.Errorf("uniform entropy %v, want %v", got, want)
	}
	for i := range logits {
		logits[i][Keep] = 1e4
	}
	if got := Entropy(logits, NAT, vggForm, nil); got != 0 {
		t.Errorf("entropy of certainty %v, want 0", got)
	}
}

func TestTransformLeavesItsInputAlone(t *testing.T) {
	before := slices.Clone(vggForm.Edges)
	after := Transform(vggForm, []Action{ToSkip, ToNull, Keep, ToNull, Keep, ToSkip})
	want := []cellmap.Op{cellmap.Skip, cellmap.Null, cellmap.Null, cellmap.Null, cellmap.Null, cellmap.Skip}
	for i, e := range after.Edges {
		if e.Op != want[i] || e.From != before[i].From || e.To != before[i].To {
			t.Errorf("edge %d is %+v, want %s from node %d", i, e, want[i], before[i].From)
		}
	}
	if !slices.Equal(vggForm.Edges, before) {
		t.Error("the input form changed")
	}
}
