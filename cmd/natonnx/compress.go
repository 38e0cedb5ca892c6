package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/natonnx/natonnx/engine/backend"
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
	"github.com/natonnx/natonnx/train/compress/page"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/distill"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/natonnx/natonnx/train/search"
	"github.com/urfave/cli/v2"
)

// searchFlags say how compress looks for a cheaper network; optimize and plan share them.
func searchFlags() []cli.Flag {
	return []cli.Flag{
		choiceFlag("search", "nat", "compress: `HOW` to look for what can go: nat (a policy that learns from what it tries), greedy or random", "nat", "greedy", "random"),
		countFlag("evals", compress.DefaultEvals, 1, 1e6, "compress: try `N` candidates"),
		&cli.DurationFlag{Name: "time", Usage: "compress: begin no new candidate after `DURATION`, such as 5m; what is found then depends on the machine"},
		choiceFlag("adapt", "on", "compress: `WHETHER` the policy learns from its trials: on or off", "on", "off"),
		&cli.StringFlag{Name: "guard", Usage: "compress: judge the result on `DATA`; without it, on a fifth of --data that nothing else sees"},
		&cli.Float64Flag{Name: "max-drop", Value: 1, Usage: "compress: write nothing where accuracy (without labels: agreement with the input) falls by more than `POINTS` percentage points; as the only bound, take the cheapest network that keeps it"},
	}
}

// compressFlags say what compress does with what it found.
func compressFlags() []cli.Flag {
	return append(searchFlags(),
		choiceFlag("recover", "closed", "compress: recover `HOW`: closed (weights are fitted in closed form) or distill (and then trained on the same images)", "closed", "distill"),
		countFlag("epochs", distill.DefaultEpochs, 1, 1e5, "compress: with --recover distill, go `N` times through the images"),
		&cli.GenericFlag{Name: "max-latency", Value: &bound{whose: "input's latency"}, Usage: "compress: bound the median time of a run by a share `P%` of the input's, measured on --runtime"},
		choiceFlag("runtime", backend.Default, "compress: judge and time networks with `RUNTIME`: go, ort or onnxgo", backend.Names()...),
		&cli.StringFlag{Name: "pareto", Usage: "compress: write all that was tried to `FILE`, as its ending says: .csv, .svg or .html"},
		&cli.StringFlag{Name: "points", Usage: "compress: write every network of the trade-off's front to the folder `DIR`"},
	)
}

// redesigning are the flags that make no sense for compress, and the other way round.
var redesigning = []string{"policy", "samples", "per", "skip-init", "drift", "rules"}

// compresses decides the mode, and says why.
func compresses(c *cli.Context) (yes bool, why string, err error) {
	data := c.String("data") != ""
	switch choiceOf(c, "mode") {
	case "compress":
		if !data {
			return false, "", &usageError{"--mode compress: there is no --data", "compress needs images, a few hundred or more, that the network was made for; labels are optional"}
		}
		yes, why = true, "as asked"
	case "auto":
		yes, why = data, "as data are given"
	}
	if yes {
		for _, name := range redesigning {
			if c.IsSet(name) {
				return false, "", &usageError{"--" + name + " is for --mode redesign; this is compress, " + why, "leave it out, or add --mode redesign"}
			}
		}
		return yes, why, nil
	}
	for _, f := range compressFlags() {
		if name := f.Names()[0]; c.IsSet(name) {
			return false, "", &usageError{"--" + name + " is for --mode compress, which needs --data", "add --data with images that the network was made for"}
		}
	}
	return false, "", nil
}

// A compression is one run of compress, as the user asked for it.
type compression struct {
	t       *tool
	path    string
	why     string // this mode
	model   *onnxgraph.Model
	data    *dataset.Dataset
	fact    dataFact
	guard   *dataFact // nil: a part of the data
	opt     compress.Options
	curve   string
	format  page.Format
	points  string
	result  *compress.Result
	latency [2]time.Duration // before and after; 0: not measured
	shown   *progress
}

// compress is optimize in the mode compress.
func (t *tool) compress(c *cli.Context, why string) error {
	x, err := t.readCompression(c, why)
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
	if err := x.open(c); err != nil {
		return err
	}
	if err := x.run(c.Context); err != nil {
		return err
	}
	ctx := context.WithoutCancel(c.Context) // what is found is worth writing
	if x.result != nil {
		if err := x.extras(ctx); err != nil {
			return err
		}
		if v := x.result.Guard; !v.Passed() && len(x.result.Recipe.Steps) > 0 {
			return x.refuse()
		}
	}
	m, err := x.stamped()
	if err != nil {
		return err
	}
	if err := t.write(ctx, m, out); err != nil {
		return err
	}
	if err := x.report(m, out); err != nil {
		return err
	}
	return c.Context.Err()
}

