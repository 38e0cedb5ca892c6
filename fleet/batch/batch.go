// Package batch does one thing to many models: files in, a tree of files out,
// whatever happens on the way.
//
// [Find] lists the models, [Run] works through them with several workers within
// a memory budget, and the [Report] has a row for each. What was done is not done
// again: each model has a record in the output folder, under .natonnx, that holds
// the digest of all that its outputs depend on, and the digests of the outputs.
//
// Outputs are made in a folder of their own and moved to their places whole. A run
// that is killed at any time leaves whole files, and the next one cleans up after
// it and goes on.
package batch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
)

// An Item is one model.
type Item struct {
	Name  string // its place in the tree, with slashes: "resnet/18.onnx"
	Input string // its file
}

// A Task is what a batch does to each of its models.
type Task struct {
	Name string
	// Recipe states all that the outputs depend on beside the model: options,
	// digests of other files, the version of the program.
	Recipe []string
	// Depends states what the outputs of one item depend on beside that: other files
	// that are about it. nil: nothing.
	Depends func(context.Context, Item) ([]string, error)
	// Output returns the main output of the item of that name, relative to the
	// output folder, with slashes. nil: the name itself.
	Output func(name string) string
	// Need estimates how many bytes of memory Do takes. nil: nothing worth counting.
	Need func(*Input) int64
	// Do does the work. All files that it leaves in the folder dir become outputs,
	// beside the main one, whose name in dir is the last part of Output's. An
	// outcome without an error is recorded and not worked out again, even one
	// that is a failure; an error is not recorded.
	Do func(ctx context.Context, item Item, dir string) (Outcome, error)
	// Classify tells Failed from Refused, and finds the exit code and what people
	// read. nil: Failed, 1 and the error's text.
	Classify func(error) (status Status, code int, reason string)
}

func (t *Task) output(name string) string {
	if t.Output == nil {
		return name
	}
	return t.Output(name)
}

// A Status is what became of a model.
type Status string

const (
	Done      Status = "done"
	Unchanged Status = "unchanged"     // done again, with the same outputs as before
	Nothing   Status = "nothing to do" // the output is the input's copy
	Skipped   Status = "skipped"       // an earlier run has done it
	Failed    Status = "failed"
	Refused   Status = "refused" // a bound, a guard or the memory budget cannot be kept
)

// Statuses lists all of them, in the order of reports.
var Statuses = []Status{Done, Unchanged, Nothing, Skipped, Refused, Failed}

// Bad reports whether somebody has to look at the model.
func (s Status) Bad() bool { return s == Failed || s == Refused }

// An Outcome is what a task says of a model.
type Outcome struct {
	Status   Status   `json:"status"`
	Reason   string   `json:"reason,omitempty"` // of a status that is not Done
	ExitCode int      `json:"exit_code"`        // what the task alone would have ended with
	Before   *Cost    `json:"before"`           // null: not known
	After    *Cost    `json:"after"`            // null: the model stayed as it is
	Cells    *int     `json:"cells"`            // null: not counted
	Moves    *int     `json:"moves"`
	Drift    *float64 `json:"drift"` // relative distance of the outputs; null: not measured
}

// A Cost is what a model costs to hold and to run once.
type Cost struct {
	Params       int64 `json:"params"`
	MultiplyAdds int64 `json:"multiply_adds"`
}

// Options say how a batch is run.
type Options struct {
	Dir     string        // the output folder
	Jobs    int           // models at a time; 0: as many as there are cores
	Memory  int64         // bytes that the needs of the running tasks may add up to; 0: no limit
	Timeout time.Duration // for one model; 0: none
	Force   bool          // do all again, and replace files that no batch has written
	Resume  bool          // refuse to begin: the folder must hold a batch of the same recipe
	Shard   Shard         // the part of the items to work on; zero: all
	// Progress is called after each model, one call at a time.
	Progress func(done, of int, row *Row)
}

// A SetupError says why a batch cannot begin.
type SetupError struct{ Msg, Hint string }

func (e *SetupError) Error() string { return e.Msg }

func setupErrorf(hint, format string, args ...any) error {
	return &SetupError{fmt.Sprintf(format, args...), hint}
}

// A PanicError is a fault of a task, which costs the one model only.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: %v", e.Value) }

// A run is a batch that is going on.
type run struct {
	Options
	task    *Task
	store   *store
	budget  *budget
	ofShard []Item
	mu      sync.Mutex // of what follows
	done    int
	rows    []*Row // nil: not finished
}

// Run does the task to the items of the shard. Failures of models are rows of the
// report, not errors; an error without a report is one of the output folder, a
// [*SetupError] where that is not fit for the batch. When the context ends, models
// that run are given up, and the report, of those that were finished, comes with
// the context's error.
func Run(ctx context.Context, o Options, task *Task, items []Item) (*Report, error) {
	if err := checkOutputs(task, items); err != nil {
		return nil, err
	}
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	s, err := openStore(&o, task)
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, task: task, store: s, budget: newBudget(o.Memory), ofShard: o.Shard.Of(items)}
	r.rows = make([]*Row, len(r.ofShard))
	began := time.Now()
	r.work(ctx)
	report := newReport(r, began)
	return report, errors.Join(ctx.Err(), s.close())
}

