package onnxgraph_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Opening and saving with no change gives the identical bytes.
func TestSaveUnchangedIsIdentical(t *testing.T) {
	for name, list := range map[string]func(testing.TB) []string{"conformance": corpus.Conformance, "models": corpus.Models} {
		t.Run(name, func(t *testing.T) {
			paths := list(t)
			dir := t.TempDir()
			for _, path := range paths {
				m, err := onnxgraph.Open(path)
				if err != nil {
					t.Errorf("open: %v", err)
					continue
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				var stream bytes.Buffer
				if _, err := m.WriteTo(&stream); err != nil || !bytes.Equal(stream.Bytes(), want) {
					t.Errorf("%s: WriteTo: bytes differ (%v)", path, err)
				}
				out := filepath.Join(dir, "out.onnx")
				err = m.Save(context.Background(), out)
				if missing[filepath.Base(path)] {
					if err == nil || !strings.Contains(err.Error(), "external data file not found: ") {
						t.Errorf("%s: saved without its data file: %v", path, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("save: %v", err)
					continue
				}
				if got, _ := os.ReadFile(out); !bytes.Equal(got, want) {
					t.Errorf("%s: Save: bytes differ", path)
				}
			}
			t.Logf("%d models identical", len(paths))
		})
	}
}