func (t *tool) readCompression(c *cli.Context, why string) (*compression, error) {
	args, err := arguments(c, 1)
	if err != nil {
		return nil, err
	}
	x := &compression{t: t, path: args[0], why: why, curve: c.String("pareto"), points: c.String("points"), shown: newProgress(t, choiceOf(c, "progress"))}
	if x.curve != "" {
		var ok bool
		if x.format, ok = page.FormatOf(x.curve); !ok {
			return nil, usagef("--pareto %s: want a name that ends in .csv, .svg or .html", x.curve)
		}
	}
	return x, x.readOptions(c)
}

func (x *compression) readOptions(c *cli.Context) (err error) {
	o := &x.opt
	*o = compress.Options{
		Search: choiceOf(c, "search"), Adapt: choiceOf(c, "adapt") == "on", Evals: int(countOf(c, "evals")), Time: c.Duration("time"),
		MaxDrop: c.Float64("max-drop"), Seed: countOf(c, "seed"), Workers: int(countOf(c, "workers")), Progress: x.progress,
	}
	if !(o.MaxDrop >= 0 && o.MaxDrop <= 100) {
		return usagef("--max-drop %s: want percentage points, from 0 to 100", strconv.FormatFloat(o.MaxDrop, 'g', -1, 64))
	}
	if o.Time < 0 {
		return usagef("--time %v: want a duration above 0, such as 5m", o.Time)
	}
	if limit, err := memoryLimit(c); err != nil {
		return err
	} else if c.IsSet("memory") {
		o.Memory = limit
	}
	if c.Command.Name == "plan" {
		return nil
	}
	if o.Runtime, err = backend.Find(choiceOf(c, "runtime")); err != nil {
		return usagef("--runtime: %v", err)
	}
	if choiceOf(c, "recover") == "distill" {
		o.Distill = int(countOf(c, "epochs"))
	} else if c.IsSet("epochs") {
		return usagef("--epochs is for --recover distill")
	}
	if b := boundOf(c, "max-latency"); b.text != "" {
		if !b.percent {
			return usagef("--max-latency %s: want a share of the input's, such as 90%%", b)
		}
		o.Latency = b.number / 100
	}
	return nil
}

// open opens the model and the data.
func (x *compression) open(c *cli.Context) (err error) {
	if x.model, err = x.t.open(c.Context, x.path); err != nil {
		return err
	}
	if err := imageInput(x.model); err != nil {
		return err
	}
	if x.data, err = openData(c, x.model); err != nil {
		return err
	}
	if x.fact, err = newDataFact(c.Context, c, x.data); err != nil {
		return err
	}
	cost := x.model.Cost(x.model.Infer())
	x.opt.MAdds, x.opt.Params = boundOf(c, "max-madds").of(cost.MAdds), boundOf(c, "max-params").of(cost.Params)
	x.opt.Cheapest = c.IsSet("max-drop") && x.opt.MAdds == 0 && x.opt.Params == 0 && x.opt.Latency == 0
	if path := c.String("guard"); path != "" {
		p, err := preprocessing(c.String("preprocess"), x.data, path)
		if err != nil {
			return err
		}
		if x.opt.Guard, err = dataset.Open(path, forInput(p, x.model)); err != nil {
			return dataError(err)
		}
		digest, err := x.opt.Guard.Digest(c.Context)
		if err != nil {
			return err
		}
		x.guard = &dataFact{Path: path, Kind: x.opt.Guard.Kind(), Samples: x.opt.Guard.Len(), Digest: digest, Preprocess: x.opt.Guard.Preprocess().String(), Labelled: x.opt.Guard.Labelled()}
	}
	return nil
}

// imageInput refuses networks that do not take one image of a known size.
func imageInput(m *onnxgraph.Model) error {
	in := m.Graph.RealInputs()
	if len(in) != 1 {
		return &modelError{fmt.Sprintf("%s: has %s, and compress wants one that takes images", m.Path, plural(len(in), "input"))}
	}
	s := in[0].Type.Shape
	if len(s) != 4 || !s[1].Known() || !s[2].Known() || !s[3].Known() {
		return &modelError{fmt.Sprintf("%s: graph.input[0] (%s) is %v, and compress wants batch, channels, height and width, of which all but the batch are numbers", m.Path, quoted(in[0].Name), s)}
	}
	return nil
}

