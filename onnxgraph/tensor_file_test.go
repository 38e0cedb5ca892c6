package onnxgraph_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

func TestReadTensor(t *testing.T) {
	raw := string([]byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}) // 1, -2 in little-endian float32
	cases := map[string]struct {
		data []byte
		want []float32
		err  string
	}{
		"raw":         {data: tensor("x", onnxgraph.Float32, 1, 2).str(9, raw), want: []float32{1, -2}},
		"typed":       {data: tensor("x", onnxgraph.Float32, 2).float(4, 1, -2), want: []float32{1, -2}},
		"half":        {data: tensor("x", onnxgraph.Float16, 2).int(5, 0x3c00, 0xc000), want: []float32{1, -2}},
		"too short":   {data: tensor("x", onnxgraph.Float32, 3).str(9, raw), err: "raw_data has 8 bytes, want 12"},
		"huge":        {data: tensor("x", onnxgraph.Float32, 1<<40, 1<<40).str(9, raw), err: "overflow"},
		"truncated":   {data: tensor("x", onnxgraph.Float32, 2).str(9, raw)[:12], err: "truncated or damaged"},
		"empty":       {err: "not a tensor: element type is undefined"},
		"other proto": {data: pb{}.str(1, "sequence").int(2, 1), err: "not a tensor: has no data"},
		"escape":      {data: tensor("x", onnxgraph.Float32, 2).int(14, 1).msg(13, pb{}.str(1, "location").str(2, "../x")), err: "leaves the model's folder"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "input_0.pb")
			if err := os.WriteFile(path, c.data, 0o644); err != nil {
				t.Fatal(err)
			}
			x, err := onnxgraph.ReadTensor(path)
			if c.err != "" {
				var fe *onnxgraph.FormatError
				if !errors.As(err, &fe) || fe.File != path || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want a FormatError of the file with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := x.Float32s(); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
	if _, err := onnxgraph.ReadTensor(filepath.Join(t.TempDir(), "absent.pb")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestStrings(t *testing.T) {
	cases := map[string]struct {
		data []byte
		want []string
		err  string
	}{
		"two":        {data: tensor("x", onnxgraph.String, 2).str(6, "a\n").str(6, ""), want: []string{"a\n", ""}},
		"in pieces":  {data: tensor("x", onnxgraph.String, 2).str(6, "é").str(8, "name").str(6, "b"), want: []string{"é", "b"}},
		"none":       {data: tensor("x", onnxgraph.String, 0), want: []string{}},
		"of numbers": {data: tensor("x", onnxgraph.Float32, 1).float(4, 1), err: "is float32, want string"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "input_0.pb")
			if err := os.WriteFile(path, c.data, 0o644); err != nil {
				t.Fatal(err)
			}
			x, err := onnxgraph.ReadTensor(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.Strings()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want an error with %q", err, c.err)
				}
			} else if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// The outputs of ONNX's own test of Relu are max(x, 0) of its inputs.
func TestReadTensorOfConformanceData(t *testing.T) {
	for _, model := range corpus.Conformance(t) {
		dir := filepath.Dir(model)
		if filepath.Base(dir) != "test_relu" {
			continue
		}
		read := func(file string) []float32 {
			x, err := onnxgraph.ReadTensor(filepath.Join(dir, "test_data_set_0", file))
			if err != nil {
				t.Fatal(err)
			}
			v, err := x.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		in, out := read("input_0.pb"), read("output_0.pb")
		for i := range in {
			in[i] = max(in[i], 0)
		}
		if !slices.Equal(in, out) {
			t.Errorf("%s: Relu of input_0.pb is not output_0.pb", dir)
		}
		return
	}
	t.Skip("test_relu is not among the conformance models")
}
