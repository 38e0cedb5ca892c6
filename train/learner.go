package train

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// A Learner trains a policy on cells that come one update after the other, each
// in its own topology, as those of a supernet do. It goes by Options' Network,
// Rules, Seed, Steps, Samples, Rate, Entropy and Published.
type Learner struct{ trainer }

// NewLearner begins a training, or goes on from Options.Resume.
func NewLearner(o Options) (*Learner, error) {
	o.Batch = 1
	o.defaults()
	if err := o.check(1); err != nil {
		return nil, err
	}
	l := &Learner{trainer{Options: o, pcg: rand.NewPCG(o.Seed, 0)}}
	l.rng = rand.New(l.pcg)
	l.begin()
	return l, l.resume()
}

// An Update says how one came out.
type Update struct {
	Reward  float64 // mean over the samples
	Entropy float64 // nats, of all cells together
}

// Update takes one step. The forms are the cells of one architecture, which are
// decided on together: judge gets Samples transformations of all of them, and
// returns the reward of each, as [Reward] means it.
func (l *Learner) Update(ctx context.Context, forms []cellmap.Form, judge func(context.Context, [][]cellmap.Form) ([]float64, error)) (u Update, err error) {
	policy, err := l.Policy(transformer.Card{Rules: l.Rules.Name})
	if err != nil {
		return u, err
	}
	samples := make([][][]transformer.Action, len(forms)) // by cell
	transformed := make([][]cellmap.Form, l.Samples)
	for c, form := range forms {
		logits, err := policy.Logits(ctx, form)
		if err != nil {
			return u, err
		}
		probs := transformer.Probabilities(logits, l.Rules, form, nil)
		for s := range transformed {
			actions, _ := transformer.Draw(l.rng, probs)
			samples[c] = append(samples[c], actions)
			transformed[s] = append(transformed[s], transformer.Transform(form, actions))
		}
	}
	rewards, err := judge(ctx, transformed)
	if err != nil {
		return u, err
	}
	for _, r := range rewards {
		u.Reward += r / float64(len(rewards))
	}
	l.sum.entropy = 0
	grads, err := l.gradients(forms, samples, l.advantages(rewards))
	if err != nil {
		return u, err
	}
	u.Entropy = l.sum.entropy
	l.adam(grads)
	return u, nil
}

// gradients are the sums over the cells.
func (l *Learner) gradients(forms []cellmap.Form, samples [][][]transformer.Action, advantages []float64) ([][]float32, error) {
	var sum [][]float32
	for c, form := range forms {
		ops, from, err := transformer.Encode(form)
		if err != nil {
			return nil, err
		}
		n, err := newNetwork(l.Network, l.weights, from, 1)
		if err != nil {
			return nil, err
		}
		grads, err := n.gradients([][]int{ops}, func(logits, grad []float32) error {
			l.pull(l.probabilities(form, nil, 0, logits), samples[c], advantages, 0, grad)
			return nil
		})
		n.close()
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", l.Step+1, err)
		}
		if sum == nil {
			sum = grads
			continue
		}
		for i, g := range grads {
			for j, x := range g {
				sum[i][j] += x
			}
		}
	}
	return sum, nil
}

// Policy returns the policy as it is.
func (l *Learner) Policy(card transformer.Card) (transformer.Policy, error) {
	return l.Network.policy(card, params(l.weights))
}

// State returns what the training can go on from. It is valid until the next update.
func (l *Learner) State() *State { return Progress{trainer: &l.trainer}.State() }
