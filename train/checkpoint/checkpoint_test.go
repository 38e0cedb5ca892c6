package checkpoint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/train/checkpoint"
)

type state struct {
	Step   int
	Values map[string][]float32
}

func TestFile(t *testing.T) {
	f := checkpoint.File[state]{Path: filepath.Join(t.TempDir(), "new", "a.state"), Of: "a training"}
	if s, err := f.Load(); s != nil || err != nil {
		t.Fatalf("before the first: %v, %v", s, err)
	}
	for step := range 3 {
		if err := f.Save(&state{step, map[string][]float32{"w": {1.5, float32(step)}}}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := f.Load()
	if err != nil || s.Step != 2 || s.Values["w"][1] != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	if files, _ := os.ReadDir(filepath.Dir(f.Path)); len(files) != 1 {
		t.Errorf("%d files", len(files))
	}
	other := f
	other.Of = "another"
	if _, err := other.Load(); err == nil || !strings.Contains(err.Error(), "is the state of another training (a training), want another") {
		t.Error(err)
	}
	data, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data { // cut short anywhere
		if err := os.WriteFile(f.Path, data[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Load(); err == nil || !strings.Contains(err.Error(), "is no state of a training, or damaged") {
			t.Fatalf("%d bytes of %d: %v", n, len(data), err)
		}
	}
	var nowhere checkpoint.File[state]
	if s, err := nowhere.Load(); s != nil || err != nil || nowhere.Save(&state{}) != nil {
		t.Errorf("nowhere: %v, %v", s, err)
	}
}