// work has the workers take items until there are none, or the context ends.
func (r *run) work(ctx context.Context) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(r.Jobs, len(r.ofShard)) {
		workers.Go(func() {
			for i := range next {
				r.finish(ctx, i, r.one(ctx, r.ofShard[i]))
			}
		})
	}
feeding:
	for i := range r.ofShard {
		select {
		case next <- i:
		case <-ctx.Done():
			break feeding
		}
	}
	close(next)
	workers.Wait()
}

// finish keeps a row. What failed after an interruption may have failed because of
// it, and has none.
func (r *run) finish(ctx context.Context, i int, row *Row) {
	if row.Err != nil && ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows[i] = row
	r.done++
	if r.Progress != nil {
		r.Progress(r.done, len(r.ofShard), row)
	}
}

// one works on one item, whatever it is.
func (r *run) one(ctx context.Context, item Item) (row *Row) {
	began := time.Now()
	row = &Row{Name: item.Name, Input: item.Input, Outputs: []Output{}}
	defer func() {
		if p := recover(); p != nil {
			row.fail(r.task, &PanicError{p, debug.Stack()})
		}
		row.Seconds = time.Since(began).Seconds()
	}()
	if err := r.attempt(ctx, item, row); err != nil {
		row.fail(r.task, err)
	}
	return row
}

func (r *run) attempt(ctx context.Context, item Item, row *Row) error {
	in, err := readInput(ctx, item.Input)
	if err != nil {
		return err
	}
	row.Digest = in.Digest
	key, err := r.task.key(ctx, item, in.Digest)
	if err != nil {
		return err
	}
	old := r.store.record(item.Name)
	if !r.Force && old != nil && old.Key == key && r.store.intact(ctx, old) {
		row.recall(old)
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	need := int64(0)
	if r.task.Need != nil {
		need = r.task.Need(in)
	}
	in.Model = nil // not to be held while waiting
	if err := r.budget.take(ctx, need); err != nil {
		return err
	}
	defer r.budget.give(need)
	dir, err := r.store.workFolder()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	outcome, err := r.do(ctx, item, dir)
	if err != nil {
		return err
	}
	outcome.Reason = row.short(outcome.Reason)
	outputs, err := digests(ctx, dir, r.task.output(item.Name))
	if err != nil {
		return err
	}
	return r.publish(item, &record{Name: item.Name, Key: key, Input: in.Digest, Outcome: outcome, Outputs: outputs}, dir, row)
}

// publish gives the outputs their names.
func (r *run) publish(item Item, rec *record, dir string, row *Row) error {
	same, err := r.store.publish(rec, dir, r.task.output(item.Name), r.Force)
	if err != nil {
		return err
	}
	row.Outcome, row.Outputs = rec.Outcome, rec.Outputs
	if same && row.Status == Done {
		row.Status = Unchanged
	}
	return nil
}

// do calls the task, within the time that it has.
func (r *run) do(ctx context.Context, item Item, dir string) (Outcome, error) {
	if r.Timeout <= 0 {
		return r.task.Do(ctx, item, dir)
	}
	limited, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	outcome, err := r.task.Do(limited, item, dir)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = &TimeoutError{r.Timeout}
	}
	return outcome, err
}

// A TimeoutError says that a model took too long.
type TimeoutError struct{ Limit time.Duration }

func (e *TimeoutError) Error() string { return fmt.Sprintf("took longer than %v", e.Limit) }

// checkOutputs sees to it that each item has an output of its own.
func checkOutputs(task *Task, items []Item) error {
	if len(items) == 0 {
		return setupErrorf("", "there are no models")
	}
	by := map[string]Item{}
	for _, item := range items {
		out := task.output(item.Name)
		local := filepath.FromSlash(out)
		if out == "." || out != path.Clean(out) || !filepath.IsLocal(local) || firstPart(out) == metaFolder {
			return setupErrorf("", "%s: its output %q is no place in the output folder", item.Input, out)
		}
		if other, taken := by[foldName(out)]; taken {
			return setupErrorf("batch the folder that holds both, or name the outputs in a manifest (.csv or .json)",
				"%s and %s: both would be written to %s", other.Input, item.Input, out)
		}
		by[foldName(out)] = item
	}
	for _, item := range items {
		for dir := path.Dir(task.output(item.Name)); dir != "."; dir = path.Dir(dir) {
			if other, taken := by[foldName(dir)]; taken {
				return setupErrorf("", "%s and %s: %s would have to be a file and a folder", other.Input, item.Input, dir)
			}
		}
	}
	return nil
}

// An Input is a model as it was found.
type Input struct {
	Digest string // SHA-256 of the model's file and its external data
	Bytes  int64  // of all of that
	// Structure is how many bytes of the model's file are no weights.
	Structure int64
	Model     *onnxgraph.Model // nil: the file is not readable as a model
}
