package diff

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/onnxgraph"
)

// pairOf writes a network twice, the second time with one large tensor replaced.
func pairOf(b *testing.B, name string) (before, after *onnxgraph.Model) {
	b.Helper()
	dir := b.TempDir()
	m, err := fixtures.Build(name, fixtures.Options{})
	if err != nil {
		b.Fatal(err)
	}
	largest := m.Graph.Initializers[0]
	for _, t := range m.Graph.Initializers {
		if t.Stored() > largest.Stored() {
			largest = t
		}
	}
	path := filepath.Join(dir, "a.onnx")
	if err := m.Save(context.Background(), path); err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	values, err := largest.Raw()
	if err != nil {
		b.Fatal(err)
	}
	at := bytes.Index(data, values[:64])
	data[at+5] ^= 1
	other := filepath.Join(dir, "b.onnx")
	if err := os.WriteFile(other, data, 0o666); err != nil {
		b.Fatal(err)
	}
	if before, err = onnxgraph.Open(path); err == nil {
		after, err = onnxgraph.Open(other)
	}
	if err != nil {
		b.Fatal(err)
	}
	return before, after
}

func benchmark(b *testing.B, name string) {
	before, after := pairOf(b, name)
	runtime.GC()
	b.SetBytes(before.Size() + after.Size())
	b.ReportAllocs()
	for b.Loop() {
		d, err := Compare(context.Background(), before, after, Options{})
		if err != nil || len(d.Tensors.Changed) != 1 {
			b.Fatalf("error %v, %d tensors changed, want 1", err, len(d.Tensors.Changed))
		}
	}
}

func BenchmarkResNet50(b *testing.B) { benchmark(b, "resnet50") }

func BenchmarkVGG16(b *testing.B) { benchmark(b, "vgg16") }
