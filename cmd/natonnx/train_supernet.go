package main

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/epochs"
	"github.com/natonnx/natonnx/train/supernet"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

func (t *tool) trainSupernetCommand() *cli.Command {
	return &cli.Command{
		Name:      "supernet",
		Usage:     "train a policy on your own images",
		ArgsUsage: "--data DATA --preprocess HOW -o DIR",
		Description: "Trains a supernet, whose architectures share their weights, and a policy by what its transformations gain in it, in turns. A share of the images trains " +
			"the weights; --held of them train nothing: on those, and on architectures that trained nothing either, the policy is examined beside random search, after each epoch and at the end. " +
			"The others train the policy.\n\n" +
			"DIR holds the state of the search with the shared weights (" + supernet.StateFile + "), a row for each epoch (" + supernet.LogFile + "), the curves (" + supernet.CurvesFile + ") and, at the end, the policy (" + supernet.PolicyFile + "). " +
			"However a run ended, the same command goes on from there, and comes to the same result to the bit, on the same kind of processor.\n\n" +
			"What differs from the authors' code: architectures have null connections, as real networks do (--nulls); rewards are gains in likelihood, not in accuracy (--reward); the baseline follows the reward, not the advantage; the policy sees the operations that it decides on; " +
			"the candidates are chosen on other images than those that judge. --published takes the first four back. " +
			"Normalizations go by the batch, as there: running statistics of weights that architectures share are those of none.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "the images, `DATA`, with their classes: as for natonnx eval; " + dataset.Shapes + "train are pictures that natonnx draws"},
			preprocessFlag(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "keep everything in the folder `DIR`"},
			countFlag("limit", 0, 1, math.MaxInt32, "take `N` images of the data, which --seed chooses; without it, all"),
			choiceFlag("space", supernet.Spaces[0].Name, "`SPACE` of the architectures: "+oneOf(spaceNames()), spaceNames()...),
			countFlag("nodes", 4, 1, 8, "`N` intermediate nodes of a cell"),
			shareFlag("nulls", 0.4, "draw architectures whose operations are null to `P%`, as those of hand-crafted cells are"),
			countFlag("channels", 20, 2, 1024, "`N` channels of the first cells, an even number"),
			countFlag("layers", 8, 2, 100, "`N` cells"),
			countFlag("epochs", 100, 1, math.MaxInt32, "go through the images `N` times"),
			countFlag("warm-up", 0, 0, math.MaxInt32, "train the weights alone for `N` of these epochs, before the policy"),
			countFlag("batch", 64, 2, 1<<16, "`N` images in a step"),
			shareFlag("share", 0.4, "train the weights on `P%` of the images"),
			shareFlag("held", 0.1, "keep `P%` of the images for exams"),
			numberFlag("rate", 0.01, "learning `RATE` of the weights"),
			numberFlag("rate-end", 0.01, "learning `RATE` of the weights at the end, to which it falls along a cosine; without it, it is constant"),
			numberFlag("momentum", 0.9, "`M` of the weights' gradient descent"),
			numberFlag("weight-decay", 3e-4, "weight decay `D` of the weights"),
			numberFlag("policy-rate", 3e-4, "learning `RATE` of the policy, which falls to 0 along a cosine"),
			numberFlag("entropy", 3e-3, "weight `LAMBDA` of the policy's entropy"),
			choiceFlag("reward", supernet.Likelihood, "reward transformations by what they gain in `WHAT`, on a batch: likelihood (of the right classes) or accuracy, which has more noise", supernet.Likelihood, supernet.Accuracy),
			countFlag("samples", 1, 1, 64, "reward `N` transformations of an architecture in a step"),
			countFlag("architectures", 40, 2, 100000, "judge the policy on `N` architectures at the end"),
			&cli.BoolFlag{Name: "published", Usage: "train the authors' policy as their code does, to compare; it is not written"},
			seedFlag(),
			countFlag("workers", 0, 1, 4096, "compute on `N` cores; without it, on all"),
			progressFlag(),
		},
		Action: t.trainSupernet,
	}
}

func spaceNames() (names []string) {
	for _, s := range supernet.Spaces {
		names = append(names, s.Name)
	}
	return names
}

