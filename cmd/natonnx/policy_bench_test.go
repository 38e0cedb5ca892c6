//go:build unix

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// An interrupted bench ends at once; what was trained until then is kept, whole.
func TestInterruptedWhileBenching(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a policy")
	}
	dir := t.TempDir()
	table, kept := filepath.Join(dir, "table.csv"), filepath.Join(dir, "kept")
	must(t, os.WriteFile(table, []byte(tableOf201()), 0o666))
	c := program(t, "policy", "bench", "--data", table, "--policy", "none", "--train", "gcn", "--steps", "1", "--seeds", "1000", "--keep", kept, "--progress", "plain")
	var out strings.Builder
	c.Stdout = &out
	log, err := c.StderrPipe()
	must(t, err)
	must(t, c.Start())
	lines := bufio.NewScanner(log)
	done := regexp.MustCompile(fmt.Sprintf(`: %d of 1000 steps`, runtime.GOMAXPROCS(0)+1)) // so that one is kept
	for lines.Scan() && !done.MatchString(lines.Text()) {
	}
	c.Process.Signal(os.Interrupt)
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if code := exitOf(t, c); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	if last != "natonnx: interrupted" || out.String() != "" {
		t.Errorf("it says %q and then %q", out.String(), last)
	}
	files, err := filepath.Glob(filepath.Join(kept, "*"))
	must(t, err)
	if len(files) == 0 || !strings.Contains(strings.Join(files, " "), "gcn-nat-1-steps-seed-") {
		t.Errorf("kept %v", files)
	}
	for _, f := range files {
		if !strings.HasSuffix(f, ".json") && !strings.HasSuffix(f, ".onnx") {
			t.Errorf("%s was left behind", f)
		}
	}
}
