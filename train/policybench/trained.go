package policybench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/transformer"
)

// A training is what came of training one policy: its curve, and its decisions
// on the held-out cells, from which all figures follow.
type training struct {
	conditions
	Curve     []train.CurvePoint `json:"curve"`
	StepMS    float64            `json:"step_ms"`
	Decisions []decisions        `json:"decisions"`
	reused    bool
}

// The conditions are all that a training depends on, beside the program.
type conditions struct {
	Format int        `json:"natonnx_policy_bench_training"`
	Table  string     `json:"table_sha256"`
	Kind   train.Kind `json:"kind"`
	Rules  string     `json:"rules"`
	Steps  int        `json:"steps"`
	Seed   uint64     `json:"seed"`
}

// trainingFormat changes with what a kept training means.
const trainingFormat = 2

// A KeptError is a file in the folder of kept trainings that cannot be used.
type KeptError struct {
	File string
	Err  error
}

func (e *KeptError) Error() string { return e.File + ": " + e.Err.Error() }

func (e *KeptError) Unwrap() error { return e.Err }

// trainAll trains every kind with every seed, side by side, unless an earlier run
// did.
func (b *bench) trainAll(ctx context.Context) ([][]*training, error) {
	all := make([][]*training, len(b.Kinds))
	var missing []**training
	var work []conditions
	for k, kind := range b.Kinds {
		all[k] = make([]*training, b.Seeds)
		for i := range all[k] {
			c := b.conditions(kind, i)
			var err error
			if all[k][i], err = b.kept(c); err != nil {
				return nil, err
			}
			if all[k][i] == nil {
				missing, work = append(missing, &all[k][i]), append(work, c)
			}
		}
	}
	if len(work) > 0 {
		if err := b.roomToKeep(); err != nil {
			return nil, err
		}
	}
	b.steps = make([]int, len(work))
	err := train.SideBySide(ctx, len(work), func(ctx context.Context, i int) (err error) {
		*missing[i], err = b.train(ctx, work, i)
		return err
	})
	if err != nil {
		return nil, err
	}
	for k, kind := range b.Kinds {
		for _, t := range all[k] {
			b.result.Trainings = append(b.result.Trainings, TrainedFact{kind, t.Seed, t.Steps, t.StepMS, t.reused})
		}
		b.result.Curves = append(b.result.Curves, newCurve(kind, all[k]))
	}
	return all, nil
}

// progress shows how far the trainings are, of which one has come to a point.
func (b *bench) progress(work []conditions, i int, p train.CurvePoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps[i] = p.Step
	if b.Progress == nil {
		return
	}
	shown := Progress{Kind: work[i].Kind, Seed: work[i].Seed, Captured: p.Captured}
	for k, c := range work {
		shown.Done += b.steps[k]
		shown.Of += c.Steps
	}
	b.Progress(shown)
}

func (b *bench) conditions(kind train.Kind, i int) conditions {
	return conditions{trainingFormat, b.Table.Digest(), kind, b.Rules.Name, kind.Steps(b.Steps), b.Seed + uint64(i)}
}

// file is where what came of a training is kept.
func (b *bench) file(c conditions) string {
	return filepath.Join(b.Keep, fmt.Sprintf("%s-%s-%d-steps-seed-%d-table-%.8s.json", c.Kind, c.Rules, c.Steps, c.Seed, c.Table))
}

// kept finds what came of a training in an earlier run; nil where nothing did.
func (b *bench) kept(c conditions) (*training, error) {
	if b.Keep == "" {
		return nil, nil
	}
	path := b.file(c)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &training{reused: true}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, &KeptError{path, fmt.Errorf("%w; remove the file to train again", err)}
	}
	if t.conditions != c {
		return nil, &KeptError{path, fmt.Errorf("is of %+v, want %+v; remove the file to train again", t.conditions, c)}
	}
	if err := t.check(len(b.split.HeldOut)); err != nil {
		return nil, &KeptError{path, fmt.Errorf("%w; remove the file to train again", err)}
	}
	return t, nil
}

