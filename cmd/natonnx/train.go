package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/natonnx/natonnx/train"
	"github.com/urfave/cli/v2"
)

func (t *tool) trainCommand() *cli.Command {
	return &cli.Command{
		Name:  "train",
		Usage: "train what natonnx uses",
		Subcommands: []*cli.Command{{
			Name:      "policy",
			Usage:     "train a policy on the table of NAS-Bench-201",
			ArgsUsage: "--data TABLE.csv -o OUT.onnx",
			Description: "Trains by REINFORCE, with the accuracies of a table as reward. TABLE.csv has the columns " +
				"CIFAR10TestAccuracy200Epochs, CIFAR100TestAccuracy200Epochs, ImageNetTestAccuracy200Epochs, ArchitectureString and UniqueString, " +
				"and a row for each of the 15,625 cells. The same flags give the same bytes, on the same kind of processor.\n\n" +
				"An interruption ends the training, and no policy is written.",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "data", Usage: "the `TABLE` of measured accuracies, in CSV"},
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the policy to `OUT`; its name is the policy's"},
				seedFlag(),
				countFlag("seeds", 0, 1, 1000, "train `N` policies, with seeds that follow each other, and keep the best; without it, as for the built-in policy"),
				countFlag("steps", 0, 1, math.MaxInt32, "update the weights of each policy `N` times; without it, as for the built-in policy"),
				&cli.BoolFlag{Name: "published", Usage: "wire the policy as the authors' code does, for comparison"},
				&cli.StringFlag{Name: "log", Usage: "write the progress to `FILE`, in CSV"},
				progressFlag(),
			},
			Action: t.trainPolicy,
		}},
	}
}

func (t *tool) trainPolicy(c *cli.Context) error {
	if _, err := arguments(c, 0); err != nil {
		return err
	}
	data, out := c.String("data"), c.String("output")
	switch {
	case data == "":
		return &usageError{"train policy: --data is missing", "it names the table of NAS-Bench-201; natonnx train policy --help says which columns it has"}
	case out == "":
		return &usageError{"train policy: -o is missing", "it names the file that the policy goes to, such as policy.onnx"}
	case sameFile(data, out):
		return usagef("-o %s: is the table", out)
	}
	shown := newTrainingProgress(t, choiceOf(c, "progress"))
	o := train.PolicyOptions{
		Data: data, Name: strings.TrimSuffix(filepath.Base(out), ".onnx"), Published: c.Bool("published"),
		Seed: countOf(c, "seed"), Seeds: int(countOf(c, "seeds")), Steps: int(countOf(c, "steps")), Progress: shown.training,
	}
	if path := c.String("log"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		o.Log = f
	}
	policy, err := train.Policy(c.Context, o)
	shown.end()
	if err != nil {
		return trainingError(data, err)
	}
	if err := policy.Save(c.Context, out); err != nil {
		return &ioError{err}
	}
	switch {
	case t.json:
		return t.writeJSON(cardFact{Card: policy.Card()})
	case !t.quiet:
		p := t.page()
		p.text(0, "wrote %s", out)
		p.heading("scores")
		p.scores(policy.Card().Scores)
		t.hint("next: natonnx plan MODEL.onnx --policy %s", out)
	}
	return nil
}

// trainingError marks a fault of the table as one of a file.
func trainingError(data string, err error) error {
	if strings.HasPrefix(err.Error(), data+":") {
		return &ioError{err}
	}
	return err
}

// A trainingProgress shows how far a training is.
type trainingProgress struct {
	*progress
	seed  uint64
	since time.Time // when the training with this seed began
	last  time.Time // when it was last heard of
}

func newTrainingProgress(t *tool, when string) *trainingProgress {
	p := &trainingProgress{progress: newProgress(t, when), last: time.Now()}
	p.show("training; accuracies on held-out cells follow")
	return p
}

func (p *trainingProgress) training(s train.PolicyProgress) {
	if p.since.IsZero() || s.Seed != p.seed {
		p.seed, p.since = s.Seed, p.last
	}
	p.last = time.Now()
	p.show(fmt.Sprintf("seed %d, step %d of %d%s: %.2f %% (input %.2f %%, best possible %.2f %%)",
		s.Seed, s.Step, s.Steps, left(p.last.Sub(p.since), s.Step, s.Steps), s.Choose.Max.Accuracy, s.Choose.Input, s.Choose.Reachable))
}
