package supernet

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/epochs"
	"github.com/natonnx/natonnx/train/measure"
)

// A Net is a supernet in training: the weights of all children so far.
type Net struct {
	stack.Supernet
	Params  engine.Params
	Workers int // cores; 0: all
	sgd     *learn.SGD
	reserve engine.Reserve
}

// NewNet begins with no weights: children bring theirs, seeded, when they are
// first drawn.
func NewNet(s stack.Supernet, momentum, weightDecay float64) *Net {
	return &Net{Supernet: s, Params: engine.Params{}, sgd: &learn.SGD{Momentum: momentum, WeightDecay: weightDecay}}
}

// restore sets the weights to those of a state.
func (n *Net) restore(s *State) {
	for name, w := range s.Params {
		n.Params[name] = &engine.Param{Dims: w.Dims, Value: w.Value, Frozen: w.Frozen}
	}
	n.sgd.Restore(s.Momentum)
}

// A child is a network of shared weights, ready to be trained.
type child struct {
	*engine.Training
	params engine.Params // its own part of the supernet's
}

func (n *Net) child(ctx context.Context, g cellmap.Genotype, oneWay bool) (*child, error) {
	m, err := n.Child(g, "child", func(name string) bool { return n.Params[name] != nil })
	if err != nil {
		return nil, err
	}
	params, err := n.share(ctx, m)
	if err != nil {
		return nil, err
	}
	t, err := engine.CompileTraining(ctx, m, params, engine.TrainingOptions{
		Options: engine.Options{Workers: n.Workers, Reserve: &n.reserve}, BatchStatistics: true, OneWay: oneWay,
	})
	return &child{t, params}, err
}

// share returns the parameters of a child. Those that none had before come from it.
func (n *Net) share(ctx context.Context, m *onnxgraph.Model) (engine.Params, error) {
	params, all := engine.Params{}, true
	for _, t := range m.Graph.Initializers {
		if p := n.Params[t.Name]; p != nil {
			params[t.Name] = p
		} else if t.Type == onnxgraph.Float32 && !strings.HasPrefix(t.Name, stack.Plain) {
			all = false
		}
	}
	if all {
		return params, nil
	}
	own, err := engine.ReadParams(ctx, m)
	for name, p := range own {
		if params[name] == nil && !strings.HasPrefix(name, stack.Plain) {
			params[name], n.Params[name] = p, p
		}
	}
	return params, err
}

// logits of a batch of images.
func (c *child) logits(ctx context.Context, b epochs.Batch) (*engine.Tensor, error) {
	x, err := engine.New(append([]int{len(b.Labels)}, b.Shape...), b.Images)
	if err != nil {
		return nil, err
	}
	out, err := c.Forward(ctx, map[string]*engine.Tensor{"input": x})
	return out["output"], err
}

// Step trains the child of a genotype on a batch, and returns the loss before.
func (n *Net) Step(ctx context.Context, g cellmap.Genotype, b epochs.Batch, rate float64) (float64, error) {
	c, err := n.child(ctx, g, false)
	if err != nil {
		return 0, err
	}
	logits, err := c.logits(ctx, b)
	if err != nil {
		return 0, err
	}
	loss, gradient, err := learn.CrossEntropy(logits, b.Labels, 0)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, fmt.Errorf("the training diverged at rate %g: the loss is %v; a lower rate may help", rate, loss)
	}
	for _, p := range c.params { // all: weights that no gradient reaches decay, whatever came before
		if p.Grad == nil && !p.Frozen {
			p.Grad = make([]float32, len(p.Value))
		}
	}
	c.params.ZeroGrad()
	if _, err := c.Backward(ctx, map[string]*engine.Tensor{"output": gradient}); err != nil {
		return 0, err
	}
	n.sgd.Step(c.params, rate)
	return loss, nil
}

// A Verdict is how well a network does on a batch.
type Verdict struct {
	Accuracy   float64 // share of the images that are classified rightly
	Likelihood float64 // mean logarithm of the probability of the right class, in nats
}

// Judge tries the child of a genotype on a batch. Normalizations go by the batch:
// running statistics of weights that many children share are those of none.
func (n *Net) Judge(ctx context.Context, g cellmap.Genotype, b epochs.Batch) (v Verdict, err error) {
	c, err := n.child(ctx, g, true)
	if err != nil {
		return v, err
	}
	logits, err := c.logits(ctx, b)
	if err != nil {
		return v, err
	}
	scores := logits.Float32s()
	classes := len(scores) / len(b.Labels)
	if classes != n.Classes {
		return v, fmt.Errorf("%d scores for %d images, want %d for each", len(scores), len(b.Labels), n.Classes)
	}
	loss, _, err := learn.CrossEntropy(logits, b.Labels, 0)
	if err != nil {
		return v, err
	}
	right := 0
	for i, label := range b.Labels {
		if measure.Top(scores[i*classes:][:classes]) == label {
			right++
		}
	}
	return Verdict{float64(right) / float64(len(b.Labels)), -loss}, nil
}
