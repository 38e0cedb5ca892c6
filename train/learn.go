package train

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// A Kind is an architecture of a policy with the scheme that trains it.
type Kind string

// The kinds. All but the first are there to be compared with; they train and
// decide on the first of [Writings] alone.
const (
	KindGCN       Kind = "gcn"           // natonnx's own
	KindPublished Kind = "gcn-published" // the authors' network, trained by natonnx's scheme
	KindPaper     Kind = "nat"           // the authors' network, trained by the authors' scheme
	KindLSTM      Kind = "lstm"
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{KindGCN, KindPublished, KindPaper, KindLSTM} }

// options returns how a kind is trained, and on how many writings.
func (k Kind) options() (o Options, writings int, err error) {
	switch k {
	case KindGCN:
		return Options{}, len(Writings), nil
	case KindPublished:
		return Options{Network: Published(100, 1024, 100), Rate: 0.001}, 1, nil
	case KindPaper:
		return PublishedOptions(), 1, nil
	case KindLSTM:
		return Options{Network: LSTM(32, 64)}, 1, nil
	}
	return o, 0, fmt.Errorf("kind of policy %q, want one of %v", k, Kinds())
}

// LearnOptions say how [Learn] trains. Zero values take what is in brackets.
type LearnOptions struct {
	Table   *Table
	Kind    Kind              // [KindGCN]
	Rules   transformer.Rules // [transformer.NAT]
	Seed    uint64
	Steps   int      // [the kind's: 8000, or 46900 with one sample each for KindPaper]
	MaxCost float64  // bound on the mean cost after, as a share of that before; 0: none
	Latency *Latency // the cost; nil: multiply-adds
	// Resume goes on from where an earlier training with these options was.
	Resume *LearnState
	// Report, if set, is called at each point of the curve; an error from it ends
	// the training.
	Report func(*LearnState) error
}

// A CurvePoint is how a training is doing. Accuracies are percentages on
// CIFAR-10, of the most probable transformations of the cells that choose.
type CurvePoint struct {
	Step               int
	Reward, Entropy    float64 // means since the last point; nats per cell
	Baseline, Rate     float64
	Accuracy, Captured float64
	Cost               float64 // after, as a share of that before
	Seconds            float64 // of training so far, without the questions to the cells that choose
}

// A LearnState is all that the future of [Learn] depends on, besides its options.
type LearnState struct {
	Training State
	Curve    []CurvePoint
	Best     [][]float32 // weights of the best point so far
	BestStep int
}

// Learnt is what [Learn] made: the policy of the best point of its curve, and
// the curve.
type Learnt struct {
	Policy   transformer.Policy
	Seed     uint64
	BestStep int
	Curve    []CurvePoint
	StepTime time.Duration // mean
}

// Steps returns n, or where that is 0 as many steps as the kind takes.
func (k Kind) Steps(n int) int {
	o, _, _ := k.options()
	return cmp.Or(n, o.Steps, defaultSteps)
}

const reportEvery = 500 // steps between questions to the cells that choose

// Learn trains one policy on CIFAR-10 accuracies, on the training cells of
// [Table.Split], and keeps the weights whose most probable transformations are
// the most accurate on the cells that choose; under a bound, the most accurate
// that keep it there. Accuracies are taken in the first two writings, for kinds
// that train on them.
func Learn(ctx context.Context, o LearnOptions) (*Learnt, error) {
	o.Kind, o.Rules = cmp.Or(o.Kind, KindGCN), cmp.Or(o.Rules, transformer.NAT)
	l := &learner{LearnOptions: o, split: o.Table.Split(), since: time.Now()}
	training, writings, err := o.Kind.options()
	if err != nil {
		return nil, err
	}
	l.writings = Writings[:min(writings, scoredWritings)]
	training.Rules, training.Seed, training.MaxCost, training.Every = o.Rules, o.Seed, o.MaxCost, reportEvery
	training.Steps = o.Kind.Steps(o.Steps)
	training.defaults()
	l.network, training.Report = training.Network, l.report
	l.names = params(l.network.weights(rand.New(rand.NewPCG(0, 0)), o.Rules))
	if o.Resume != nil {
		l.state, training.Resume = *o.Resume, &o.Resume.Training
		l.state.Curve = slices.Clone(l.state.Curve)
	}
	var inputs []cellmap.Form
	for w := range Writings[:writings] {
		for _, cell := range l.split.Train {
			if Writings[w].Writes(cell) {
				inputs = append(inputs, Writings[w].Form(cell))
			}
		}
	}
	if _, err := Reinforce(ctx, inputs, l.reward(), training); err != nil {
		return nil, err
	}
	return l.result()
}

