package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/fleet/batch"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

// A batchTask is a verb that batch can do to many models.
type batchTask struct {
	name  string
	flags func() []cli.Flag // those that its results depend on
	// make reads the flags.
	make func(t *tool, c *cli.Context, room allowance) (*batch.Task, error)
}

func (t *tool) batchTasks() []batchTask {
	return []batchTask{
		{"optimize", func() []cli.Flag { return append(decisionFlags(), driftFlag()) }, optimizeTask},
		{"plan", decisionFlags, planTask},
		{"check", batchCheckFlags, checkTask},
		{"inspect", func() []cli.Flag { return nil }, inspectTask},
	}
}

func batchTaskNames(tasks []batchTask) (names []string) {
	for _, task := range tasks {
		names = append(names, task.name)
	}
	return names
}

// An allowance is what one model of a batch may take.
type allowance struct {
	memory  int64 // bytes; 0: no limit
	workers int
}

// running returns what it takes to run a model of that cost, and whether there is
// room for that.
func (a allowance) running(c *onnxgraph.Cost) (bytes int64, ok bool) {
	bytes = 4*weightCopies*c.Params + 2*maxProbes*c.PeakActivation
	return bytes, a.memory == 0 || bytes < a.memory
}

// need estimates what a task takes that runs the model where there is room for it.
func (a allowance) need(in *batch.Input) int64 {
	need := structureNeed(in)
	if in.Model == nil {
		return need
	}
	run, ok := a.running(in.Model.Cost(in.Model.Infer()))
	if !ok || a.memory > 0 && need > a.memory {
		return need
	}
	need += run
	if a.memory > 0 {
		need = min(need, a.memory) // it runs alone then
	}
	return need
}

// recipe states what the results of a task depend on beside the models.
func (b *batchTask) recipe(c *cli.Context) ([]string, error) {
	commit, _ := build()
	list := []string{strings.TrimSpace("natonnx " + version + " " + commit)}
	for _, f := range b.flags() {
		name := f.Names()[0]
		if text := c.String(name); text != "" { // whatever the flag's type
			list = append(list, "--"+name+" "+text)
		}
		if name == "policy" {
			digest, err := policyDigest(c.String(name))
			if err != nil {
				return nil, err
			}
			if digest != "" {
				list = append(list, "policy of SHA-256 "+digest)
			}
		}
	}
	return list, nil
}

// policyDigest is the digest of a policy's file; "" for one that belongs to the program.
func policyDigest(name string) (string, error) {
	if name == noPolicy || slices.Contains(transformer.Builtins(), name) {
		return "", nil
	}
	data, err := os.ReadFile(name)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), err
}

// optimizeTask writes what optimize writes.
func optimizeTask(_ *tool, c *cli.Context, room allowance) (*batch.Task, error) {
	template, err := undecided(c)
	if err != nil {
		return nil, err
	}
	how := running{off: driftOff(c), opt: measure.Options{Workers: room.workers}}
	need := structureNeed
	if how.off == "" {
		need = room.need
	}
	return &batch.Task{
		Need: need,
		Do: func(ctx context.Context, item batch.Item, dir string) (batch.Outcome, error) {
			m, err := openValid(item.Input)
			if err != nil {
				return batch.Outcome{}, err
			}
			d := template.about(item.Name)
			if err := d.rewrite(ctx, m); err != nil {
				return batch.Outcome{}, err
			}
			if err := d.measureDrift(ctx, how.within(room, d.Before)); err != nil {
				return batch.Outcome{}, err
			}
			return d.outcome(), save(ctx, d.Result, filepath.Join(dir, path.Base(item.Name)))
		},
	}, nil
}

// within leaves the drift out where running a network of that cost would take more
// memory than there is for it.
func (how running) within(room allowance, c *onnxgraph.Cost) running {
	bytes, ok := room.running(c)
	switch {
	case !ok && how.off == "":
		how.off = fmt.Sprintf("running the network takes about %s of memory, and the batch has %s", size(bytes), size(room.memory))
	case room.memory > 0:
		how.opt.Memory = room.memory - 4*weightCopies*c.Params
	}
	return how
}

