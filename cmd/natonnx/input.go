package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"github.com/natonnx/natonnx/onnxgraph"
)

// stdio is how standard input and output are named on the command line.
const stdio = "-"

// maxInput bounds a model from standard input, which is held in memory: ONNX
// files end at 2 GiB.
const maxInput = 1<<31 - 1

// open reads a model and checks all of it. Where it is readable but invalid,
// the model comes with the error.
func (t *tool) open(ctx context.Context, path string) (*onnxgraph.Model, error) {
	m, err := t.read(ctx, path)
	if err != nil {
		return nil, err
	}
	return m, m.Validate()
}

func (t *tool) read(ctx context.Context, path string) (*onnxgraph.Model, error) {
	if path != stdio {
		return onnxgraph.Open(path)
	}
	if isTerminal(t.in) {
		return nil, &usageError{"standard input is a terminal, want a model", "redirect a file to it, or give the file's name in place of -"}
	}
	data, err := t.readStdin(ctx)
	if err != nil {
		return nil, err
	}
	return onnxgraph.Parse("standard input", data)
}

// readStdin reads all of standard input, and stops waiting for it when the
// context ends.
func (t *tool) readStdin(ctx context.Context) ([]byte, error) {
	var b bytes.Buffer
	if info, err := t.in.Stat(); err == nil && info.Mode().IsRegular() && info.Size() < maxInput {
		b.Grow(int(info.Size()) + bytes.MinRead)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.ReadFrom(io.LimitReader(t.in, maxInput+1))
		done <- err
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-done:
		if err == nil && b.Len() > maxInput {
			err = &onnxgraph.FormatError{File: "standard input", Msg: "is longer than 2 GiB, where ONNX files end"}
		}
		return b.Bytes(), err
	}
}

// sameFile reports whether two paths lead to one existing file.
func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
