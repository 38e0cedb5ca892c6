package depthwise

import (
	"path/filepath"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// TestAgainstONNXRuntime convolves with another engine's kernels.
func TestAgainstONNXRuntime(t *testing.T) {
	for _, l := range []layer{
		square(2, 14, 40, 3, 1, 1, 1, 1),
		square(1, 28, 96, 5, 2, 1, 1, 2),
		square(1, 11, 17, 3, 2, 2, 2, 2),
		{in: []int{4, 6, 5}, kernel: []int{3, 2, 3}, stride: []int{1, 2, 1}, dilation: []int{1, 1, 1}, begin: []int{1, 0, 1}, end: []int{1, 1, 1}, batch: 2, channels: 9},
	} {
		t.Run(l.String(), func(t *testing.T) {
			shape := append([]int64{int64(l.batch), int64(l.channels)}, longs(l.in)...)
			x := oracle.Probe(1, shape)
			w := oracle.Probe(2, append([]int64{int64(l.channels), 1}, longs(l.kernel)...))
			want := oracle.Run(t, save(t, l, shape, w), map[string]oracle.Tensor{"x": x})["y"]

			s := l.slide(t)
			inPixels, outPixels := s.Pixels()
			out := make([]float32, l.batch*outPixels*l.channels)
			in := transposed(x.Floats, l.batch, l.channels, inPixels)
			Forward(cpu.NewTeam(2), s, l.batch, l.channels, out, in, Pack(l.channels, s.Kernel, w.Floats), None)
			got := oracle.Tensor{Shape: want.Shape, Floats: transposed(out, l.batch, outPixels, l.channels)}
			if _, rel := oracle.MaxDiff(got, want); rel > 1e-6 {
				t.Errorf("differs by %g of the largest value", rel)
			}
		})
	}
}

// save writes a model of one depthwise Conv.
func save(t *testing.T, l layer, shape []int64, w oracle.Tensor) string {
	b := onnxgraph.NewBuilder("depthwise", 17)
	dims := make(onnxgraph.Shape, len(shape))
	for i, n := range shape {
		dims[i] = onnxgraph.Const(n)
	}
	b.Input("x", onnxgraph.Float32, dims)
	b.Init(onnxgraph.NewFloat32s("w", w.Shape, w.Floats))
	b.Add(onnxgraph.NewNode("Conv", "conv", []string{"x", "w"}, []string{"y"},
		onnxgraph.IntAttr("group", int64(l.channels)),
		onnxgraph.IntsAttr("kernel_shape", longs(l.kernel)...), onnxgraph.IntsAttr("strides", longs(l.stride)...),
		onnxgraph.IntsAttr("dilations", longs(l.dilation)...), onnxgraph.IntsAttr("pads", longs(append(l.begin[:len(l.begin):len(l.begin)], l.end...))...)))
	b.Output("y", onnxgraph.Float32, nil)
	path := filepath.Join(t.TempDir(), "model.onnx")
	m, err := b.Model(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func longs(v []int) []int64 {
	var out []int64
	for _, x := range v {
		out = append(out, int64(x))
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
