package diff

import (
	"context"
	"os"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

// FuzzCompare: whatever two models hold, each of their nodes is told of once,
// and a model does not differ from itself.
func FuzzCompare(f *testing.F) {
	small, err := os.ReadFile("../../fixtures/resnet14.onnx")
	if err == nil {
		f.Add(small, small)
	}
	paths := corpus.Conformance(f)
	for i := 0; i < len(paths); i += 20 {
		data, err := os.ReadFile(paths[i])
		if err != nil || len(data) > 1<<14 {
			continue
		}
		f.Add(data, renamed(data, func(name string) string { return "_" + name }))
		f.Add(data, data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, errA := onnxgraph.Parse("a.onnx", x)
		b, errB := onnxgraph.Parse("b.onnx", y)
		if errA != nil || errB != nil {
			return
		}
		d, err := Compare(context.Background(), a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := d.Structure
		if s.Same+len(s.Changed)+len(s.Removed) != len(a.Graph.Nodes) || s.Same+len(s.Changed)+len(s.Added) != len(b.Graph.Nodes) {
			t.Errorf("of %d and %d nodes %d are the same, %d changed, %d added, %d removed",
				len(a.Graph.Nodes), len(b.Graph.Nodes), s.Same, len(s.Changed), len(s.Added), len(s.Removed))
		}
		for _, side := range []*onnxgraph.Model{a, b} {
			if d, err := Compare(context.Background(), side, side, Options{}); err != nil || !d.Same {
				t.Errorf("a model differs from itself: %v, %s", err, told(d))
			}
		}
	})
}
