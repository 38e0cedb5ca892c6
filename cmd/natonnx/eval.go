package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/natonnx/natonnx/engine/backend"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/urfave/cli/v2"
)

func (t *tool) evalCommand() *cli.Command {
	flags := append(dataFlags(),
		&cli.StringFlag{Name: "against", Usage: "compare with the network `MODEL` on the same inputs"},
		choiceFlag("runtime", backend.Default, "run networks with `RUNTIME`: go, ort or onnxgo; natonnx doctor says which can be used", backend.Names()...),
		countFlag("batch", 32, 1, 1<<16, "compute `N` samples at a time, where the network takes any number"),
		countFlag("runs", 100, 0, 1e6, "time `N` runs of one sample for the latency; without the flag, for 5 s at most; 0: none"),
		seedFlag())
	return &cli.Command{
		Name:      "eval",
		Usage:     "measure a network: accuracy, agreement with another one, speed",
		ArgsUsage: "MODEL [--data DATA] [--against MODEL]",
		Description: "Runs the network on DATA and prints top-1 and top-5 accuracy where there are labels, each with its 95 % interval, how fast that went, and " +
			"the latency of single runs. With --against it also prints how often both networks have the same top class, and how far their outputs are apart.\n\n" +
			"Pictures are resized and cut to the network's input. Without DATA two networks are compared on probe inputs, and no accuracy is measured.\n\n" +
			"An interruption prints what was measured until then.",
		Flags:  append(flags, runFlags()...),
		Action: t.eval,
	}
}

// An evaluation is what eval does, and what came of it.
type evaluation struct {
	t        *tool
	c        *cli.Context
	path     string
	model    *onnxgraph.Model
	other    *onnxgraph.Model // to compare with; nil: none
	data     *dataset.Dataset // nil: none
	opt      measure.Options
	progress *progress
	fact     evalFact
}

// An evalFact is what eval prints. What was not measured is null.
type evalFact struct {
	Schema      schemaV1        `json:"schema_version"`
	Version     string          `json:"natonnx_version"`
	Model       string          `json:"model"`
	Input       valueFact       `json:"input"`
	Output      string          `json:"output"` // the one that is measured
	Classes     int             `json:"classes"`
	Runtime     string          `json:"runtime"`
	About       string          `json:"runtime_about"`
	Workers     int             `json:"workers"`
	Batch       int             `json:"batch"`
	Interrupted bool            `json:"interrupted"`
	Data        *dataFact       `json:"data"`
	Samples     int             `json:"samples_measured"`
	Accuracy    *accuracyFact   `json:"accuracy"`
	Other       string          `json:"against_model,omitempty"`
	Against     *comparisonFact `json:"against"` // on data
	Drift       *driftFact      `json:"drift"`   // from the other model, without data
	Throughput  *throughputFact `json:"throughput"`
	Latency     *latencyFact    `json:"latency"`
}

// A throughputFact is how fast the data were gone through.
type throughputFact struct {
	PerSecond        float64 `json:"samples_per_second"` // while the network ran
	ComputingSeconds float64 `json:"computing_seconds"`
	ElapsedSeconds   float64 `json:"elapsed_seconds"` // with reading and comparing
}

// A latencyFact is how long runs of one batch took, in milliseconds.
type latencyFact struct {
	Batch   int     `json:"batch"`
	Runs    int     `json:"runs"`
	WarmUps int     `json:"warm_ups"`
	Workers int     `json:"workers"`
	Min     float64 `json:"min_ms"`
	Mean    float64 `json:"mean_ms"`
	Median  float64 `json:"median_ms"`
	P90     float64 `json:"p90_ms"`
	P99     float64 `json:"p99_ms"`
}

func (t *tool) eval(c *cli.Context) error {
	args, err := arguments(c, 1)
	if err != nil {
		return err
	}
	e := &evaluation{t: t, c: c, path: args[0]}
	if err := e.prepare(); err != nil {
		return err
	}
	err = e.measure()
	e.progress.end()
	if err != nil && !errors.Is(err, context.Canceled) {
		return runErrorOf(err)
	}
	e.fact.Interrupted = err != nil
	if t.json {
		return errors.Join(err, t.writeJSON(e.fact))
	}
	e.fact.print(t.page(), t.quiet)
	return err
}

