package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/transformer"
)

// A Reward says what a transformation is worth: the accuracy of the network
// with the cell after it minus that with the cell before it, as fractions of 1.
type Reward interface {
	Reward(ctx context.Context, before, after cellmap.Form) (float64, error)
	// Cost returns what a cell costs, in any unit.
	Cost(cell cellmap.Form) (float64, error)
	// Legal says which actions on a cell lead to cells that have a reward.
	Legal(cell cellmap.Form) transformer.Legal
}

// Options say how [Reinforce] trains. Zero numbers take the values in brackets.
type Options struct {
	Network Architecture      // [GCN(32, 64, 3)]
	Rules   transformer.Rules // [transformer.NAT]
	Seed    uint64
	Steps   int     // updates of the weights [8000]
	Batch   int     // input cells per update: the paper's m [64]
	Samples int     // transformations per input cell: the paper's n [8]
	Rate    float64 // of Adam at the first step, falling to 0 along a cosine [0.003]
	// Entropy is the weight of the entropy, in nats: the paper's lambda, falling
	// with the rate [0.2 where there are several samples, whose rewards are
	// compared in units of their deviation; else the paper's 0.003].
	Entropy float64
	// MaxCost bounds the mean cost of the transformed cells, as a share of that
	// of the inputs; 0: no bound. It is kept in the mean over all inputs, by a
	// price per cost that rises while the bound is broken, and falls else: the
	// Lagrange multiplier of c(alpha) <= kappa.
	MaxCost float64
	// Published takes the authors' scheme (spec section 3), for comparison: the
	// rate and the entropy weight stay, Adam has their constants, and the moving
	// baseline follows the advantage.
	Published bool
	// Resume goes on from a state that Progress gave; the other options must be
	// those that it was reached with.
	Resume *State
	// Every that many steps, and after the last, Report is called; an error
	// from it ends the training. Zero: after the last alone.
	Every  int
	Report func(Progress) error
}

// PublishedOptions are those of the authors' code: one cell and one sample per
// update, and as many updates as in the paper's 100 epochs.
func PublishedOptions() Options {
	return Options{Network: Published(100, 1024, 100), Steps: 46900, Batch: 1, Samples: 1, Rate: 0.0003, Published: true}
}

const defaultSteps = 8000

func (o *Options) defaults() {
	if o.Network == nil {
		o.Network = GCN(32, 64, 3)
	}
	o.Rules = cmp.Or(o.Rules, transformer.NAT)
	o.Steps, o.Batch, o.Samples = cmp.Or(o.Steps, defaultSteps), cmp.Or(o.Batch, 64), cmp.Or(o.Samples, 8)
	o.Rate = cmp.Or(o.Rate, 0.003)
	if o.Entropy == 0 {
		o.Entropy = 0.2
		if o.Samples == 1 {
			o.Entropy = 0.003
		}
	}
}

func (o *Options) check(inputs int) error {
	switch {
	case o.Steps < 1 || o.Samples < 1 || o.Every < 0:
		return fmt.Errorf("steps %d and samples %d: want 1 or more of each", o.Steps, o.Samples)
	case o.Batch < 1 || o.Batch > inputs:
		return fmt.Errorf("batch of %d cells, want 1 to the %d there are", o.Batch, inputs)
	case !(o.Rate > 0) || !(o.Entropy >= 0) || math.IsInf(o.Rate, 0) || math.IsInf(o.Entropy, 0):
		return fmt.Errorf("rate %v and entropy weight %v: want positive numbers", o.Rate, o.Entropy)
	case !(o.MaxCost >= 0):
		return fmt.Errorf("bound on the cost %v, want a share of the inputs' cost", o.MaxCost)
	}
	return nil
}

// Progress is the state of a training after Step updates. The means are over
// the steps since the last report.
type Progress struct {
	Step     int
	Reward   float64
	Entropy  float64 // nats per cell
	Cost     float64 // of the samples, as a share of the inputs'
	Baseline float64
	Rate     float64
	Price    float64 // of the inputs' whole cost, in units of the reward
	trainer  *trainer
}

