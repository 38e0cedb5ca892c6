package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/transformer"
)

const readme = "../../README.md"

// The README's figures are those of this version; -update writes them anew.
func TestReadmeTable(t *testing.T) {
	if testing.Short() {
		t.Skip("builds networks of the usual sizes")
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "<!-- table -->\n")
	table, after, ok := strings.Cut(rest, "<!-- end -->")
	if !ok {
		t.Fatal("the README has no place for the table")
	}
	want := readmeTable(t)
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("the README says\n%s\nthis version does\n%s\nrun go test ./cmd/natonnx -run TestReadme -update", table, want)
	}
	if err := os.WriteFile(readme, []byte(before+"<!-- table -->\n"+want+"<!-- end -->"+after), 0o666); err != nil {
		t.Fatal(err)
	}
}

func readmeTable(t *testing.T) string {
	t.Helper()
	policy, err := transformer.Builtin(transformer.DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| network | cells | moves | not possible | parameters | multiply-adds | retraining |\n|---|---|---|---|---|---|---|\n")
	for _, name := range []string{"resnet20", "resnet18", "resnet50", "mobilenet_v2", "vgg16"} {
		m, err := fixtures.Build(name, fixtures.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := &decision{opt: transformer.Options{Policy: policy, Rules: transformer.NAT, Samples: 10}}
		if d.Plan, err = transformer.Choose(context.Background(), cellmap.Lift(m), d.opt); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s → %s | %s → %s | %s |\n", name, len(d.Map.Cells), len(d.Moves), len(d.Refused),
			amount(d.Before.Params), amount(d.After.Params), amount(d.Before.MAdds), amount(d.After.MAdds), d.retrain())
	}
	return b.String()
}

// The README lists the exit codes as the program does.
func TestReadmeExitCodes(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range exits {
		if row := fmt.Sprintf("| %d | %s |", e.code, e.meaning); !strings.Contains(string(text), row) {
			t.Errorf("the README does not say %s", row)
		}
	}
}

// The README's picture is what the program draws.
func TestReadmePicture(t *testing.T) {
	out := filepath.Join(t.TempDir(), "cells.svg")
	if *update {
		out = "../../docs/cells.svg"
	}
	if code := run([]string{"cells", "../../fixtures/resnet14.onnx", "-o", out, "-q"}); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/cells.svg")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/cells.svg is not what this version draws: run go test ./cmd/natonnx -run TestReadme -update")
	}
}
