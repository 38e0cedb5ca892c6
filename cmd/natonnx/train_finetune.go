package main

import (
	"context"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/fit"
	"github.com/urfave/cli/v2"
)

// openGate is how far from 1 an open gate is at most: what it does then is below
// what a training resolves.
const openGate = 1e-3

func (t *tool) trainFinetuneCommand() *cli.Command {
	flags := append([]cli.Flag{
		&cli.StringFlag{Name: "teacher", Usage: "learn what the network `ORIGINAL.onnx` says of the images, by distillation; they need no classes then"},
		&cli.BoolFlag{Name: "labels", Usage: "with --teacher: let the classes count as much"},
		numberFlag("temperature", 4, "`T` of the softmax of both, with --teacher"),
	}, fitFlags(trainingDefaults{epochs: 10, batch: 64, rate: 0.01, weightDecay: 1e-4})...)
	return &cli.Command{
		Name:      "finetune",
		Usage:     "train a rewritten network on",
		ArgsUsage: "REWRITTEN.onnx --data DATA --preprocess HOW -o OUT.onnx [--teacher ORIGINAL.onnx]",
		Description: "Trains by the classes of the images, or by what another network says of them. Skips that natonnx optimize added are gated by zeros, which this opens; gates that " +
			"end within 0.001 of 1 are folded away. With --test it says how accurate the network was and is. The last weights are written.\n\n" +
			"An interruption ends the training. Its state lies beside OUT, in a file whose name ends in .training, and the same command goes on from there.",
		Flags:  append(flags, runFlags()...),
		Action: t.trainFinetune,
	}
}

func (t *tool) trainFinetune(c *cli.Context) error {
	args, err := arguments(c, 1)
	if err != nil {
		return err
	}
	f := &fitting{t: t, c: c}
	if err := f.read("train finetune"); err != nil {
		return err
	}
	if teacher := c.String("teacher"); teacher != "" {
		if f.run.Teacher, err = onnxgraph.Open(teacher); err != nil {
			return err
		}
	} else if c.Bool("labels") || c.IsSet("temperature") {
		return &usageError{"--labels and --temperature: there is no --teacher", "without one, the classes alone count"}
	}
	f.run.Labels, f.run.Temperature = c.Bool("labels"), numberOf(c, "temperature")
	if sameFile(args[0], f.out) {
		return usagef("-o %s: is the input", f.out)
	}
	if f.run.Model, err = onnxgraph.Open(args[0]); err != nil {
		return err
	}
	if err := f.open(f.run.Model); err != nil {
		return err
	}
	before, err := f.accuracy(c.Context, f.run.Model)
	if err != nil {
		return runErrorOf(err)
	}
	m, training, err := f.do()
	if err != nil {
		return err
	}
	fact := &fitFact{Output: f.out, Epochs: f.run.Epochs, Images: f.run.Images.Len(), Loss: training.Curve()[f.run.Epochs-1].Loss, Before: before, Gates: len(cellmap.Gates(m))}
	if m, fact.Folded, err = trained(m); err != nil {
		return err
	}
	if fact.After, err = f.accuracy(c.Context, m); err != nil {
		return err
	}
	if err := f.finish(m); err != nil {
		return err
	}
	return fact.print(t)
}

// accuracy measures a network on the test images, if there are any.
func (f *fitting) accuracy(ctx context.Context, m *onnxgraph.Model) (*shareFact, error) {
	if f.run.Test == nil {
		return nil, nil
	}
	a, err := fit.Accuracy(ctx, m, f.run.Test, f.run.Workers, f.run.Memory)
	return shareOfAccuracy(a), err
}

// trained folds open gates, and notes that the network has been trained since it
// was rewritten.
func trained(m *onnxgraph.Model) (*onnxgraph.Model, int, error) {
	patch, folded := cellmap.FoldGates(m, openGate)
	if stampOf(m).get("retrain") != "" {
		patch.Metadata = []onnxgraph.Property{{Key: stampPrefix + "retrain", Value: "done"}}
	}
	if patch.Empty() {
		return m, 0, nil
	}
	out, err := m.Apply(patch)
	return out, folded, err
}
