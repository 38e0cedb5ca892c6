package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// A release says what the linker was told, which need not be a repository's commit.
func TestVersionOfARelease(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	path := filepath.Join(t.TempDir(), "natonnx.exe")
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.version=9.8.7 -X main.commit=0123456789abcdef", "-o", path, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(path, "version", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Version, Commit, OS string }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "9.8.7" || got.Commit != "0123456789ab" || got.OS != runtime.GOOS {
		t.Errorf("it says %+v", got)
	}
}
