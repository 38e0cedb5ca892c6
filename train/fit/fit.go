// Package fit trains networks on images: from scratch, by the recipe of the paper's
// final evaluation (spec section 5.1), or on from the weights that a rewritten
// network has, by labels or by the network that it was rewritten from.
package fit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/augment"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/epochs"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/natonnx/natonnx/train/trainable"
)

// Options of a training. Zeros take what is in brackets, but where it says 0.
type Options struct {
	Images *dataset.Dataset
	Test   *dataset.Dataset // accuracy is measured on after each epoch; nil: on none
	// Teacher is a network whose output the model learns, by distillation; nil: none.
	Teacher     *onnxgraph.Model
	Temperature float64 // of the softmax of both [4]
	// Labels counts the classes beside the teacher, equally; without a teacher
	// nothing else counts.
	Labels bool
	// Form is the model with what only training needs, as [stack.Net] builds it; nil: none.
	Form *onnxgraph.Model

	Epochs      int
	Batch       int     // images in a step [96]
	Rate        float64 // of stochastic gradient descent, falling along a cosine [0.025]
	Floor       float64 // of the rate [0]
	Momentum    float64 // [0.9]
	WeightDecay float64 // 0: none
	Clip        float64 // the longest gradient [5]
	Smoothing   float64 // share of the labels that is spread over all classes; 0: none
	DropPath    float64 // share of the paths that are left out at the end, rising from 0; 0: none
	Auxiliary   float64 // weight of the loss of the auxiliary classifier; 0: none
	Augment     *augment.Augment
	Seed        uint64
	Workers     int   // cores; 0: all
	Memory      int64 // the most that values may take, in bytes; 0: no limit

	Resume *State // of a training with the same options
	// Report is called after every step; an error from it ends the training.
	Report func(Progress) error
}

func (o *Options) defaults() error {
	o.Batch, o.Rate, o.Momentum = cmp.Or(o.Batch, 96), cmp.Or(o.Rate, 0.025), cmp.Or(o.Momentum, 0.9)
	o.Clip, o.Temperature = cmp.Or(o.Clip, 5), cmp.Or(o.Temperature, 4)
	switch {
	case o.Images == nil || o.Images.Len() == 0:
		return epochs.Misfit("a training needs images, there are none")
	case o.Epochs < 1:
		return fmt.Errorf("%d epochs, want 1 or more", o.Epochs)
	case o.Batch < 2 || o.Batch > o.Images.Len():
		return epochs.Misfit("%d images are too few for steps of %d; want steps of 2 or more", o.Images.Len(), o.Batch)
	}
	return nil
}

// Progress is how far a training is, after a step.
type Progress struct {
	Epoch    int // from 1
	Done, Of int // steps
	Loss     float64
	Point    *Point // of an epoch that ended; else nil
}

// A Point is how a training did in an epoch.
type Point struct {
	Epoch int
	Rate  float64
	Loss  float64           // mean over the steps
	Test  *measure.Accuracy // nil: not measured
}

// A State is all that a training's future depends on, besides its options. What is
// random in a step depends on the seed and on its number alone.
type State struct {
	Done   int
	Curve  []Point
	Loss   float64 // sum over the steps of the epoch that runs
	Values map[string][]float32
	Memory map[string][]float32 // of the optimizer
}

// A Training trains a network.
type Training struct {
	Options
	model   *onnxgraph.Model // as it is written
	net     *trainable.Network
	teacher *teacher
	params  engine.Params
	program *engine.Training
	sgd     *learn.SGD
	images  *epochs.Epochs
	output  string
	classes int
	steps   int
	done    int
	curve   []Point
	loss    float64
}

// New prepares the training of a model, which is not changed.
func New(ctx context.Context, m *onnxgraph.Model, o Options) (*Training, error) {
	if err := o.defaults(); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Path, err)
	}
	t := &Training{Options: o, sgd: &learn.SGD{Momentum: o.Momentum, WeightDecay: o.WeightDecay}}
	t.images = &epochs.Epochs{Images: o.Images, Batch: o.Batch, Augment: o.Augment, Seed: o.Seed, Workers: o.Workers}
	t.steps = t.images.Steps() * o.Epochs
	if err := t.open(ctx, m); err != nil {
		return nil, err
	}
	if o.Teacher == nil || o.Labels {
		if err := epochs.Labelled(o.Images, t.classes); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
	}
	return t, t.resume(o.Resume)
}

