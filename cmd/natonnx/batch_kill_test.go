//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/fleet/batch"
)

// A batch that is killed at any time, again and again, comes to the same end as
// one that nobody disturbs, and does nothing twice that it has finished.
func TestBatchSurvivesKill(t *testing.T) {
	zoo, calm, killed := t.TempDir(), filepath.Join(t.TempDir(), "calm"), filepath.Join(t.TempDir(), "killed")
	models := 40
	if testing.Short() {
		models = 20
	}
	makeZoo(t, zoo, models)
	began := time.Now()
	want := batchReport(t, zoo, calm)
	whole := time.Since(began)
	outputs := outputsIn(t, calm)
	if len(outputs) != models {
		t.Fatalf("%d outputs of %d models", len(outputs), models)
	}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	finished := map[string]time.Time{}
	kills := 0
	for range 10 {
		c := batchOf(t, zoo, killed)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.Int64N(int64(whole)/4 + 1)))
		c.Process.Kill()
		err := c.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			kills++
		}
		for name, content := range outputsIn(t, killed) {
			if outputs[name] != content {
				t.Errorf("seed %d: a killed run left %s, which is not whole", seed, name)
			}
		}
		for name, when := range doneRecords(t, killed) {
			if before, ok := finished[name]; ok && !before.Equal(when) && isWhole(t, killed, name) {
				t.Errorf("seed %d: %s was done twice", seed, name)
			}
			if isWhole(t, killed, name) {
				finished[name] = when
			}
		}
	}
	got := batchReport(t, zoo, killed)
	t.Logf("seed %d: %d of 10 runs were killed; %d of %d models were finished before the last run", seed, kills, len(finished), models)
	for name, when := range doneRecords(t, killed) {
		if before, ok := finished[name]; ok && !before.Equal(when) {
			t.Errorf("seed %d: %s was done twice", seed, name)
		}
	}
	if fmt.Sprint(outputsIn(t, killed)) != fmt.Sprint(outputs) {
		t.Errorf("seed %d: the trees differ", seed)
	}
	for i, row := range got.Rows {
		if other := want.Rows[i]; row.Name != other.Name || row.Digest != other.Digest || fmt.Sprint(row.Outputs) != fmt.Sprint(other.Outputs) || *row.Moves != *other.Moves {
			t.Errorf("seed %d: the reports differ in %s", seed, row.Name)
		}
	}
	if _, err := os.Stat(filepath.Join(killed, ".natonnx", "work")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("seed %d: there is litter, or %v", seed, err)
	}
}

// A batch that is interrupted ends soon, says how to go on, and reports what is done.
func TestBatchInterrupted(t *testing.T) {
	zoo, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	makeZoo(t, zoo, 60)
	report := filepath.Join(t.TempDir(), "r.json")
	c := program(t, "batch", zoo, "-o", out, "--jobs", "1", "--drift", "on", "--report", report)
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for len(doneRecords(t, out)) < 3 {
		time.Sleep(time.Millisecond)
	}
	c.Process.Signal(os.Interrupt)
	began := time.Now()
	code := exitOf(t, c)
	if took := time.Since(began); code != exitInterrupted || took > 5*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
	if !strings.Contains(stdout.String(), "  not reached  ") || stderr.String() != "the same command goes on where this one stopped\nnatonnx: interrupted\n" {
		t.Errorf("it says\n%s\n%s", stdout.String(), stderr.String())
	}
	r := readReport(t, report)
	if !r.Interrupted || len(r.Rows) == 0 || len(r.Rows)+r.Remaining != 60 || r.Counts[batch.Failed] != 0 {
		t.Errorf("%d rows, %d remaining, %v", len(r.Rows), r.Remaining, r.Counts)
	}
	if rest := batchReport(t, zoo, out); rest.Counts[batch.Skipped] < len(r.Rows) || rest.Bad() > 0 {
		t.Errorf("after %d rows: %v", len(r.Rows), rest.Counts)
	}
}

// makeZoo makes small networks that differ in their weights.
func makeZoo(t *testing.T, dir string, models int) {
	t.Helper()
	for i := range models {
		m, err := fixtures.Build("resnet14", fixtures.Options{Width: 0.5, Seed: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprintf("%d/net%d.onnx", i%7, i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), m.Save(context.Background(), path)); err != nil {
			t.Fatal(err)
		}
	}
}

func batchOf(t *testing.T, zoo, out string, more ...string) *exec.Cmd {
	return program(t, append([]string{"batch", zoo, "-o", out, "--jobs", "2"}, more...)...)
}

// batchReport runs a batch to its end.
func batchReport(t *testing.T, zoo, out string) *batch.Report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.json")
	if text, err := batchOf(t, zoo, out, "--report", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return readReport(t, path)
}

func readReport(t *testing.T, path string) *batch.Report {
	t.Helper()
	data, err := os.ReadFile(path)
	r := &batch.Report{}
	if err := errors.Join(err, json.Unmarshal(data, r)); err != nil {
		t.Fatal(err)
	}
	return r
}

// outputsIn returns the outputs in a folder.
func outputsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // killed before it made the folder
		case err == nil && d.Name() == ".natonnx":
			return fs.SkipDir
		case err != nil || d.IsDir():
			return err
		}
		data, err := os.ReadFile(path)
		found[strings.TrimPrefix(path, dir)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// doneRecords returns when each record was written.
func doneRecords(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(dir, ".natonnx", "done"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	found := map[string]time.Time{}
	for _, e := range list {
		if info, err := e.Info(); err == nil {
			found[e.Name()] = info.ModTime()
		}
	}
	return found
}

// isWhole reports whether the outputs that a record claims are there: it is
// written just before they get their names.
func isWhole(t *testing.T, dir, record string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, ".natonnx", "done", record))
	var claim struct{ Outputs []batch.Output }
	if err := errors.Join(err, json.Unmarshal(data, &claim)); err != nil {
		t.Fatal(err)
	}
	for _, out := range claim.Outputs {
		if info, err := os.Stat(filepath.Join(dir, out.Path)); err != nil || info.Size() != out.Bytes {
			return false
		}
	}
	return true
}