// run compresses. A network of which nothing can go leaves no result.
func (x *compression) run(ctx context.Context) error {
	var err error
	x.result, err = compress.Run(ctx, x.model, x.data, x.opt)
	x.shown.end()
	switch {
	case errors.Is(err, compress.ErrNothing):
		x.result = nil
		return nil
	case errors.Is(err, search.ErrBudget):
		return &checkError{fmt.Sprintf("%s: %v", x.path, err)}
	case err != nil:
		return runErrorOf(err)
	}
	if ctx.Err() != nil || x.opt.Distill > 0 && x.result.Interrupted {
		return nil
	}
	return x.timed(ctx)
}

// timed measures the latency of both networks, in turn, so that whatever else the
// machine does touches both.
func (x *compression) timed(ctx context.Context) error {
	for range 2 {
		for i, m := range []*onnxgraph.Model{x.model, x.result.Model} {
			l, err := measure.Timed(ctx, m, measure.LatencyOptions{Runs: 100, Limit: 2 * time.Second}, measure.Options{Runtime: x.opt.Runtime, Workers: x.opt.Workers})
			if err != nil {
				return runErrorOf(err)
			}
			if x.latency[i] == 0 || l.Median < x.latency[i] {
				x.latency[i] = l.Median
			}
		}
	}
	x.result.Before.Cost.Latency, x.result.Chosen.Cost.Latency = x.latency[0], x.latency[1]
	return nil
}

// progress shows how far the compression is.
func (x *compression) progress(p compress.Progress) {
	pause := often
	if !x.shown.line {
		pause = seldom
	}
	now := time.Now()
	if x.shown.stage != p.Stage {
		x.shown.stage, x.shown.began = p.Stage, now
	} else if now.Sub(x.shown.shown) < pause {
		return
	}
	x.shown.shown = now
	text := p.Stage
	if p.Of > 0 {
		text += fmt.Sprintf(" %d of %d", p.Done, p.Of)
	}
	if p.Stage == "searching" {
		text += fmt.Sprintf(", best so far %.1f %% of the multiply-adds at %.3g nats", 100*p.MAdds, p.Loss)
	}
	if p.Done > 0 {
		text += left(now.Sub(x.shown.began), p.Done, p.Of)
	}
	x.shown.show(text)
}

// A guardError says that the guard refused.
type guardError struct{ msg string }

func (e *guardError) Error() string { return e.msg }

// refuse reports what was measured, and that nothing was written.
func (x *compression) refuse() error {
	v := x.result.Guard
	if x.t.json {
		if err := x.t.writeJSON(x.facts(nil, nil)); err != nil {
			return err
		}
	} else if !x.t.quiet {
		p := x.t.page()
		x.preamble(p)
		x.changes(p)
		x.guarded(p)
	}
	what := "accuracy falls by"
	if !v.Labels {
		what = "agreement with the input falls by"
	}
	return &guardError{fmt.Sprintf("%s: %s %.2f points on the guard's %d images, and no more than %g are allowed: nothing was written", x.path, what, v.Drop, v.Evaluation.Samples, v.MaxDrop)}
}

// stamped is the result with what was done noted in it.
func (x *compression) stamped() (*onnxgraph.Model, error) {
	if x.result == nil || len(x.result.Recipe.Steps) == 0 {
		return x.model, nil
	}
	p, err := x.stamp(x.result)
	if err != nil {
		return nil, err
	}
	m, err := x.result.Model.Apply(p)
	if err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("the result would be invalid and was not written: %v", err)
	}
	return m, nil
}

// A stampedData says in a stamp which images were used, and for what.
type stampedData struct {
	Kind       string `json:"kind"`
	Samples    int    `json:"samples"`
	Limit      int    `json:"limit,omitempty"`
	LimitSeed  uint64 `json:"limit_seed"`
	Digest     string `json:"digest"`
	Preprocess string `json:"preprocess"`
	Fit        int    `json:"fit"`
	Held       int    `json:"held"`
	Rank       int    `json:"rank"`
	Guard      int    `json:"guard"`
	GuardApart bool   `json:"guard_apart"`
}

