//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
)

// Every exit code is one that the program really ends with. Those of panics and
// signals have tests of their own (app_test.go, interrupt_test.go).
func TestEveryExitCodeHappens(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "zoo", "broken.onnx")
	must(t, os.Mkdir(filepath.Dir(broken), 0o777))
	must(t, os.WriteFile(broken, []byte("no model"), 0o666))
	net, data := filepath.Join(dir, "net.onnx"), filepath.Join(dir, "data.npy")
	m, err := fixtures.Build("resnet14", fixtures.Options{Width: 0.5, Dialect: fixtures.Dialect{FoldBN: true}})
	must(t, err)
	must(t, m.Save(t.Context(), net))
	must(t, os.WriteFile(data, array("60,3,32,32", waveImages(60)), 0o666))
	const model = "../../fixtures/resnet14.onnx"
	ways := map[int][]string{
		exitDone:   {"plan", model},
		exitUsage:  {"plan", model, "--bogus"},
		exitModel:  {"inspect", broken},
		exitGuard:  {"optimize", net, "-o", filepath.Join(dir, "out.onnx"), "--data", data, "--evals", "2", "--max-madds", "30%", "--max-drop", "0"},
		exitBounds: {"plan", model, "--max-madds", "1k"},
		exitBatch:  {"batch", filepath.Dir(broken), "-o", filepath.Join(dir, "out")},
		exitIO:     {"inspect", filepath.Join(dir, "missing.onnx")},
	}
	for _, e := range exits {
		if e.code == exitInternal || e.code == exitInterrupted {
			continue
		}
		args := ways[e.code]
		if args == nil {
			t.Errorf("nothing ends with code %d", e.code)
			continue
		}
		c := program(t, args...)
		out, _ := c.CombinedOutput()
		if got := c.ProcessState.ExitCode(); got != e.code {
			t.Errorf("natonnx %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, e.code, out)
		}
	}
}
