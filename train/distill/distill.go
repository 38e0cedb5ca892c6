// Package distill teaches a rewritten network to do what the original did, from
// images without labels.
//
// The original (the teacher) and the rewritten network (the student) see the
// same images, flipped, shifted and mixed at random. The student is trained for
//
//	w |f - F|² / mean |F|²  +  w mean over i of |b_i - B_i|² / mean |B_i|²  +  T² KL(softmax(Y/T) || softmax(y/T))
//
// where f and F are what the last pooling of student and teacher reads; b_i and
// B_i are, for each size of image on the way, the last value that two operators
// read, which in a residual network is the output of a block; y and Y are the
// logits. Features are matched as in Romero et al., FitNets (2015), the last ones
// as in Wang et al., PRACTISE (CVPR 2023); logits as in Hinton et al., Distilling
// the Knowledge in a Neural Network (2015). Mixtures show the student more than
// the images at hand, of which a teacher is certain where they are those that it
// was trained on (Beyer et al., Knowledge distillation: A good teacher is patient
// and consistent, CVPR 2022).
//
// Steps are those of stochastic gradient descent with Nesterov's momentum, along
// gradients that are shortened to one length, a share of that of all weights, so
// that one rate serves networks with and without normalization. The running
// statistics of normalizations stay as they are, and are used: then what is
// trained is the network that will be run, whatever the batch, and a batch may go
// through in parts.
package distill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/augment"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/trainable"
)

// Options say how a student is trained. The zero value is what did best on
// CIFAR-10's residual networks.
type Options struct {
	Epochs int // passes over the images; 0: 20
	Batch  int // images in a step; 0: 64
	// Rate is how far a step moves the weights at most, before momentum adds to
	// it, as a share of their Euclidean length; 0: 0.0007. It rises over the
	// first twentieth of the steps and falls along a cosine.
	Rate        float64
	Feature     float64          // the weight w of features beside logits; 0: 50, negative: none
	Temperature float64          // T of the softmax; 0: 4
	Augment     *augment.Augment // nil: mirrored, shifted by an eighth (4 pixels of 32), and half of them mixed
	Seed        uint64
	Workers     int // cores; 0: all
	// Memory is the most that the values of either network may take, in bytes; 0:
	// no limit. Where a batch takes more, it goes through in parts.
	Memory int64
	// Progress is told, after each step, the loss of its images.
	Progress func(done, total int, loss float64)
}

// What is used where Options say nothing.
const (
	DefaultEpochs = 20
	defaultBatch  = 64
	defaultRate   = 7e-4
	defaultWeight = 50
	defaultHeat   = 4
)

// What nobody has to choose.
const (
	momentum = 0.9
	average  = 0.998 // decay of the moving average of the weights, per step
	probed   = 256   // images that the report is measured on, at most
)

func (o Options) withDefaults() (Options, error) {
	if o.Epochs < 0 || o.Batch < 0 || !(o.Rate >= 0) || !(o.Temperature >= 0) || math.IsNaN(o.Feature) {
		return o, fmt.Errorf("distillation of %d epochs in batches of %d at rate %v, temperature %v, feature weight %v: want numbers that are not negative",
			o.Epochs, o.Batch, o.Rate, o.Temperature, o.Feature)
	}
	o.Epochs = cmp.Or(o.Epochs, DefaultEpochs)
	o.Batch = cmp.Or(o.Batch, defaultBatch)
	o.Rate = cmp.Or(o.Rate, defaultRate)
	o.Feature = cmp.Or(o.Feature, defaultWeight)
	o.Temperature = cmp.Or(o.Temperature, defaultHeat)
	if o.Augment == nil {
		o.Augment = &augment.Augment{Flip: true, Shift: 0.125, Mix: 0.5}
	}
	return o, o.Augment.Check()
}

// A Report says what training came to.
type Report struct {
	Epochs, Steps, Batch int      // as planned
	Done                 int      // steps that were done
	Part                 int      // images of a batch that were looked at at a time
	Logits               string   // the student's logits
	Features             []string // the student's values that were matched beside them
	Probe                int      // images on which these were measured, as they are:
	Before, After        Loss
	Improved             bool // After is less than Before; else the student is returned as it was
}

// A Loss is how far a student is from its teacher.
type Loss struct {
	// Logits is the divergence of the logits' softmax at the training temperature,
	// times its square; of an output that is no scores of classes, the squared
	// error as a share of its mean square.
	Logits float64
	// Features is the sum of the features' squared errors, as shares of their mean
	// squares: that of the last ones, and the mean of the others.
	Features float64
}

