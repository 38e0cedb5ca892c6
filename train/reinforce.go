package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// A Reward says what a transformation is worth: the accuracy of the network
// with the cell after it minus that with the cell before it, as fractions of 1.
// The paper's entropy weight of 0.003 is meant for that scale: an edge stays
// undecided between actions whose accuracies differ by less than about 0.3
// percentage points, which keeps the policy exploring.
type Reward interface {
	Reward(ctx context.Context, before, after cellmap.Form) (float64, error)
}

// Options say how [Reinforce] trains. Zero numbers take the values in brackets.
type Options struct {
	Seed    uint64
	Steps   int     // updates of the weights [8000]
	Batch   int     // input cells per update: the paper's m [64]
	Samples int     // transformations per input cell: the paper's n [8]
	Rate    float64 // of Adam at the first step, falling to 0 along a cosine [0.003]
	Entropy float64 // weight of the entropy, in nats: the paper's lambda, falling with the rate [0.003]
	Embed   int     // features per embedding [32]
	Hidden  int     // features per node [48]
	// Published trains, for comparison, a network wired as the authors' code
	// wires it: no self weights, no messages against the edges, no gates, and
	// logits that see the target node alone.
	Published bool
	// Every that many steps, and after the last, Report is called; an error
	// from it ends the training. Zero: after the last alone.
	Every  int
	Report func(Progress) error
}

const defaultSteps = 8000

func (o *Options) defaults() {
	for _, x := range []struct {
		field *int
		value int
	}{{&o.Steps, defaultSteps}, {&o.Batch, 64}, {&o.Samples, 8}, {&o.Embed, 32}, {&o.Hidden, 48}} {
		if *x.field == 0 {
			*x.field = x.value
		}
	}
	if o.Rate == 0 {
		o.Rate = 0.003
	}
	if o.Entropy == 0 {
		o.Entropy = 0.003
	}
}

func (o *Options) check(inputs int) error {
	switch {
	case o.Steps < 1 || o.Samples < 1 || o.Embed < 1 || o.Hidden < 1 || o.Every < 0:
		return fmt.Errorf("steps %d, samples %d, features %d and %d: want 1 or more of each", o.Steps, o.Samples, o.Embed, o.Hidden)
	case o.Batch < 1 || o.Batch > inputs:
		return fmt.Errorf("batch of %d cells, want 1 to the %d there are", o.Batch, inputs)
	case !(o.Rate > 0) || !(o.Entropy >= 0) || math.IsInf(o.Rate, 0) || math.IsInf(o.Entropy, 0):
		return fmt.Errorf("rate %v and entropy weight %v: want positive numbers", o.Rate, o.Entropy)
	}
	return nil
}

// Progress is the state of a training after Step updates. The means are over
// the steps since the last report.
type Progress struct {
	Step     int
	Reward   float64
	Entropy  float64 // nats per cell
	Baseline float64
	Rate     float64
	Params   []transformer.Param // training goes on changing them: copy to keep
}

// Reinforce trains the weights of a GCN on inputs by policy gradients
// (algorithm 1 of the paper, the part that updates theta). The inputs of one
// update share their topology; where there are several, they take turns.
func Reinforce(ctx context.Context, inputs []cellmap.Form, reward Reward, o Options) ([]transformer.Param, error) {
	if len(inputs) == 0 {
		return nil, errors.New("no inputs to train on")
	}
	t, err := newTrainer(inputs, reward, o)
	if err != nil {
		return nil, err
	}
	defer t.close()
	for t.step < t.Steps {
		if err := t.update(ctx); err != nil {
			return nil, fmt.Errorf("step %d: %w", t.step+1, err)
		}
		if err := t.report(); err != nil {
			return nil, err
		}
	}
	return t.params, nil
}

type trainer struct {
	Options
	groups []*inputGroup
	reward Reward
	rng    *rand.Rand

	params  []transformer.Param
	weights [][]float64 // the trained ones of params
	trained []int       // their indices
	adam    *adam

	step     int
	baseline float64
	sum      struct {
		steps           int
		reward, entropy float64
	}
}

// An inputGroup holds the inputs of one topology.
type inputGroup struct {
	topology         []int
	forms            []cellmap.Form
	ops              [][]int // of the forms, encoded
	order            []int   // forms not drawn yet in this epoch
	policy, gradient *network
}

