package onnxgraph_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

func TestReplaceKeepsAllButTheContents(t *testing.T) {
	for _, ir := range []int64{3, 8} {
		m := residual(t, ir)
		out, err := m.Apply(&onnxgraph.Patch{Rule: "test", Replace: []*onnxgraph.Tensor{onnxgraph.NewFloat32s("w1", []int64{2}, []float32{5, 6})}})
		must(t, err)
		must(t, out.Validate())
		path := filepath.Join(t.TempDir(), "out.onnx")
		must(t, out.Save(context.Background(), path))
		back, err := onnxgraph.Open(path)
		must(t, err)
		if got, err := back.Graph.Constant("w1").Float32s(); err != nil || !slices.Equal(got, []float32{5, 6}) {
			t.Errorf("IR version %d: w1 is %v (%v), want 5 6", ir, got, err)
		}
		if got, _ := back.Graph.Constant("w2").Float32s(); !slices.Equal(got, []float32{1, 2}) {
			t.Errorf("IR version %d: w2 is %v, want 1 2 as before", ir, got)
		}
		if was, is := len(m.Graph.Initializers), len(back.Graph.Initializers); was != is {
			t.Errorf("IR version %d: %d initializers, want %d", ir, is, was)
		}
	}
}

func TestReplaceRefusesWhatDoesNotFit(t *testing.T) {
	m := residual(t, 8)
	for name, x := range map[string]*onnxgraph.Tensor{
		"no initializer": onnxgraph.NewFloat32s("w9", []int64{2}, []float32{5, 6}),
		"want float32 2": onnxgraph.NewFloat32s("w1", []int64{1, 2}, []float32{5, 6}),
		"int64 2":        onnxgraph.NewInt64s("w1", []int64{2}, []int64{5, 6}),
	} {
		_, err := m.Apply(&onnxgraph.Patch{Rule: "test", Replace: []*onnxgraph.Tensor{x}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
	}
}

func TestExtractNamesWhatIsMissing(t *testing.T) {
	m := residual(t, 8)
	if _, err := m.Extract(nil, []string{"c"}); err == nil || !strings.Contains(err.Error(), `input "x" too`) {
		t.Errorf("error %v, want one that names x", err)
	}
	if _, err := m.Extract(nil, []string{"nothing"}); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("error %v, want one that names the value", err)
	}
}

func TestExtractIsAModel(t *testing.T) {
	for _, ir := range []int64{3, 8} {
		m := residual(t, ir)
		a := &onnxgraph.Value{Name: "a", Type: m.Infer().Of("a")}
		x := &onnxgraph.Value{Name: "x", Type: m.Infer().Of("x")}
		part, err := m.Extract([]*onnxgraph.Value{x, a}, []string{"c"})
		must(t, err)
		must(t, part.Validate())
		path := filepath.Join(t.TempDir(), "part.onnx")
		must(t, part.Save(context.Background(), path))
		back, err := onnxgraph.Open(path)
		must(t, err)
		must(t, back.Validate())
		var ops []string
		for _, n := range back.Graph.Nodes {
			ops = append(ops, n.Name)
		}
		if !slices.Equal(ops, []string{"m2", "add"}) {
			t.Errorf("IR version %d: nodes %v, want m2 and add", ir, ops)
		}
		if got := back.Graph.Outputs[0].Type.Shape.String(); got != "1x2" {
			t.Errorf("the output is %s, want 1x2", got)
		}
	}
}

// TestAnyBatchOfRealModels checks the loosened networks with ONNX's checker.
func TestAnyBatchOfRealModels(t *testing.T) {
	for _, name := range []string{"cifar10/ace_resnet20_cifar10_pre.onnx", "cifar10/amandashi95_resnet20.onnx", "cifar10/resnet_2b.onnx", "imagenet/derived_mobilenetv2_fp32.onnx"} {
		m, err := onnxgraph.Open(corpus.Need(t, "models", name))
		must(t, err)
		loose, err := m.AnyBatch()
		must(t, err)
		must(t, loose.Validate())
		if got := loose.Graph.Outputs[0].Type.Shape[0].String(); got != "batch" {
			t.Errorf("%s: the output's first dimension is %s", name, got)
		}
		path := filepath.Join(t.TempDir(), "loose.onnx")
		must(t, loose.Save(context.Background(), path))
		oracle.Check(t, path)
	}
}
