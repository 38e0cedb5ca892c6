package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/urfave/cli/v2"
)

// outputFlags say where a rewritten model goes.
func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `OUT`; - is standard output; without it, IN with -nat.onnx for .onnx"},
		&cli.BoolFlag{Name: "in-place", Usage: "replace the input by the result"},
		&cli.BoolFlag{Name: "force", Usage: "replace an existing file even where -o does not name it"},
	}
}

// outputPath decides where the result for the input goes. A file that -o names
// is replaced, as other tools do; the input itself only with --in-place, and a
// file that nobody named only with --force.
func outputPath(c *cli.Context, in string) (string, error) {
	out, inPlace := c.String("output"), c.Bool("in-place")
	switch {
	case inPlace && in == stdio:
		return "", usagef("--in-place: standard input cannot be replaced")
	case inPlace && out != "" && !sameFile(in, out):
		return "", usagef("--in-place and -o %s: want one of them", out)
	case inPlace:
		return in, nil
	case c.IsSet("output") && out == "":
		return "", usagef("-o: the name of the output is empty")
	case out == "" && in == stdio:
		return stdio, nil
	case out == "":
		out = strings.TrimSuffix(in, ".onnx") + "-nat.onnx"
		if exists(out) && !c.Bool("force") {
			return "", &usageError{out + " exists already", "name it with -o, or add --force, to replace it"}
		}
	case sameFile(in, out):
		return "", &usageError{fmt.Sprintf("-o %s: is the input", out), "add --in-place to replace it"}
	}
	return out, nil
}

// write writes a model that is whole or not there at all.
func (t *tool) write(ctx context.Context, m *onnxgraph.Model, path string) error {
	if path == stdio {
		if hasExternalData(m) {
			return &ioError{errors.New("standard output: a model with external data can only be written to a file; name one with -o")}
		}
		if _, err := m.WriteTo(&cancelled{t.out, ctx}); err != nil {
			return &ioError{fmt.Errorf("standard output: %w", err)}
		}
		return t.out.Flush()
	}
	return save(ctx, m, path)
}

// save writes a model to a file.
func save(ctx context.Context, m *onnxgraph.Model, path string) error {
	err := m.Save(ctx, path)
	if _, ok := err.(*fs.PathError); err == nil || ok {
		return err
	}
	return &ioError{err}
}

// writable refuses to pour a model over somebody's terminal.
func writable(path string) error {
	if path == stdio && isTerminal(os.Stdout) {
		return &usageError{"standard output is a terminal, which cannot show a model", "redirect it, or name a file with -o"}
	}
	return nil
}

// cancelled is a writer that stops when a context ends.
type cancelled struct {
	io.Writer
	ctx context.Context
}

func (w *cancelled) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}