// A stampedMeasure is what a stamp says of a network.
type stampedMeasure struct {
	MultiplyAdds    int64      `json:"multiply_adds"`
	Params          int64      `json:"params"`
	ActivationBytes int64      `json:"activation_bytes"`
	Top1            *shareFact `json:"top1,omitempty"`
	Agreement       *shareFact `json:"agreement,omitempty"`
	KL              *float64   `json:"kl_nats,omitempty"`
}

// stamp notes all that the result follows from. Latency is left out: it would
// make bytes depend on the moment.
func (x *compression) stamp(r *compress.Result) (*onnxgraph.Patch, error) {
	digest, err := digestOf(context.Background(), x.model)
	if err != nil {
		return nil, err
	}
	before, after := x.measures(r)
	f, s := x.fact, r.Recipe.Split
	lists := map[string]string{}
	for key, v := range map[string]any{
		"moves":    r.Recipe.Steps,
		"data":     stampedData{f.Kind, f.Samples, f.Limit, f.Seed, f.Digest, f.Preprocess, s.Fit, s.Held, s.Rank, s.Guard, r.Recipe.Apart},
		"measures": map[string]stampedMeasure{"before": before, "after": after},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		lists[key] = string(text)
	}
	recovery := "closed"
	if r.Recipe.Distill > 0 {
		recovery = "distill"
	}
	p := &onnxgraph.Patch{Rule: "stamp"}
	for _, e := range [][2]string{
		{"version", version}, {"mode", "compress"}, {"search", r.Search}, {"evals", strconv.Itoa(len(r.Candidates) - 1)}, {"recover", recovery},
		{"epochs", strconv.Itoa(r.Recipe.Distill)}, {"seed", strconv.FormatUint(r.Recipe.Seed, 10)}, {"kernels", cpu.Used().String()}, {"retrain", "no"},
		{"source", digest}, {"data", lists["data"]}, {"moves", lists["moves"]}, {"measures", lists["measures"]},
	} {
		p.Metadata = append(p.Metadata, onnxgraph.Property{Key: stampPrefix + e[0], Value: e[1]})
	}
	return p, nil
}

// measures are what the networks before and after cost and did on the guard's images.
func (x *compression) measures(r *compress.Result) (before, after stampedMeasure) {
	b, a := r.Before.Cost, r.Chosen.Cost
	before, after = stampedMeasure{MultiplyAdds: b.MAdds, Params: b.Params, ActivationBytes: b.Memory}, stampedMeasure{MultiplyAdds: a.MAdds, Params: a.Params, ActivationBytes: a.Memory}
	if e := r.Guard.Evaluation; e != nil && e.Against != nil {
		after.Agreement, after.KL = newShareFact(&e.Against.Agreement), finite(e.Against.KL)
		if r.Guard.Labels {
			before.Top1, after.Top1 = newShareFact(&e.Against.Accuracy.Top1), newShareFact(&e.Accuracy.Top1)
		}
	}
	return before, after
}

// extras writes the trade-off and its points, as far as they were asked for.
func (x *compression) extras(ctx context.Context) error {
	if x.curve != "" {
		if err := x.writeCurve(); err != nil {
			return err
		}
	}
	if x.points == "" {
		return nil
	}
	if err := os.MkdirAll(x.points, 0o777); err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(x.path), ".onnx")
	for _, i := range x.result.Front {
		point := x.result.Candidates[i]
		if len(point.Moves) == 0 {
			continue
		}
		r, err := x.result.Point(ctx, i)
		if err != nil {
			return err
		}
		p, err := x.stamp(r)
		if err != nil {
			return err
		}
		m, err := r.Model.Apply(p)
		if err != nil {
			return err
		}
		share := float64(point.Cost.MAdds) / float64(max(1, x.result.Before.Cost.MAdds))
		if err := save(ctx, m, filepath.Join(x.points, fmt.Sprintf("%s-%04.0f.onnx", name, 1e4*share))); err != nil {
			return err
		}
	}
	x.shown.end()
	return nil
}

func (x *compression) writeCurve() error {
	var b strings.Builder
	r := x.result
	c := &page.Curve{Version: version, Model: x.path, Data: x.fact.Path, Search: r.Search, Input: r.Before, Points: append(r.Candidates[1:len(r.Candidates):len(r.Candidates)], r.Chosen)}
	if x.latency[0] > 0 {
		c.Runtime = x.opt.Runtime.Name()
	}
	if err := page.Write(&b, x.format, c); err != nil {
		return err
	}
	return onnxgraph.WriteFile(x.curve, []byte(b.String()))
}