// Run trains the student on the images until it does what the teacher does as
// well as it can, and returns it with other weights: the initializers have the
// names they had, and weights from Constant nodes become initializers. Both
// networks have one input, of the images' shape. Labels are not looked at.
//
// Equal options and inputs give equal weights, whatever Workers is. When the
// context ends before the training, its error comes with the student as far as
// it was trained and the report, both nil where nothing was done yet. A loss that
// is not finite is an error and no student.
func Run(ctx context.Context, teacher, student *onnxgraph.Model, images *dataset.Dataset, o Options) (*onnxgraph.Model, *Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	s, err := newSchool(ctx, teacher, student, images, o)
	if err != nil {
		return nil, nil, err
	}
	if err := s.fit(ctx); err != nil {
		return nil, nil, err
	}
	r := &s.report
	r.Part = s.part
	if r.Before, err = s.examine(ctx); err != nil {
		return nil, nil, err
	}
	err = s.teach(ctx)
	if err != nil && (ctx.Err() == nil || r.Done == 0) {
		return nil, nil, err
	}
	out, failed := s.graduate(context.WithoutCancel(ctx), student)
	if failed != nil {
		return nil, nil, failed
	}
	return out, r, err
}

// graduate returns the student with the last weights or the average of the
// latest ones, whichever are better, if they are better than those it had.
func (s *school) graduate(ctx context.Context, student *onnxgraph.Model) (*onnxgraph.Model, error) {
	last, err := s.examine(ctx)
	if err != nil {
		return nil, err
	}
	s.average.swap(s.params)
	mean, err := s.examine(ctx)
	if err != nil {
		return nil, err
	}
	r := &s.report
	if r.After = mean; s.total(last) < s.total(mean) {
		r.After = last
		s.average.swap(s.params)
	}
	if r.Improved = s.total(r.After) < s.total(r.Before); !r.Improved {
		return student, nil
	}
	return trainable.Write(s.lifted, s.params)
}

// A school is a teacher and a student with the images that they look at.
type school struct {
	options Options
	images  *dataset.Dataset
	probe   *dataset.Dataset

	teacher   *engine.Program
	student   *engine.Training
	from, to  string // inputs
	goals     []*goal
	params    engine.Params
	lifted    *onnxgraph.Model // the student with all parameters as initializers
	length    float64          // of all weights, at first
	optimizer learn.Optimizer
	part      int // images that are looked at at a time
	average   *moving
	report    Report
}

func newSchool(ctx context.Context, teacher, student *onnxgraph.Model, images *dataset.Dataset, o Options) (*school, error) {
	if images.Len() == 0 {
		return nil, errors.New("distillation needs images, there are none")
	}
	s := &school{options: o, images: images, probe: images.Sample(probed, o.Seed)}
	s.options.Batch = min(o.Batch, images.Len())
	big, err := open(teacher, images.Shape())
	if err != nil {
		return nil, err
	}
	if s.lifted, err = trainable.Lift(student); err != nil {
		return nil, err
	}
	small, err := open(s.lifted, images.Shape())
	if err != nil {
		return nil, err
	}
	if s.goals, err = goals(big, small, o); err != nil {
		return nil, err
	}
	s.from, s.to = big.Input, small.Input
	if s.params, err = trainable.ReadParams(ctx, small.Model); err != nil {
		return nil, err
	}
	s.length = cmp.Or(length(s.params), 1)
	s.optimizer = &learn.SGD{Momentum: momentum, Nesterov: true}
	s.average = newMoving(s.params)
	run := engine.Options{Workers: o.Workers, Memory: o.Memory, Finite: true}
	run.Keep = big.kept(s.goals, func(g *goal) string { return g.teacher })
	if s.teacher, err = engine.Compile(ctx, big.Model, run); err != nil {
		return nil, err
	}
	run.Keep = small.kept(s.goals, func(g *goal) string { return g.student })
	if s.student, err = engine.CompileTraining(ctx, small.Model, s.params, engine.TrainingOptions{Options: run}); err != nil {
		return nil, err
	}
	perEpoch := images.Len() / s.options.Batch
	s.report = Report{Epochs: o.Epochs, Batch: s.options.Batch, Steps: perEpoch * o.Epochs, Probe: s.probe.Len()}
	for _, g := range s.goals {
		if g.feature {
			s.report.Features = append(s.report.Features, g.student)
		} else {
			s.report.Logits = g.student
		}
	}
	return s, nil
}

// examine measures the student on the probe, images as they are, and the first
// time how large what the teacher says is.
func (s *school) examine(ctx context.Context) (Loss, error) {
	var loss Loss
	for b, err := range s.probe.Load(ctx, dataset.LoadOptions{Batch: s.options.Batch, Workers: s.options.Workers}) {
		if err != nil {
			return loss, err
		}
		losses, err := s.look(ctx, b.Images, nil)
		if err != nil {
			return loss, err
		}
		share := float64(len(b.Indices)) / float64(s.probe.Len())
		for i, g := range s.goals {
			if g.feature {
				loss.Features += share * g.share * losses[i]
			} else {
				loss.Logits += share * losses[i]
			}
		}
	}
	return loss, nil
}

func (s *school) total(l Loss) float64 { return l.Logits + max(s.options.Feature, 0)*l.Features }

