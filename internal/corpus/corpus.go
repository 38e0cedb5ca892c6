// Package corpus finds the real models and data that tests run on. None of them
// is part of the project: where they are absent, tests skip and say what is missing.
package corpus

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Conformance returns the paths of the ONNX project's test models, as Debian's
// package libonnx-testdata installs them, or those under $ONNX_TESTDATA.
func Conformance(t testing.TB) []string {
	t.Helper()
	dir := os.Getenv("ONNX_TESTDATA")
	if dir == "" {
		dir = "/usr/share/libonnx-testdata"
	}
	return models(t, dir, "install libonnx-testdata, or set ONNX_TESTDATA to its folder")
}

// Models returns the paths of the real models in the folder shared/models
// beside the checkout.
func Models(t testing.TB) []string {
	t.Helper()
	return models(t, Shared("models"), "real models stand beside the authors' checkout only")
}

// Shared returns a path in the folder shared beside the checkout, whether it exists or not.
func Shared(parts ...string) string {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Dir(filepath.Dir(filepath.Dir(here)))
	return filepath.Join(append([]string{filepath.Dir(root), "shared"}, parts...)...)
}

// Need returns a path in the folder shared, or skips the test where it is absent.
func Need(t testing.TB, parts ...string) string {
	t.Helper()
	path := Shared(parts...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there: it stands beside the authors' checkout only", path)
	}
	return path
}

func models(t testing.TB, dir, hint string) []string {
	t.Helper()
	var out []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".onnx") {
			out = append(out, path)
		}
		return nil
	})
	if len(out) == 0 {
		t.Skipf("no models in %s: %s", dir, hint)
	}
	return out
}
