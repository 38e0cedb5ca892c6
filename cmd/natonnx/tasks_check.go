package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"github.com/natonnx/natonnx/fleet/batch"
	"github.com/natonnx/natonnx/fleet/check"
	"github.com/natonnx/natonnx/fleet/check/report"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/urfave/cli/v2"
)

// batchCheckFlags are the flags of check but for that which chooses models.
func batchCheckFlags() []cli.Flag {
	return slices.DeleteFunc(checkFlags(), func(f cli.Flag) bool { return f.Names()[0] == "changed-since" })
}

// A checker is the task check: it writes what check --json prints.
type checker struct {
	c       *cli.Context
	given   []check.Setting
	room    allowance
	mu      sync.Mutex // of configs
	configs *configs
}

func checkTask(_ *tool, c *cli.Context, room allowance) (*batch.Task, error) {
	given, err := givenSettings(c)
	if err != nil {
		return nil, err
	}
	k := &checker{c: c, given: given, room: room, configs: &configs{byFolder: map[string]*check.Config{}}}
	if err := k.configs.read(c.String("config"), c.IsSet("config")); err != nil {
		return nil, configError(err)
	}
	if base := c.String("against"); c.IsSet("against") {
		if info, err := os.Stat(base); err != nil {
			return nil, err
		} else if !info.IsDir() {
			return nil, &usageError{fmt.Sprintf("--against %s: is one model, and a batch compares many", base), "name a folder with files of the same relative paths"}
		}
	}
	return &batch.Task{Output: jsonName("check"), Depends: k.depends, Need: room.need, Do: k.do}, nil
}

// file finds out what is asked of a model, and from which severity on it fails.
func (k *checker) file(item batch.Item) (f check.File, failOn check.Severity, config *check.Config, err error) {
	k.mu.Lock()
	config, err = k.configs.of(item.Input)
	k.mu.Unlock()
	if err != nil {
		return f, "", nil, configError(err)
	}
	failOn = check.Severity(choiceOf(k.c, "fail-on"))
	if !k.c.IsSet("fail-on") {
		failOn = cmp.Or(config.FailOn, failOn)
	}
	f.Path = item.Input
	if f.Settings, err = config.For(item.Input, k.given); err != nil {
		return f, "", nil, configError(err)
	}
	if f.Settings.MaxLatency > 0 && jobsOf(k.c) > 1 {
		return f, "", nil, &usageError{"the latency of a model cannot be measured while others are at work", "add --jobs 1, or leave out max-latency"}
	}
	const many = 2 // so that a base for all of them is refused
	err = against(&f, cmp.Or(k.c.String("against"), config.Against), check.Found{Path: item.Input, Rel: item.Name}, many)
	return f, failOn, config, err
}

// depends lists the configuration, the base and the test data.
func (k *checker) depends(ctx context.Context, item batch.Item) (list []string, err error) {
	f, _, config, err := k.file(item)
	if err != nil {
		return nil, err
	}
	related, err := filepath.Glob(filepath.Join(globbed(filepath.Dir(item.Input)), "test_data_set_*", "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range append(related, config.Path, f.Against) {
		if file == "" {
			continue
		}
		digest, err := batch.Digest(ctx, file)
		if err != nil {
			digest = err.Error() // the check will say more
		}
		list = append(list, file, digest)
	}
	return append(list, f.NoBase), nil
}

// globbed writes a path as a pattern that matches nothing else.
func globbed(path string) string {
	var b bytes.Buffer
	for _, r := range path {
		if (r == '*' || r == '?' || r == '[' || r == '\\') && os.PathSeparator == '/' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (k *checker) do(ctx context.Context, item batch.Item, dir string) (batch.Outcome, error) {
	f, failOn, _, err := k.file(item)
	if err != nil {
		return batch.Outcome{}, err
	}
	r, err := check.Run(ctx, []check.File{f}, check.Options{Version: version, FailOn: failOn, Jobs: 1, Memory: k.room.memory})
	if err != nil {
		return batch.Outcome{}, err
	}
	result := &r.Results[0]
	if result.Err != nil {
		return batch.Outcome{}, result.Err
	}
	result.Path = item.Name // wherever the models lie
	for i := range result.Findings {
		result.Findings[i].Path = item.Name
	}
	var b bytes.Buffer
	if err := report.Write(&b, "json", r, report.Options{}); err != nil {
		return batch.Outcome{}, err
	}
	out := filepath.Join(dir, path.Base(jsonName("check")(item.Name)))
	return checkOutcome(r, result), os.WriteFile(out, b.Bytes(), 0o666)
}

// checkOutcome is the result of a check as a row of a batch.
func checkOutcome(r *check.Report, result *check.Result) batch.Outcome {
	o := batch.Outcome{Status: batch.Done}
	if m := result.Measures; m != nil {
		o.Before = &batch.Cost{Params: m.Params, MultiplyAdds: m.MAdds}
		if m.Drift != nil {
			o.Drift = finite(m.Drift.Relative)
		}
	}
	var grave []check.Finding
	for _, f := range result.Findings {
		if f.Severity.AtLeast(r.FailOn) {
			grave = append(grave, f)
		}
	}
	if len(grave) == 0 {
		return o
	}
	o.Status, o.ExitCode = batch.Failed, exitCode(verdict(r))
	o.Reason = grave[0].Rule + ": " + grave[0].Message
	if n := len(grave) - 1; n > 0 {
		o.Reason += fmt.Sprintf(" (and %s)", legible.Plural(n, "more finding"))
	}
	return o
}
