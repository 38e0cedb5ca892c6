package supernet

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/train/augment"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/epochs"
)

// Options of a [Search]. Zeros take the paper's values, in brackets (spec
// section 3), but where a fault of the authors' code is named.
type Options struct {
	Space    Space // [the first of Spaces]
	Images   *dataset.Dataset
	Share    float64 // of the images: train the weights [0.4]
	Held     float64 // of the images: train nothing, exams are on them; the others train the policy [0.1]
	Channels int     // of the first cells [20]
	Layers   int     // cells [8]
	Batch    int     // images in a step [64]
	Epochs   int     // [100]

	WeightRate  float64 // of stochastic gradient descent [0.01]
	RateEnd     float64 // what it falls to along a cosine [WeightRate: it is constant]
	WarmUp      int     // epochs that train the weights alone, before the others; the paper has none
	Momentum    float64 // [0.9]
	WeightDecay float64 // [0.0003]

	// Policy says how the policy is trained. Its steps are counted here; its
	// samples are the paper's n [1], its rate [0.0003] falls along a cosine.
	Policy train.Options
	// ByAccuracy rewards what a transformation gains in accuracy on a batch, as the paper
	// does; else what it gains in mean log-likelihood of the right classes, which has much
	// less noise: an accuracy moves in steps of an image. Exams are by accuracy either way.
	ByAccuracy bool
	// Nulls is the share of null among the operations of architectures that are drawn.
	Nulls float64

	Seed    uint64
	Workers int              // cores; 0: all
	Augment *augment.Augment // [mirrored, and shifted by an eighth]
	Resume  *State           // of a search with the same options
	// Report is called after every step; an error from it ends the search.
	Report func(Progress) error
}

func (o *Options) defaults() {
	if o.Space.Name == "" {
		o.Space = Spaces[0]
	}
	o.Share, o.Held = cmp.Or(o.Share, 0.4), cmp.Or(o.Held, 0.1)
	o.Channels, o.Layers, o.Batch, o.Epochs = cmp.Or(o.Channels, 20), cmp.Or(o.Layers, 8), cmp.Or(o.Batch, 64), cmp.Or(o.Epochs, 100)
	o.WeightRate, o.Momentum, o.WeightDecay = cmp.Or(o.WeightRate, 0.01), cmp.Or(o.Momentum, 0.9), cmp.Or(o.WeightDecay, 3e-4)
	o.RateEnd = cmp.Or(o.RateEnd, o.WeightRate)
	o.Policy.Rules, o.Policy.Seed = o.Space.Rules, o.Seed
	o.Policy.Samples, o.Policy.Rate = cmp.Or(o.Policy.Samples, 1), cmp.Or(o.Policy.Rate, 3e-4)
	if o.Augment == nil {
		o.Augment = &augment.Augment{Flip: true, Shift: 0.125}
	}
}

// check refuses, before the first step, what no search can be made of.
func (o *Options) check() error {
	if o.Images == nil || o.Images.Len() == 0 {
		return epochs.Misfit("a search needs images, there are none")
	}
	if !o.Images.Labelled() {
		return epochs.Misfit("a search needs the class of every image")
	}
	if len(o.Images.Shape()) != 3 || o.Images.Shape()[0] != 3 || o.Images.Shape()[1] != o.Images.Shape()[2] {
		return epochs.Misfit("images are %v, want square ones of 3 channels, such as preprocessing cuts with size=N;crop=N", o.Images.Shape())
	}
	if !(o.Share > 0 && o.Held > 0 && o.Share+o.Held < 1) {
		return fmt.Errorf("shares of %v of the images for the weights and %v for exams, want more than 0 each, and less than 1 together", o.Share, o.Held)
	}
	if !(o.Nulls >= 0 && o.Nulls < 1) {
		return fmt.Errorf("a share of %v of the operations null, want at least 0 and less than 1", o.Nulls)
	}
	if o.WarmUp < 0 || o.WarmUp >= o.Epochs {
		return fmt.Errorf("%d of %d epochs train the weights alone, want less", o.WarmUp, o.Epochs)
	}
	n := o.Images.Len()
	if weights, held := o.parts(); weights < o.Batch || n-weights-held < o.Batch || held < examined {
		return epochs.Misfit("%d images are too few: %d train the weights, %d the policy, %d in each step, and %d are for exams, which take %d",
			n, weights, n-weights-held, o.Batch, held, examined)
	}
	return o.Augment.Check()
}

