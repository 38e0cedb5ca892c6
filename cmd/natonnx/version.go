package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// version is that of the program, and part of what it notes in the models that
// it writes. A release is built with -ldflags "-X main.version=... -X
// main.commit=..."; the latter is for builds that see no repository.
var version, commit = "0.1.0", ""

func (t *tool) versionCommand() *cli.Command {
	return &cli.Command{Name: "version", Usage: "show the version, the commit and the Go version", Description: "-q prints the version alone.", Action: t.showVersion}
}

func (t *tool) showVersion(c *cli.Context) error {
	if _, err := arguments(c, 0); err != nil {
		return err
	}
	built, modified := build()
	if t.json {
		return t.writeJSON(struct {
			Schema   schemaV1 `json:"schema_version"`
			Version  string   `json:"version"`
			Commit   string   `json:"commit"`
			Modified bool     `json:"modified"`
			Go       string   `json:"go"`
			OS       string   `json:"os"`
			Arch     string   `json:"arch"`
		}{schemaV1{}, version, built, modified, runtime.Version(), runtime.GOOS, runtime.GOARCH})
	}
	if t.quiet {
		fmt.Fprintln(t.out, version)
		return nil
	}
	if built == "" {
		built = "unknown commit"
	}
	if modified {
		built += ", with changes"
	}
	fmt.Fprintf(t.out, "natonnx %s (%s) %s %s/%s\n", version, built, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// build returns the commit that the program was built from, or the version of
// the module where it was built from that, and whether the working tree was
// modified; all as far as the linker or Go noted it.
func build() (revision string, modified bool) {
	revision = commit
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return abbreviated(revision), false
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if module := info.Main.Version; revision == "" && module != "(devel)" {
		return module, modified
	}
	return abbreviated(revision), modified
}

func abbreviated(revision string) string { return revision[:min(12, len(revision))] }
