package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
)

// BenchmarkPlanResNet50 is the whole process: start, read, validate, lift,
// decide, print. cat of the same file, beside it, is what a process costs at all.
func BenchmarkPlanResNet50(b *testing.B) {
	dir := b.TempDir()
	program, model := filepath.Join(dir, "natonnx"), filepath.Join(dir, "resnet50.onnx")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	m, err := fixtures.Build("resnet50", fixtures.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Save(context.Background(), model); err != nil {
		b.Fatal(err)
	}
	for _, args := range [][]string{{program, "plan", model}, {"cat", model}} {
		b.Run(filepath.Base(args[0]), func(b *testing.B) {
			for b.Loop() {
				if err := exec.Command(args[0], args[1:]...).Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
