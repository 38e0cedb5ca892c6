package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/internal/typo"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/epochs"
	"github.com/natonnx/natonnx/train/fit"
	"github.com/urfave/cli/v2"
)

func (t *tool) trainNetworkCommand() *cli.Command {
	flags := append([]cli.Flag{
		&cli.StringFlag{Name: "genotype", Usage: "stack the cells of `G`: a published one (" + strings.Join(cellmap.PublishedNames()[:3], ", ") + ", ...), a file with one in the authors' form, or that text"},
		&cli.StringFlag{Name: "model", Usage: "train the network `X.onnx` instead, from weights drawn anew"},
		countFlag("channels", 36, 2, 4096, "`N` channels of the first cells, an even number"),
		countFlag("layers", 20, 2, 100, "`N` cells"),
		amountFlag("drop-path", 0, "leave out the share `S` of the operations of a --genotype, rising from none at first; the authors take 0.2"),
		amountFlag("auxiliary", 0, "weigh a second classifier behind two thirds of the cells of a --genotype by `W`; the authors take 0.4"),
	}, fitFlags(trainingDefaults{epochs: 60, batch: 96, rate: 0.025, floor: 0.001, weightDecay: 3e-4, cutout: 16})...)
	return &cli.Command{
		Name:      "network",
		Usage:     "train a network from scratch",
		ArgsUsage: "--genotype G|--model X.onnx --data DATA --preprocess HOW -o OUT.onnx",
		Description: "Trains by the recipe of the paper's evaluation on CIFAR-10: stochastic gradient descent with momentum, a rate that falls along a cosine, mirrored and shifted images with a " +
			"square cut out, gradients of bounded length; the authors take 600 epochs. The last weights are written.\n\n" +
			"An interruption ends the training. Its state lies beside OUT, in a file whose name ends in .training, and the same command goes on from there: however a training ended, it comes to the same weights, " +
			"on the same kind of processor.",
		Flags:  append(flags, runFlags()...),
		Action: t.trainNetwork,
	}
}

func (t *tool) trainNetwork(c *cli.Context) error {
	if _, err := arguments(c, 0); err != nil {
		return err
	}
	f := &fitting{t: t, c: c}
	if err := f.read("train network"); err != nil {
		return err
	}
	genotype, model := c.String("genotype"), c.String("model")
	switch {
	case (genotype == "") == (model == ""):
		return &usageError{"train network: want --genotype or --model", "--genotype NAT_ResBlock stacks published cells, --model X.onnx takes a network as it is"}
	case model != "":
		for _, name := range []string{"channels", "layers", "drop-path", "auxiliary"} {
			if c.IsSet(name) {
				return usagef("--%s: there is no --genotype", name)
			}
		}
	}
	if err := f.build(genotype, model); err != nil {
		return err
	}
	m, training, err := f.do()
	if err != nil {
		return err
	}
	if err := f.finish(m); err != nil {
		return err
	}
	last := training.Curve()[f.run.Epochs-1]
	return (&fitFact{Output: f.out, Epochs: f.run.Epochs, Images: f.run.Images.Len(), Loss: last.Loss, After: shareOfAccuracy(last.Test)}).print(t)
}

// build makes the network with weights drawn by the seed, and opens the images.
func (f *fitting) build(genotype, model string) error {
	if model != "" {
		m, err := onnxgraph.Open(model)
		if err != nil {
			return err
		}
		if f.run.Model, err = fit.Redraw(m, f.run.Seed); err != nil {
			return &modelError{err.Error()}
		}
		return f.open(m)
	}
	g, err := readGenotype(genotype)
	if err != nil {
		return err
	}
	if err := f.open(nil); err != nil {
		return err
	}
	shape := f.run.Images.Shape()
	if len(shape) != 3 || shape[0] != 3 || shape[1] != shape[2] {
		return epochs.Misfit("%s: images are %v, want square ones of 3 channels, such as --preprocess cuts with size=N;crop=N", f.c.String("data"), shape)
	}
	classes := len(f.run.Images.Classes())
	for i := range f.run.Images.Len() {
		classes = max(classes, f.run.Images.Label(i)+1)
	}
	net := stack.Net{Genotype: g, Channels: int(countOf(f.c, "channels")), Layers: int(countOf(f.c, "layers")), Classes: max(1, classes), Size: shape[1], Large: shape[1] >= 128, Seed: f.run.Seed}
	if f.run.Model, err = net.Model(f.out); err != nil {
		return usagef("%v", err)
	}
	f.run.DropPath, f.run.Auxiliary = numberOf(f.c, "drop-path"), numberOf(f.c, "auxiliary")
	if net.Paths, net.Auxiliary = f.run.DropPath > 0, f.run.Auxiliary > 0; net.Paths || net.Auxiliary {
		if f.run.Form, err = net.Model(f.out); err != nil {
			return usagef("%v", err)
		}
	}
	return nil
}

// readGenotype finds a published genotype, or reads one from a file or a text.
func readGenotype(from string) (g cellmap.Genotype, err error) {
	if g, ok := cellmap.PublishedGenotype(from); ok {
		return g, nil
	}
	if strings.Contains(from, "Genotype(") {
		g, err = cellmap.ParseGenotype(from)
		if err != nil {
			return g, usagef("--genotype: %v", err)
		}
		return g, nil
	}
	text, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(from, "/\\.") {
		err := usagef("--genotype %s: is neither a published genotype nor a file", from)
		err.hint = "published are " + strings.Join(cellmap.PublishedNames(), ", ")
		if near := typo.Nearest(from, cellmap.PublishedNames()); near != "" {
			err.hint = "did you mean " + near + "?"
		}
		return g, err
	}
	if err != nil {
		return g, err
	}
	if g, err = cellmap.ParseGenotype(string(text)); err != nil {
		return g, &ioError{fmt.Errorf("%s: %w", from, err)}
	}
	return g, nil
}