func (t *tool) trainSupernet(c *cli.Context) error {
	run, err := readSupernetRun(c)
	if err != nil {
		return err
	}
	shown := newProgress(t, choiceOf(c, "progress"))
	run.Report = shown.searching()
	run.Judging = func(done, of int) {
		if done == 0 {
			shown.began = time.Now()
		}
		shown.count(done, of, "architecture")
	}
	exam, policy, err := run.Do(c.Context)
	shown.end()
	if err != nil {
		return trainingError(err, c.String("data"), run.Folder)
	}
	return t.printSupernet(run, exam, policy)
}

// A gainFact is a mean over architectures, in points of accuracy, and its standard error.
type gainFact struct {
	Mean  float64 `json:"mean"`
	Error float64 `json:"standard_error"`
}

// A supernetFact is what train supernet prints. Accuracies and gains are in percent and
// in percentage points.
type supernetFact struct {
	Schema        schemaV1 `json:"schema_version"`
	Output        string   `json:"output"`
	Policy        string   `json:"policy"` // the file; "" with --published
	Epochs        int      `json:"epochs"`
	Architectures int      `json:"architectures"`
	Accuracy      gainFact `json:"accuracy"` // of the architectures as they are
	Likeliest     gainFact `json:"gain_most_probable"`
	Sampled       gainFact `json:"gain_sampled"`
	BestSampled   gainFact `json:"gain_best_of_10_sampled"`
	Random        gainFact `json:"gain_random"`
	BestRandom    gainFact `json:"gain_best_of_10_random"`
	Lead          gainFact `json:"lead_sampled"` // over random, architecture by architecture
	BestLead      gainFact `json:"lead_best_of_10"`
}

func newGainFact(g supernet.Gain) gainFact { return gainFact{100 * g.Mean, 100 * g.Error} }

func (t *tool) printSupernet(run *supernet.Run, e supernet.Exam, policy *transformer.GCN) error {
	fact := supernetFact{
		Output: run.Folder, Epochs: run.Epochs, Architectures: e.Architectures, Accuracy: newGainFact(e.Before), Likeliest: newGainFact(e.Likeliest),
		Sampled: newGainFact(e.Sampled), BestSampled: newGainFact(e.BestSampled), Random: newGainFact(e.Random), BestRandom: newGainFact(e.BestRandom), Lead: newGainFact(e.Lead), BestLead: newGainFact(e.BestLead),
	}
	if policy != nil {
		fact.Policy = filepath.Join(run.Folder, supernet.PolicyFile)
	}
	switch {
	case t.json:
		return t.writeJSON(fact)
	case t.quiet:
		return nil
	}
	p := t.page()
	p.text(0, "wrote %s", run.Folder)
	p.heading("on %d architectures that trained nothing, with shared weights", e.Architectures)
	p.text(2, "their accuracy: %.2f ± %.2f %% (standard error)", fact.Accuracy.Mean, fact.Accuracy.Error)
	table := &table{indent: 2, numbers: []bool{false, true, true}}
	table.add("transformations", "gain, points", "standard error")
	for _, row := range []struct {
		name string
		gainFact
	}{
		{"the policy's most probable", fact.Likeliest},
		{"drawn from the policy", fact.Sampled},
		{"drawn from the policy, the best of 10", fact.BestSampled},
		{"random", fact.Random},
		{"random, the best of 10", fact.BestRandom},
		{"drawn from the policy, over random", fact.Lead},
		{"the best of 10, over random", fact.BestLead},
	} {
		table.add(row.name, fmt.Sprintf("%+.2f", row.Mean), fmt.Sprintf("%.2f", row.Error))
	}
	p.table(table)
	if policy != nil {
		t.hint("next: natonnx train derive %s --genotype DARTS -o derived", run.Folder)
	}
	return nil
}

