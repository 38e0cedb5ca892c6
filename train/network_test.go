package train

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/transformer"
)

// architectures are small ones of each kind.
var architectures = map[string]Architecture{"gcn": GCN(5, 7, 3), "published": Published(4, 9, 6), "lstm": LSTM(4, 6)}

func randomWeights(a Architecture, seed uint64) []weight {
	weights := a.weights(rand.New(rand.NewPCG(seed, 1)), transformer.NATPlusPlus)
	for _, w := range weights { // last layers begin near zero, which would hide mistakes
		if w.cols == transformer.NATPlusPlus.Learnt() {
			for i := range w.data {
				w.data[i] = float32(math.Sin(float64(i + 1)))
			}
		}
	}
	return weights
}

func policyOf(t testing.TB, a Architecture, p []transformer.Param) transformer.Policy {
	t.Helper()
	policy, err := a.policy(transformer.Card{Rules: transformer.NATPlusPlus.Name}, p)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func batch201(t testing.TB, w *Writing, cells ...int) (ops [][]int, from []int) {
	t.Helper()
	for _, c := range cells {
		o, f, err := transformer.Encode(w.Form(c))
		if err != nil {
			t.Fatal(err)
		}
		ops, from = append(ops, o), f
	}
	return ops, from
}

// weigh returns the sum of a policy's logits on the cells, weighted.
func weigh(t testing.TB, p transformer.Policy, w *Writing, cells []int, weights []float32) (sum float64) {
	t.Helper()
	actions := transformer.NATPlusPlus.Learnt()
	for c, cell := range cells {
		logits, err := p.Logits(context.Background(), w.Form(cell))
		if err != nil {
			t.Fatal(err)
		}
		for e, row := range logits {
			for a, x := range row[:actions] {
				sum += x * float64(weights[(e*len(cells)+c)*actions+a])
			}
		}
	}
	return sum
}

// The network that is trained and the one that decides are written twice, in
// Gorgonia and in plain Go. They must be one function.
func TestNetworksAgreeWithPolicies(t *testing.T) {
	for name, a := range architectures {
		for w := range Writings[:2] {
			weights := randomWeights(a, 1)
			cells := []int{0, 15624, 7777}
			ops, from := batch201(t, &Writings[w], cells...)
			n, err := newNetwork(a, weights, from, len(cells))
			if err != nil {
				t.Fatal(err)
			}
			var got []float32
			if _, err := n.gradients(ops, func(logits, _ []float32) error { got = slices.Clone(logits); return nil }); err != nil {
				t.Fatal(err)
			}
			p := policyOf(t, a, params(weights))
			for i := range got {
				only := make([]float32, len(got))
				only[i] = 1
				if want := weigh(t, p, &Writings[w], cells, only); math.Abs(float64(got[i])-want) > 1e-5*(1+math.Abs(want)) {
					t.Fatalf("%s, writing %d, logit %d: %v in Gorgonia, %v in Go", name, w, i, got[i], want)
				}
			}
			n.close()
		}
	}
}

// Gorgonia's gradients against central differences of the plain Go network.
func TestGradients(t *testing.T) {
	for name, a := range architectures {
		t.Run(name, func(t *testing.T) { checkGradients(t, a) })
	}
}

func checkGradients(t *testing.T, a Architecture) {
	weights := randomWeights(a, 2)
	cells := []int{123, 9876, 4321, 15000}
	ops, from := batch201(t, &Writings[0], cells...)
	n, err := newNetwork(a, weights, from, len(cells))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	rng := rand.New(rand.NewPCG(3, 3))
	loss := make([]float32, len(from)*len(cells)*n.actions)
	for i := range loss {
		loss[i] = float32(rng.NormFloat64())
	}
	for range 2 { // a second run must not add to the first one's gradients
		grads, err := n.gradients(ops, func(_, grad []float32) error { copy(grad, loss); return nil })
		if err != nil {
			t.Fatal(err)
		}
		p := params(weights)
		for i := range p {
			for j := range p[i].Data {
				const h = 1e-6
				at := func(x float64) float64 {
					p[i].Data[j] = x
					return weigh(t, policyOf(t, a, p), &Writings[0], cells, loss)
				}
				x := p[i].Data[j]
				want := (at(x+h) - at(x-h)) / (2 * h)
				p[i].Data[j] = x
				if got := float64(grads[i][j]); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
					t.Fatalf("%s[%d]: gradient %v, by differences %v", p[i].Name, j, got, want)
				}
			}
		}
	}
}

// The authors' network does not see the operations that it edits: with its
// sources fixed, a node's logits stay when its own operations change. Ours do not.
func TestPublishedIsBlind(t *testing.T) {
	for name, a := range architectures {
		p := policyOf(t, a, params(randomWeights(a, 4)))
		form := Form201(7777)
		before, err := p.Logits(t.Context(), form)
		if err != nil {
			t.Fatal(err)
		}
		for i := range form.Edges {
			changed := Form201(7777)
			changed.Edges[i].Op = "conv_1x1"
			if form.Edges[i].Op == "conv_1x1" {
				changed.Edges[i].Op = "avg_pool_3x3"
			}
			after, err := p.Logits(t.Context(), changed)
			if err != nil {
				t.Fatal(err)
			}
			if sees := before[i] != after[i]; sees != (name != "published") {
				t.Errorf("%s: edge %d sees its own operation: %v", name, i, sees)
			}
		}
	}
}

// Products of all shapes against sums of products, twice: the second run uses the
// first one's memory.
func TestProducts(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	fill := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			if rng.IntN(3) > 0 {
				x[i] = float32(rng.NormFloat64())
			}
		}
		return x
	}
	for _, m := range []int{1, 6, 33} {
		for _, n := range []int{1, 5, 48} {
			for _, k := range []int{1, 8, 40} {
				for _, trans := range [][2]bool{{false, false}, {true, false}, {false, true}} {
					p := &product{transA: trans[0], transB: trans[1], batch: 1, team: cpu.NewTeam(1)}
					stepA, inA, stepB, inB := k, 1, n, 1
					if p.transA {
						stepA, inA = 1, m
					}
					if p.transB {
						stepB, inB = 1, k
					}
					for range 2 {
						a, b, got := fill(m*k), fill(k*n), fill(m*n)
						p.multiply(got, a, b, m, n, k)
						for i := range got {
							want := 0.0
							for q := range k {
								want += float64(a[i/n*stepA+q*inA]) * float64(b[q*stepB+i%n*inB])
							}
							if math.Abs(float64(got[i])-want) > 1e-4 {
								t.Fatalf("%dx%dx%d, transposed %v: %v at %d, want %v", m, n, k, trans, got[i], i, want)
							}
						}
					}
				}
			}
		}
	}
}