// open prepares the model, and its teacher.
func (t *Training) open(ctx context.Context, m *onnxgraph.Model) (err error) {
	if t.model, err = trainable.Lift(m); err != nil {
		return err
	}
	form := t.model
	if t.Form != nil {
		form = t.Form
	}
	if t.net, err = t.forms(form); err != nil {
		return err
	}
	scores := false
	if t.output, scores, err = t.net.Output(); err != nil {
		return err
	}
	shape := t.net.Types.Of(t.output).Shape
	if !scores || !shape[1].Known() {
		return fmt.Errorf("%s: output %q is %v, want a score for each class", m.Path, t.output, shape)
	}
	t.classes = int(shape[1].N)
	if t.params, err = trainable.ReadParams(ctx, t.net.Model); err != nil {
		return err
	}
	run := engine.Options{Workers: t.Workers, Memory: t.Memory, Finite: true, Keep: []string{t.output}}
	if t.program, err = engine.CompileTraining(ctx, t.net.Model, t.params, engine.TrainingOptions{Options: run, BatchStatistics: true}); err != nil {
		return err
	}
	if t.Teacher != nil {
		t.teacher, err = newTeacher(ctx, t)
	}
	return err
}

// forms opens a form of the model; one with paths takes any batch already.
func (t *Training) forms(m *onnxgraph.Model) (*trainable.Network, error) {
	if !hasPaths(m) {
		return trainable.Open(m, t.Images.Shape())
	}
	in := m.Graph.RealInputs()[0]
	at := onnxgraph.Shape{onnxgraph.Const(1)}
	for _, d := range t.Images.Shape() {
		at = append(at, onnxgraph.Const(int64(d)))
	}
	return &trainable.Network{Model: m, Types: m.InferAt(map[string]onnxgraph.Shape{in.Name: at}), Input: in.Name}, nil
}

func hasPaths(m *onnxgraph.Model) bool {
	in := m.Graph.RealInputs()
	return len(in) == 2 && in[1].Name == stack.Paths
}

func (t *Training) resume(s *State) error {
	if s == nil {
		return nil
	}
	t.done, t.curve, t.loss = s.Done, s.Curve, s.Loss
	for name, p := range t.params {
		if len(s.Values[name]) != len(p.Value) {
			return fmt.Errorf("state to resume from: parameter %q has %d numbers, want %d", name, len(s.Values[name]), len(p.Value))
		}
		copy(p.Value, s.Values[name])
	}
	t.sgd.Restore(s.Memory)
	return nil
}

// State returns what the training can go on from.
func (t *Training) State() *State {
	s := &State{Done: t.done, Curve: t.curve, Loss: t.loss, Values: map[string][]float32{}, Memory: t.sgd.State()}
	for name, p := range t.params {
		s.Values[name] = p.Value
	}
	return s
}

// Curve returns the points of all epochs so far.
func (t *Training) Curve() []Point { return t.curve }

// Steps returns how many are done, and how many there are.
func (t *Training) Steps() (done, of int) { return t.done, t.steps }

// Run does all steps that are left. When the context ends, the training is between
// two steps, and can be saved.
func (t *Training) Run(ctx context.Context) error {
	for t.done < t.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := Progress{Epoch: t.done/t.images.Steps() + 1, Done: t.done + 1, Of: t.steps}
		if err := t.step(context.WithoutCancel(ctx), &p); err != nil {
			return fmt.Errorf("%s: step %d of %d: %w", t.model.Path, p.Done, p.Of, err)
		}
		t.done++
		if t.Report == nil {
			continue
		}
		if err := t.Report(p); err != nil {
			return err
		}
	}
	return nil
}

func (t *Training) step(ctx context.Context, p *Progress) error {
	b, err := t.images.Step(t.done)
	if err != nil {
		return err
	}
	rate := learn.Cosine(t.Rate, t.Floor, t.steps)(t.done)
	if p.Loss, err = t.descend(ctx, b, rate); err != nil {
		return err
	}
	t.loss += p.Loss
	if p.Done%t.images.Steps() != 0 {
		return nil
	}
	p.Point = &Point{Epoch: p.Epoch, Rate: rate, Loss: t.loss / float64(t.images.Steps())}
	if p.Point.Test, err = t.measure(ctx); err != nil {
		return err
	}
	t.loss, t.curve = 0, append(t.curve, *p.Point)
	return nil
}

