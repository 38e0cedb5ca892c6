package policybench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/transformer"
)

// Options say what is judged.
type Options struct {
	Table    *train.Table
	Rules    transformer.Rules
	Latency  *train.Latency // nil: none
	Policies []Policy       // of these rules
	Kinds    []train.Kind   // policies that are trained, once for each seed
	// Learn trains; nil is [train.Learn].
	Learn func(context.Context, train.LearnOptions) (*train.Learnt, error)
	Steps int    // of a training; 0: as many as its kind takes
	Seed  uint64 // the first of Seeds that follow each other
	Seeds int
	// Keep is a folder where what came of each training is kept, and found again
	// by later runs; "" is none.
	Keep     string
	Progress func(Progress) // if set, is called every now and then
}

// A Policy is one that is given, by the name that its rows have.
type Policy struct {
	Name string
	transformer.Policy
}

// Progress is how far a run is: at a training, Done of the Of steps of all that
// the run has to do, or at judging.
type Progress struct {
	Kind     train.Kind // that is trained; "": none is
	Seed     uint64
	Done, Of int
	Captured float64 // of the headroom on cells that choose, in percent; of a training
	Judging  string  // the label of the row that is measured
}

// A Result holds the figures of a run. Those of inputs and of the best that can
// be reached are exact.
type Result struct {
	Rules       string `json:"rules"`
	TableDigest string `json:"table_sha256"`
	Cells       int    `json:"held_out_cells"`
	Seeds       int    `json:"seeds"`
	Seed        uint64 `json:"seed"`
	Device      string `json:"device"` // of the latencies; "" where there are none
	// Reachable is the best accuracy that moves reach, on each data set by itself:
	// the mean over the cells.
	Reachable [train.Datasets]float64 `json:"best_reachable"`
	Rows      []Row                   `json:"rows"`
	Curves    []Curve                 `json:"curves"`
	Trainings []TrainedFact           `json:"trainings"`
}

// A TrainedFact says what one training took.
type TrainedFact struct {
	Kind   train.Kind `json:"kind"`
	Seed   uint64     `json:"seed"`
	Steps  int        `json:"steps"`
	StepMS float64    `json:"step_ms"`
	Reused bool       `json:"reused"` // it was done by an earlier run
}

// A Row is one way of deciding, measured on the held-out cells. Means are over
// the cells, estimates over the seeds.
type Row struct {
	Name    string                `json:"name"` // of the policy or rival
	How     string                `json:"how"`  // it decides
	Trained bool                  `json:"trained"`
	LookUps Estimate              `json:"look_ups"` // in the table, for each decision
	On      [train.Datasets]Score `json:"on"`
	MAdds   Estimate              `json:"multiply_adds"`
	// MAddsShare is of the input's, in percent.
	MAddsShare Estimate  `json:"multiply_adds_percent"`
	Latency    *Estimate `json:"latency_ms"` // nil without a table of latencies
	// Temperature is that of samples; nil where there is none.
	Temperature *Estimate `json:"temperature"`
	// Micros are what a decision took on the machine that ran, on one core.
	Micros Estimate `json:"microseconds"`
}

// A Score is a row on one data set, in percent.
type Score struct {
	Dataset  string   `json:"dataset"`
	Accuracy Estimate `json:"accuracy"`
	Captured Estimate `json:"captured"` // (accuracy - input's) / (best reachable - input's)
	Worse    Estimate `json:"worse"`    // share of the cells that became less accurate
}

// Label names a row.
func (r *Row) Label() string {
	if r.How == "" {
		return r.Name
	}
	return r.Name + ", " + r.How
}

// A bench is a run of [Run].
type bench struct {
	Options
	split  train.Split
	moves  train.Moves201
	result *Result

	mu    sync.Mutex
	steps []int // done so far, by training
}

// Run judges policies and rivals. The order of rows is: those that decide
// without looking anything up, beginning with the input, and then those that
// do; in both, rivals come before policies.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Seeds < 1 {
		return nil, fmt.Errorf("%d seeds, want 1 or more", o.Seeds)
	}
	if o.Learn == nil {
		o.Learn = train.Learn
	}
	b := &bench{Options: o, split: o.Table.Split(), moves: train.MovesOf201(o.Rules)}
	b.result = &Result{
		Rules: o.Rules.Name, TableDigest: o.Table.Digest(), Cells: len(b.split.HeldOut), Seed: o.Seed, Seeds: o.Seeds,
		Rows: []Row{}, Curves: []Curve{}, Trainings: []TrainedFact{},
	}
	if o.Latency != nil {
		b.result.Device = o.Latency.Device
	}
	learnt, err := b.trainAll(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.rivals(ctx); err != nil {
		return nil, err
	}
	for i, kind := range o.Kinds {
		b.trained(kind, learnt[i])
	}
	for _, p := range o.Policies {
		if err := b.policy(ctx, p); err != nil {
			return nil, err
		}
	}
	for d := range b.result.Reachable {
		for _, cell := range b.split.HeldOut {
			b.result.Reachable[d] += o.Table.BestReachable(cell, o.Rules, train.Dataset(d)) / float64(len(b.split.HeldOut))
		}
	}
	blind := func(r Row) bool { return r.LookUps.Mean == 0 }
	informed := slices.DeleteFunc(slices.Clone(b.result.Rows), blind)
	b.result.Rows = append(slices.DeleteFunc(b.result.Rows, func(r Row) bool { return !blind(r) }), informed...)
	return b.result, nil
}

