//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/onnxgraph"
)

// program runs this test binary as natonnx; testscript goes by the name.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "natonnx")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return exec.Command(path, args...)
}

// Waiting for standard input ends at once when the user interrupts it.
func TestInterruptedWhileReading(t *testing.T) {
	c := program(t, "inspect", "-")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var log strings.Builder
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	c.Process.Signal(os.Interrupt)
	if code := exitOf(t, c); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	if got := log.String(); got != "natonnx: interrupted\n" {
		t.Errorf("it says %q", got)
	}
}

// However early or late a write is interrupted, the file is whole or not there,
// and nothing else is left behind.
func TestInterruptedWhileWriting(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a large file many times")
	}
	m, err := fixtures.Build("resnet34", fixtures.Options{Width: 0.75})
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(t.TempDir(), "in.onnx")
	if err := m.Save(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(in)
	if err != nil {
		t.Fatal(err)
	}
	interrupted := 0
	for try := range 12 {
		dir := t.TempDir()
		c := program(t, "optimize", in, "--policy", "none", "-q", "-o", filepath.Join(dir, "out.onnx"))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for !appeared(dir) {
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Duration(try) * time.Millisecond)
		c.Process.Signal(syscall.SIGTERM)
		code := exitOf(t, c)
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case code == exitInterrupted && len(list) == 0:
			interrupted++
		case code == exitDone && len(list) == 1 && list[0].Name() == "out.onnx":
			if out, err := list[0].Info(); err != nil || out.Size() != info.Size() {
				t.Errorf("%d bytes were written of %d", out.Size(), info.Size())
			}
		default:
			t.Errorf("exit code %d, and the folder holds %v", code, list)
		}
	}
	t.Logf("%d of 12 writes were interrupted", interrupted)
}

// appeared reports whether anything is in the folder.
func appeared(dir string) bool {
	list, _ := os.ReadDir(dir)
	return len(list) > 0
}

func exitOf(t *testing.T, c *exec.Cmd) int {
	t.Helper()
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode()
}

// An interrupted measurement tells what it measured until then.
func TestInterruptedWhileMeasuring(t *testing.T) {
	dir := t.TempDir()
	m, err := fixtures.Build("resnet56", fixtures.Options{})
	if err != nil {
		t.Fatal(err)
	}
	model, data := filepath.Join(dir, "net.onnx"), filepath.Join(dir, "data.bin")
	if err := m.Save(context.Background(), model); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, make([]byte, 20000*3073), 0o666); err != nil {
		t.Fatal(err)
	}
	c := program(t, "eval", model, "--data", data, "--preprocess", "none", "--progress", "plain")
	var out strings.Builder
	c.Stdout = &out
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), "of 20000 samples") {
	}
	c.Process.Signal(os.Interrupt)
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if code := exitOf(t, c); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	if last != "natonnx: interrupted" || !strings.Contains(out.String(), "\ninterrupted after ") || !strings.Contains(out.String(), "  top-1 ") {
		t.Errorf("it says\n%s\n%s", out.String(), last)
	}
}

// A search that is interrupted ends with the best so far, which is written.
func TestInterruptedWhileCompressing(t *testing.T) {
	dir := t.TempDir()
	m, err := fixtures.Build("resnet20", fixtures.Options{Dialect: fixtures.Dialect{FoldBN: true}})
	must(t, err)
	model, data, result := filepath.Join(dir, "net.onnx"), filepath.Join(dir, "data.bin"), filepath.Join(dir, "out.onnx")
	must(t, m.Save(t.Context(), model))
	must(t, os.WriteFile(data, make([]byte, 60*3073), 0o666))
	c := program(t, "optimize", model, "-o", result, "--data", data, "--preprocess", "none", "--evals", "1000000", "--max-madds", "80%", "--max-drop", "100", "--progress", "plain")
	var out strings.Builder
	c.Stdout = &out
	log, err := c.StderrPipe()
	must(t, err)
	must(t, c.Start())
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), "searching ") {
	}
	c.Process.Signal(os.Interrupt)
	var rest []string
	for lines.Scan() {
		rest = append(rest, lines.Text())
	}
	said := strings.Join(rest, "\n")
	if code := exitOf(t, c); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	if !strings.Contains(said, "interrupted: the best so far is being finished; another Ctrl-C stops at once\n") || !strings.HasSuffix(said, "natonnx: interrupted") {
		t.Errorf("it says %s", said)
	}
	if !strings.Contains(out.String(), "\ninterrupted: this is the best that was found until then\n") || !strings.Contains(out.String(), "\nwrote "+result) {
		t.Errorf("it reports\n%s", out.String())
	}
	after, err := onnxgraph.Open(result)
	must(t, err)
	must(t, after.Validate())
	if is, was := after.Cost(after.Infer()).MAdds, m.Cost(m.Infer()).MAdds; float64(is) > 0.8*float64(was) {
		t.Errorf("the result has %d multiply-adds of %d, want 80%% or less", is, was)
	}
}
