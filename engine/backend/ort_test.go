//go:build ort && cgo

package backend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLibraryIsFound(t *testing.T) {
	env := t.TempDir()
	capi := filepath.Join(env, "lib", "python3.99", "site-packages", "onnxruntime", "capi")
	if err := os.MkdirAll(capi, 0o777); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(capi, strings.ReplaceAll(ortFile(), "*", ""))
	if err := os.WriteFile(library, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv(ORTVariable, "")
	t.Setenv("VIRTUAL_ENV", env)
	if path, err := ortLibrary(); err != nil || path != library {
		t.Errorf("in the virtual environment: %q, %v", path, err)
	}
	t.Setenv("VIRTUAL_ENV", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	if _, err := ortLibrary(); err == nil || !strings.Contains(err.Error(), ORTVariable) {
		t.Errorf("nowhere: %v", err)
	}
	t.Setenv(ORTVariable, library)
	if path, err := ortLibrary(); err != nil || path != library {
		t.Errorf("as named: %q, %v", path, err)
	}
	t.Setenv(ORTVariable, filepath.Join(env, "absent"))
	if _, err := ortLibrary(); err == nil || !strings.Contains(err.Error(), "absent: is no file") {
		t.Errorf("a wrong name: %v", err)
	}
}
