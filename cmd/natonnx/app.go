package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// A tool is one run of the program. Results go to out, all else to log.
type tool struct {
	in    *os.File
	out   *bufio.Writer // on standard output
	log   io.Writer     // standard error
	verbs []*cli.Command

	// Of the command that runs:
	quiet, verbose, json bool
}

func newTool() *tool {
	t := &tool{in: os.Stdin, out: bufio.NewWriterSize(os.Stdout, 1<<16), log: os.Stderr}
	t.verbs = []*cli.Command{
		t.optimizeCommand(), t.planCommand(), t.inspectCommand(), t.cellsCommand(), t.evalCommand(),
		t.checkCommand(), t.diffCommand(), t.explainCommand(), t.replayCommand(), t.batchCommand(),
		t.trainCommand(), t.policyCommand(), t.doctorCommand(), t.versionCommand(), t.completionCommand(),
	}
	eachCommand(t.verbs, func(c *cli.Command) {
		if c.Action == nil {
			return // holds other verbs
		}
		c.Flags = append(c.Flags, commonFlags()...)
		action := c.Action
		c.Action = func(c *cli.Context) error {
			t.quiet, t.verbose, t.json = c.Bool("quiet"), c.Bool("verbose"), c.Bool("json")
			return action(c)
		}
	})
	return t
}

// run runs the program and returns its exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	t := newTool()
	err := t.do(ctx, args)
	if flushed := t.out.Flush(); flushed != nil && err == nil {
		err = flushed
	}
	if errors.Is(err, syscall.EPIPE) {
		return exitDone // the reader has seen enough
	}
	t.explain(err)
	return exitCode(err)
}

// do runs the command that the arguments name. A panic becomes an error.
func (t *tool) do(ctx context.Context, args []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if os.Getenv("NATONNX_TRACE") != "" {
				t.log.Write(debug.Stack())
			}
			err = fmt.Errorf("%v", p)
		}
	}()
	line, err := arrange(t.verbs, args)
	if err != nil {
		return err
	}
	c := line.command()
	if line.help || c == nil || c.Action == nil {
		t.help(line)
		return nil
	}
	app := &cli.App{
		Name: "natonnx", Commands: t.verbs, HideHelp: true, HideVersion: true, Writer: io.Discard, ErrWriter: io.Discard,
		ExitErrHandler: func(*cli.Context, error) {},
	}
	eachCommand(t.verbs, func(c *cli.Command) {
		c.HideHelp = true
		c.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return badValue(line.verbs(), err) }
	})
	return app.RunContext(ctx, append([]string{"natonnx"}, line.args...))
}

// explain writes an error as one line, and a hint as a second one.
func (t *tool) explain(err error) {
	if err == nil {
		return
	}
	msg, hint := message(err), ""
	if usage, ok := err.(*usageError); ok {
		hint = usage.hint
	}
	switch exitCode(err) {
	case exitInterrupted:
		msg = "interrupted"
	case exitInternal:
		msg = "internal error: " + msg
		hint = "this is a fault of natonnx " + version + ": please report it, with the command and the model if you can"
	}
	fmt.Fprintf(t.log, "natonnx: %s\n", clean(msg))
	if hint != "" {
		fmt.Fprintln(t.log, clean(hint))
	}
}

// message is an error as people read it.
func message(err error) string {
	if path, ok := err.(*fs.PathError); ok {
		return path.Path + ": " + path.Err.Error() // what the system was asked to do matters little
	}
	return err.Error()
}

// page returns where the command writes its results for people.
func (t *tool) page() *page {
	return &page{w: t.out, width: width(os.Stdout), colour: colour(os.Stdout)}
}

// logPage returns where what is no result goes.
func (t *tool) logPage() *page {
	return &page{w: t.log, width: width(os.Stderr), colour: colour(os.Stderr)}
}

// hint tells people what they can do next.
func (t *tool) hint(format string, args ...any) {
	if !t.quiet && !t.json {
		t.out.Flush() // results first, where both go to one terminal
		t.logPage().text(0, format, args...)
	}
}

// writeJSON writes the one JSON document that is the result of a command.
func (t *tool) writeJSON(v any) error { return writeJSON(t.out, v) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// arguments returns the positional arguments if there are as many as wanted.
func arguments(c *cli.Context, want int) ([]string, error) {
	if n := c.NArg(); n != want {
		found := "none"
		if n > 0 {
			found = fmt.Sprintf("%d: %q", n, c.Args().Slice())
		}
		wanted := "no arguments"
		switch want {
		case 1:
			wanted = "one argument (" + firstWord(c.Command.ArgsUsage) + ")"
		case 2:
			words := strings.Fields(c.Command.ArgsUsage)
			wanted = fmt.Sprintf("two arguments (%s and %s)", words[0], words[1])
		}
		name := c.Command.HelpName
		return nil, &usageError{fmt.Sprintf("%s wants %s, found %s", strings.TrimPrefix(name, "natonnx "), wanted, found), usageLine(name, c.Command)}
	}
	for _, arg := range c.Args().Slice() {
		if arg == "" {
			return nil, usagef("%s: the name is empty", strings.TrimPrefix(c.Command.HelpName, "natonnx "))
		}
	}
	return c.Args().Slice(), nil
}