// prepare opens all that is named.
func (e *evaluation) prepare() error {
	c := e.c
	runtime, err := backend.Find(choiceOf(c, "runtime"))
	if err != nil {
		return &usageError{err.Error(), "natonnx doctor shows what can be used"}
	}
	e.opt = measure.Options{Runtime: runtime, Workers: int(countOf(c, "workers"))}
	switch {
	case runtime.Name() == backend.Default:
		if e.opt.Memory, err = memoryLimit(c); err != nil {
			return err
		}
	case c.IsSet("memory"):
		return usagef("--memory: the runtime %s cannot keep a limit; the runtime %s can", runtime.Name(), backend.Default)
	}
	if e.model, err = e.t.open(c.Context, e.path); err != nil {
		return err
	}
	if path := c.String("against"); path != "" {
		if path == stdio && e.path == stdio {
			return usagef("--against -: standard input is the model already")
		}
		if e.other, err = e.t.open(c.Context, path); err != nil {
			return err
		}
	}
	if e.data, err = openData(c, e.model); err != nil {
		return err
	}
	e.progress = newProgress(e.t, choiceOf(c, "progress"))
	return nil
}

// measure fills in the fact.
func (e *evaluation) measure() error {
	m, err := measure.Open(e.c.Context, e.model, e.opt)
	if err != nil {
		return err
	}
	defer m.Close()
	e.fact = evalFact{
		Version: version, Model: e.path, Input: newValueFact(m.Input.Name, e.model.Graph.RealInputs()[0].Type), Output: m.Output.Name, Classes: m.Classes,
		Runtime: m.Runtime.Name(), About: m.Runtime.About(), Workers: m.Workers, Batch: m.Batch, Other: e.c.String("against"),
	}
	switch {
	case e.data != nil:
		err = e.onData(m)
	case e.other != nil:
		err = e.onProbes()
	}
	if err != nil || countOf(e.c, "runs") == 0 {
		return err
	}
	return e.time()
}

