package transformer

import (
	"math"
	"math/rand/v2"

	"github.com/natonnx/natonnx/cellmap"
)

// Legal reports whether an action may be taken on an edge of the form, by its
// index, in the network at hand: shapes, cost, connectivity. It is not asked
// about Keep, which is always legal. A nil Legal permits all.
type Legal func(edge int, a Action) bool

// Probabilities turns a policy's logits into one distribution per edge of the
// form. Actions that the rules or legal forbid are masked before the softmax:
// their probability is exactly 0 and the others of the edge sum to 1.
func Probabilities(logits [][Actions]float64, rules Rules, form cellmap.Form, legal Legal) [][Actions]float64 {
	probs := make([][Actions]float64, len(form.Edges))
	for i, e := range form.Edges {
		var allowed [Actions]bool
		for a := range Action(Actions) {
			allowed[a] = rules.Allows(e, a) && (a == Keep || legal == nil || legal(i, a))
		}
		probs[i] = maskedSoftmax(logits[i], allowed)
	}
	return probs
}

// maskedSoftmax needs at least one allowed action.
func maskedSoftmax(logits [Actions]float64, allowed [Actions]bool) (p [Actions]float64) {
	top := math.Inf(-1)
	for a, x := range logits {
		if allowed[a] {
			top = max(top, x)
		}
	}
	var sum float64
	for a, x := range logits {
		if allowed[a] {
			p[a] = math.Exp(x - top)
			sum += p[a]
		}
	}
	for a := range p {
		p[a] /= sum
	}
	return p
}

// Sample draws one action per edge and returns the draw with the logarithm of
// its probability. It takes one number from rng per edge that has a choice.
func Sample(rng *rand.Rand, logits [][Actions]float64, rules Rules, form cellmap.Form, legal Legal) ([]Action, float64) {
	return Draw(rng, Probabilities(logits, rules, form, legal))
}

// Draw is Sample from distributions that [Probabilities] made, for several
// draws from the same ones.
func Draw(rng *rand.Rand, probs [][Actions]float64) (actions []Action, logProb float64) {
	actions = make([]Action, len(probs))
	for i, p := range probs {
		actions[i] = draw(rng, p)
		logProb += math.Log(p[actions[i]])
	}
	return actions, logProb
}

func draw(rng *rand.Rand, p [Actions]float64) Action {
	if p[Keep] == 1 {
		return Keep
	}
	u, last := rng.Float64(), Keep
	for a, x := range p {
		if x == 0 {
			continue
		}
		if u < x {
			return Action(a)
		}
		u, last = u-x, Action(a)
	}
	return last // rounding left u a little over the sum
}

// Best returns the most probable action of each edge, and the logarithm of
// their joint probability. Keep wins ties.
func Best(logits [][Actions]float64, rules Rules, form cellmap.Form, legal Legal) (actions []Action, logProb float64) {
	actions = make([]Action, len(form.Edges))
	for i, p := range Probabilities(logits, rules, form, legal) {
		actions[i] = Keep
		for a, x := range p {
			if x > p[actions[i]] {
				actions[i] = Action(a)
			}
		}
		logProb += math.Log(p[actions[i]])
	}
	return actions, logProb
}

// Entropy returns the sum over the edges of the entropy of their
// distributions, in nats.
func Entropy(logits [][Actions]float64, rules Rules, form cellmap.Form, legal Legal) (h float64) {
	for _, p := range Probabilities(logits, rules, form, legal) {
		for _, x := range p {
			if x > 0 {
				h -= x * math.Log(x)
			}
		}
	}
	return h
}

// Transform returns the form with the actions taken, one per edge.
func Transform(form cellmap.Form, actions []Action) cellmap.Form {
	out := cellmap.Form{Edges: make([]cellmap.FormEdge, len(form.Edges)), Concat: form.Concat}
	for i, e := range form.Edges {
		e.Op = actions[i].Apply(e.Op)
		out.Edges[i] = e
	}
	return out
}
