package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

func (t *tool) trainCommand() *cli.Command {
	return &cli.Command{
		Name:  "train",
		Usage: "train what natonnx uses",
		Subcommands: []*cli.Command{t.trainSupernetCommand(), t.trainDeriveCommand(), t.trainNetworkCommand(), t.trainFinetuneCommand(), {
			Name:      "policy",
			Usage:     "train a policy on the table of NAS-Bench-201",
			ArgsUsage: "--data TABLE.csv -o OUT.onnx",
			Description: "Trains by REINFORCE, with the accuracies of a table as reward. TABLE.csv has the columns " +
				"CIFAR10TestAccuracy200Epochs, CIFAR100TestAccuracy200Epochs, ImageNetTestAccuracy200Epochs, ArchitectureString and UniqueString, " +
				"and a row for each of the 15,625 cells. The same flags give the same bytes, on the same kind of processor.\n\n" +
				"An interruption ends the training. What was done so far lies in a folder beside OUT, its name ending in .training, and the same command goes on from there.",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "data", Usage: "the `TABLE` of measured accuracies, in CSV"},
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the policy to `OUT`; its name is the policy's"},
				seedFlag(),
				countFlag("seeds", 0, 1, 1000, "train `N` policies, with seeds that follow each other, and keep the best; without it, as for the built-in policy"),
				countFlag("steps", 0, 1, math.MaxInt32, "update the weights of each policy `N` times; without it, as for the built-in policy"),
				choiceFlag("rules", transformer.NAT.Name, "`RULES` say which moves the policy learns: nat or nat++", transformer.NAT.Name, transformer.NATPlusPlus.Name),
				&cli.GenericFlag{Name: "max-madds", Value: &portion{}, Usage: "bound the mean multiply-adds of the transformed cells by a share `P%` of those of the inputs"},
				&cli.GenericFlag{Name: "max-latency", Value: &portion{}, Usage: "bound the mean latency by a share `P%` of that of the inputs, on --device of --latency"},
				&cli.StringFlag{Name: "latency", Usage: "a table of latencies, `FILE`, in CSV: a column arch and one for each device, in milliseconds"},
				&cli.StringFlag{Name: "device", Usage: "the `NAME` of a column of --latency"},
				&cli.StringFlag{Name: "log", Usage: "write the learning curves to `FILE`, in CSV"},
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
	cost, err := readTrainingBound(c)
	if err != nil {
		return err
	}
	shown := newProgress(t, choiceOf(c, "progress"))
	rules, _ := transformer.RulesByName(choiceOf(c, "rules"))
	name := strings.TrimSuffix(filepath.Base(out), ".onnx")
	state := strings.TrimSuffix(out, ".onnx") + ".training"
	o := train.PolicyOptions{
		Data: data, Name: name, Rules: rules, MaxCost: cost, Latency: c.String("latency"), Device: c.String("device"),
		Seed: countOf(c, "seed"), Seeds: int(countOf(c, "seeds")), Steps: int(countOf(c, "steps")), Checkpoint: state, Progress: shown.training,
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
		return trainingError(err, data, o.Latency, state)
	}
	if err := policy.Save(c.Context, out); err != nil {
		return &ioError{err}
	}
	if err := os.RemoveAll(state); err != nil {
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

// readTrainingBound reads the bound on what results cost, as a share of the
// inputs' cost; 0: none.
func readTrainingBound(c *cli.Context) (float64, error) {
	madds, latency := c.Generic("max-madds").(*portion).share, c.Generic("max-latency").(*portion).share
	table, device := c.String("latency"), c.String("device")
	switch {
	case latency == 0 && (table != "" || device != ""):
		return 0, &usageError{"--latency and --device: there is no --max-latency", "latencies bound what a policy learns; natonnx policy bench measures them"}
	case latency == 0:
		return madds, nil
	case madds > 0:
		return 0, usagef("--max-madds and --max-latency: want one of them")
	case table == "" || device == "":
		return 0, &usageError{"--max-latency: --latency or --device is missing", "they name the table of latencies and its column"}
	}
	return latency, nil
}

// trainingError marks a fault in one of the files, or in a file of one of the
// folders, as one of a file.
func trainingError(err error, files ...string) error {
	var missing *train.ColumnError
	if errors.As(err, &missing) && missing.Column != "arch" && len(missing.Found) > 0 && missing.Found[0] == "arch" {
		return unknownDevice(missing)
	}
	for _, file := range files {
		if rest, ok := strings.CutPrefix(err.Error(), file); ok && file != "" && (rest[0] == ':' || rest[0] == os.PathSeparator) {
			return &ioError{err}
		}
	}
	return err
}

// training shows how far a training is.
func (p *progress) training(s train.PolicyProgress) {
	text := fmt.Sprintf("%d of %d steps", s.Done, s.Total)
	if s.Done > s.Resumed {
		text += left(time.Since(p.began), s.Done-s.Resumed, s.Total-s.Resumed)
	}
	p.show(fmt.Sprintf("%s; seed %d, step %d: %.2f %% accurate, %.1f %% of what is possible gained", text, s.Seed, s.Step, s.Accuracy, s.Captured))
}
