package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/natonnx/natonnx/fleet/batch"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/urfave/cli/v2"
)

func (t *tool) batchCommand() *cli.Command {
	tasks := t.batchTasks()
	names := batchTaskNames(tasks)
	flags := []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to the folder `DIR`, which is made where it is not there"},
		choiceFlag("task", names[0], "do `TASK` to each model: "+oneOf(names), names...),
		countFlag("jobs", 0, 1, 4096, "work on `N` models at a time; without it, on as many as there are cores"),
		&cli.GenericFlag{Name: "memory", Value: &bound{whose: "machine's"}, Usage: "let the batch take at most `X` bytes of memory, such as 2G or 50%; without it, half the machine's"},
		&cli.GenericFlag{Name: "timeout", Value: &span{}, Usage: "give up a model after `T`, such as 90s or 5m"},
		&cli.BoolFlag{Name: "force", Usage: "do again what is done, and replace files that no batch has written"},
		&cli.BoolFlag{Name: "resume", Usage: "go on with the batch in DIR, and refuse where there is none or its flags were others"},
		&cli.GenericFlag{Name: "shard", Value: &shard{}, Usage: "work on the part `I/N` of the models, from 1/N to N/N; auto and auto/N take it from the job arrays of Kubernetes, AWS Batch or Slurm"},
		&cli.GenericFlag{Name: "report", Value: &reportFiles{}, Usage: "write the report to `FILE`, whose name ends in .json, .csv or .html; may be given several times"},
		progressFlag(),
	}
	for _, task := range tasks {
		for _, f := range task.flags() {
			if !slices.ContainsFunc(flags, func(g cli.Flag) bool { return g.Names()[0] == f.Names()[0] }) {
				flags = append(flags, f)
			}
		}
	}
	return &cli.Command{
		Name:      "batch",
		Usage:     "optimize, plan, check or inspect many networks",
		ArgsUsage: "IN... -o DIR",
		Description: "IN is a folder (all .onnx files below it), a file, a pattern in quotes, or a manifest: a .txt file with a path per line, a .csv with the columns input and output, " +
			"a .json list of paths or of objects with input and output, or - for a .txt from standard input. DIR becomes a tree like that of IN: of models where the task is optimize, " +
			"of the JSON that the task's command prints otherwise.\n\n" +
			"A file that fails is reported, and the others go on; then the exit code is 6. The same command again does only what is missing: models whose bytes, flags or outputs have changed, and those that failed. " +
			"So it goes on with what was interrupted, too. DIR/.natonnx remembers what is done.\n\n" +
			"The flags after --progress are those of the tasks' own commands; a flag of another task is refused. --max-params and --max-madds bound the result where the task is optimize or plan, " +
			"and the model itself where it is check.",
		Flags:  flags,
		Action: t.batch,
	}
}

// A shard is a flag's value: I/N or auto.
type shard struct {
	batch.Shard
	text string
}

func (s *shard) String() string { return s.text }

func (s *shard) Set(text string) (err error) {
	s.text = text
	s.Shard, err = batch.ParseShard(text, os.Getenv)
	return err
}

// A span is a flag's value that is a time.
type span struct{ time.Duration }

func (s *span) String() string {
	if s.Duration == 0 {
		return ""
	}
	return s.Duration.String()
}

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("want a time above 0, such as 90s or 5m")
	}
	s.Duration = d
	return nil
}

// reportFiles are the files that --report names.
type reportFiles struct{ paths []string }

func (r *reportFiles) String() string { return strings.Join(r.paths, " ") }

func (r *reportFiles) Set(path string) error {
	if reportForms[strings.ToLower(filepath.Ext(path))] == nil {
		return errors.New("want a name that ends in .json, .csv or .html")
	}
	r.paths = append(r.paths, path)
	return nil
}

var reportForms = map[string]func(*batch.Report, io.Writer) error{
	".json": (*batch.Report).JSON, ".csv": (*batch.Report).CSV, ".html": (*batch.Report).HTML,
}

// A batchError says that some models of a batch failed; the report says which.
type batchError struct{ bad, of int }