// readSupernetRun reads what is to be searched, and the images.
func readSupernetRun(c *cli.Context) (*supernet.Run, error) {
	if _, err := arguments(c, 0); err != nil {
		return nil, err
	}
	switch {
	case c.String("data") == "":
		return nil, &usageError{"train supernet: --data is missing", "it names the images; --data " + dataset.Shapes + "train are some that natonnx draws"}
	case c.String("output") == "":
		return nil, &usageError{"train supernet: -o is missing", "it names the folder that everything goes to"}
	}
	r := &supernet.Run{
		Folder: c.String("output"), Name: filepath.Base(c.String("output")), Command: supernetCommand(c), Workers: int(countOf(c, "workers")),
		Final: int(countOf(c, "architectures")),
		Settings: supernet.Settings{
			Data: c.String("data"), Preprocess: c.String("preprocess"), Limit: int(countOf(c, "limit")),
			Space: choiceOf(c, "space"), Nodes: int(countOf(c, "nodes")), Channels: int(countOf(c, "channels")), Layers: int(countOf(c, "layers")),
			Epochs: int(countOf(c, "epochs")), WarmUp: int(countOf(c, "warm-up")), Batch: int(countOf(c, "batch")), Nulls: shareOf(c, "nulls"), Share: shareOf(c, "share"), Held: shareOf(c, "held"),
			Rate: numberOf(c, "rate"), RateEnd: numberOf(c, "rate"), Momentum: numberOf(c, "momentum"), WeightDecay: numberOf(c, "weight-decay"),
			PolicyRate: numberOf(c, "policy-rate"), Entropy: numberOf(c, "entropy"), Reward: choiceOf(c, "reward"), Samples: int(countOf(c, "samples")),
			Published: c.Bool("published"), Seed: countOf(c, "seed"),
		},
	}
	if c.IsSet("rate-end") {
		r.RateEnd = numberOf(c, "rate-end")
	}
	if r.Published {
		r.Nulls, r.Reward = 0, supernet.Accuracy
	}
	if r.Channels%2 != 0 {
		return nil, usagef("--channels %d: want an even number", r.Channels)
	}
	if r.Share+r.Held >= 1 {
		return nil, usagef("--share %v%% and --held %v%%: want less than 100%% together", 100*r.Share, 100*r.Held)
	}
	var err error
	if r.Images, err = openTrainingImages(r.Settings); err != nil {
		return nil, err
	}
	return r, nil
}

// openTrainingImages opens the images of a run.
func openTrainingImages(s supernet.Settings) (*dataset.Dataset, error) {
	d, err := openDataset(s.Data, s.Preprocess, nil)
	if err != nil {
		return nil, err
	}
	if err := epochs.Labelled(d, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Data, err)
	}
	if s.Limit > 0 {
		d = d.Sample(s.Limit, s.Seed)
	}
	return d, nil
}

// supernetCommand is what to type to train again.
func supernetCommand(c *cli.Context) string {
	silent := []string{"data", "output", "workers", "progress", "json", "quiet", "verbose"} // of no consequence, or said elsewhere
	var b strings.Builder
	data := c.String("data")
	if !strings.HasPrefix(data, dataset.Shapes) {
		data = filepath.Base(data)
	}
	fmt.Fprintf(&b, "natonnx train supernet --data %s", legible.ShellWord(data))
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if !c.IsSet(name) || slices.Contains(silent, name) {
			continue
		}
		fmt.Fprintf(&b, " --%s", name)
		switch f.(type) {
		case *cli.GenericFlag:
			fmt.Fprintf(&b, " %s", legible.ShellWord(fmt.Sprint(c.Generic(name))))
		case *cli.StringFlag:
			fmt.Fprintf(&b, " %s", legible.ShellWord(c.String(name)))
		}
	}
	return b.String() + " -o " + legible.ShellWord(filepath.Base(c.String("output")))
}

// searching shows how far a search is, not too often.
func (p *progress) searching() func(supernet.Progress) error {
	first := -1
	return func(s supernet.Progress) error {
		if first < 0 {
			first, p.began = s.Done, time.Now()
		}
		if !p.due() && s.Point == nil {
			return nil
		}
		text := fmt.Sprintf("epoch %d, step %d of %d", s.Epoch+1, s.Done, s.Of)
		if s.Done > first {
			text += left(time.Since(p.began), s.Done-first, s.Of-first)
		}
		switch {
		case s.Point != nil:
			text += fmt.Sprintf("; loss %.3f", s.Point.Loss)
			if s.Point.Accuracy > 0 {
				text += fmt.Sprintf(", accuracy %.1f %%, transformed %+.2f points", 100*s.Point.Accuracy, 100*s.Point.Gain)
			}
			if e := s.Point.Exam; e.Architectures > 0 {
				text += fmt.Sprintf("; on others %+.2f, drawn %+.2f, random %+.2f", 100*e.Likeliest.Mean, 100*e.Sampled.Mean, 100*e.Random.Mean)
			}
		case s.OfWeights:
			text += fmt.Sprintf("; loss %.3f", s.Loss)
		default:
			text += fmt.Sprintf("; accuracy %.1f %%, transformed %+.1f points", 100*s.Accuracy, 100*s.Gain)
		}
		p.show(text)
		return nil
	}
}