type learner struct {
	LearnOptions
	split    Split
	writings []Writing // that choose
	network  Architecture
	since    time.Time // the last report
	state    LearnState
	names    []transformer.Param // the weights' names and dims
}

// scoredWritings is how many of [Writings], from the first, choose and score:
// operations in their sums, and all in nodes of their own.
const scoredWritings = 2

func (l *learner) reward() TableReward { return TableReward{l.Table, CIFAR10, l.Latency} }

func (l *learner) report(p Progress) error {
	policy, err := l.network.policy(transformer.Card{Rules: l.Rules.Name}, p.Params())
	if err != nil {
		return err
	}
	point := CurvePoint{
		Step: p.Step, Reward: p.Reward, Entropy: p.Entropy, Baseline: p.Baseline, Rate: p.Rate,
		Seconds: time.Since(l.since).Seconds(),
	}
	defer func() { l.since = time.Now() }()
	if n := len(l.state.Curve); n > 0 {
		point.Seconds += l.state.Curve[n-1].Seconds
	}
	if err := l.measure(policy, &point); err != nil {
		return err
	}
	if l.state.Best == nil || l.better(point) {
		l.state.Best, l.state.BestStep = nil, p.Step
		for _, w := range p.State().Weights {
			l.state.Best = append(l.state.Best, slices.Clone(w))
		}
	}
	l.state.Curve = append(l.state.Curve, point)
	l.state.Training = *p.State()
	if l.Report == nil {
		return nil
	}
	return l.Report(&l.state)
}

// better reports whether a point beats the best so far.
func (l *learner) better(p CurvePoint) bool {
	best := slices.IndexFunc(l.state.Curve, func(c CurvePoint) bool { return c.Step == l.state.BestStep })
	return p.beats(l.state.Curve[best], l.MaxCost)
}

// beats reports whether p is more accurate, or keeps a bound on the cost that q
// breaks.
func (p CurvePoint) beats(q CurvePoint, maxCost float64) bool {
	if maxCost > 0 && max(p.Cost, q.Cost) > maxCost {
		return p.Cost < q.Cost
	}
	return p.Accuracy > q.Accuracy
}

// measure asks the policy about the cells that choose.
func (l *learner) measure(policy transformer.Policy, p *CurvePoint) error {
	var input, best, before, after, n float64
	for w := range l.writings {
		for _, cell := range l.split.Choose {
			form := l.writings[w].Form(cell)
			logits, err := policy.Logits(context.Background(), form)
			if err != nil {
				return err
			}
			actions, _ := transformer.Best(logits, l.Rules, form, Legal201(form))
			to, err := Cell201(transformer.Transform(form, actions))
			if err != nil {
				return err
			}
			n++
			input += l.Table.Accuracy(cell, CIFAR10)
			p.Accuracy += l.Table.Accuracy(to, CIFAR10)
			best += l.Table.BestReachable(cell, l.Rules, CIFAR10)
			before += l.reward().cost(cell)
			after += l.reward().cost(to)
		}
	}
	if best > input {
		p.Captured = 100 * (p.Accuracy - input) / (best - input)
	}
	p.Accuracy /= max(n, 1)
	p.Cost = after / max(before, 1)
	return nil
}

func (l *learner) result() (*Learnt, error) {
	best := slices.Clone(l.names)
	for i, w := range l.state.Best {
		best[i].Data = make([]float64, len(w))
		for j, x := range w {
			best[i].Data[j] = float64(x)
		}
	}
	policy, err := l.network.policy(transformer.Card{Name: string(l.Kind), Kind: string(l.Kind), Rules: l.Rules.Name, Seed: l.Seed}, best)
	if err != nil {
		return nil, err
	}
	last := l.state.Curve[len(l.state.Curve)-1]
	step := time.Duration(last.Seconds / float64(last.Step) * float64(time.Second))
	return &Learnt{Policy: policy, Seed: l.Seed, BestStep: l.state.BestStep, Curve: l.state.Curve, StepTime: step}, nil
}
