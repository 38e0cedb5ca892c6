package main

import (
	"context"
	"fmt"
	"io/fs"
	"math"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/urfave/cli/v2"
)

// dataFlags say what to measure on; eval and optimize share them.
func dataFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "run on `DATA`: class folders of pictures, a folder with labels.csv, CIFAR's .bin records, .npz or .npy arrays, or ONNX's test_data_set_* folders"},
		preprocessFlag(),
		countFlag("limit", 0, 1, math.MaxInt32, "take `N` samples of the data, which --seed chooses; without it, all"),
	}
}

func preprocessFlag() cli.Flag {
	return &cli.StringFlag{Name: "preprocess", Usage: "prepare pictures as the network was trained, `HOW`: imagenet, cifar10, none (pixels as 0 to 1), or mean=R,G,B;std=R,G,B;size=N;crop=N"}
}

// runFlags say how networks are run; eval and optimize share them.
func runFlags() []cli.Flag {
	return []cli.Flag{
		countFlag("workers", 0, 1, 4096, "compute on `N` cores; without it, on all"),
		&cli.GenericFlag{Name: "memory", Value: &bound{whose: "machine's"}, Usage: "let networks that run take at most `X` bytes, such as 2G or 50%; without it, the machine's memory"},
		progressFlag(),
	}
}

// memoryLimit is the most that values may take, in bytes; 0: no limit.
func memoryLimit(c *cli.Context) (int64, error) {
	b, machine := boundOf(c, "memory"), machineMemory()
	switch {
	case b.text == "":
		return machine, nil
	case b.percent && machine == 0:
		return 0, &usageError{fmt.Sprintf("--memory %s: how much memory this machine has is not known", b), "write a number of bytes, such as 2G"}
	}
	return b.of(machine), nil
}

// openData opens the data that --data names, as the network takes them; nil
// where there are none.
func openData(c *cli.Context, m *onnxgraph.Model) (*dataset.Dataset, error) {
	path, how := c.String("data"), c.String("preprocess")
	if path == "" {
		for _, name := range []string{"preprocess", "limit"} {
			if c.IsSet(name) {
				return nil, usagef("--%s: there is no --data", name)
			}
		}
		return nil, nil
	}
	d, err := openDataset(path, how, m)
	if err != nil {
		return nil, err
	}
	if n := countOf(c, "limit"); n > 0 {
		d = d.Sample(int(n), countOf(c, "seed"))
	}
	return d, nil
}

// openDataset opens data as the network takes them; nil stands for one of any size.
func openDataset(path, how string, m *onnxgraph.Model) (*dataset.Dataset, error) {
	d, err := dataset.Open(path, dataset.Preprocess{})
	if err != nil {
		return nil, dataError(err)
	}
	p, err := preprocessing(how, d, path)
	if err != nil {
		return nil, err
	}
	if d.Pixels() {
		if m != nil {
			p = forInput(p, m)
		}
		if d, err = dataset.Open(path, p); err != nil {
			return nil, dataError(err)
		}
	}
	return d, nil
}

// dataError marks a fault of data as one of a file.
func dataError(err error) error {
	if _, ok := err.(*fs.PathError); ok {
		return err
	}
	return &ioError{err}
}

// preprocessing reads --preprocess, which pictures need and other data do not bear.
func preprocessing(how string, d *dataset.Dataset, path string) (dataset.Preprocess, error) {
	var p dataset.Preprocess
	if how == "" && d.Pixels() {
		return p, &usageError{"--preprocess is missing: " + path + " holds pictures", "say how the network was trained: imagenet, cifar10, none, or mean=R,G,B;std=R,G,B;size=N;crop=N"}
	}
	if how == "" {
		return p, nil
	}
	p, err := dataset.ParsePreprocess(how)
	if err != nil {
		return p, usagef("--%v", err)
	}
	if !d.Pixels() && p != (dataset.Preprocess{}) {
		return p, usagef("--preprocess %s: %s holds what networks take as it is (%s), want none", how, path, d.Kind())
	}
	return p, nil
}

// forInput sizes pictures for the input of a network.
func forInput(p dataset.Preprocess, m *onnxgraph.Model) dataset.Preprocess {
	in := m.Graph.RealInputs()
	if len(in) != 1 {
		return p
	}
	if s := in[0].Type.Shape; len(s) == 4 && s[2].Known() && s[3].Known() {
		return p.ForInput(int(s[2].N), int(s[3].N))
	}
	return p
}

// A shareFact is how many of some samples have a property, and the 95 %
// interval of the share (Wilson).
type shareFact struct {
	Share float64 `json:"share"` // from 0 to 1
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Count int     `json:"count"`
	Of    int     `json:"of"`
}

func newShareFact(s *measure.Share) *shareFact {
	if s == nil || s.Of == 0 {
		return nil
	}
	low, high := s.Interval()
	return &shareFact{s.Value(), low, high, s.Count, s.Of}
}