// A contender is one way of deciding.
type contender struct {
	name, how   string
	draws       bool    // at random
	temperature float64 // of what it draws; 0: it has none
	// decide returns what becomes of a cell, and how many cells were looked up for that.
	decide func(ctx context.Context, rng *rand.Rand, cell int) (after, lookUps int, err error)
}

// decisions are what a contender made of the held-out cells, with one seed.
type decisions struct {
	How         string  `json:"how"`
	After       []int   `json:"after"`    // cells, in the order of the split
	LookUps     float64 `json:"look_ups"` // mean per decision
	Micros      float64 `json:"microseconds"`
	Temperature float64 `json:"temperature"`
}

func (b *bench) decide(ctx context.Context, seed uint64, c contender) (decisions, error) {
	d := decisions{How: c.how, Temperature: c.temperature, After: make([]int, len(b.split.HeldOut))}
	rng := rand.New(rand.NewPCG(seed, 1))
	began, lookUps := time.Now(), 0
	for i, cell := range b.split.HeldOut {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		var n int
		var err error
		if d.After[i], n, err = c.decide(ctx, rng, cell); err != nil {
			return d, err
		}
		lookUps += n
	}
	cells := float64(len(b.split.HeldOut))
	d.LookUps, d.Micros = float64(lookUps)/cells, float64(time.Since(began).Nanoseconds())/1e3/cells
	return d, nil
}

// measure adds the row of a contender: of one run or, where it draws, of one with
// every seed.
func (b *bench) measure(ctx context.Context, c contender) error {
	r := Row{Name: c.name, How: c.how}
	if b.Progress != nil {
		b.Progress(Progress{Judging: r.Label()})
	}
	runs := make([]decisions, 1)
	if c.draws {
		runs = make([]decisions, b.Seeds)
	}
	for i := range runs {
		var err error
		if runs[i], err = b.decide(ctx, b.Seed+uint64(i), c); err != nil {
			return err
		}
	}
	b.add(r, runs)
	return nil
}

// add measures decisions, those of each seed, and adds their row.
func (b *bench) add(r Row, runs []decisions) {
	cells := b.split.HeldOut
	for d := range r.On {
		outcomes := make([]train.Outcome, len(runs))
		for i, run := range runs {
			outcomes[i] = b.Table.Outcome(b.Rules, train.Dataset(d), cells, run.After)
		}
		r.On[d] = Score{
			Dataset:  train.Dataset(d).String(),
			Accuracy: over(outcomes, func(o train.Outcome) float64 { return o.Accuracy }),
			Captured: over(outcomes, func(o train.Outcome) float64 { return o.Captured }),
			Worse:    over(outcomes, func(o train.Outcome) float64 { return o.Worse }),
		}
	}
	before := mean(cells, madds)
	r.MAdds = over(runs, func(d decisions) float64 { return mean(d.After, madds) })
	r.MAddsShare = over(runs, func(d decisions) float64 { return 100 * mean(d.After, madds) / before })
	if b.Latency != nil {
		latency := over(runs, func(d decisions) float64 { return mean(d.After, b.Latency.Of) })
		r.Latency = &latency
	}
	if runs[0].Temperature > 0 {
		temperature := over(runs, func(d decisions) float64 { return d.Temperature })
		r.Temperature = &temperature
	}
	r.LookUps = over(runs, func(d decisions) float64 { return d.LookUps })
	r.Micros = over(runs, func(d decisions) float64 { return d.Micros })
	b.result.Rows = append(b.result.Rows, r)
}

// over estimates a figure over the runs of all seeds.
func over[T any](runs []T, figure func(T) float64) Estimate {
	values := make([]float64, len(runs))
	for i, run := range runs {
		values[i] = figure(run)
	}
	return estimate(values)
}

func madds(cell int) float64 { return float64(train.MAdds201(cell)) }

func mean(cells []int, of func(cell int) float64) (sum float64) {
	for _, cell := range cells {
		sum += of(cell)
	}
	return sum / float64(len(cells))
}