func (e *batchError) Error() string {
	return fmt.Sprintf("%d of %s failed", e.bad, legible.Plural(e.of, "model"))
}

func (t *tool) batch(c *cli.Context) error {
	items, err := t.batchInputs(c)
	if err != nil {
		return err
	}
	o, task, err := t.batchOptions(c)
	if err != nil {
		return err
	}
	files := c.Generic("report").(*reportFiles).paths
	if err := reportFolders(files, o.Dir); err != nil {
		return err
	}
	when := choiceOf(c, "progress")
	if when == "auto" && !isTerminal(os.Stderr) {
		when = "plain" // a batch is long, and a line every now and then does no harm
	}
	shown := newProgress(t, when)
	o.Progress = shown.models()
	report, err := batch.Run(c.Context, o, task, items)
	shown.end()
	if report == nil {
		return setupUsage(err)
	}
	report.Version = version
	files, writeErr := writeReports(report, files, o.Shard)
	if t.json {
		writeErr = errors.Join(writeErr, t.writeJSON(report))
	} else if !t.quiet {
		t.summary(report, files)
	}
	if report.Interrupted {
		t.hint("the same command goes on where this one stopped")
	}
	if err := errors.Join(err, writeErr); err != nil {
		return err
	}
	if report.Bad() > 0 {
		return &batchError{report.Bad(), report.Models}
	}
	return nil
}

// batchInputs finds the models.
func (t *tool) batchInputs(c *cli.Context) ([]batch.Item, error) {
	args := c.Args().Slice()
	out := c.String("output")
	switch {
	case len(args) == 0:
		return nil, &usageError{"batch wants one argument or more (IN...), found none", usageLine(c.Command.HelpName, c.Command)}
	case out == "":
		return nil, &usageError{"batch: the output folder is missing", "name it with -o"}
	case out == stdio:
		return nil, &usageError{"-o -: a batch writes a folder, not a stream", "name a folder with -o"}
	case slices.Contains(args, stdio) && isTerminal(t.in):
		return nil, &usageError{"standard input is a terminal, want a list of models", "redirect a list to it, or name folders or files in place of -"}
	}
	items, err := batch.Find(c.Context, args, out, t.in)
	return items, setupUsage(err)
}

// batchOptions reads the flags.
func (t *tool) batchOptions(c *cli.Context) (o batch.Options, task *batch.Task, err error) {
	tasks := t.batchTasks()
	chosen := tasks[slices.IndexFunc(tasks, func(b batchTask) bool { return b.name == choiceOf(c, "task") })]
	if err := foreignFlags(c, tasks, chosen); err != nil {
		return o, nil, err
	}
	o = batch.Options{
		Dir: c.String("output"), Jobs: jobsOf(c), Timeout: c.Generic("timeout").(*span).Duration, Force: c.Bool("force"), Resume: c.Bool("resume"),
		Shard: c.Generic("shard").(*shard).Shard,
	}
	if o.Force && o.Resume {
		return o, nil, usagef("--force and --resume: one does all again, the other goes on; want one of them")
	}
	if o.Memory, err = batchMemory(c); err != nil {
		return o, nil, err
	}
	task, err = chosen.make(t, c, allowance{o.Memory, max(1, runtime.GOMAXPROCS(0)/o.Jobs)})
	if err != nil {
		return o, nil, err
	}
	task.Name = chosen.name
	if task.Recipe, err = chosen.recipe(c); err != nil {
		return o, nil, err
	}
	task.Classify = classify
	return o, task, nil
}

// foreignFlags refuses the flags of other tasks.
func foreignFlags(c *cli.Context, tasks []batchTask, chosen batchTask) error {
	own := map[string]bool{}
	for _, f := range chosen.flags() {
		own[f.Names()[0]] = true
	}
	for _, task := range tasks {
		for _, f := range task.flags() {
			if name := f.Names()[0]; c.IsSet(name) && !own[name] {
				return &usageError{fmt.Sprintf("--%s: the task %s has no such flag", name, chosen.name), "it belongs to the task " + task.name}
			}
		}
	}
	return nil
}

