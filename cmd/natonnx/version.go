package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// version is that of the program, and part of what it notes in the models that
// it writes.
const version = "0.1.0"

func (t *tool) versionCommand() *cli.Command {
	return &cli.Command{Name: "version", Usage: "show the version, the commit and the Go version", Action: t.showVersion}
}

func (t *tool) showVersion(c *cli.Context) error {
	if _, err := arguments(c, 0); err != nil {
		return err
	}
	commit, modified := build()
	if t.json {
		return t.writeJSON(struct {
			Version  string `json:"version"`
			Commit   string `json:"commit"`
			Modified bool   `json:"modified"`
			Go       string `json:"go"`
			OS       string `json:"os"`
			Arch     string `json:"arch"`
		}{version, commit, modified, runtime.Version(), runtime.GOOS, runtime.GOARCH})
	}
	if commit == "" {
		commit = "unknown commit"
	}
	if modified {
		commit += ", with changes"
	}
	fmt.Fprintf(t.out, "natonnx %s (%s) %s %s/%s\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// build returns the commit that the program was built from, where Go noted it,
// and whether the working tree was modified.
func build() (commit string, modified bool) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", false
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	return commit, modified
}