// onData measures on the data.
func (e *evaluation) onData(m *measure.Model) error {
	ctx := e.c.Context
	var against *measure.Model
	if e.other != nil {
		var err error
		if against, err = measure.Open(e.c.Context, e.other, e.opt); err != nil {
			return err
		}
		defer against.Close()
	}
	result, err := measure.Evaluate(ctx, m, against, e.data, measure.EvaluateOptions{Batch: int(countOf(e.c, "batch")), Progress: e.progress.samples})
	e.fact.Samples, e.fact.Batch, e.fact.Accuracy = result.Samples, result.Batch, newAccuracyFact(result.Accuracy)
	e.fact.Against = newComparisonFact(e.c.String("against"), result.Against)
	if result.Samples > 0 {
		e.fact.Throughput = &throughputFact{float64(result.Samples) / result.Computing.Seconds(), result.Computing.Seconds(), result.Elapsed.Seconds()}
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	data, digestErr := newDataFact(ctx, e.c, e.data)
	e.fact.Data = &data
	return errors.Join(err, digestErr)
}

// onProbes compares two networks without data.
func (e *evaluation) onProbes() error {
	n := probesFor(e.model.Cost(e.model.Infer()).MAdds)
	drift, err := measure.Drifted(e.c.Context, e.other, e.model, n, countOf(e.c, "seed"), e.opt)
	if err == nil {
		e.fact.Drift = newDriftFact(drift)
	}
	return err
}

// time measures the latency, of one sample where the network takes any number.
func (e *evaluation) time() error {
	o := measure.LatencyOptions{Runs: int(countOf(e.c, "runs")), Seed: countOf(e.c, "seed")}
	if e.data != nil {
		o.Shape = e.data.Shape()
	}
	if !e.c.IsSet("runs") {
		o.Limit = 5 * time.Second
	}
	e.progress.show("timing single runs")
	l, err := measure.Timed(e.c.Context, e.model, o, e.opt)
	if err != nil {
		return err
	}
	e.fact.Latency = &latencyFact{
		l.Batch, l.Runs, l.WarmUps, l.Workers, milliseconds(l.Min), milliseconds(l.Mean), milliseconds(l.Median), milliseconds(l.P90), milliseconds(l.P99),
	}
	return nil
}

// milliseconds keeps whole microseconds: clocks tell no more.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// print writes what was measured for people; just the numbers where they want
// no more.
func (f *evalFact) print(p *page, quiet bool) {
	if !quiet {
		f.conditions(p)
	}
	f.accuracies(p)
	f.speed(p)
}

// conditions prints what was measured on what.
func (f *evalFact) conditions(p *page) {
	terms, meanings := []string{"model"}, []string{f.Model}
	row := func(term, format string, args ...any) {
		terms, meanings = append(terms, term), append(meanings, clean(fmt.Sprintf(format, args...)))
	}
	scores := ""
	if f.Classes > 0 {
		scores = fmt.Sprintf(", %d classes", f.Classes)
	}
	row("output", "%q%s", f.Output, scores)
	if d := f.Data; d != nil {
		chosen := legible.Plural(d.Samples, "sample")
		if d.Limit > 0 {
			chosen += fmt.Sprintf(", chosen by seed %d", d.Seed)
		}
		row("data", "%s (%s): %s", d.Path, d.Kind, chosen)
		if d.Digest != "" {
			row("digest", "%s", d.Digest)
		}
		row("preprocessing", "%s", d.Preprocess)
	}
	row("runtime", "%s (%s)", f.Runtime, f.About)
	how := legible.Plural(f.Workers, "worker")
	if f.Batch > 0 {
		how += fmt.Sprintf(", batch %d", f.Batch)
	}
	row("run", "%s", how)
	p.terms(terms, meanings)
	if f.Interrupted {
		p.heading("interrupted after %s", legible.Plural(f.Samples, "sample"))
	}
}

// accuracies prints how well the network does.
func (f *evalFact) accuracies(p *page) {
	switch {
	case f.Accuracy != nil:
		p.heading("accuracy")
		f.Accuracy.print(p)
	case f.Data != nil && f.Data.Labelled:
		p.heading("accuracy: not measured")
	case f.Data != nil:
		p.heading("accuracy: not measured, as the data have no labels")
	default:
		p.heading("accuracy: not measured, as no data are given")
	}
	if f.Against != nil {
		f.Against.print(p)
	}
	if f.Drift != nil {
		f.Drift.print(p, "distance from "+f.Other)
	}
}

func (a *accuracyFact) print(p *page) {
	terms, meanings := []string{"top-1"}, []string{a.Top1.String()}
	if a.Top5 != nil {
		terms, meanings = append(terms, "top-5"), append(meanings, a.Top5.String())
	}
	p.terms(terms, meanings)
}

func (c *comparisonFact) print(p *page) {
	p.heading("against %s", c.Model)
	terms, meanings := []string{"same top class", "distance"}, []string{c.Agreement.String(), c.Distance.String()}
	if c.Accuracy != nil {
		terms, meanings = append(terms, "its top-1"), append(meanings, c.Accuracy.Top1.String())
		if c.Accuracy.Top5 != nil {
			terms, meanings = append(terms, "its top-5"), append(meanings, c.Accuracy.Top5.String())
		}
	}
	p.terms(terms, meanings)
}

// speed prints how fast the network is.
func (f *evalFact) speed(p *page) {
	if f.Throughput == nil && f.Latency == nil {
		return
	}
	p.heading("speed")
	var terms, meanings []string
	if s := f.Throughput; s != nil {
		terms = append(terms, "throughput")
		meanings = append(meanings, fmt.Sprintf("%s samples/s (%.2f s computing, %.2f s in all)", significant(s.PerSecond), s.ComputingSeconds, s.ElapsedSeconds))
	}
	if l := f.Latency; l != nil {
		terms = append(terms, "latency")
		text := fmt.Sprintf("median %s ms, 90 %% within %s ms", significant(l.Median), significant(l.P90))
		if l.Runs >= 100 {
			text += fmt.Sprintf(", 99 %% within %s ms", significant(l.P99))
		}
		meanings = append(meanings, text+fmt.Sprintf(" (%s of batch %d)", legible.Plural(l.Runs, "run"), l.Batch))
	}
	p.terms(terms, meanings)
}

// significant writes a number with three digits, more where it is large.
func significant(x float64) string {
	digits := 2 - int(math.Floor(math.Log10(math.Max(x, 1e-3))))
	return fmt.Sprintf("%.*f", max(digits, 0), x)
}