// Params returns copies of the weights.
func (p Progress) Params() []transformer.Param { return params(p.trainer.weights) }

// State returns what training can go on from. It is only valid until Report returns.
func (p Progress) State() *State {
	s := p.trainer.State
	s.RNG, _ = p.trainer.pcg.MarshalBinary() // never fails
	return &s
}

// A State is all that a training's future depends on, besides its options.
type State struct {
	Step            int
	Baseline, Price float64
	RNG             []byte
	Weights         [][]float32
	M, V            [][]float32 // Adam's moments
	Order           [][]int     // of each topology, the inputs that are still to come in this epoch
}

// Reinforce trains the weights of a policy on inputs by policy gradients
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
	for t.Step < t.Steps {
		if err := t.update(ctx); err != nil {
			return nil, fmt.Errorf("step %d: %w", t.Step+1, err)
		}
		if err := t.report(); err != nil {
			return nil, err
		}
	}
	return params(t.weights), nil
}

type trainer struct {
	Options
	State
	groups  []*inputGroup
	reward  Reward
	pcg     *rand.PCG
	rng     *rand.Rand // of pcg
	weights []weight
	cost    float64 // mean of the inputs

	sum struct {
		steps                 int
		reward, entropy, cost float64
	}
}

// An inputGroup holds the inputs of one topology.
type inputGroup struct {
	topology []int
	forms    []cellmap.Form
	ops      [][]int // of the forms, encoded
	network  *network
}

