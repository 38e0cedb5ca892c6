package pool

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/window"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

// TestConformance runs the ONNX project's own pooling tests.
func TestConformance(t *testing.T) {
	ran := 0
	for _, path := range corpus.Conformance(t) {
		name := filepath.Base(filepath.Dir(path))
		if !strings.Contains(path, "/node/") || !strings.Contains(name, "pool") || strings.HasSuffix(name, "uint8") {
			continue
		}
		m, err := onnxgraph.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if node := m.Graph.Nodes[0]; len(m.Graph.Nodes) == 1 && strings.HasSuffix(node.OpType, "Pool") {
			ran++
			t.Run(name, func(t *testing.T) { conform(t, node, filepath.Join(filepath.Dir(path), "test_data_set_0")) })
		}
	}
	if ran < 25 {
		t.Errorf("%d tests ran, want the 30 of ONNX 1.14 or so", ran)
	}
}

func conform(t *testing.T, node *onnxgraph.Node, dir string) {
	x, want := read(t, filepath.Join(dir, "input_0.pb")), read(t, filepath.Join(dir, "output_0.pb"))
	dims := ints(x.Dims)
	s := slideOf(t, node, dims[2:])
	batch, channels := dims[0], dims[1]
	inPixels, outPixels := s.Pixels()
	in, err := x.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	in = transposed(in, batch, channels, inPixels)
	out := make([]float32, batch*outPixels*channels)
	team := cpu.NewTeam(2)
	switch node.OpType {
	case "MaxPool":
		Max(team, s, batch, channels, out, in)
	case "AveragePool":
		Average(team, s, batch, channels, out, in, node.Int("count_include_pad", 0) == 1)
	case "GlobalAveragePool":
		GlobalAverage(team, batch, inPixels, channels, out, in)
	case "GlobalMaxPool":
		GlobalMax(team, batch, inPixels, channels, out, in)
	default:
		t.Skip("not pooling: ", node.OpType)
	}
	values, err := want.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	if len(values) != len(out) {
		t.Fatalf("%d results, want %d of shape %v", len(out), len(values), want.Dims)
	}
	for i, v := range transposed(out, batch, outPixels, channels) {
		if math.Abs(float64(v-values[i])) > 1e-5 {
			t.Fatalf("result %d is %g, want %g", i, v, values[i])
		}
	}
	if len(node.Outputs) == 2 {
		wantIndices, err := read(t, filepath.Join(dir, "output_1.pb")).Int64s()
		if err != nil {
			t.Fatal(err)
		}
		indices := make([]int64, len(out))
		MaxIndices(team, s, batch, channels, indices, in, node.Int("storage_order", 0) == 1)
		if !slices.Equal(indices, wantIndices) {
			t.Errorf("indices %v, want %v", indices, wantIndices)
		}
	}
}

// slideOf is the geometry that a node's attributes describe.
func slideOf(t *testing.T, node *onnxgraph.Node, in []int) window.Slide {
	kernel, strides, dilations, pads := ints(node.Ints("kernel_shape")), ints(node.Ints("strides")), ints(node.Ints("dilations")), ints(node.Ints("pads"))
	if kernel == nil {
		kernel = in
	}
	var begin, end []int
	if pads != nil {
		begin, end = pads[:len(in)], pads[len(in):]
	}
	if auto := node.Str("auto_pad", ""); strings.HasPrefix(auto, "SAME") {
		begin, end = make([]int, len(in)), make([]int, len(in))
		for d := range in {
			stride := 1
			if strides != nil {
				stride = strides[d]
			}
			total := max(0, ((in[d]+stride-1)/stride-1)*stride+kernel[d]-in[d])
			begin[d] = total / 2
			if auto == "SAME_LOWER" {
				begin[d] = total - total/2
			}
			end[d] = total - begin[d]
		}
	}
	s, err := window.New(in, kernel, strides, dilations, begin, end, node.Int("ceil_mode", 0) == 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, path string) *onnxgraph.Tensor {
	x, err := onnxgraph.ReadTensor(path)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func ints(v []int64) []int {
	var out []int
	for _, x := range v {
		out = append(out, int(x))
	}
	return out
}

// transposed swaps the last two of three dimensions.
func transposed(v []float32, batch, rows, cols int) []float32 {
	out := make([]float32, len(v))
	for b := range batch {
		for r := range rows {
			for c := range cols {
				out[(b*cols+c)*rows+r] = v[(b*rows+r)*cols+c]
			}
		}
	}
	return out
}
