package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/fleet/batch"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/epochs"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/natonnx/natonnx/train/search"
	"github.com/natonnx/natonnx/transformer"
)

// The exit codes are part of the public interface: scripts rely on them.
const (
	exitDone        = 0
	exitInternal    = 1
	exitUsage       = 2
	exitModel       = 3
	exitGuard       = 4
	exitBounds      = 5
	exitBatch       = 6
	exitIO          = 7
	exitInterrupted = 130
)

// exits says what each code means and which errors lead to it. An error that
// fits nowhere is internal.
var exits = []struct {
	code    int
	meaning string
	is      func(error) bool
}{
	{exitDone, "done, or there was nothing to do", nil},
	{exitInternal, "internal error: please report it", nil},
	{exitUsage, "wrong usage", either(is[*usageError], is[*measure.MisfitError], is[*compress.DataError], is[*epochs.DataError])},
	{exitModel, "the model is invalid or not supported", either(is[*onnxgraph.FormatError], is[*onnxgraph.InvalidError], is[*modelError], is[*runError], is[*compress.NetworkError])},
	{exitGuard, "the accuracy guard refused", is[*guardError]},
	{exitBounds, "a bound cannot be kept, or a check found something", either(is[*checkError], func(err error) bool { return errors.Is(err, transformer.ErrBounds) || errors.Is(err, search.ErrBudget) }, is[*engine.MemoryError], is[*batch.BudgetError], is[*batch.TimeoutError])},
	{exitBatch, "some files of a batch failed", is[*batchError]},
	{exitIO, "a file could not be read or written", either(is[*fs.PathError], is[*os.LinkError], is[*os.SyscallError], is[syscall.Errno], is[*ioError], is[*dataset.SampleError], is[*batch.OccupiedError])},
	{exitInterrupted, "interrupted", func(err error) bool { return errors.Is(err, context.Canceled) }},
}

// exitCode finds the code of an error. The table is searched from its end,
// since an interruption explains every error that it causes.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	for _, e := range slices.Backward(exits) {
		if e.is != nil && e.is(err) {
			return e.code
		}
	}
	return exitInternal
}

func is[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}

func either(tests ...func(error) bool) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(tests, func(test func(error) bool) bool { return test(err) })
	}
}

// A usageError is a mistake on the command line. The hint says what to do instead.
type usageError struct{ msg, hint string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) *usageError {
	return &usageError{msg: fmt.Sprintf(format, args...)}
}

// A modelError is a model that is valid and yet cannot be worked on.
type modelError struct{ msg string }

func (e *modelError) Error() string { return e.msg }

// A runError is a model that is valid and yet cannot be run.
type runError struct{ error }

func (e *runError) Unwrap() error { return e.error }

// An ioError is a failure to read or write whose cause is no error of the
// operating system.
type ioError struct{ error }

func (e *ioError) Unwrap() error { return e.error }
