package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/natonnx/natonnx/engine/backend"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/search"
	"github.com/urfave/cli/v2"
)

// searchFlags say how compress looks for a cheaper network; optimize and plan
// share them.
func searchFlags() []cli.Flag {
	return []cli.Flag{
		choiceFlag("search", "nat", "compress: `HOW` to look for what can go: nat (a policy that learns from what it tries), greedy or random", "nat", "greedy", "random"),
		countFlag("evals", compress.DefaultEvals, 1, 1e6, "compress: try `N` candidates"),
		&cli.GenericFlag{Name: "time", Value: &span{}, Usage: "compress: try no more candidates after `T`, such as 90s or 5m; what is found then depends on the machine"},
		choiceFlag("adapt", "on", "compress: `WHETHER` the policy of --search nat learns from what it tries: on or off", "on", "off"),
		&cli.GenericFlag{Name: "max-latency", Value: &portion{}, Usage: "compress: bound the median time of a run by a share `P%` of the input's, measured on --runtime; the result then depends on the machine"},
		&cli.GenericFlag{Name: "max-drop", Value: &points{1}, Usage: "compress: write nothing where more than `N` percentage points of accuracy are lost, without labels of agreement with the input; given as the only bound, the cheapest network that keeps it is taken"},
		&cli.StringFlag{Name: "guard", Usage: "compress: judge the result on `DATA`, prepared as those of --data; without it, on a fifth of --data that nothing else sees"},
		choiceFlag("runtime", backend.Default, "compress: judge and time networks with `RUNTIME`: go, ort or onnxgo", backend.Names()...),
		&cli.StringFlag{Name: "pareto", Usage: "compress: write all that was tried to `FILE`, whose name ends in .csv, .svg or .html"},
	}
}

// compressFlags are all flags that only compress has.
func compressFlags() []cli.Flag {
	return append(searchFlags(),
		choiceFlag("recover", "closed", "compress: recover `HOW`: closed (weights are fitted in closed form) or distill (and then trained on the same pictures)", "closed", "distill"),
		countFlag("epochs", compress.DefaultEpochs, 1, 1e5, "compress: with --recover distill, go `N` times through the pictures"),
		&cli.StringFlag{Name: "points", Usage: "compress: write each network of the trade-off's front to the folder `DIR`, which is made where it is not there"},
	)
}

// A compression is what optimize and plan do in the mode compress, and what came
// of it.
type compression struct {
	t     *tool
	path  string // of the input, as the user wrote it
	mode  mode
	model *onnxgraph.Model
	data  *dataset.Dataset
	opt   compress.Options
	used  dataFact
	guard *dataFact // nil: a part of the data judges
	// source is the SHA-256 of the input.
	source string
	shown  *progress
	result *compress.Result // nil: there is nothing that could go
}

// compress is optimize in the mode compress.
func (t *tool) compress(c *cli.Context, m mode) error {
	x, err := t.newCompression(c, m)
	if err != nil {
		return err
	}
	out, err := outputPath(c, x.path)
	if err != nil {
		return err
	}
	if err := writable(out); err != nil {
		return err
	}
	extra, err := readTradeoff(c, x.path)
	if err != nil {
		return err
	}
	if err := roomFor(out, extra.curve, extra.probe()); err != nil {
		return err
	}
	if err := x.open(c); err != nil {
		return err
	}
	if err := x.run(c.Context); err != nil {
		return err
	}
	ctx := context.WithoutCancel(c.Context) // what was found is worth writing
	if err := extra.writeCurve(x, x.result); err != nil {
		return err
	}
	if x.refused() {
		return errors.Join(x.refusal(), x.report(nil, nil, extra))
	}
	written, err := x.stamped(x.result)
	if err != nil {
		return err
	}
	if err := t.write(ctx, written, out); err != nil {
		return err
	}
	if err := extra.writePoints(c.Context, x); err != nil {
		return err
	}
	return errors.Join(c.Context.Err(), x.report(written, &out, extra))
}

// newCompression reads the argument and the flags that optimize and plan share.
func (t *tool) newCompression(c *cli.Context, m mode) (*compression, error) {
	args, err := arguments(c, 1)
	if err != nil {
		return nil, err
	}
	x := &compression{t: t, path: args[0], mode: m, shown: newProgress(t, choiceOf(c, "progress"))}
	x.opt = compress.Options{
		Search: choiceOf(c, "search"), Adapt: choiceOf(c, "adapt") == "on", Evals: int(countOf(c, "evals")), Time: c.Generic("time").(*span).Duration,
		Latency: c.Generic("max-latency").(*portion).share, MaxDrop: c.Generic("max-drop").(*points).value,
		Seed: countOf(c, "seed"), Workers: int(countOf(c, "workers")), Progress: x.progress(c.Context),
	}
	if x.opt.Runtime, err = backend.Find(choiceOf(c, "runtime")); err != nil {
		return nil, &usageError{err.Error(), "natonnx doctor shows what can be used"}
	}
	if x.opt.Search != "nat" && c.IsSet("adapt") {
		return nil, usagef("--adapt: %s has no policy that could learn; --search nat has", x.opt.Search)
	}
	if c.IsSet("memory") { // else results would depend on the machine's
		if x.opt.Memory, err = memoryLimit(c); err != nil {
			return nil, err
		}
	}
	return x, x.readRecovery(c)
}