// planTask writes what plan --json prints.
func planTask(_ *tool, c *cli.Context, _ allowance) (*batch.Task, error) {
	template, err := undecided(c)
	if err != nil {
		return nil, err
	}
	return &batch.Task{
		Output: jsonName("plan"),
		Need:   structureNeed,
		Do: func(ctx context.Context, item batch.Item, dir string) (batch.Outcome, error) {
			m, err := openValid(item.Input)
			if err != nil {
				return batch.Outcome{}, err
			}
			d := template.about(item.Name)
			if err := d.choose(ctx, m); err != nil {
				return batch.Outcome{}, err
			}
			return d.outcome(), saveJSON(filepath.Join(dir, path.Base(jsonName("plan")(item.Name))), d.fact(nil))
		},
	}, nil
}

// inspectTask writes what inspect --json prints.
func inspectTask(*tool, *cli.Context, allowance) (*batch.Task, error) {
	return &batch.Task{
		Output: jsonName("inspect"),
		Need:   structureNeed,
		Do: func(_ context.Context, item batch.Item, dir string) (batch.Outcome, error) {
			out := filepath.Join(dir, path.Base(jsonName("inspect")(item.Name)))
			m, err := onnxgraph.Open(item.Input)
			if err == nil {
				err = m.Validate()
			}
			if err != nil {
				f := invalidFact(item.Name, m, err)
				if f == nil {
					return batch.Outcome{}, err
				}
				return batch.Outcome{Status: batch.Failed, Reason: message(err), ExitCode: exitCode(err)}, saveJSON(out, f)
			}
			cells := cellmap.Lift(m)
			cost := m.Cost(cells.Types)
			n := len(cells.Cells)
			return batch.Outcome{Status: batch.Done, Before: batchCost(cost), Cells: &n}, saveJSON(out, inspected(item.Name, m, cells, cost, false))
		},
	}, nil
}

// outcome is a decision as a row of a batch.
func (d *decision) outcome() batch.Outcome {
	cells, moves := len(d.Map.Cells), len(d.Moves)
	o := batch.Outcome{Status: batch.Done, Before: batchCost(d.Before), Cells: &cells, Moves: &moves}
	if moves == 0 {
		o.Status, o.Reason = batch.Nothing, d.whyNothing()
		return o
	}
	o.After = batchCost(d.After)
	switch {
	case d.effect.drift != nil:
		o.Drift = d.effect.drift.Distance.Relative
	case d.effect.noDrift != "":
		o.Reason = "drift not measured: " + d.effect.noDrift
	}
	return o
}

func batchCost(c *onnxgraph.Cost) *batch.Cost {
	return &batch.Cost{Params: c.Params, MultiplyAdds: c.MAdds}
}

// jsonName names the JSON file of a model: resnet18.plan.json for resnet18.onnx.
func jsonName(task string) func(string) string {
	return func(name string) string {
		if path.Ext(name) == ".json" { // as a manifest says
			return name
		}
		return strings.TrimSuffix(name, ".onnx") + "." + task + ".json"
	}
}

func openValid(path string) (*onnxgraph.Model, error) {
	m, err := onnxgraph.Open(path)
	if err != nil {
		return nil, err
	}
	return m, m.Validate()
}

func saveJSON(path string, v any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeJSON(f, v); err != nil {
		return err
	}
	return f.Close()
}

// What a model takes in memory, measured with the fixtures: its structure, a
// multiple of what it takes in the file, since it is decoded, typed and copied; and
// where it runs, its weights: both networks, as they are read and as they are packed.
const (
	structureCopies = 64
	weightCopies    = 4
)

func structureNeed(in *batch.Input) int64 { return 1<<20 + structureCopies*in.Structure }

// jobsOf is how many models a batch works on at a time.
func jobsOf(c *cli.Context) int {
	if n := countOf(c, "jobs"); n > 0 {
		return int(n)
	}
	return runtime.GOMAXPROCS(0)
}
