package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/fleet/check"
	"github.com/natonnx/natonnx/fleet/check/report"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/urfave/cli/v2"
)

func (t *tool) checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "hold networks to rules, budgets and a base, as in CI",
		ArgsUsage: "IN...",
		Description: "IN is a file, a folder (all .onnx files below it), a pattern in quotes (models/**/*.onnx), or -. " +
			"Every finding belongs to a rule, NAT001 and so on, of which docs/rules tells more. A rule that cannot be checked is listed as skipped, with the reason.\n\n" +
			"Thresholds that a team shares stand in natonnx.yaml, which is looked for in each model's folder and above it, up to the root of the repository; flags take precedence. " +
			"Keys have the names of the flags; rules: sets severities, overrides: what holds for some files.\n\n" +
			"Ends with exit code 0 where nothing is found that --fail-on names; with 5 where something is; with 3 where all of it is that models are invalid, " +
			"and 7 where it is that they cannot be read.",
		Flags:  append(checkFlags(), checkOutputFlags()...),
		Action: t.check,
	}
}

// settingFlags are those that have a key of the same name in natonnx.yaml.
var settingFlags = []struct{ name, usage string }{
	{"max-params", "allow at most `X` parameters, such as 25M, or a share of the base's, such as 90%"},
	{"max-madds", "allow at most `X` multiply-adds, such as 1.5G or 90%"},
	{"max-memory", "allow activations at most `X` bytes at a time, such as 64M, 64MiB or 90%"},
	{"max-size", "allow the file, external data included, at most `X` bytes"},
	{"max-latency", "run the model, and allow the median run at most `TIME`, such as 20ms"},
	{"max-growth", "allow each cost to be at most `P%` more than the base's, such as 5%"},
	{"min-opset", "want opset `N` or more"},
	{"max-opset", "want opset `N` or less"},
	{"min-ir-version", "want IR version `N` or more"},
	{"max-ir-version", "want IR version `N` or less"},
	{"tolerance", "allow outputs to be `X` apart, relative to the base's and to test data (default 1e-3)"},
	{"batch", "want the batch of inputs to be `KIND`: dynamic, fixed or any"},
}

func checkFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "against", Usage: "compare interface, cost and outputs with `BASE`: a file, or a folder with files of the same relative paths"},
		&cli.StringFlag{Name: "config", Usage: "read `FILE` in place of any natonnx.yaml; none reads none"},
		&cli.StringFlag{Name: "changed-since", Usage: "check only models that git says changed since the branch left `REF`, with their data files"},
	}
	for _, f := range settingFlags {
		flags = append(flags, &cli.StringFlag{Name: f.name, Usage: f.usage})
	}
	return append(flags,
		&cli.StringFlag{Name: "disable", Usage: "leave out `RULES`, by ID or name, with commas between them"},
		&cli.BoolFlag{Name: "strict", Usage: "count a rule that could not be checked as violated"},
		choiceFlag("fail-on", string(check.Error), "end with an exit code other than 0 from `SEVERITY` on: error, warning or note", string(check.Error), string(check.Warning), string(check.Note)),
	)
}

func checkOutputFlags() []cli.Flag {
	return []cli.Flag{
		choiceFlag("format", "text", "write the report as `FORMAT`: "+oneOf(report.Formats()), report.Formats()...),
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the report to `FILE`; - is standard output"},
		&cli.StringFlag{Name: "summary", Usage: "append the report as Markdown to `FILE`, as $GITHUB_STEP_SUMMARY wants it"},
		countFlag("jobs", 0, 1, 4096, "check `N` models at a time; without it, as many as cores"),
		&cli.GenericFlag{Name: "memory", Value: &bound{whose: "machine's"}, Usage: "let networks that run take at most `X` bytes together, such as 2G or 50%; without it, the machine's memory"},
		progressFlag(),
	}
}

func (t *tool) check(c *cli.Context) error {
	out, err := t.reportOutput(c)
	if err != nil {
		return err
	}
	given, err := givenSettings(c)
	if err != nil {
		return err
	}
	found, err := t.models(c)
	if err != nil {
		return err
	}
	files, failOn, err := configured(c, found, given)
	if err != nil {
		return configError(err)
	}
	if slices.ContainsFunc(found, func(f check.Found) bool { return sameFile(f.Path, out.path) }) {
		return usagef("-o %s: is one of the models", out.path)
	}
	o := check.Options{Version: version, FailOn: failOn, Jobs: int(countOf(c, "jobs"))}
	if o.Memory, err = memoryLimit(c); err != nil {
		return err
	}
	for i := range files {
		if files[i].Path == stdio {
			if files[i], err = t.piped(c.Context, files[i]); err != nil {
				return err
			}
		}
	}
	shown := newProgress(t, choiceOf(c, "progress"))
	o.Progress = func(done, of int) { shown.count(done, of, "model") }
	r, err := check.Run(c.Context, files, o)
	shown.end()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		t.hint("nothing to check: no model changed since %s", c.String("changed-since"))
	}
	if err := t.writeReport(out, r); err != nil {
		return err
	}
	return verdict(r)
}

