package onnxgraph_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

// FuzzOpen: whatever parses is written back byte for byte, survives validation,
// reading and patching, and an edit changes what it says and nothing else.
func FuzzOpen(f *testing.F) {
	for _, c := range invalid {
		s := plain()
		c.breakFrom(s)
		f.Add(s.bytes())
	}
	for _, c := range valid {
		s := plain()
		c.make(s)
		f.Add(s.bytes())
	}
	for _, file := range hostile() {
		if len(file.data) < 1<<12 {
			f.Add(file.data)
		}
	}
	f.Fuzz(survive)
}

// survive checks everything that must hold of any bytes at all.
func survive(t *testing.T, data []byte) {
	m, err := onnxgraph.Parse("fuzz.onnx", data)
	if err != nil {
		clearError(t, err)
		return
	}
	if err := m.Validate(); err != nil {
		clearError(t, err)
	}
	if got := written(t, m); !bytes.Equal(got, data) {
		t.Fatalf("written back: %d bytes for %d, or others", len(got), len(data))
	}
	for _, tensor := range m.Graph.Initializers {
		if raw, err := tensor.Raw(); err == nil {
			if want, _ := tensor.Bytes(); int64(len(raw)) != want {
				t.Errorf("tensor %q: read %d bytes, want %d", tensor.Name, len(raw), want)
			}
		}
	}
	marked, err := m.Apply(&onnxgraph.Patch{Rule: "mark", Metadata: []onnxgraph.Property{{Key: "mark", Value: "set"}}})
	if err == nil {
		again := reparse(t, marked)
		if got, want := outline(again.Graph), outline(m.Graph); got != want {
			t.Errorf("setting metadata changed the graph:\n%s\nwas\n%s", got, want)
		}
		if last := again.Metadata[len(again.Metadata)-1]; len(again.Metadata) <= len(m.Metadata) && !hasKey(m, "mark") {
			t.Errorf("the metadata are lost: %v", last)
		}
	}
	for _, n := range m.Graph.Nodes {
		if len(n.Outputs) == 0 || n.Outputs[0] == "" {
			continue
		}
		edited, err := m.Apply(detour(n))
		if err == nil && len(reparse(t, edited).Graph.Nodes) != len(m.Graph.Nodes)+1 {
			t.Errorf("detour of %v: nodes are lost", n)
		}
		break
	}
}

func hasKey(m *onnxgraph.Model, key string) bool {
	for _, p := range m.Metadata {
		if p.Key == key {
			return true
		}
	}
	return false
}

func clearError(t testing.TB, err error) {
	t.Helper()
	var format *onnxgraph.FormatError
	var invalid *onnxgraph.InvalidError
	if !errors.As(err, &format) && !errors.As(err, &invalid) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 2000 {
		t.Errorf("not one short line of the right type (%T): %.3000q", err, err)
	}
}

func written(t testing.TB, m *onnxgraph.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := m.WriteTo(&b)
	if err != nil || n != int64(b.Len()) || n != m.Size() {
		t.Fatalf("WriteTo: %v; wrote %d bytes, says %d, announced %d", err, b.Len(), n, m.Size())
	}
	return b.Bytes()
}

func reparse(t testing.TB, m *onnxgraph.Model) *onnxgraph.Model {
	t.Helper()
	again, err := onnxgraph.Parse("again.onnx", written(t, m))
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	return again
}

// outline prints the structure of a graph.
func outline(g *onnxgraph.Graph) string {
	var b strings.Builder
	fmt.Fprintf(&b, "graph %q\n", g.Name)
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "%v %q %q %q %q\n", n, n.Domain, n.Inputs, n.Outputs, n.Captures)
		for _, a := range n.Attributes {
			fmt.Fprintf(&b, " %q %v %v %v %q %v %v %q\n", a.Name, a.Type, a.Float, a.Int, a.String, a.Floats, a.Ints, a.Strings)
		}
		for _, sub := range n.Subgraphs() {
			b.WriteString(outline(sub))
		}
	}
	for _, t := range g.Initializers {
		fmt.Fprintf(&b, "%q %v %v %v %d\n", t.Name, t.Type, t.Dims, t.External, t.Stored())
	}
	for _, list := range [][]*onnxgraph.Value{g.Inputs, g.Outputs, g.ValueInfo} {
		for _, v := range list {
			fmt.Fprintf(&b, "%q %s %v %v\n", v.Name, v.Type.Kind, v.Type.Elem, v.Type.Shape)
		}
	}
	return b.String()
}

// small are the models that are damaged at every byte: networks of this file,
// and models of the ONNX project with subgraphs, functions, sequences and sparse tensors.
func small(t *testing.T) map[string][]byte {
	models := map[string][]byte{}
	for _, c := range valid {
		s := plain()
		c.make(s)
		models[c.name] = s.bytes()
	}
	wanted := []string{"test_if", "test_loop11", "test_scan9_sum", "test_sequence_insert_at_back", "test_constant", "test_constant_pad",
		"test_cast_FLOAT_to_STRING", "test_strnormalizer_export_monday_casesensintive_lower", "test_optional_get_element", "test_conv_with_strides_padding"}
	for _, path := range corpusIfThere(t) {
		for _, w := range wanted {
			if filepath.Base(filepath.Dir(path)) == w {
				data, err := os.ReadFile(path)
				must(t, err)
				models[w] = data
			}
		}
	}
	return models
}

func corpusIfThere(t *testing.T) (paths []string) {
	t.Run("corpus", func(t *testing.T) { paths = corpus.Conformance(t) })
	return paths
}

// Cutting a model short at any byte, or flipping any bit, neither panics nor takes long.
func TestDamagedModels(t *testing.T) {
	var slowest time.Duration
	try := func(t *testing.T, data []byte) {
		start := time.Now()
		survive(t, data)
		slowest = max(slowest, time.Since(start))
	}
	for name, data := range small(t) {
		t.Run(name, func(t *testing.T) {
			for n := range data {
				try(t, data[:n:n])
			}
			bits, step := 8*len(data), 1
			if len(data) > 2000 {
				step = 7
			}
			for bit := 0; bit < bits; bit += step {
				flipped := bytes.Clone(data)
				flipped[bit/8] ^= 1 << (bit % 8)
				try(t, flipped)
			}
		})
	}
	if slowest > 20*time.Second {
		t.Errorf("the slowest took %v", slowest)
	}
}

// The same for real networks, at bytes drawn by chance: the weights are most of them.
func TestDamagedNetworks(t *testing.T) {
	for _, path := range corpus.Models(t) {
		data, err := os.ReadFile(path)
		must(t, err)
		if len(data) > 2<<20 {
			continue
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 60 {
			survive(t, data[:r.IntN(len(data))])
			flipped := bytes.Clone(data)
			for range 1 + r.IntN(4) {
				// Structure is at the ends of a file, or spread over it.
				at := r.IntN(len(data))
				if r.IntN(2) == 0 {
					at = r.IntN(min(len(data), 4000))
				}
				flipped[at] ^= 1 << r.IntN(8)
			}
			survive(t, flipped)
		}
	}
}
