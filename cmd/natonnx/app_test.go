package main

import (
	"context"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestPanicIsAnInternalError(t *testing.T) {
	var log strings.Builder
	tool := newTool()
	tool.log = &log
	named(tool.verbs, "version").Action = func(*cli.Context) error { panic("out of ideas") }
	err := tool.do(context.Background(), []string{"version"})
	if code := exitCode(err); code != exitInternal {
		t.Errorf("exit code %d, want %d", code, exitInternal)
	}
	tool.explain(err)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || lines[0] != "natonnx: internal error: out of ideas" || !strings.Contains(lines[1], "please report it") || !strings.Contains(lines[1], version) {
		t.Errorf("it says %q", lines)
	}
}
