package main

import (
	"context"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/urfave/cli/v2"
)

// effectFlags say how optimize measures its result.
func effectFlags() []cli.Flag {
	return append(append(dataFlags(), driftFlag()), runFlags()...)
}

func driftFlag() cli.Flag {
	return choiceFlag("drift", "on", "`WHETHER` to run the input and the result on probe inputs: on or off", "on", "off")
}

// An effect is what a transformation does to what the network computes, as far
// as it was measured.
type effect struct {
	drift    *driftFact      // nil: not measured
	noDrift  string          // why not
	data     *dataFact       // nil: none
	against  *comparisonFact // of the result with the input, on the data
	accuracy *accuracyFact   // of the result
}

// An effectFact is the effect as --json prints it.
type effectFact struct {
	Drift    *driftFact      `json:"drift"`              // on probe inputs; null: not measured
	NoDrift  string          `json:"no_drift,omitempty"` // why not
	Data     *dataFact       `json:"data"`
	Measured *accuracyFact   `json:"accuracy_measured"` // of the result, on the data
	Against  *comparisonFact `json:"against_input"`     // the result compared with the input, on the data
}

func (e *effect) fact() effectFact {
	return effectFact{e.drift, e.noDrift, e.data, e.accuracy, e.against}
}

// A running says whether and how networks are run to measure the drift.
type running struct {
	off string // why not; "": they are
	opt measure.Options
}

func readRunning(c *cli.Context) (how running, err error) {
	how = running{driftOff(c), measure.Options{Workers: int(countOf(c, "workers"))}}
	how.opt.Memory, err = memoryLimit(c)
	return how, err
}

// driftOff says why the drift is not to be measured; "": it is.
func driftOff(c *cli.Context) string {
	if choiceOf(c, "drift") == "off" {
		return "--drift off"
	}
	return ""
}

// measureEffect runs the input and the result. That a network cannot be run is
// an error only where data were given to run it on.
func (t *tool) measureEffect(c *cli.Context, d *decision, how running) error {
	input, o := d.Map.Model, how.opt
	data, err := openData(c, input)
	if err != nil {
		return err
	}
	if err := d.measureDrift(c.Context, how); err != nil || data == nil {
		return err
	}
	before, err := measure.Open(c.Context, input, o)
	if err != nil {
		return runErrorOf(err)
	}
	defer before.Close()
	after, err := measure.Open(c.Context, d.Result, o)
	if err != nil {
		return runErrorOf(err)
	}
	defer after.Close()
	shown := newProgress(t, choiceOf(c, "progress"))
	result, err := measure.Evaluate(c.Context, after, before, data, measure.EvaluateOptions{Progress: shown.samples})
	shown.end()
	if err != nil {
		return runErrorOf(err)
	}
	d.effect.against, d.effect.accuracy = newComparisonFact(d.path, result.Against), newAccuracyFact(result.Accuracy)
	fact, err := newDataFact(c.Context, c, data)
	d.effect.data = &fact
	return err
}

// measureDrift measures the drift where there is a change. The error is that of
// an interruption.
func (d *decision) measureDrift(ctx context.Context, how running) error {
	switch {
	case len(d.Moves) == 0:
		d.effect.noDrift = "nothing changed"
		return nil
	case how.off != "":
		d.effect.noDrift = how.off
		return nil
	}
	drift, err := measure.Drifted(ctx, d.Map.Model, d.Result, probesFor(d.Before.MAdds), d.opt.Seed, how.opt)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		d.effect.noDrift = err.Error()
	default:
		d.effect.drift = newDriftFact(drift)
	}
	return nil
}

// print writes what was measured, and what was not.
func (e *effect) print(p *page) {
	switch {
	case e.drift != nil:
		e.drift.print(p, "drift")
	case e.noDrift != "":
		p.heading("drift: not measured: %s", e.noDrift)
	}
	if e.data == nil {
		p.heading("accuracy: not measured")
		return
	}
	p.heading("on %s (%s, preprocessing %s)", e.data.Path, legible.Plural(e.data.Samples, "sample"), e.data.Preprocess)
	p.terms([]string{"same top class", "distance"}, []string{e.against.Agreement.String(), e.against.Distance.String()})
	if e.accuracy == nil {
		p.heading("accuracy: not measured, as the data have no labels")
		return
	}
	p.heading("accuracy")
	was, is := e.against.Accuracy, e.accuracy
	terms, meanings := []string{"top-1 before", "top-1 after"}, []string{was.Top1.String(), is.Top1.String()}
	if is.Top5 != nil {
		terms, meanings = append(terms, "top-5 before", "top-5 after"), append(meanings, was.Top5.String(), is.Top5.String())
	}
	p.terms(terms, meanings)
	p.blank()
}