// parts returns how many images train the weights, and how many are for exams.
func (o *Options) parts() (weights, held int) {
	n := float64(o.Images.Len())
	return int(o.Share * n), int(o.Held * n)
}

// Progress is how far a search is, after a step of either kind.
type Progress struct {
	Epoch     int  // from 0
	Done, Of  int  // steps of both kinds
	OfWeights bool // which kind it was
	Loss      float64
	Update    train.Update // of the policy
	Accuracy  float64      // of the architecture drawn, with its shared weights, before its transformation
	Gain      float64      // in accuracy, mean over the samples
	Point     *Point       // of an epoch that ended; else nil
}

// A Point is how a search did in an epoch: means over its steps, and an exam
// after it. While the weights alone are trained, there is only the loss, and the exam
// of the last of these epochs.
type Point struct {
	Epoch           int // from 1
	Loss            float64
	Accuracy        float64 // of the architectures that the policy's steps drew
	Reward, Entropy float64 // of the policy's updates
	Gain            float64 // what their samples gained in accuracy
	Exam            Exam
}

// A State is all that a search's future depends on, besides its options. What is
// random in a step depends on the seed and on its number alone.
type State struct {
	Done     int
	Curve    []Point
	Epoch    Point // sums over the steps of the one that runs
	Params   map[string]Weights
	Momentum map[string][]float32
	Policy   train.State
}

// Weights are a parameter of the supernet.
type Weights struct {
	Dims   []int
	Value  []float32
	Frozen bool
}

// A Search is algorithm 1 of the paper: in each epoch the weights are trained on
// one part of the images, each batch on an architecture of its own; then the
// policy on the other part, each batch rewarding what it makes of an architecture.
type Search struct {
	Options
	Net     *Net
	Learner *train.Learner
	weights *epochs.Epochs // images for either
	policy  *epochs.Epochs
	held    *dataset.Dataset
	classes int
	done    int
	curve   []Point
	epoch   Point
}

// New prepares a search.
func New(o Options) (*Search, error) {
	o.defaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Search{Options: o}
	weights, held := o.parts()
	var others *dataset.Dataset
	s.held, others = o.Images.Split(held, o.Seed)
	s.weights = &epochs.Epochs{Batch: o.Batch, Augment: o.Augment, Seed: o.Seed, Workers: o.Workers}
	policy := *s.weights
	s.policy, policy.Seed = &policy, o.Seed+1
	s.weights.Images, s.policy.Images = others.Split(weights, o.Seed)
	for i := range o.Images.Len() {
		s.classes = max(s.classes, o.Images.Label(i)+1)
	}
	s.classes = max(s.classes, len(o.Images.Classes()))
	s.Policy.Steps = (o.Epochs - o.WarmUp) * s.policy.Steps()
	s.Net = NewNet(stack.Supernet{
		Channels: o.Channels, Layers: o.Layers, Classes: s.classes, Size: o.Images.Shape()[1], LooseEnds: o.Space.LooseEnds, Seed: o.Seed,
	}, o.Momentum, o.WeightDecay)
	s.Net.Workers = o.Workers
	if r := o.Resume; r != nil {
		s.done, s.curve, s.epoch, s.Policy.Resume = r.Done, r.Curve, r.Epoch, &r.Policy
		s.Net.restore(r)
	}
	var err error
	s.Learner, err = train.NewLearner(s.Policy)
	return s, err
}

// Curve returns the points of all epochs so far.
func (s *Search) Curve() []Point { return s.curve }

// State returns what the search can go on from.
func (s *Search) State() *State {
	state := &State{Done: s.done, Curve: s.curve, Epoch: s.epoch, Params: map[string]Weights{}, Momentum: s.Net.sgd.State(), Policy: *s.Learner.State()}
	for name, p := range s.Net.Params {
		state.Params[name] = Weights{p.Dims, p.Value, p.Frozen}
	}
	return state
}

