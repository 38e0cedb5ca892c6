package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/augment"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/fit"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/urfave/cli/v2"
)

// trainingDefaults are what a training takes where its flags say nothing.
type trainingDefaults struct {
	epochs, batch       uint64
	rate, floor         float64
	weightDecay, cutout float64
}

// fitFlags are those that trainings of one network share.
func fitFlags(d trainingDefaults) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "train on the images, `DATA`: as for natonnx eval; " + dataset.Shapes + "train are pictures that natonnx draws"},
		&cli.StringFlag{Name: "test", Usage: "measure the accuracy on the images, `DATA`, after each epoch; none trains the network, and none chooses it"},
		preprocessFlag(),
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the network to `OUT`"},
		countFlag("limit", 0, 1, math.MaxInt32, "take `N` images of --data, which --seed chooses; without it, all"),
		countFlag("epochs", d.epochs, 1, math.MaxInt32, "go through the images `N` times"),
		countFlag("batch", d.batch, 2, 1<<16, "`N` images in a step"),
		numberFlag("rate", d.rate, "learning `RATE` at first, falling along a cosine"),
		amountFlag("rate-end", d.floor, "learning `RATE` at the end"),
		numberFlag("momentum", 0.9, "`M` of the gradient descent"),
		amountFlag("weight-decay", d.weightDecay, "weight decay `D`"),
		numberFlag("clip", 5, "shorten gradients that are longer than `X`"),
		amountFlag("smoothing", 0, "spread the share `S` of a label over all classes"),
		&cli.BoolFlag{Name: "no-flip", Usage: "do not mirror every second image"},
		amountFlag("shift", 0.125, "move images by the share `S` of their sides at most"),
		amountFlag("cutout", d.cutout, "blank a square of `N` pixels in each image"),
		seedFlag(),
		&cli.StringFlag{Name: "log", Usage: "write a row for each epoch to `FILE`, in CSV"},
	}
}

// fitting is a training of one network by the command line.
type fitting struct {
	t   *tool
	c   *cli.Context
	run fit.Run
	out string
}

// read reads the flags; mistakes on the command line are found before files are read.
func (f *fitting) read(verb string) error {
	c := f.c
	if c.String("data") == "" {
		return &usageError{verb + ": --data is missing", "it names the images; --data " + dataset.Shapes + "train are some that natonnx draws"}
	}
	if f.out = c.String("output"); f.out == "" {
		return &usageError{verb + ": -o is missing", "it names the file that the network goes to, such as network.onnx"}
	}
	if test := c.String("test"); test != "" && within(test, c.String("data")) {
		return &usageError{fmt.Sprintf("--test %s: is part of --data, so that the network would be judged on what trained it", test), "name folders or files that have no image in common"}
	}
	r := &f.run
	r.State, r.Log = strings.TrimSuffix(f.out, ".onnx")+".training", c.String("log")
	r.Epochs, r.Batch, r.Seed = int(countOf(c, "epochs")), int(countOf(c, "batch")), countOf(c, "seed")
	r.Rate, r.Floor, r.Momentum, r.WeightDecay = numberOf(c, "rate"), numberOf(c, "rate-end"), numberOf(c, "momentum"), numberOf(c, "weight-decay")
	r.Clip, r.Smoothing, r.Workers = numberOf(c, "clip"), numberOf(c, "smoothing"), int(countOf(c, "workers"))
	r.Augment = &augment.Augment{Flip: !c.Bool("no-flip"), Shift: numberOf(c, "shift"), Cutout: int(numberOf(c, "cutout"))}
	if err := r.Augment.Check(); err != nil {
		return usagef("%v", err)
	}
	if r.Smoothing >= 1 {
		return usagef("--smoothing %v: want less than 1", r.Smoothing)
	}
	var err error
	if r.Memory, err = memoryLimit(c); err != nil {
		return err
	}
	return roomFor(f.out, r.Log)
}

