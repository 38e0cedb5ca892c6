package train

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/transformer"
)

func randomParams(seed uint64, embed, hidden int) []transformer.Param {
	return initialParams(rand.New(rand.NewPCG(seed, 1)), embed, hidden)
}

func batch201(t testing.TB, cells ...int) (ops [][]int, from []int) {
	t.Helper()
	for _, c := range cells {
		o, f, err := transformer.Encode(Form201(c))
		if err != nil {
			t.Fatal(err)
		}
		ops, from = append(ops, o), f
	}
	return ops, from
}

// The network that is trained and the one that decides are written twice, in
// Gorgonia and in plain Go. They must be one function.
func TestNetworkAgreesWithGCN(t *testing.T) {
	params := randomParams(1, 5, 7)
	g, err := transformer.NewGCN(transformer.Card{Rules: transformer.NAT.Name}, params)
	if err != nil {
		t.Fatal(err)
	}
	cells := []int{0, 15624, 7777}
	ops, from := batch201(t, cells...)
	n, err := newNetwork(params, from, len(cells), false)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	got, err := n.forward(ops)
	if err != nil {
		t.Fatal(err)
	}
	for c, cell := range cells {
		want, err := g.Logits(context.Background(), Form201(cell))
		if err != nil {
			t.Fatal(err)
		}
		for e := range want {
			for a := range want[e] {
				if x := got[(e*len(cells)+c)*transformer.Actions+a]; math.Abs(x-want[e][a]) > 1e-12 {
					t.Fatalf("cell %d edge %d action %d: %v in Gorgonia, %v in Go", cell, e, a, x, want[e][a])
				}
			}
		}
	}
}

// Gorgonia's gradients against central differences of the plain Go network.
func TestGradients(t *testing.T) {
	params := randomParams(2, 4, 6)
	cells := []int{123, 9876, 4321, 15000}
	ops, from := batch201(t, cells...)
	n, err := newNetwork(params, from, len(cells), true)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	rng := rand.New(rand.NewPCG(3, 3))
	weight := make([]float64, len(from)*len(cells)*transformer.Actions)
	for i := range weight {
		weight[i] = rng.NormFloat64()
	}
	loss := func() (sum float64) {
		g, err := transformer.NewGCN(transformer.Card{Rules: transformer.NAT.Name}, params)
		if err != nil {
			t.Fatal(err)
		}
		for c, cell := range cells {
			logits, err := g.Logits(context.Background(), Form201(cell))
			if err != nil {
				t.Fatal(err)
			}
			for e, row := range logits {
				for a, x := range row {
					sum += x * weight[(e*len(cells)+c)*transformer.Actions+a]
				}
			}
		}
		return sum
	}
	for range 2 { // a second run must not add to the first one's gradients
		grads, err := n.backward(ops, weight)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range params {
			for j := range p.Data {
				const h = 1e-6
				x := p.Data[j]
				p.Data[j] = x + h
				up := loss()
				p.Data[j] = x - h
				down := loss()
				p.Data[j] = x
				want := (up - down) / (2 * h)
				if got := grads[i][j]; math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
					t.Fatalf("%s[%d]: gradient %v, by differences %v", p.Name, j, got, want)
				}
			}
		}
	}
}