// readRecovery reads the flags that plan does not have.
func (x *compression) readRecovery(c *cli.Context) error {
	switch {
	case !hasFlag(c, "recover"):
	case choiceOf(c, "recover") == "distill":
		x.opt.Distill = int(countOf(c, "epochs"))
	case c.IsSet("epochs"):
		return &usageError{"--epochs: recovery in closed form has none", "add --recover distill"}
	}
	return nil
}

// open opens the network and the data, and reads the bounds.
func (x *compression) open(c *cli.Context) (err error) {
	if x.model, err = x.t.open(c.Context, x.path); err != nil {
		return err
	}
	cost := x.model.Cost(x.model.Infer())
	x.opt.MAdds, x.opt.Params = boundOf(c, "max-madds").of(cost.MAdds), boundOf(c, "max-params").of(cost.Params)
	x.opt.Cheapest = c.IsSet("max-drop") && !x.bounded()
	if x.source, err = digestOf(c.Context, x.model); err != nil {
		return err
	}
	if x.data, err = openData(c, x.model); err != nil {
		return err
	}
	if x.used, err = newDataFact(c.Context, c, x.data); err != nil {
		return err
	}
	return x.openGuard(c)
}

func (x *compression) openGuard(c *cli.Context) (err error) {
	path := c.String("guard")
	switch {
	case path == "" && c.IsSet("guard"):
		return usagef("--guard: the name is empty")
	case path == "":
		return nil
	case sameFile(path, c.String("data")):
		return &usageError{"--guard " + path + ": is what --data names, which the search sees", "leave --guard out: a fifth of the data is then kept apart"}
	}
	if x.opt.Guard, err = openDataset(path, c.String("preprocess"), x.model); err != nil {
		return err
	}
	g := x.opt.Guard
	x.guard = &dataFact{Path: path, Kind: g.Kind(), Samples: g.Len(), Preprocess: g.Preprocess().String(), Labelled: g.Labelled()}
	x.guard.Digest, err = g.Digest(c.Context)
	return err
}

// bounded reports whether the cost of the result is bounded.
func (x *compression) bounded() bool {
	return x.opt.MAdds > 0 || x.opt.Params > 0 || x.opt.Latency > 0
}

// run compresses, and times both networks.
func (x *compression) run(ctx context.Context) (err error) {
	x.result, err = compress.Run(ctx, x.model, x.data, x.opt)
	if err == nil && x.changed() && ctx.Err() == nil {
		x.shown.show("timing single runs")
		if err = x.result.Time(ctx); ctx.Err() != nil {
			err = nil // all but that is there
		}
	}
	x.shown.end()
	return x.explain(err)
}

// explain says whose fault an error is; that nothing could go is none.
func (x *compression) explain(err error) error {
	switch {
	case errors.Is(err, compress.ErrNothing):
		return nil
	case errors.Is(err, search.ErrBudget):
		cost := x.model.Cost(x.model.Infer())
		return fmt.Errorf("%s: %w; the input has %s multiply-adds and %s parameters", x.path, err, amount(cost.MAdds), amount(cost.Params))
	}
	return err
}

// changed reports whether the result is another network than the input.
func (x *compression) changed() bool { return x.result != nil && len(x.result.Recipe.Steps) > 0 }

// progress shows how far the compression is, and tells who interrupts it what
// happens.
func (x *compression) progress(ctx context.Context) func(compress.Progress) {
	told := false
	return func(p compress.Progress) {
		if ctx.Err() != nil && !told {
			told = true
			x.shown.end()
			if !x.t.quiet {
				x.t.logPage().text(0, "interrupted: the best so far is being finished; another Ctrl-C stops at once")
			}
		}
		x.shown.compressing(p)
	}
}

// A guardError says that the guard refused.
type guardError struct{ msg string }

func (e *guardError) Error() string { return e.msg }

// refused reports whether the result may not be written.
func (x *compression) refused() bool { return x.changed() && !x.result.Guard.Passed() }

func (x *compression) refusal() error {
	v := x.result.Guard
	return &guardError{fmt.Sprintf("%s: %s on %s that nothing else saw, and --max-drop allows %s: not written",
		x.path, lost(v), legible.Plural(v.Evaluation.Samples, "sample"), pointsOf(v.MaxDrop))}
}

// roomFor finds out before long work whether files could be written where they
// are to go.
func roomFor(paths ...string) error {
	for _, path := range paths {
		if path == "" || path == stdio {
			continue
		}
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
			continue // a pipe or a device
		} else if err == nil && info.IsDir() {
			return &ioError{fmt.Errorf("%s: is a folder", path)}
		}
		f, err := os.CreateTemp(filepath.Dir(path), ".natonnx-*")
		if err != nil {
			return &os.PathError{Op: "create", Path: path, Err: cause(err)}
		}
		f.Close()
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	return nil
}

// cause is what the system said.
func cause(err error) error {
	if e := new(os.PathError); errors.As(err, &e) {
		return e.Err
	}
	return err
}