// open opens the images, in the size that a model takes; nil: their own.
func (f *fitting) open(m *onnxgraph.Model) error {
	c, r := f.c, &f.run
	var err error
	if r.Images, err = openDataset(c.String("data"), c.String("preprocess"), m); err != nil {
		return err
	}
	if n := countOf(c, "limit"); n > 0 {
		r.Images = r.Images.Sample(int(n), r.Seed)
	}
	test := c.String("test")
	if test == "" {
		return nil
	}
	if r.Test, err = openDataset(test, c.String("preprocess"), m); err != nil {
		return err
	}
	if !r.Test.Labelled() {
		return &ioError{fmt.Errorf("%s: has no classes to measure an accuracy by", test)}
	}
	return nil
}

// within reports whether a path is a folder's or something in it.
func within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// do trains, and returns the network that came of it.
func (f *fitting) do() (*onnxgraph.Model, *fit.Training, error) {
	shown := newProgress(f.t, choiceOf(f.c, "progress"))
	f.run.Report = shown.fitting()
	training, err := f.run.Do(f.c.Context)
	shown.end()
	if err != nil {
		return nil, nil, trainingError(runErrorOf(err), f.c.String("data"), f.c.String("test"), f.run.State)
	}
	m, err := training.Model()
	return m, training, err
}

// finish writes the network and forgets the state.
func (f *fitting) finish(m *onnxgraph.Model) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if err := save(f.c.Context, m, f.out); err != nil {
		return err
	}
	if err := os.Remove(f.run.State); err != nil {
		return &ioError{err}
	}
	return nil
}

// A fitFact is what trainings of one network print.
type fitFact struct {
	Schema schemaV1   `json:"schema_version"`
	Output string     `json:"output"`
	Epochs int        `json:"epochs"`
	Images int        `json:"images"`
	Loss   float64    `json:"loss"`   // mean over the last epoch, nats
	Before *shareFact `json:"before"` // top-1 accuracy on --test; null: not measured
	After  *shareFact `json:"after"`
	Gates  int        `json:"gates"`        // skips that training opens, at first
	Folded int        `json:"gates_folded"` // of them, open at the end and taken away
}

func shareOfAccuracy(a *measure.Accuracy) *shareFact {
	if a == nil {
		return nil
	}
	return newShareFact(&a.Top1)
}

// print reports a training.
func (f *fitFact) print(t *tool) error {
	if t.json {
		return t.writeJSON(f)
	}
	if t.quiet {
		return nil
	}
	p := t.page()
	p.text(0, "wrote %s", f.Output)
	p.text(2, "trained on %s for %s: loss %.3f", legible.Plural(f.Images, "image"), legible.Plural(f.Epochs, "epoch"), f.Loss)
	if f.Before != nil {
		p.text(2, "accuracy before: %s", f.Before)
	}
	if f.After != nil {
		p.text(2, "accuracy after: %s", f.After)
	}
	if f.Before != nil && f.After != nil && f.After.Share < f.Before.Share {
		p.text(2, "it is less accurate than it was: a lower --rate, more --epochs or more images may help")
	}
	if f.Gates > 0 {
		p.text(2, "%s: %d open at the end and folded away", legible.Plural(f.Gates, "gated skip"), f.Folded)
	}
	return nil
}

// fitting shows how far a training is, not too often.
func (p *progress) fitting() func(fit.Progress) error {
	first := -1
	accuracy := ""
	return func(s fit.Progress) error {
		if first < 0 {
			first, p.began = s.Done, time.Now()
		}
		if !p.due() && s.Point == nil {
			return nil
		}
		text := fmt.Sprintf("epoch %d, step %d of %d", s.Epoch, s.Done, s.Of)
		if s.Done > first {
			text += left(time.Since(p.began), s.Done-first, s.Of-first)
		}
		if s.Point != nil && s.Point.Test != nil {
			accuracy = fmt.Sprintf(", accuracy %.1f %%", 100*s.Point.Test.Top1.Value())
		}
		p.show(fmt.Sprintf("%s; loss %.3f%s", text, s.Loss, accuracy))
		return nil
	}
}