// A reportOutput says where reports go.
type reportOutput struct{ format, path, summary string }

func (t *tool) reportOutput(c *cli.Context) (reportOutput, error) {
	o := reportOutput{choiceOf(c, "format"), c.String("output"), c.String("summary")}
	if t.json && c.IsSet("format") && o.format != "json" {
		return o, usagef("--json and --format %s: want one of them", o.format)
	}
	if t.json {
		o.format = "json"
	}
	if c.IsSet("output") && o.path == "" {
		return o, usagef("-o: the name of the output is empty")
	}
	if c.IsSet("summary") && o.summary == "" {
		return o, usagef("--summary: the name of the file is empty")
	}
	if o.path == stdio {
		o.path = ""
	}
	return o, nil
}

// givenSettings are those of the flags.
func givenSettings(c *cli.Context) (list []check.Setting, err error) {
	for _, f := range settingFlags {
		if c.IsSet(f.name) {
			list = append(list, check.Setting{Key: f.name, Values: []string{c.String(f.name)}})
			if err := list[len(list)-1].Check(); err != nil {
				return nil, usagef("--%v", err)
			}
		}
	}
	if c.Bool("strict") {
		list = append(list, check.Setting{Key: "strict", Values: []string{"true"}})
	}
	if c.IsSet("disable") {
		for rule := range strings.SplitSeq(c.String("disable"), ",") {
			s := check.Setting{Key: "rules", Values: []string{strings.TrimSpace(rule), string(check.Off)}}
			var config *check.ConfigError
			if errors.As(s.Check(), &config) {
				return nil, &usageError{"--disable: " + config.Msg, config.Hint}
			}
			list = append(list, s)
		}
	}
	_, err = (*check.Config)(nil).For("", list)
	return list, configError(err)
}

// configError makes a fault of a configuration one of the user.
func configError(err error) error {
	var config *check.ConfigError
	if errors.As(err, &config) {
		return &usageError{config.Error(), config.Hint}
	}
	return err
}

// models lists what the arguments lead to.
func (t *tool) models(c *cli.Context) ([]check.Found, error) {
	args := c.Args().Slice()
	if len(args) == 0 {
		return nil, &usageError{"check wants at least one argument (IN...), found none", usageLine("natonnx check", c.Command)}
	}
	var list []check.Found
	for _, arg := range args {
		var found []check.Found
		var err error
		switch {
		case arg == "":
			return nil, usagef("check: the name is empty")
		case arg == stdio && c.IsSet("changed-since"):
			return nil, usagef("--changed-since: git does not know standard input")
		case arg == stdio:
			found = []check.Found{{Path: stdio, Rel: stdio}}
		default:
			if found, err = check.Find(c.Context, arg); err != nil {
				return nil, configError(err)
			}
		}
		if len(found) == 0 && !c.IsSet("changed-since") {
			return nil, &usageError{arg + ": there is nothing to check", "of a folder, the .onnx files below it are checked"}
		}
		list = append(list, found...)
	}
	list = check.Unique(list)
	if !c.IsSet("changed-since") {
		return list, nil
	}
	list, err := check.Changed(c.Context, list, c.String("changed-since"))
	return list, configError(err)
}

// configured finds out what is asked of each file, and from which severity on
// the run fails.
func configured(c *cli.Context, found []check.Found, given []check.Setting) ([]check.File, check.Severity, error) {
	configs := &configs{byFolder: map[string]*check.Config{}}
	if err := configs.read(c.String("config"), c.IsSet("config")); err != nil {
		return nil, "", err
	}
	failOn := check.Severity(choiceOf(c, "fail-on"))
	set, who := c.IsSet("fail-on"), ""
	var files []check.File
	for _, f := range found {
		config, err := configs.of(f.Path)
		if err != nil {
			return nil, "", err
		}
		if config.FailOn != "" && !c.IsSet("fail-on") {
			if set && config.FailOn != failOn {
				return nil, "", &usageError{fmt.Sprintf("%s says fail-on: %s, and %s says %s", config.Path, config.FailOn, who, failOn), "--fail-on decides"}
			}
			failOn, set, who = config.FailOn, true, config.Path
		}
		file := check.File{Path: f.Path}
		if file.Settings, err = config.For(f.Path, given); err != nil {
			return nil, "", err
		}
		base := cmp.Or(c.String("against"), config.Against)
		if err := against(&file, base, f, len(found)); err != nil {
			return nil, "", err
		}
		files = append(files, file)
	}
	return files, failOn, wantBase(c, files, given)
}