func newTrainer(inputs []cellmap.Form, reward Reward, o Options) (*trainer, error) {
	o.defaults()
	t := &trainer{Options: o, reward: reward, pcg: rand.NewPCG(o.Seed, 0)}
	t.rng = rand.New(t.pcg)
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
	if err := t.meanCost(inputs); err != nil {
		return nil, err
	}
	t.begin()
	if err := t.resume(); err != nil {
		return nil, err
	}
	for _, g := range t.groups {
		var err error
		if g.network, err = newNetwork(o.Network, t.weights, g.topology, o.Batch); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// meanCost sets the inputs' mean cost, where a bound needs it.
func (t *trainer) meanCost(inputs []cellmap.Form) error {
	if t.MaxCost == 0 {
		return nil
	}
	for i, form := range inputs {
		c, err := t.reward.Cost(form)
		if err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
		t.cost += c / float64(len(inputs))
	}
	if !(t.cost > 0) {
		return errors.New("the inputs cost nothing: their cost cannot be bounded")
	}
	return nil
}

// begin sets the state at step 0.
func (t *trainer) begin() {
	t.weights = t.Network.weights(t.rng, t.Rules)
	for _, w := range t.weights {
		t.Weights = append(t.Weights, w.data)
		t.M, t.V = append(t.M, make([]float32, len(w.data))), append(t.V, make([]float32, len(w.data)))
	}
	t.Order = make([][]int, len(t.groups))
}

// resume takes the state to resume from, in the memory that there is.
func (t *trainer) resume() error {
	from := t.Resume
	if from == nil {
		return nil
	}
	lists := [][3][][]float32{{t.Weights, t.M, t.V}, {from.Weights, from.M, from.V}}
	for k := range lists[0] {
		if len(lists[0][k]) != len(lists[1][k]) {
			return fmt.Errorf("state to resume from: %d weights, want %d", len(lists[1][k]), len(lists[0][k]))
		}
		for i, data := range lists[0][k] {
			if len(lists[1][k][i]) != len(data) {
				return fmt.Errorf("state to resume from: weight %q has %d numbers, want %d", t.weights[i].name, len(lists[1][k][i]), len(data))
			}
			copy(data, lists[1][k][i])
		}
	}
	if len(from.Order) != len(t.groups) || from.Step < 0 {
		return errors.New("state to resume from: it is of another training")
	}
	for i, order := range from.Order {
		if slices.ContainsFunc(order, func(k int) bool { return k < 0 || k >= len(t.groups[i].forms) }) {
			return errors.New("state to resume from: it is of other inputs")
		}
		t.Order[i] = slices.Clone(order)
	}
	t.Step, t.Baseline, t.Price = from.Step, from.Baseline, from.Price
	if err := t.pcg.UnmarshalBinary(from.RNG); err != nil {
		return fmt.Errorf("state to resume from: %w", err)
	}
	return nil
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
		if g.network != nil {
			g.network.close()
		}
	}
}

// draw returns the next inputs of a group: each comes once before any comes again.
func (t *trainer) draw(group, n int) []int {
	if len(t.Order[group]) < n {
		t.Order[group] = t.rng.Perm(len(t.groups[group].forms))
	}
	batch := t.Order[group][:n]
	t.Order[group] = t.Order[group][n:]
	return batch
}

// remaining falls from 1 at the first step to 0 after the last, along a cosine.
func (t *trainer) remaining() float64 {
	if t.Published {
		return 1
	}
	return (1 + math.Cos(math.Pi*float64(t.Step)/float64(t.Steps))) / 2
}

func (t *trainer) update(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	turn := t.Step % len(t.groups)
	g, batch := t.groups[turn], t.draw(turn, t.Batch)
	cells := make([][]int, len(batch))
	for i, input := range batch {
		cells[i] = g.ops[input]
	}
	excess := 0.0
	grads, err := g.network.gradients(cells, func(logits, grad []float32) error {
		for i, input := range batch {
			over, err := t.cellGradient(ctx, g.forms[input], i, logits, grad)
			if err != nil {
				return err
			}
			excess += over / float64(t.Batch)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.Price = max(0, t.Price+priceRate*excess)
	t.adam(grads)
	t.sum.steps++
	return nil
}

// priceRate is by how much the price changes in a step, per excess of the cost.
const priceRate = 0.001

// adam updates the weights, and ends the step.
func (t *trainer) adam(grads [][]float32) {
	beta1, beta2, decay := 0.9, 0.999, 0.0 // the usual constants
	if t.Published {
		beta1, decay = 0.5, 5e-4
	}
	rate := t.Rate * t.remaining()
	t.Step++
	for i, w := range t.Weights {
		vec.Adam(w, t.M[i], t.V[i], grads[i], rate, beta1, beta2, 1e-8, decay, t.Step)
	}
}

// cellGradient samples transformations of the cell in column i of the batch
// and adds to grad the gradient of the loss by its logits. It returns by how much
// the samples' cost exceeds the bound, as a share of the inputs'.
func (t *trainer) cellGradient(ctx context.Context, form cellmap.Form, i int, logits, grad []float32) (excess float64, err error) {
	probs := t.probabilities(form, t.reward.Legal(form), i, logits)
	samples, rewards := make([][]transformer.Action, t.Samples), make([]float64, t.Samples)
	for s := range samples {
		samples[s], _ = transformer.Draw(t.rng, probs)
		r, over, err := t.value(ctx, form, transformer.Transform(form, samples[s]))
		if err != nil {
			return 0, err
		}
		rewards[s] = r
		excess += over / float64(t.Samples)
	}
	t.pull(probs, samples, t.advantages(rewards), i, grad)
	return excess, nil
}

// probabilities are those of the actions on the cell in column i of the batch.
func (t *trainer) probabilities(form cellmap.Form, legal transformer.Legal, i int, logits []float32) [][transformer.Actions]float64 {
	actions := t.Rules.Learnt()
	rows := make([][transformer.Actions]float64, len(form.Edges))
	for e := range rows {
		for a, x := range logits[(e*t.Batch+i)*actions:][:actions] {
			rows[e][a] = float64(x)
		}
	}
	return transformer.Probabilities(rows, t.Rules, form, legal)
}

// pull adds to grad the gradient by the logits of the cell in column i of
//
//	loss = -mean over samples of (advantage * log p(sample)) - Entropy * H(p),
//
// divided by the batch size. It is written down here, since that of a masked
// softmax is three terms; Gorgonia carries it on to the weights.
func (t *trainer) pull(probs [][transformer.Actions]float64, samples [][]transformer.Action, advantages []float64, i int, grad []float32) {
	actions := t.Rules.Learnt()
	for e, p := range probs {
		g := grad[(e*t.Batch+i)*actions:][:actions]
		h := entropy(p)
		t.sum.entropy += h / float64(t.Batch)
		for a, x := range p[:actions] {
			if x == 0 {
				continue
			}
			d := t.Entropy * t.remaining() * x * (math.Log(x) + h)
			for s, advantage := range advantages {
				d -= advantage * (is(int(samples[s][e]) == a) - x) / float64(len(samples))
			}
			g[a] = float32(d / float64(t.Batch))
		}
	}
}

// value returns the reward of a transformation, less the price of its cost,
// and by how much that exceeds the bound.
func (t *trainer) value(ctx context.Context, before, after cellmap.Form) (value, excess float64, err error) {
	r, err := t.reward.Reward(ctx, before, after)
	if err != nil {
		return 0, 0, err
	}
	share := 1 / float64(t.Batch*t.Samples)
	t.sum.reward += r * share
	if t.MaxCost == 0 {
		return r, 0, nil
	}
	was, err := t.reward.Cost(before)
	if err != nil {
		return 0, 0, err
	}
	now, err := t.reward.Cost(after)
	if err != nil {
		return 0, 0, err
	}
	t.sum.cost += now / t.cost * share
	return r - t.Price*now/t.cost, (now - t.MaxCost*was) / t.cost, nil
}

func entropy(p [transformer.Actions]float64) (h float64) {
	for _, x := range p {
		if x > 0 {
			h -= x * math.Log(x)
		}
	}
	return h
}

// indifferent is a deviation of rewards that is mostly noise: what training a
// network anew changes.
const indifferent = 0.003

// baselineMomentum is the authors': the average forgets in about a hundred steps.
const baselineMomentum = 0.99

// advantages subtracts a baseline from the rewards of the samples of one input:
// the mean of its other samples, or the moving average of all rewards where
// there is but one sample. The average follows the reward; the authors' code
// lets it follow the advantage, which settles at half the reward (spec 7.3).
//
// Where there are several samples, advantages are in units of their deviation:
// what breaks a cell costs a hundred times what one good choice gains over
// another, and would else be all that is learnt.
func (t *trainer) advantages(rewards []float64) []float64 {
	out, n, mean := make([]float64, len(rewards)), float64(len(rewards)), 0.0
	for _, r := range rewards {
		mean += r / n
	}
	variance := 0.0
	for _, r := range rewards {
		variance += (r - mean) * (r - mean) / n
	}
	for s, r := range rewards {
		if n > 1 {
			out[s] = (r - mean) * n / (n - 1) / (math.Sqrt(variance) + indifferent) // r minus the mean of the others
		} else {
			out[s] = r - t.Baseline
		}
	}
	if t.Published {
		t.Baseline = baselineMomentum*t.Baseline + (1-baselineMomentum)*(mean-t.Baseline)
	} else {
		t.Baseline += (1 - baselineMomentum) * (mean - t.Baseline)
	}
	return out
}

func (t *trainer) report() error {
	if t.Report == nil || t.Step != t.Steps && (t.Every == 0 || t.Step%t.Every != 0) {
		return nil
	}
	n := float64(t.sum.steps)
	p := Progress{
		Step: t.Step, Reward: t.sum.reward / n, Entropy: t.sum.entropy / n, Cost: t.sum.cost / n,
		Baseline: t.Baseline, Rate: t.Rate * t.remaining(), Price: t.Price, trainer: t,
	}
	t.sum.steps, t.sum.reward, t.sum.entropy, t.sum.cost = 0, 0, 0, 0
	return t.Report(p)
}
