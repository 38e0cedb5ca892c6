package fit

import (
	"context"
	"fmt"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/train/trainable"
)

// A teacher is a network whose scores are learnt.
type teacher struct {
	program *engine.Program
	input   string
	output  string
}

func newTeacher(ctx context.Context, t *Training) (*teacher, error) {
	net, err := trainable.Open(t.Teacher, t.Images.Shape())
	if err != nil {
		return nil, err
	}
	output, scores, err := net.Output()
	if err != nil {
		return nil, err
	}
	want, have := net.Types.Of(output).Shape, t.net.Types.Of(t.output).Shape
	if !scores || !want.Equal(have) {
		return nil, fmt.Errorf("%s: output %q is %v, %s has %v: want one shape", t.model.Path, t.output, have, t.Teacher.Path, want)
	}
	p, err := engine.Compile(ctx, net.Model, engine.Options{Workers: t.Workers, Memory: t.Memory, Keep: []string{output}})
	return &teacher{p, net.Input, output}, err
}

// slope returns the loss that the teacher gives, with that of the labels where
// they count, and sets the gradient.
func (s *teacher) slope(ctx context.Context, t *Training, x *engine.Tensor, labels []int, out, gradients map[string]*engine.Tensor) (float64, error) {
	want, err := s.program.Run(ctx, map[string]*engine.Tensor{s.input: x})
	if err != nil {
		return 0, err
	}
	loss, g, err := learn.Distill(out[t.output], want[s.output], t.Temperature)
	if err != nil {
		return 0, err
	}
	gradients[t.output] = g
	if !t.Labels {
		return loss, nil
	}
	also, h, err := learn.CrossEntropy(out[t.output], labels, t.Smoothing)
	if err != nil {
		return 0, err
	}
	sum := g.Float32s()
	for i, v := range h.Float32s() {
		sum[i] = (sum[i] + v) / 2
	}
	return (loss + also) / 2, nil
}