// teach does all steps.
func (s *school) teach(ctx context.Context) error {
	o, r := s.options, &s.report
	// Gradients are at most 1/length long (see slope), steps Rate * length.
	rate := learn.Warmup(r.Steps/20+1, learn.Cosine(o.Rate*s.length*s.length, 0, r.Steps))
	seen := make([]float32, 0)
	for epoch := range o.Epochs {
		seed := o.Seed + uint64(epoch)
		rng := rand.New(rand.NewPCG(o.Seed, uint64(epoch)))
		for b, err := range s.images.Load(ctx, dataset.LoadOptions{Batch: o.Batch, Workers: o.Workers, Shuffle: true, Seed: seed}) {
			if err != nil {
				return err
			}
			if len(b.Indices) < o.Batch {
				break // what is left over is seen in another epoch
			}
			seen = o.Augment.Apply(rng, seen, b.Images, len(b.Indices), s.images.Shape())
			loss, err := s.lesson(ctx, seen, rate(r.Done))
			if err != nil {
				return err
			}
			r.Done++
			if o.Progress != nil {
				o.Progress(r.Done, r.Steps, loss)
			}
		}
	}
	return nil
}

// lesson is one step.
func (s *school) lesson(ctx context.Context, images []float32, rate float64) (float64, error) {
	losses, norm, err := s.slope(ctx, images)
	if nonFinite := new(engine.NonFiniteError); errors.As(err, &nonFinite) && s.report.Done > 0 {
		return 0, s.diverged(err)
	}
	if err != nil {
		return 0, err
	}
	loss := 0.0
	for i, g := range s.goals {
		loss += g.weight * losses[i]
	}
	if math.IsNaN(norm+loss) || math.IsInf(norm+loss, 0) {
		return 0, s.diverged(fmt.Errorf("the loss is %v and its gradient %v long", loss, norm))
	}
	s.optimizer.Step(s.params, rate)
	s.average.add(s.params)
	return loss, nil
}

// slope works out the losses of images and the gradients of all parameters,
// shortened, and returns how long these were. Longer than the inverse of the
// weights' length means: the loss changes by more than the share that the
// weights change by.
func (s *school) slope(ctx context.Context, images []float32) (losses []float64, norm float64, err error) {
	s.params.ZeroGrad()
	losses, err = s.look(ctx, images, func(gradients map[string]*engine.Tensor) error {
		_, err := s.student.Backward(ctx, gradients)
		return err
	})
	return losses, learn.ClipNorm(s.params, 1/s.length), err
}

// fit finds out how many images of a batch the memory allows at a time.
func (s *school) fit(ctx context.Context) error {
	for b, err := range s.probe.Load(ctx, dataset.LoadOptions{Batch: s.options.Batch, Workers: s.options.Workers}) {
		if err != nil {
			return err
		}
		size := len(b.Images) / len(b.Indices)
		for s.part = len(b.Indices); ; s.part = (s.part + 1) / 2 {
			_, _, err = s.slope(ctx, b.Images[:s.part*size])
			if full := new(*engine.MemoryError); !errors.As(err, full) || s.part == 1 {
				return err
			}
		}
	}
	return nil
}

func (s *school) diverged(err error) error {
	return fmt.Errorf("distillation diverged in step %d of %d at rate %g: %w; a lower rate may help", s.report.Done+1, s.report.Steps, s.options.Rate, err)
}

// look shows images to both networks, as many at a time as the memory allows,
// and returns the loss of each goal, the mean over the images. back, if not nil,
// is given the gradients of each part's weighted loss by the student's values.
func (s *school) look(ctx context.Context, images []float32, back func(map[string]*engine.Tensor) error) ([]float64, error) {
	losses := make([]float64, len(s.goals))
	size := 1
	for _, d := range s.images.Shape() {
		size *= d
	}
	for part := range slices.Chunk(images, s.part*size) {
		share := float64(len(part)) / float64(len(images))
		if err := s.lookAt(ctx, part, len(part)/size, share, losses, back); err != nil {
			return nil, err
		}
	}
	return losses, nil
}

// lookAt adds the losses of n images, which are that share of all.
func (s *school) lookAt(ctx context.Context, images []float32, n int, share float64, losses []float64, back func(map[string]*engine.Tensor) error) error {
	x, err := engine.New(append([]int{n}, s.images.Shape()...), images)
	if err != nil {
		return err
	}
	want, err := s.teacher.Run(ctx, map[string]*engine.Tensor{s.from: x})
	if err != nil {
		return err
	}
	have, err := s.student.Forward(ctx, map[string]*engine.Tensor{s.to: x})
	if err != nil {
		return err
	}
	gradients := map[string]*engine.Tensor{}
	for i, g := range s.goals {
		loss, gradient, err := g.compare(have[g.student], want[g.teacher], share)
		if err != nil {
			return err
		}
		losses[i] += share * loss
		gradients[g.student] = gradient
	}
	if back == nil {
		return nil
	}
	return back(gradients)
}