// Run does all steps that are left. When the context ends, the search is between
// two steps, and can be saved.
func (s *Search) Run(ctx context.Context) error {
	for of := s.total(); s.done < of; {
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx := context.WithoutCancel(ctx)
		epoch, step, steps := s.at()
		p := Progress{Epoch: epoch, Done: s.done + 1, Of: of}
		var err error
		if p.OfWeights = step < s.weights.Steps(); p.OfWeights {
			err = s.weightStep(ctx, &p, step)
		} else {
			err = s.policyStep(ctx, &p, step-s.weights.Steps())
		}
		if err == nil && step == steps-1 {
			err = s.endEpoch(ctx, &p)
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", p.Done, err)
		}
		s.done++
		if s.Report != nil {
			if err := s.Report(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// total is the number of steps of both kinds.
func (s *Search) total() int {
	return s.Epochs*s.weights.Steps() + (s.Epochs-s.WarmUp)*s.policy.Steps()
}

// at returns the epoch that the next step is in, its place there and how many steps
// that epoch has.
func (s *Search) at() (epoch, step, steps int) {
	weights := s.weights.Steps()
	if alone := s.WarmUp * weights; s.done < alone {
		return s.done / weights, s.done % weights, weights
	}
	steps = weights + s.policy.Steps()
	since := s.done - s.WarmUp*weights
	return s.WarmUp + since/steps, since % steps, steps
}

func (s *Search) weightStep(ctx context.Context, p *Progress, step int) error {
	step += p.Epoch * s.weights.Steps()
	b, err := s.weights.Step(step)
	if err != nil {
		return err
	}
	rate := learn.Cosine(s.WeightRate, s.RateEnd, s.Epochs*s.weights.Steps())
	p.Loss, err = s.Net.Step(ctx, s.Space.Draw(s.rng(ofWeights), s.Nulls), b, rate(step))
	s.epoch.Loss += p.Loss
	return err
}

// endEpoch examines the policy.
func (s *Search) endEpoch(ctx context.Context, p *Progress) error {
	weights, policy := float64(s.weights.Steps()), float64(s.policy.Steps())
	e := &s.epoch
	point := Point{Epoch: p.Epoch + 1, Loss: e.Loss / weights}
	if p.Epoch >= s.WarmUp {
		point.Accuracy, point.Gain, point.Reward, point.Entropy = e.Accuracy/policy, e.Gain/policy, e.Reward/policy, e.Entropy/policy
	}
	if point.Epoch >= s.WarmUp { // the curves begin with what the policy has not learnt yet
		var err error
		if point.Exam, err = s.Examine(ctx, epochExam); err != nil {
			return err
		}
	}
	s.curve, s.epoch, p.Point = append(s.curve, point), Point{}, &point
	return nil
}

// policyStep rewards transformations by what they gain on a batch.
func (s *Search) policyStep(ctx context.Context, p *Progress, step int) error {
	b, err := s.policy.Step((p.Epoch-s.WarmUp)*s.policy.Steps() + step)
	if err != nil {
		return err
	}
	g := s.Space.Draw(s.rng(ofPolicy), s.Nulls)
	before, err := s.Net.Judge(ctx, g, b)
	if err != nil {
		return err
	}
	p.Accuracy = before.Accuracy
	p.Update, err = s.Learner.Update(ctx, []cellmap.Form{g.Normal, g.Reduce}, func(ctx context.Context, list [][]cellmap.Form) ([]float64, error) {
		rewards := make([]float64, len(list))
		for i, cells := range list {
			alpha := cellmap.Genotype{Normal: cells[0], Reduce: cells[1]}
			if alpha.Equal(g) {
				continue
			}
			after, err := s.Net.Judge(ctx, alpha, b)
			if err != nil {
				return nil, err
			}
			gain := after.Accuracy - before.Accuracy
			p.Gain += gain / float64(len(list))
			if rewards[i] = after.Likelihood - before.Likelihood; s.ByAccuracy {
				rewards[i] = gain
			}
		}
		return rewards, nil
	})
	s.epoch.Accuracy += p.Accuracy
	s.epoch.Gain += p.Gain
	s.epoch.Reward += p.Update.Reward
	s.epoch.Entropy += p.Update.Entropy
	return err
}

// What random numbers are for.
const (
	ofWeights = 1 + iota
	ofPolicy
	ofExam
	ofDerivation
)

// rng returns the random numbers of a step.
func (s *Search) rng(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.Seed, purpose<<56|uint64(s.done)))
}