// String writes a share as reports do.
func (s *shareFact) String() string {
	return fmt.Sprintf("%.2f %% (%d of %d; 95 %% interval %.1f to %.1f %%)", 100*s.Share, s.Count, s.Of, 100*s.Low, 100*s.High)
}

// An accuracyFact is how often a network is right.
type accuracyFact struct {
	Top1 *shareFact `json:"top1"`
	Top5 *shareFact `json:"top5"` // null: there are no more than five classes
}

func newAccuracyFact(a *measure.Accuracy) *accuracyFact {
	if a == nil || a.Top1.Of == 0 {
		return nil
	}
	return &accuracyFact{newShareFact(&a.Top1), newShareFact(a.Top5)}
}

// A distanceFact is how far outputs are apart. Numbers that are not finite are null.
type distanceFact struct {
	Relative *float64 `json:"relative"` // in the Euclidean norm
	MaxAbs   *float64 `json:"max_abs"`
	MeanAbs  *float64 `json:"mean_abs"`
	KL       *float64 `json:"kl_nats"` // null also where outputs are no scores of classes
}

func newDistanceFact(d *measure.Distance, classes bool) distanceFact {
	f := distanceFact{finite(d.Relative), finite(d.MaxAbs), finite(d.MeanAbs), nil}
	if classes {
		f.KL = finite(d.KL)
	}
	return f
}

func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// String writes a distance as reports do.
func (d distanceFact) String() string {
	if d.MaxAbs != nil && *d.MaxAbs == 0 {
		return "none: the outputs are the same"
	}
	s := fmt.Sprintf("relative %s, largest %s, mean %s", number(d.Relative), number(d.MaxAbs), number(d.MeanAbs))
	if d.KL != nil {
		s += fmt.Sprintf(", KL divergence %s nats", number(d.KL))
	}
	return s
}

func number(x *float64) string {
	if x == nil {
		return "not finite"
	}
	return fmt.Sprintf("%.3g", *x)
}

// A comparisonFact says how a network relates to another one on the same data.
type comparisonFact struct {
	Model     string        `json:"model"` // the other one
	Accuracy  *accuracyFact `json:"accuracy"`
	Agreement *shareFact    `json:"agreement"` // how often both have the same top class
	Distance  distanceFact  `json:"distance"`
}

func newComparisonFact(path string, c *measure.Comparison) *comparisonFact {
	if c == nil || c.Agreement.Of == 0 {
		return nil
	}
	return &comparisonFact{path, newAccuracyFact(c.Accuracy), newShareFact(&c.Agreement), newDistanceFact(&c.Distance, true)}
}

// A dataFact is data that were measured on.
type dataFact struct {
	Path       string `json:"path"`
	Kind       string `json:"kind"`
	Samples    int    `json:"samples"` // that were chosen
	Limit      int    `json:"limit,omitempty"`
	Seed       uint64 `json:"seed"` // that chose them, with a limit
	Digest     string `json:"digest,omitempty"`
	Preprocess string `json:"preprocess"`
	Labelled   bool   `json:"labelled"`
}

// newDataFact reads all of the data for their digest.
func newDataFact(ctx context.Context, c *cli.Context, d *dataset.Dataset) (dataFact, error) {
	f := dataFact{
		Path: c.String("data"), Kind: d.Kind(), Samples: d.Len(), Limit: int(countOf(c, "limit")), Seed: countOf(c, "seed"),
		Preprocess: d.Preprocess().String(), Labelled: d.Labelled(),
	}
	var err error
	f.Digest, err = d.Digest(ctx)
	return f, err
}

// A driftFact is how far two networks are apart on probe inputs.
type driftFact struct {
	Probes   int          `json:"probes"`
	Shape    []int        `json:"shape"` // of one
	Values   string       `json:"values"`
	Seed     uint64       `json:"seed"`
	Runtime  string       `json:"runtime"`
	About    string       `json:"runtime_about"`
	Output   string       `json:"output"`
	Distance distanceFact `json:"distance"`
}

func newDriftFact(d *measure.Drift) *driftFact {
	return &driftFact{d.Inputs, d.Shape, "standard normal", d.Seed, d.Runtime, d.About, d.Output, newDistanceFact(&d.Distance, d.Classifies)}
}

func (d *driftFact) print(p *page, what string) {
	p.heading("%s on %s (%s, seed %d): %v", what, legible.Plural(d.Probes, "probe input"), d.Values, d.Seed, d.Distance)
}

// A probed network's multiply-adds, all probes together, and the number of
// probes are bounded, so that drift costs little.
const probeMAdds, maxProbes = 8e9, 8

// probesFor returns how many probe inputs a network of that cost is run on.
func probesFor(madds int64) int { return int(max(1, min(maxProbes, probeMAdds/max(madds, 1)))) }

// runErrorOf marks an error that nothing else explains as one of the network.
func runErrorOf(err error) error {
	if err == nil || exitCode(err) != exitInternal {
		return err
	}
	return &runError{err}
}