// check refuses what no training leaves.
func (t *training) check(cells int) error {
	if len(t.Decisions) == 0 || len(t.Curve) == 0 {
		return errors.New("holds no decisions or no curve")
	}
	for _, d := range t.Decisions {
		if len(d.After) != cells {
			return fmt.Errorf("decisions on %d cells, want %d", len(d.After), cells)
		}
		for _, cell := range d.After {
			if cell < 0 || cell >= train.Cells201 {
				return fmt.Errorf("there is no cell %d, want 0 to %d", cell, train.Cells201-1)
			}
		}
	}
	return nil
}

func (b *bench) train(ctx context.Context, work []conditions, i int) (*training, error) {
	c := work[i]
	learnt, err := b.Learn(ctx, train.LearnOptions{
		Table: b.Table, Kind: c.Kind, Rules: b.Rules, Seed: c.Seed, Steps: c.Steps,
		Report: func(s *train.LearnState) error {
			b.progress(work, i, s.Curve[len(s.Curve)-1])
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("training %s with seed %d: %w", c.Kind, c.Seed, err)
	}
	t := &training{conditions: c, Curve: learnt.Curve, StepMS: float64(learnt.StepTime) / float64(time.Millisecond)}
	list, err := b.contenders(ctx, learnt.Policy, string(c.Kind))
	if err != nil {
		return nil, err
	}
	for _, contender := range list {
		d, err := b.decide(ctx, c.Seed, contender)
		if err != nil {
			return nil, err
		}
		t.Decisions = append(t.Decisions, d)
	}
	return t, b.keep(ctx, t, learnt.Policy)
}

// roomToKeep finds out, before the long work, whether its results can be kept.
func (b *bench) roomToKeep() error {
	if b.Keep == "" {
		return nil
	}
	if err := os.MkdirAll(b.Keep, 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(b.Keep, ".natonnx-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// keep writes what came of a training and, where it has a file, the policy.
func (b *bench) keep(ctx context.Context, t *training, policy transformer.Policy) error {
	if b.Keep == "" {
		return nil
	}
	if g, ok := policy.(*transformer.GCN); ok {
		if err := g.Save(ctx, strings.TrimSuffix(b.file(t.conditions), ".json")+".onnx"); err != nil {
			return err
		}
	}
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return onnxgraph.WriteFile(b.file(t.conditions), append(data, '\n'))
}

// trained adds the rows of a kind that was trained with every seed.
func (b *bench) trained(kind train.Kind, runs []*training) {
	for how := range runs[0].Decisions {
		list := make([]decisions, len(runs))
		for i, t := range runs {
			list[i] = t.Decisions[how]
		}
		b.add(Row{Name: string(kind), How: list[0].How, Trained: true}, list)
	}
}

// A Curve is how a kind learns: at each step, the headroom that the most
// probable transformations of cells that choose capture on CIFAR-10.
type Curve struct {
	Kind   train.Kind   `json:"kind"`
	Seeds  int          `json:"seeds"`
	Points []CurvePoint `json:"points"`
}

// A CurvePoint is over the seeds, in percent.
type CurvePoint struct {
	Step     int      `json:"step"`
	Captured Estimate `json:"captured"`
	Lowest   float64  `json:"lowest"`
	Highest  float64  `json:"highest"`
}

func newCurve(kind train.Kind, runs []*training) Curve {
	c := Curve{Kind: kind, Seeds: len(runs), Points: []CurvePoint{}}
	for i, p := range runs[0].Curve {
		var values []float64
		for _, t := range runs {
			if i < len(t.Curve) && t.Curve[i].Step == p.Step {
				values = append(values, t.Curve[i].Captured)
			}
		}
		c.Points = append(c.Points, CurvePoint{p.Step, estimate(values), slices.Min(values), slices.Max(values)})
	}
	return c
}