// descend takes a step along the gradient, and returns the loss before.
func (t *Training) descend(ctx context.Context, b epochs.Batch, rate float64) (float64, error) {
	x, err := engine.New(append([]int{len(b.Labels)}, b.Shape...), b.Images)
	if err != nil {
		return 0, err
	}
	in := map[string]*engine.Tensor{t.net.Input: x}
	if hasPaths(t.net.Model) {
		if in[stack.Paths], err = t.paths(len(b.Labels)); err != nil {
			return 0, err
		}
	}
	out, err := t.program.Forward(ctx, in)
	if err != nil {
		return 0, t.diverged(err)
	}
	loss, gradients, err := t.slope(ctx, x, b.Labels, out)
	if err != nil {
		return 0, err
	}
	t.params.ZeroGrad()
	if _, err := t.program.Backward(ctx, gradients); err != nil {
		return 0, err
	}
	norm := learn.ClipNorm(t.params, t.Clip)
	if math.IsNaN(norm+loss) || math.IsInf(norm+loss, 0) {
		return 0, t.diverged(fmt.Errorf("the loss is %v and its gradient %v long", loss, norm))
	}
	t.sgd.Step(t.params, rate)
	return loss, nil
}

func (t *Training) diverged(err error) error {
	if t.done == 0 {
		return err
	}
	return fmt.Errorf("the training diverged at rate %g: %w; a lower rate may help", t.Rate, err)
}

// slope returns the loss, and its gradients by the outputs.
func (t *Training) slope(ctx context.Context, x *engine.Tensor, labels []int, out map[string]*engine.Tensor) (float64, map[string]*engine.Tensor, error) {
	gradients := map[string]*engine.Tensor{}
	if t.teacher != nil {
		loss, err := t.teacher.slope(ctx, t, x, labels, out, gradients)
		return loss, gradients, err
	}
	loss, g, err := learn.CrossEntropy(out[t.output], labels, t.Smoothing)
	if err != nil {
		return 0, nil, err
	}
	gradients[t.output] = g
	if second := out[stack.Auxiliary]; second != nil && t.Form != nil {
		also, g, err := learn.CrossEntropy(second, labels, t.Smoothing)
		if err != nil {
			return 0, nil, err
		}
		scale(g, t.Auxiliary)
		loss, gradients[stack.Auxiliary] = loss+t.Auxiliary*also, g
	}
	return loss, gradients, nil
}

func scale(x *engine.Tensor, by float64) {
	data := x.Float32s()
	for i := range data {
		data[i] *= float32(by)
	}
}

// paths draws which paths of which images are left out in a step.
func (t *Training) paths(batch int) (*engine.Tensor, error) {
	declared := t.net.Model.Graph.RealInputs()[1].Type.Shape[0]
	n := int(declared.N)
	drop := t.DropPath * float64(t.done) / float64(t.steps)
	rng := rand.New(rand.NewPCG(t.Seed, 1<<63|uint64(t.done)))
	data := make([]float32, n*batch)
	for i := range data {
		if rng.Float64() >= drop {
			data[i] = float32(1 / (1 - drop))
		}
	}
	return engine.New([]int{n, batch, 1, 1, 1}, data)
}

// Model returns the network with the weights so far.
func (t *Training) Model() (*onnxgraph.Model, error) { return trainable.Write(t.model, t.params) }

// measure returns the accuracy on the test images.
func (t *Training) measure(ctx context.Context) (*measure.Accuracy, error) {
	if t.Test == nil {
		return nil, nil
	}
	m, err := t.Model()
	if err != nil {
		return nil, err
	}
	return Accuracy(ctx, m, t.Test, t.Workers, t.Memory)
}

// Accuracy measures a network on images with their classes.
func Accuracy(ctx context.Context, m *onnxgraph.Model, images *dataset.Dataset, workers int, memory int64) (*measure.Accuracy, error) {
	any, err := m.AnyBatch()
	if err != nil {
		return nil, err
	}
	net, err := measure.Open(ctx, any, measure.Options{Workers: workers, Memory: memory})
	if err != nil {
		return nil, err
	}
	defer net.Close()
	e, err := measure.Evaluate(ctx, net, nil, images, measure.EvaluateOptions{Batch: 100})
	if err != nil {
		return nil, err
	}
	return e.Accuracy, nil
}