// against finds the base of a file.
func against(file *check.File, base string, f check.Found, files int) error {
	if base == "" {
		return nil
	}
	info, err := os.Stat(base)
	if err != nil {
		return err
	}
	if !info.IsDir() && files > 1 {
		return &usageError{fmt.Sprintf("--against %s: is one model, and there are %d to be compared with it", base, files), "name a folder with files of the same relative paths"}
	}
	file.Against, file.NoBase = check.Base(base, f)
	return nil
}

// wantBase refuses a comparison for which there is nothing.
func wantBase(c *cli.Context, files []check.File, given []check.Setting) error {
	base := c.String("against")
	if c.IsSet("against") && base == "" {
		return usagef("--against: the name is empty")
	}
	if base != "" && len(files) > 0 && !slices.ContainsFunc(files, func(f check.File) bool { return f.Against != "" }) {
		return &usageError{fmt.Sprintf("--against %s: has no model with the relative path of one that is checked, such as %s", base, files[0].Path),
			"name the folder that corresponds to IN"}
	}
	s, err := (*check.Config)(nil).For("", given)
	if err != nil {
		return err
	}
	if key := s.NeedsBase(); key != "" && !slices.ContainsFunc(files, func(f check.File) bool { return f.Against != "" || f.NoBase != "" }) {
		return &usageError{fmt.Sprintf("--%s %s: there is no base to compare with", key, c.String(key)), "name one with --against"}
	}
	return nil
}

// configs reads each configuration once.
type configs struct {
	fixed    *check.Config // of --config
	byFolder map[string]*check.Config
}

func (s *configs) read(path string, given bool) (err error) {
	switch {
	case !given:
	case path == "":
		return usagef("--config: the name is empty")
	case path == noPolicy:
		s.fixed = &check.Config{}
	default:
		s.fixed, err = check.ReadConfig(path)
	}
	return err
}

// of returns the configuration for a model.
func (s *configs) of(path string) (*check.Config, error) {
	if s.fixed != nil {
		return s.fixed, nil
	}
	dir := filepath.Dir(path)
	if path == stdio {
		dir = "."
	}
	if config := s.byFolder[dir]; config != nil {
		return config, nil
	}
	file, err := check.FindConfig(dir)
	if err != nil {
		return nil, err
	}
	config := &check.Config{}
	if file != "" {
		if config, err = check.ReadConfig(file); err != nil {
			return nil, err
		}
	}
	s.byFolder[dir] = config
	return config, nil
}

// piped reads standard input as one of the files.
func (t *tool) piped(ctx context.Context, f check.File) (check.File, error) {
	if isTerminal(t.in) {
		return f, &usageError{"standard input is a terminal, want a model", "redirect a file to it, or give the file's name in place of -"}
	}
	data, err := t.readStdin(ctx)
	f.Path, f.Data = "<stdin>", append([]byte{}, data...)
	return f, err
}

// writeReport writes the report where the user wants it. A summary is appended,
// since several steps of a job share the file.
func (t *tool) writeReport(out reportOutput, r *check.Report) error {
	o := report.Options{Detail: t.verbose, ExitCode: exitCode(verdict(r))}
	if out.summary != "" {
		if err := appendReport(out.summary, r, o); err != nil {
			return err
		}
	}
	if out.path == "" {
		if t.quiet && out.format == "text" {
			return nil
		}
		p := t.page()
		o.Width, o.Colour = p.width, p.colour
		return report.Write(t.out, out.format, r, o)
	}
	var b bytes.Buffer
	if err := report.Write(&b, out.format, r, o); err != nil {
		return err
	}
	if err := onnxgraph.WriteFile(out.path, b.Bytes()); err != nil {
		return dataError(err)
	}
	t.hint("wrote %s", out.path)
	return nil
}

func appendReport(path string, r *check.Report, o report.Options) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	return errors.Join(report.Write(f, "markdown", r, o), f.Close())
}

// A checkError says that models do not pass.
type checkError struct{ msg string }

func (e *checkError) Error() string { return e.msg }

// invalidRules are those that say that a file is no valid model.
var invalidRules = []string{"NAT001", "NAT002", "NAT003"}

// verdict is the error that the run ends with: that checks are violated; or
// else that models are invalid; or else that they cannot be read.
func verdict(r *check.Report) error {
	failed, violated, invalid := 0, false, false
	for _, result := range r.Results {
		if !result.Failed(r.FailOn) {
			continue
		}
		failed++
		for _, f := range result.Findings {
			switch {
			case !f.Severity.AtLeast(r.FailOn):
			case !slices.Contains(invalidRules, f.Rule):
				violated = true
			case result.Err == nil:
				invalid = true
			}
		}
	}
	msg := fmt.Sprintf("%d of %d models failed", failed, len(r.Results))
	if len(r.Results) == 1 {
		msg = "the model failed"
	}
	switch {
	case failed == 0:
		return nil
	case violated:
		return &checkError{msg}
	case invalid:
		return &modelError{msg + ": invalid, or no model at all"}
	}
	return &ioError{errors.New(msg + ": cannot be read")}
}
