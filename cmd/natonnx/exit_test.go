package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
)

func TestExitCodes(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything else"), 1},
		{usagef("wrong"), 2},
		{&onnxgraph.FormatError{File: "x", Msg: "y"}, 3},
		{&onnxgraph.InvalidError{Problems: []onnxgraph.Problem{{Msg: "y"}}}, 3},
		{fmt.Errorf("in between: %w", &onnxgraph.FormatError{Msg: "y"}), 3},
		{fmt.Errorf("x: %w", transformer.ErrBounds), 5},
		{missing, 7},
		{fmt.Errorf("policy: %w", missing), 7},
		{syscall.ENOSPC, 7},
		{&ioError{errors.New("exists with other content")}, 7},
		{context.Canceled, 130},
		{&ioError{fmt.Errorf("x: %w", context.Canceled)}, 130},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%v: exit code %d, want %d", test.err, got, test.want)
		}
	}
}

func TestExitTableIsComplete(t *testing.T) {
	var codes []int
	for _, e := range exits {
		codes = append(codes, e.code)
	}
	if want := []int{0, 1, 2, 3, 4, 5, 6, 7, 130}; !slices.Equal(codes, want) {
		t.Errorf("codes %v, want %v", codes, want)
	}
}