// programMemory is what the program takes beside its models, and what the Go
// runtime takes before it gives memory back.
const programMemory = 64 << 20

// batchMemory returns what the models may take together, and tells the Go runtime
// to keep the whole program within --memory; 0: no limit.
func batchMemory(c *cli.Context) (int64, error) {
	limit, err := memoryLimit(c)
	switch {
	case err != nil:
		return 0, err
	case !c.IsSet("memory"):
		limit /= 2
	case limit < 2*programMemory:
		return 0, usagef("--memory %s: want 128 MiB or more", boundOf(c, "memory"))
	}
	if limit == 0 {
		return 0, nil
	}
	debug.SetMemoryLimit(limit)
	return limit - programMemory, nil
}

// classify says what an error means for one model of a batch.
func classify(err error) (status batch.Status, code int, reason string) {
	status, code = batch.Failed, exitCode(err)
	if code == exitGuard || code == exitBounds {
		status = batch.Refused
	}
	return status, code, message(err)
}

// setupUsage makes a mistake in what a batch is given one of usage.
func setupUsage(err error) error {
	var setup *batch.SetupError
	if errors.As(err, &setup) {
		return &usageError{setup.Msg, setup.Hint}
	}
	return err
}

// reportFolders finds out before any work that a report could not be written. The
// output folder itself is made later.
func reportFolders(files []string, out string) error {
	for _, file := range files {
		dir := filepath.Dir(file)
		if _, err := os.Stat(dir); err != nil && dir != filepath.Clean(out) {
			return err
		}
	}
	return nil
}

// writeReports writes the report in each form that is asked for. Shards that are
// given one name write files of their own: report.2-of-8.json.
func writeReports(r *batch.Report, paths []string, s batch.Shard) (files []string, err error) {
	for _, path := range paths {
		ext := filepath.Ext(path)
		if s.Count > 0 {
			path = strings.TrimSuffix(path, ext) + fmt.Sprintf(".%d-of-%d", s.Index, s.Count) + ext
		}
		var b bytes.Buffer
		if err := reportForms[strings.ToLower(ext)](r, &b); err != nil {
			return files, err
		}
		if err := onnxgraph.WriteFile(path, b.Bytes()); err != nil {
			return files, err
		}
		files = append(files, path)
	}
	return files, nil
}

// summary prints the report for people: how many, and what is wrong with which.
func (t *tool) summary(r *batch.Report, files []string) {
	p := t.page()
	title := fmt.Sprintf("%s: %s to %s", r.Task, legible.Plural(r.Models, "model"), r.Dir)
	if r.Shard != "1/1" {
		title += ", shard " + r.Shard
	}
	p.text(0, "%s", title)
	var terms, meanings []string
	for _, s := range batch.Statuses {
		if n := r.Counts[s]; n > 0 {
			name := string(s)
			if s == batch.Skipped {
				name = "already done"
			}
			terms, meanings = append(terms, name), append(meanings, fmt.Sprint(n))
		}
	}
	if r.Remaining > 0 {
		terms, meanings = append(terms, "not reached"), append(meanings, fmt.Sprint(r.Remaining))
	}
	p.terms(terms, meanings)
	for _, s := range []batch.Status{batch.Refused, batch.Failed} {
		if r.Counts[s] == 0 {
			continue
		}
		p.heading("%s", s)
		for _, row := range r.Rows {
			if row.Status == s {
				p.text(2, "%s: %s (exit code %d)", row.Name, row.Reason, row.ExitCode)
				t.stack(p, row)
			}
		}
	}
	for i, file := range files {
		if i == 0 {
			p.blank()
		}
		p.text(0, "wrote %s", file)
	}
}

// stack prints where a task panicked, with -v.
func (t *tool) stack(p *page, row *batch.Row) {
	var fault *batch.PanicError
	if !t.verbose || !errors.As(row.Err, &fault) {
		return
	}
	for _, line := range strings.Split(strings.TrimSpace(string(fault.Stack)), "\n") {
		fmt.Fprintln(p.w, "      "+clean(line))
	}
}