func newTrainer(inputs []cellmap.Form, reward Reward, o Options) (*trainer, error) {
	o.defaults()
	t := &trainer{Options: o, reward: reward, rng: rand.New(rand.NewPCG(o.Seed, 0))}
	for i, form := range inputs {
		ops, from, err := transformer.Encode(form)
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		g := t.group(from)
		g.forms, g.ops = append(g.forms, form), append(g.ops, ops)
	}
	for _, g := range t.groups {
		if err := o.check(len(g.forms)); err != nil {
			return nil, err
		}
	}
	t.params = initialParams(t.rng, o.Embed, o.Hidden)
	for i, p := range t.params {
		if o.Published && publish(p) {
			continue
		}
		t.weights, t.trained = append(t.weights, p.Data), append(t.trained, i)
	}
	t.adam = newAdam(t.weights)
	for _, g := range t.groups {
		var err error
		if g.policy, err = newNetwork(t.params, g.topology, o.Batch, false); err == nil {
			g.gradient, err = newNetwork(t.params, g.topology, o.Batch, true)
		}
		if err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// group returns the group of a topology, new or not.
func (t *trainer) group(topology []int) *inputGroup {
	for _, g := range t.groups {
		if slices.Equal(g.topology, topology) {
			return g
		}
	}
	t.groups = append(t.groups, &inputGroup{topology: topology})
	return t.groups[len(t.groups)-1]
}

func (t *trainer) close() {
	for _, g := range t.groups {
		for _, n := range []*network{g.policy, g.gradient} {
			if n != nil {
				n.close()
			}
		}
	}
}

// draw returns the next inputs: each comes once before any comes again.
func (g *inputGroup) draw(rng *rand.Rand, n int) []int {
	if len(g.order) < n {
		g.order = rng.Perm(len(g.forms))
	}
	batch := g.order[:n]
	g.order = g.order[n:]
	return batch
}

// remaining falls from 1 at the first step to 0 after the last, along a cosine.
func (t *trainer) remaining() float64 {
	return (1 + math.Cos(math.Pi*float64(t.step)/float64(t.Steps))) / 2
}

func (t *trainer) update(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g := t.groups[t.step%len(t.groups)]
	batch := g.draw(t.rng, t.Batch)
	cells := make([][]int, len(batch))
	for i, input := range batch {
		cells[i] = g.ops[input]
	}
	logits, err := g.policy.forward(cells)
	if err != nil {
		return err
	}
	grad := make([]float64, len(logits))
	for i, input := range batch {
		if err := t.cellGradient(ctx, g.forms[input], i, logits, grad); err != nil {
			return err
		}
	}
	all, err := g.gradient.backward(cells, grad)
	if err != nil {
		return err
	}
	grads := make([][]float64, len(t.trained))
	for i, p := range t.trained {
		grads[i] = all[p]
	}
	t.adam.update(t.weights, grads, t.Rate*t.remaining())
	t.step++
	t.sum.steps++
	return nil
}

// cellGradient samples transformations of the cell in column i of the batch
// and adds to grad the gradient of the loss by its logits,
//
//	loss = -mean over samples of (advantage * log p(sample)) - Entropy * H(p),
//
// divided by the batch size. It is written down here, since that of a masked
// softmax is three terms; Gorgonia carries it on to the weights.
func (t *trainer) cellGradient(ctx context.Context, form cellmap.Form, i int, logits, grad []float64) error {
	actions := transformer.NAT.Learnt()
	rows := make([][transformer.Actions]float64, len(form.Edges))
	for e := range rows {
		copy(rows[e][:actions], logits[(e*t.Batch+i)*actions:])
	}
	probs := transformer.Probabilities(rows, transformer.NAT, form, nil)
	samples, rewards, mean := make([][]transformer.Action, t.Samples), make([]float64, t.Samples), 0.0
	for s := range samples {
		samples[s], _ = transformer.Draw(t.rng, probs)
		r, err := t.reward.Reward(ctx, form, transformer.Transform(form, samples[s]))
		if err != nil {
			return err
		}
		rewards[s] = r
		mean += r / float64(t.Samples)
	}
	advantages := t.advantages(rewards, mean)
	t.sum.reward += mean / float64(t.Batch)
	for e, p := range probs {
		g := grad[(e*t.Batch+i)*actions:][:actions]
		var h float64
		for _, x := range p {
			if x > 0 {
				h -= x * math.Log(x)
			}
		}
		t.sum.entropy += h / float64(t.Batch)
		for a, x := range p {
			if x == 0 {
				continue
			}
			d := t.Entropy * t.remaining() * x * (math.Log(x) + h)
			for s, advantage := range advantages {
				d -= advantage * (is(int(samples[s][e]) == a) - x) / float64(t.Samples)
			}
			g[a] = d / float64(t.Batch)
		}
	}
	return nil
}

// baselineMomentum is the authors': the average forgets in about a hundred steps.
const baselineMomentum = 0.99

// advantages subtracts a baseline from the rewards of the samples of one input:
// the mean of its other samples, or the moving average of all rewards where
// there is but one sample. The average follows the reward; the authors' code
// lets it follow the advantage, which settles at half the reward (spec 7.3).
func (t *trainer) advantages(rewards []float64, mean float64) []float64 {
	out, n := make([]float64, len(rewards)), float64(len(rewards))
	for s, r := range rewards {
		if n > 1 {
			out[s] = (r - mean) * n / (n - 1) // r minus the mean of the others
		} else {
			out[s] = r - t.baseline
		}
	}
	t.baseline += (1 - baselineMomentum) * (mean - t.baseline)
	return out
}

func (t *trainer) report() error {
	if t.Report == nil || t.step != t.Steps && (t.Every == 0 || t.step%t.Every != 0) {
		return nil
	}
	n := float64(t.sum.steps)
	p := Progress{
		Step: t.step, Reward: t.sum.reward / n, Entropy: t.sum.entropy / n,
		Baseline: t.baseline, Rate: t.Rate * t.remaining(), Params: t.params,
	}
	t.sum.steps, t.sum.reward, t.sum.entropy = 0, 0, 0
	return t.Report(p)
}
